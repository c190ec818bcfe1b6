"""Lecture 04: a highway layer, reading a padded batch backwards, a task's mixture of layers, and the error that is gone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from course_utils.exercises import CheckFailed, call, check, diagnose, require

_Candidates = Iterable[tuple[Any, str]]  # a wrong answer, and what is probably wrong if it was found


@check("highway: the gate decides, number by number, what is transformed and what is carried past")
def check_highway(highway: Callable[..., np.ndarray]) -> None:
    """Check a function (x, W, b, W_gate, b_gate) -> y, all float64 (Srivastava et al. 2015, arXiv:1505.00387).

    x and the biases are (d,), the weights (d, d). With g = σ(W_gate x + b_gate) the answer is
    g * relu(W x + b) + (1 - g) * x, number by number.
    """
    random = np.random.default_rng(2)
    for d in (3, 5):
        x, sums, b_gate = random.normal(size=(3, d))
        W, W_gate = random.normal(size=(2, d, d))
        b = np.abs(sums) * np.resize([1, -1], d) - W @ x  # so the relu cuts every second number
        found = _vector(highway, x, W, b, W_gate, b_gate)
        new, gate = np.maximum(W @ x + b, 0), _sigma(W_gate @ x + b_gate)
        right = gate * new + (1 - gate) * x
        said = f"With d = {d} you return {_short(found)} and not {_short(right)}"
        _diagnose(found, right, _wrong_highways(x, W, b, W_gate, b_gate), said)
    zero = np.zeros((d, d))
    for bias, right, closed in ((-40.0, x, "shut (its bias is -40)"), (40.0, new, "open (its bias is 40)")):
        found = _vector(highway, x, W, b, zero, np.full(d, bias))
        require(
            _close(found, right),
            f"Where the gate is {closed}, the layer should return {'x itself' if bias < 0 else 'relu(W x + b)'}, and yours "
            f"returns {_short(found)} and not {_short(right)}. Both parts need the gate: g * relu(W x + b) + (1 - g) * x.",
        )


def _wrong_highways(
    x: np.ndarray, W: np.ndarray, b: np.ndarray, W_gate: np.ndarray, b_gate: np.ndarray
) -> Iterator[tuple[np.ndarray, str]]:
    """What else y could be."""
    z, zg = W @ x + b, W_gate @ x + b_gate
    new, gate = np.maximum(z, 0), _sigma(zg)
    mixed = gate * new + (1 - gate) * x
    right = "g * relu(W x + b) + (1 - g) * x"
    yield (
        gate * x + (1 - gate) * new,
        f"the gate is turned round. Open, it lets the *new* vector through: {right}.",
    )
    yield gate * new, f"what the gate holds back is lost. Carry x past it: {right}."
    yield (
        gate * new + x,
        f"x is added whole. The gate shares out: what is not transformed is carried, {right}.",
    )
    yield new + x, f"that is a residual connection. A highway has a gate: {right}."
    yield new, f"the gate is missing. It is {right}."
    yield (1 - gate) * x, f"the new part is missing. It is {right}."
    yield gate, f"that is the gate alone. It is {right}."
    yield new + (1 - gate) * x, f"the new part needs its gate as well: {right}."
    yield gate * z + (1 - gate) * x, "the relu is missing. It goes around W x + b: np.maximum(W @ x + b, 0)."
    yield (
        gate * np.tanh(z) + (1 - gate) * x,
        "tanh stands where this layer has a relu: np.maximum(W @ x + b, 0).",
    )
    yield gate * _sigma(z) + (1 - gate) * x, "σ stands where this layer has a relu: np.maximum(W @ x + b, 0)."
    yield zg * new + (1 - zg) * x, "the σ is missing. A gate is a share from 0 to 1: 1 / (1 + np.exp(-z))."
    yield (
        np.maximum(mixed, 0),
        "the relu goes around everything. It goes around W x + b only; x is carried past as it is.",
    )
    flipped = _sigma(-zg)
    yield flipped * new + (1 - flipped) * x, "σ is turned round. It is 1 / (1 + np.exp(-z)), with a minus."
    for name, one, other in (
        ("the gate's bias is forgotten", z, W_gate @ x),
        ("the bias b is forgotten", W @ x, zg),
        ("both biases are forgotten", W @ x, W_gate @ x),
        ("the gate looks at the new vector. It looks at x", z, W_gate @ new + b_gate),
        ("the gate has the same weights as the transformation. It has its own", z, z),
        ("x stands before W, which reads W's columns as its rows: W @ x", x @ W + b, zg),
        ("x stands before W_gate, which reads its columns as its rows: W_gate @ x", z, x @ W_gate + b_gate),
        ("x stands before the weights, which reads columns as rows: W @ x and W_gate @ x", x @ W + b, x @ W_gate + b_gate),
    ):  # fmt: skip
        share = _sigma(other)
        yield share * np.maximum(one, 0) + (1 - share) * x, f"{name}."


def _vector(function: Callable[..., Any], *given: np.ndarray) -> np.ndarray:
    """What the student's function returns, once it is known to be an array like the first input, and nothing was changed."""
    found, x = _read_only(function, *given), given[0]
    require(
        np.shape(found) != (),
        "You return a single number. The gate works number by number, with `*`; `@` would add up, too.",
    )
    _numbers(found)
    require(
        found.shape != (len(x), len(x)),
        f"For x with {len(x)} numbers you return {len(x)} x {len(x)}: each meets every other. The gate works number by number, "
        "on arrays of one shape.",
    )
    require(found.shape == x.shape, f"For x of shape {x.shape} you return an array of shape {found.shape}.")
    return found


