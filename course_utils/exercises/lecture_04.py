"""Lecture 04: a highway layer, reading a padded batch backwards, a task's mixture of layers, and the error that is gone."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from course_utils.exercises.engine import exercise, require


# fmt: off
def _highway(x: np.ndarray, W: np.ndarray, b: np.ndarray, W_gate: np.ndarray, b_gate: np.ndarray) -> np.ndarray:
    """Check a function (x, W, b, W_gate, b_gate) -> y, all float64 (Srivastava et al. 2015, arXiv:1505.00387).

    x and the biases are (d,), the weights (d, d). With g = σ(W_gate x + b_gate) the answer is
    g * relu(W x + b) + (1 - g) * x, number by number.
    """
    return _mixed(x, W @ x + b, W_gate @ x + b_gate)


def _mixed(x: np.ndarray, z: np.ndarray, zg: np.ndarray) -> np.ndarray:
    return expit(zg) * np.maximum(z, 0) + (1 - expit(zg)) * x


_G, _RELU = "g * relu(W x + b) + (1 - g) * x", "np.maximum(W @ x + b, 0)"
_draw = np.random.default_rng(3)  # the relu cuts some numbers and leaves others, for both sizes
_GATED = [tuple(_draw.normal(size=shape) for shape in ((d,), (d, d), (d,), (d, d), (d,))) for d in (3, 5)]

check_highway = exercise(
    "highway: the gate decides, number by number, what is transformed and what is carried past",
    _highway, inputs=("x", "W", "b", "W_gate", "b_gate"), cases=_GATED,
    edges=[((*_GATED[1][:3], np.zeros((5, 5)), np.full(5, bias)), why) for bias, why in (
        (-40.0, f"both parts need the gate: {_G}."), (40.0, f"both parts need the gate: {_G}."),
        (800.0, "np.exp(800) is more than float64 can hold, and inf / inf is nan. Write σ(z) as 1 / (1 + np.exp(-z))."))],
    describe=lambda x, W, b, U, c: f"With d = {len(x)}" if U.any() else (
        f"Where the gate is {'shut' if c[0] < 0 else 'open'} (its bias is {c[0]:g}), the layer should return {'x itself' if c[0] < 0 else 'relu(W x + b)'}, and"),
    shapes=[(lambda *_: (), "The gate works number by number, with `*`; `@` would add up, too."),
            (lambda x, *_: (len(x), len(x)), "each number meets every other. The gate works number by number, on arrays of one shape.")],
    of=lambda x, W, b, U, c: (x, np.maximum(W @ x + b, 0), expit(U @ x + c), W @ x + b, U @ x + c, W, b, U, c),
    mistakes=[
        (lambda x, new, g, *_: g * x + (1 - g) * new, f"the gate is turned round. Open, it lets the *new* vector through: {_G}."),
        (lambda x, new, g, *_: g * new, f"what the gate holds back is lost. Carry x past it: {_G}."),
        (lambda x, new, g, *_: g * new + x, f"x is added whole. The gate shares out: what is not transformed is carried, {_G}."),
        (lambda x, new, *_: new + x, f"that is a residual connection. A highway has a gate: {_G}."),
        (lambda x, new, *_: new, f"the gate is missing. It is {_G}."),
        (lambda x, new, g, *_: (1 - g) * x, f"the new part is missing. It is {_G}."),
        (lambda x, new, g, *_: g, f"that is the gate alone. It is {_G}."),
        (lambda x, new, g, *_: new + (1 - g) * x, f"the new part needs its gate as well: {_G}."),
        (lambda x, new, g, z, *_: g * z + (1 - g) * x, f"the relu is missing. It goes around W x + b: {_RELU}."),
        (lambda x, new, g, z, *_: g * np.tanh(z) + (1 - g) * x, f"tanh stands where this layer has a relu: {_RELU}."),
        (lambda x, new, g, z, *_: g * expit(z) + (1 - g) * x, f"σ stands where this layer has a relu: {_RELU}."),
        (lambda x, new, g, z, zg, *_: zg * new + (1 - zg) * x, "the σ is missing. A gate is a share from 0 to 1: 1 / (1 + np.exp(-z))."),
        (lambda x, new, g, *_: np.maximum(g * new + (1 - g) * x, 0), "the relu goes around everything. It goes around W x + b only; x is carried past as it is."),
        (lambda x, new, g, z, zg, W, b, U, c: _mixed(x, z, U @ x), "the gate's bias is forgotten."),
        (lambda x, new, g, z, zg, W, b, U, c: _mixed(x, W @ x, zg), "the bias b is forgotten."),
        (lambda x, new, g, z, zg, W, b, U, c: _mixed(x, W @ x, U @ x), "both biases are forgotten."),
        (lambda x, new, g, z, zg, W, b, U, c: _mixed(x, z, U @ new + c), "the gate looks at the new vector. It looks at x."),
        (lambda x, new, g, z, *_: _mixed(x, z, z), "the gate has the same weights as the transformation. It has its own."),
        (lambda x, new, g, z, zg, W, b, U, c: _mixed(x, x @ W + b, zg), "x stands before W, which reads W's columns as its rows: W @ x."),
        (lambda x, new, g, z, zg, W, b, U, c: _mixed(x, z, x @ U + c), "x stands before W_gate, which reads its columns as its rows: W_gate @ x."),
        (lambda x, new, g, z, zg, W, b, U, c: _mixed(x, x @ W + b, x @ U + c), "x stands before the weights, which reads columns as rows: W @ x and W_gate @ x."),
    ],
)


def _turned(ids: np.ndarray, lengths: Iterable[int]) -> np.ndarray:
    """Check a function from ids (batch, length) and each sentence's length to the ids read backwards, (batch, length).

    Padding, 0, stands at the end of a row, before and after. A 0 may also be a token: the boundary of a sentence.
    """
    turned = ids.copy()
    for row, n in zip(turned, lengths, strict=True):
        row[: max(n, 0)] = row[: max(n, 0)][::-1].copy()
    return turned


def _rows(answer: Any, ids: np.ndarray, lengths: list[int]) -> Any:
    """The answer; rows in a list or tuple become an array."""
    if not isinstance(answer, list | tuple) or any(np.ndim(row) > 1 for row in answer[:1]):
        return answer
    sizes = {len(row) if isinstance(row, list | tuple | np.ndarray) else -1 for row in answer}
    alike = sizes == {ids.shape[1]} and len(answer) == len(ids)
    require(alike, f"The rows that you return have other lengths than {ids.shape[1]}, that of the batch. Padding stays in its place.")
    return np.array(answer)


check_read_backwards = exercise(
    "read_backwards: every sentence turned round, every place of padding where it was",
    _turned, inputs=("the ids", "the lengths"),
    cases=[(np.array(rows), lengths) for rows, lengths in (
        ([[5, 6, 7, 8]], [4]),
        ([[5, 6, 0, 0], [1, 2, 3, 4]], [2, 4]),
        ([[7, 3, 9, 0, 0], [4, 1, 2, 6, 8], [2, 0, 0, 0, 0]], [3, 5, 1]),
        ([[0, 4, 9, 0, 0, 0], [0, 5, 6, 7, 8, 0], [0, 3, 0, 0, 0, 0]], [4, 6, 3]),  # with boundaries
        ([[0, 4, 9, 2, 0, 0]], [4]),  # a boundary at one end only
        ([[7, 70_000, 7, 8, 0], [0, 0, 0, 0, 0]], [4, 0]),  # a word comes again, an id needs more than 16 bits, a row is empty
    )],
    describe=lambda ids, lengths: f"For {ids.tolist()} with lengths {lengths}", read=_rows,
    kinds={"f": "You return numbers with a decimal point, and a table looks up whole ones only. np.zeros makes them: use np.zeros_like(ids), or ids.copy()."},
    shapes=[(lambda *_: None, "the batch keeps its shape; padding stays in its place.")],
    mistakes=[
        (lambda ids, n: ids, "nothing is turned round. Turn the first n ids of each row: row[:n][::-1]."),
        (lambda ids, n: ids[:, ::-1], "the padding is turned round with the words, so the backward reader begins with it. Turn the first n ids of each row only."),
        (lambda ids, n: ids[::-1], "the order of the sentences is turned. Turn each row: the words within it."),
        (lambda ids, n: ids[::-1, ::-1], "sentences and words are both turned. Turn the words of each row, and leave the rows."),
        ((lambda ids, n: np.array([[back.pop() if token else 0 for token in row] for row in ids.tolist() for back in [[token for token in row if token]]]),
          lambda ids, n: _turned(ids, (ids != 0).sum(axis=1)), lambda ids, n: _turned(ids, [np.flatnonzero(row).max(initial=-1) + 1 for row in ids])),
         "you find the padding by its value, but 0 is the boundary of a sentence, too. Go by the lengths."),
        (lambda ids, n: _turned(ids, [k - 1 for k in n]), "the last word stays in its place. The first n ids are row[:n]."),
        (lambda ids, n: _turned(ids, [k + 1 for k in n]), "you turn one id too many, and a place of padding comes first. The first n ids are row[:n]."),
        (lambda ids, n: _turned(ids, [n[0]] * len(ids)), "every row is turned at the first row's length. Each has its own."),
    ],
)


def _mix(layers: np.ndarray, weights: np.ndarray, gamma: float) -> np.ndarray:
    """Check a function (layers, weights, gamma) -> gamma * sum of s_j layers_j with s = softmax(weights).

    Equation 1 of Peters et al. (2018), arXiv:1802.05365. ``layers`` is (L, n, d), ``weights`` (L,), ``gamma`` a number, all
    float64; the answer is (n, d). Weights may be as large as ±1000.
    """
    return gamma * _added(softmax(weights), layers)


def _added(shares: np.ndarray, layers: np.ndarray) -> np.ndarray:
    return np.tensordot(shares, layers, axes=1)


_SHARES = "The s_j are the softmax of the weights: np.exp(weights), divided by their sum."
_WIDE = "the s_j meet the columns, not the layers: a cube hides it, as all its sides are equal. Give them the layers' axis: s[:, None, None] * layers, or np.tensordot(s, layers, axes=1)."
_LARGEST = "np.exp(1000) is more than float64 can hold, and np.exp(-1000) is 0. Take the largest weight away first, np.exp(weights - weights.max()); the shares stay the same."
_draw = np.random.default_rng(0)
_CUBE = _draw.normal(size=(3, 2, 2))

check_scalar_mix = exercise(
    "scalar_mix: softmax weights that sum to one, times gamma, and no overflow",
    _mix, inputs=("the layers", "the weights", "gamma"),
    cases=[(_draw.normal(size=(L, n, d)), _draw.normal(size=L), gamma) for L, n, d, gamma in ((2, 1, 3, 1.0), (3, 4, 2, 1.0), (3, 4, 5, 0.5), (3, 3, 3, 2))],
    edges=[((_CUBE, np.array(weights), 1.0), _LARGEST) for weights in ([1000.0, 999.0, -1000.0], [-1000.0, -1001.0, -1003.0], [1000.0, 1000.0, 998.0])],
    describe=lambda h, w, g: f"For {len(h)} layers of shape {h.shape[1:]} with weights [{', '.join(f'{weight:.4g}' for weight in w)}] and gamma = {g:g}",
    shapes=[(lambda *_: (), "Add up over the layers only: a vector for each word is wanted."),
            (lambda h, w, g: h.shape, "these are all layers, weighted. Add them up: .sum(0)."),
            (lambda *_: None, "a vector for each word is wanted. Add up over the first axis, the layers.")],
    of=lambda h, w, g: (h, w, g, softmax(w)),
    mistakes=[
        (lambda h, w, g, s: _added(s, h), "gamma is missing. It scales the whole sum."),
        (lambda h, w, g, s: _added(softmax(g * w), h), "gamma meets the weights before the softmax. It scales the sum: gamma * (...)."),
        (lambda h, w, g, s: _added(s, h) / g, "you divide by gamma. It is a factor."),
        (lambda h, w, g, s: g * g * _added(s, h), "gamma is applied twice. Once is enough."),
        (lambda h, w, g, s: g + _added(s, h), "gamma is added. It is a factor."),
        *(((lambda h, w, g, s, wrong=wrong: g * wrong(h, w, s), lambda h, w, g, s, wrong=wrong: wrong(h, w, s)), why) for wrong, why in (  # with gamma, or without
            (lambda h, w, s: _added(w, h), f"the weights are taken as they are. {_SHARES}"),
            (lambda h, w, s: _added(np.exp(w), h), f"the exponentials are not yet shares: they do not sum to one. {_SHARES}"),
            (lambda h, w, s: _added(w / w.sum(), h), f"the weights are divided by their sum, without np.exp. {_SHARES}"),
            (lambda h, w, s: _added(s, h) / len(s), "that is the mean over the layers. The s_j are shares already: add up, do not average."),
            (lambda h, w, s: _added(np.exp(w), h) / len(s), f"the exponentials are averaged. {_SHARES}"),
            (lambda h, w, s: h.sum(0), "the layers are added up without weights. It is the sum of s_j * layers[j]."),
            (lambda h, w, s: h.mean(0), "all layers get the same share. The s_j are the softmax of the weights."),
            (lambda h, w, s: _added(expit(w), h), f"each weight goes through σ by itself, and they do not sum to one. {_SHARES}"),
            (lambda h, w, s: _added(softmax(-w), h), "the sign is turned. The layer with the largest weight gets the largest share."),
            (lambda h, w, s: _added(softmax(s), h), "the softmax runs twice. Once gives shares already."),
            (lambda h, w, s: _added(softmax(h.mean((1, 2))), h), "the softmax is taken of the layers. It is taken of the weights."),
            (lambda h, w, s: h[w.argmax()], "only the layer with the largest weight is left. All take part, by their shares."),
            *((lambda h, w, s, wide=wide: wide(h, s) if len(set(h.shape)) == 1 else _added(s, h), _WIDE) for wide in (  # it stops unless all sides are equal
                lambda h, s: (s * h).sum(0), lambda h, s: (s * h).sum(-1), lambda h, s: (s[:, None] * h).sum(0), lambda h, s: h @ s, lambda h, s: s @ h)))),
        (lambda h, w, g, s: (g * _added(s, h)).sum(0, keepdims=True) + 0 * h[0], "the words are added up as well. Add up over the layers only."),
    ],
)


def _reduction(base: float, new: float) -> float:
    """Check a function from two scores, the baseline's and the new model's, both 0 to 1, to (new - base) / (1 - base).

    Negative where the new model is worse. Where the baseline makes no error, ValueError must be raised.
    """
    if base == 1:
        raise ValueError("There is no error to reduce.")
    return (new - base) / (1 - base)


_OF_ERRORS = "Errors are 1 - score: divide by 1 - base."
_NO_ERROR = "A baseline of 1.0 makes no error, so no part of its errors can go: raise ValueError and say so, before you divide."

check_relative_error_reduction = exercise(
    "relative_error_reduction: which part of the errors is gone",
    _reduction, inputs=("the baseline's score", "the new score"),
    cases=[(0.9, 0.95), (0.8, 0.85), (0.5, 0.9), (0.75, 0.7), (0.6, 0.6), (0.0, 0.3), (0.7, 0.8), (0.3, 1.0), (0, 1)],
    refused=[((1.0, 0.9), _NO_ERROR), ((1.0, 1.0), _NO_ERROR), ((1, 0), _NO_ERROR)],
    describe=lambda base, new: f"From {base} to {new}", infinite="Divide by 1 - base, the share of errors that there were.",
    of=lambda base, new: (np.float64(base), np.float64(new), _reduction(base, new)),
    mistakes=[
        (lambda base, new, right: 100 * right, "that is in per cent. Return the share; whoever prints it may multiply by 100."),
        (tuple(lambda base, new, right, digits=digits: round(right, digits) for digits in (1, 2, 3, 4)), "you round. Return the share as it comes out; whoever prints it may round."),
        (lambda base, new, right: new - base, f"that is the gain in points. Which part of the errors is it? {_OF_ERRORS}"),
        ((lambda base, new, right: max(right, 0), lambda base, new, right: abs(right)), "a worse model is hidden: the reduction may be negative, and should say so."),
        (lambda base, new, right: -right, "the sign is turned. Fewer errors than before are a reduction above 0."),
        (lambda base, new, right: 1 - right, "that is the part of the errors that is left. Take it from 1."),
        (lambda base, new, right: (new - base) / (1 - new), "you divide by the errors of the new model. Those of the baseline are what was there."),
        (lambda base, new, right: (new - base) / base, f"that is the gain relative to the score. Relative to the errors is asked. {_OF_ERRORS}"),
        (lambda base, new, right: new / base, f"that is the ratio of the scores. {_OF_ERRORS}"),
        (lambda base, new, right: 1 - new / base, f"that compares the scores. {_OF_ERRORS}"),
    ],
)
# fmt: on