@check("read_backwards: every sentence turned round, every place of padding where it was")
def check_read_backwards(read_backwards: Callable[[np.ndarray, list[int]], np.ndarray]) -> None:
    """Check a function from ids (batch, length) and each sentence's length to the ids read backwards, (batch, length).

    Padding, 0, stands at the end of a row, before and after. A 0 may also be a token: the boundary of a sentence.
    """
    cases = (
        ([[5, 6, 7, 8]], [4]),
        ([[5, 6, 0, 0], [1, 2, 3, 4]], [2, 4]),
        ([[7, 3, 9, 0, 0], [4, 1, 2, 6, 8], [2, 0, 0, 0, 0]], [3, 5, 1]),
        ([[0, 4, 9, 0, 0, 0], [0, 5, 6, 7, 8, 0], [0, 3, 0, 0, 0, 0]], [4, 6, 3]),  # with boundaries
        ([[0, 4, 9, 2, 0, 0]], [4]),  # a boundary at one end only
    )
    for rows, lengths in cases:
        ids = np.array(rows)
        right = np.array([[*row[:n][::-1], *row[n:]] for row, n in zip(rows, lengths, strict=True)])
        found = _read_only(read_backwards, ids, lengths)
        found = _rows(found, ids)
        said = f"For {rows} with lengths {lengths} you return {found.tolist()} and not {right.tolist()}"
        _diagnose(found, right, _wrong_turns(ids, lengths), said)


def _wrong_turns(ids: np.ndarray, lengths: list[int]) -> Iterator[tuple[np.ndarray, str]]:
    """What else the turned rows could be."""
    if max(lengths) > 1:
        yield ids, "nothing is turned round. Turn the first n ids of each row: row[:n][::-1]."
    yield (
        ids[:, ::-1],
        "the padding is turned round with the words, so the backward reader begins with it. Turn the first n ids of each row "
        "only.",
    )
    if len(ids) > 1:
        yield ids[::-1], "the order of the sentences is turned. Turn each row: the words within it."
        yield (
            ids[::-1, ::-1],
            "sentences and words are both turned. Turn the words of each row, and leave the rows.",
        )
    by_value = [np.flatnonzero(row) for row in ids]
    turned = ids.copy()
    for row, places in zip(turned, by_value, strict=True):
        row[places] = row[places[::-1]]
    value = "you find the padding by its value, but 0 is the boundary of a sentence, too. Go by the lengths."
    yield turned, value
    counted = [int((row != 0).sum()) for row in ids]
    yield _turned(ids, counted), value
    last = [int(np.flatnonzero(row).max(initial=-1)) + 1 for row in ids]
    yield _turned(ids, last), value
    yield (
        _turned(ids, [n - 1 for n in lengths]),
        "the last word stays in its place. The first n ids are row[:n].",
    )
    yield (
        _turned(ids, [min(n + 1, ids.shape[1]) for n in lengths]),
        "you turn one id too many, and a place of padding comes first. The first n ids are row[:n].",
    )
    yield (
        _turned(ids, [lengths[0]] * len(ids)),
        "every row is turned at the first row's length. Each has its own.",
    )


def _turned(ids: np.ndarray, lengths: Iterable[int]) -> np.ndarray:
    turned = ids.copy()
    for row, n in zip(turned, lengths, strict=True):
        row[: max(n, 0)] = row[: max(n, 0)][::-1].copy()
    return turned


def _rows(found: Any, ids: np.ndarray) -> np.ndarray:
    """The answer as an array of whole numbers like ``ids``; lists of equal length will do."""
    if isinstance(found, list | tuple):
        sizes = {len(row) if isinstance(row, list | tuple | np.ndarray) else -1 for row in found}
        require(
            sizes == {ids.shape[1]} and len(found) == len(ids),
            f"The rows that you return have other lengths than {ids.shape[1]}, that of the batch. Padding stays in its place.",
        )
        found = np.array(found)
    _numbers(found)
    require(
        found.shape == ids.shape,
        f"For ids of shape {ids.shape} you return shape {found.shape}. The batch keeps its shape; padding stays in its place.",
    )
    return found


@check("scalar_mix: softmax weights that sum to one, times gamma, and no overflow")
def check_scalar_mix(scalar_mix: Callable[..., np.ndarray]) -> None:
    """Check a function (layers, weights, gamma) -> gamma * sum of s_j layers_j with s = softmax(weights).

    Equation 1 of Peters et al. (2018), arXiv:1802.05365. ``layers`` is (L, n, d), ``weights`` (L,), ``gamma`` a number, all
    float64; the answer is (n, d). Weights may be as large as ±1000.
    """
    random = np.random.default_rng(0)
    for L, n, d, gamma in ((2, 1, 3, 1.0), (3, 4, 2, 1.0), (3, 4, 5, 0.5), (3, 3, 3, 2.0)):
        layers, weights = random.normal(size=(L, n, d)), random.normal(size=L)
        right = gamma * np.tensordot(_softmax(weights), layers, axes=1)
        found = _mixture(scalar_mix, layers, weights, gamma)
        said = (
            f"For {L} layers of shape ({n}, {d}) with weights {_short(weights)} and gamma = {gamma:g} your first number is "
            f"{found.flat[0]:.4g} and not {right.flat[0]:.4g}"
        )
        _diagnose(found, right, _wrong_mixtures(layers, weights, gamma), said)
    layers, weights = random.normal(size=(3, 2, 2)), np.array([1000.0, 999.0, -1000.0])
    right = np.tensordot(_softmax(weights), layers, axes=1)
    with np.errstate(all="ignore"):
        found = _mixture(scalar_mix, layers, weights, 1.0, may_be_nan=True)
    require(
        np.isfinite(found).all() and _close(found, right),
        f"For weights {_short(weights)} your first number is {found.flat[0]:.4g} and not {right.flat[0]:.4g}: np.exp(1000) is "
        "more than float64 can hold. Take the largest weight away first, np.exp(weights - weights.max()); the shares stay the "
        "same.",
    )


def _wrong_mixtures(
    layers: np.ndarray, weights: np.ndarray, gamma: float
) -> Iterator[tuple[np.ndarray, str]]:
    """What else the mixture could be."""
    s, raised = _softmax(weights), np.exp(weights)

    def mixed(shares: np.ndarray) -> np.ndarray:
        return np.tensordot(shares, layers, axes=1)

    right = gamma * mixed(s)
    softmax = "The s_j are the softmax of the weights: np.exp(weights), divided by their sum."
    if gamma != 1:
        yield mixed(s), "gamma is missing. It scales the whole sum."
        yield (
            mixed(_softmax(gamma * weights)),
            "gamma meets the weights before the softmax. It scales the sum: gamma * (...).",
        )
        yield mixed(s) / gamma, "you divide by gamma. It is a factor."
        yield gamma**2 * mixed(s), "gamma is applied twice. Once is enough."
    yield mixed(s) + gamma, "gamma is added. It is a factor."
    for factor in {1.0, gamma}:
        yield factor * mixed(weights), f"the weights are taken as they are. {softmax}"
        yield (
            factor * mixed(raised),
            f"the exponentials are not yet shares: they do not sum to one. {softmax}",
        )
        yield (
            factor * mixed(weights / weights.sum()),
            f"the weights are divided by their sum, without np.exp. {softmax}",
        )
        yield (
            factor * mixed(s) / len(s),
            "that is the mean over the layers. The s_j are shares already: add up, do not average.",
        )
        yield factor * mixed(raised) / len(s), f"the exponentials are averaged. {softmax}"
        yield (
            factor * layers.sum(0),
            "the layers are added up without weights. It is the sum of s_j * layers[j].",
        )
        yield (
            factor * layers.mean(0),
            "all layers get the same share. The s_j are the softmax of the weights.",
        )
        yield (
            factor * mixed(_sigma(weights)),
            f"each weight goes through σ by itself, and they do not sum to one. {softmax}",
        )
        yield (
            factor * mixed(_softmax(-weights)),
            "the sign is turned. The layer with the largest weight gets the largest share.",
        )
        yield factor * mixed(_softmax(s)), "the softmax runs twice. Once gives shares already."
        yield (
            factor * mixed(_softmax(layers.mean((1, 2)))),
            "the softmax is taken of the layers. It is taken of the weights.",
        )
        yield (
            factor * layers[int(s.argmax())],
            "only the layer with the largest weight is left. All take part, by their shares.",
        )
        if len(set(layers.shape)) == 1:
            wide = (
                "the s_j meet the columns, not the layers: a cube hides it, as all its sides are equal. Give them the layers' "
                "axis: s[:, None, None] * layers, or np.tensordot(s, layers, axes=1)."
            )
            yield factor * (s * layers).sum(0), wide
            yield factor * (s * layers).sum(-1), wide
            yield factor * (s[:, None] * layers).sum(0), wide
            yield factor * (layers @ s), wide
            yield factor * (s @ layers), wide
    yield (
        right.sum(0, keepdims=True) + np.zeros_like(right),
        "the words are added up as well. Add up over the layers only.",
    )


def _mixture(
    function: Callable[..., Any],
    layers: np.ndarray,
    weights: np.ndarray,
    gamma: float,
    may_be_nan: bool = False,
) -> np.ndarray:
    """What the student's function returns, once it is known to be an array (n, d), and the inputs are as they were."""
    found = _read_only(function, layers, weights, gamma)
    require(
        np.shape(found) != (),
        "You return a single number. Add up over the layers only: a vector for each word is wanted.",
    )
    _numbers(found, may_be_nan)
    require(
        found.shape != layers.shape,
        f"You return all {len(layers)} layers, weighted. Add them up: .sum(0).",
    )
    require(
        found.shape == layers.shape[1:],
        f"For layers of shape {layers.shape} you return shape {found.shape}; {layers.shape[1:]} is wanted, a vector for each "
        "word. Add up over the first axis, the layers.",
    )
    return found


@check("relative_error_reduction: which part of the errors is gone")
def check_relative_error_reduction(relative_error_reduction: Callable[[float, float], float]) -> None:
    """Check a function from two scores, the baseline's and the new model's, both 0 to 1, to (new - base) / (1 - base).

    Negative where the new model is worse. Where the baseline makes no error, ValueError must be raised.
    """
    for base, new in ((0.9, 0.95), (0.8, 0.85), (0.5, 0.9), (0.75, 0.7), (0.6, 0.6), (0.0, 0.3)):
        found = call(relative_error_reduction, base, new)
        if isinstance(found, np.ndarray) and found.ndim == 0:
            found = found.item()
        require(_is_number(found), f"Return one number, not {type(found).__name__}: {found!r}.")
        right = (new - base) / (1 - base)
        said = f"From {base} to {new} you return {found:.4g} and not {right:.4g}"
        require(not math.isnan(found), f"{said}. Divide by 1 - base, the share of errors that there were.")
        _diagnose(float(found), right, _wrong_reductions(base, new), said)
    said = "A baseline of 1.0 makes no error, so no part of its errors can go:"
    try:
        found = call(relative_error_reduction, 1.0, 0.9, may_raise=(ValueError, ZeroDivisionError))
    except ValueError:
        return
    except ZeroDivisionError as error:
        raise CheckFailed(
            f"{said} raise ValueError and say so, before you divide. Yours stops with {error}."
        ) from error
    raise CheckFailed(f"{said} raise ValueError. You return {found}.")


def _wrong_reductions(base: float, new: float) -> Iterator[tuple[float, str]]:
    """What else the reduction could be."""
    right = (new - base) / (1 - base)
    of_errors = "Errors are 1 - score: divide by 1 - base."
    yield 100 * right, "that is in per cent. Return the share; whoever prints it may multiply by 100."
    if new != base:
        yield new - base, f"that is the gain in points. Which part of the errors is it? {of_errors}"
        hidden = "a worse model is hidden: the reduction may be negative, and should say so."
        if new < base:
            yield 0.0, hidden
            yield -right, hidden
        yield -right, "the sign is turned. Fewer errors than before are a reduction above 0."
        yield 1 - right, "that is the part of the errors that is left. Take it from 1."
        if new < 1:
            yield (
                (new - base) / (1 - new),
                "you divide by the errors of the new model. Those of the baseline are what was there.",
            )
    if base:
        yield (
            (new - base) / base,
            f"that is the gain relative to the score. Relative to the errors is asked. {of_errors}",
        )
        yield new / base, f"that is the ratio of the scores. {of_errors}"
        yield 1 - new / base, f"that compares the scores. {of_errors}"
    yield (1 - new) / (1 - base), "that is the part of the errors that is left. Take it from 1."


# --- what the checks share


def _read_only(function: Callable[..., Any], *given: Any) -> Any:
    """Call the student's function with copies, and see that it only reads them."""
    copies = [value.copy() if isinstance(value, np.ndarray | list) else value for value in given]
    with np.errstate(all="ignore"):
        found = call(function, *copies)
    for before, after in zip(given, copies, strict=True):
        require(
            np.array_equal(before, after),
            "Your function changes what it is given, which it should only read. Work on a copy, and write x = x * y, not "
            "x *= y.",
        )
    return found


def _numbers(found: Any, may_be_nan: bool = False) -> None:
    require(isinstance(found, np.ndarray), f"Return a numpy array, not {type(found).__name__}.")
    require(found.dtype.kind in "fiu", f"Return numbers; yours are of type {found.dtype}.")
    require(
        may_be_nan or np.isfinite(found).all(),
        "Some of the numbers that you return are infinite, or none at all (nan).",
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _close(one: Any, other: Any) -> bool:
    return np.shape(one) == np.shape(other) and np.allclose(one, other, rtol=1e-5, atol=1e-8)


_diagnose = partial(diagnose, close=_close)


def _sigma(z: Any) -> Any:
    return np.exp(-np.logaddexp(0, -z))


def _softmax(z: np.ndarray) -> np.ndarray:
    raised = np.exp(z - z.max())
    return raised / raised.sum()


def _short(values: np.ndarray) -> str:
    return "[" + ", ".join(f"{value + 0:.3g}" for value in values.ravel().tolist()) + "]"
