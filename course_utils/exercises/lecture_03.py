"""Lecture 03: perplexity, one step of an LSTM, and the temperature of a softmax."""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from course_utils.exercises import CheckFailed, call, check, diagnose, require


@check("perplexity: exp of minus the mean log-probability, however long the text is")
def check_perplexity(perplexity: Callable[[np.ndarray], float]) -> None:
    """Check a function from natural log-probabilities (n,) to the perplexity exp(-mean), one number.

    Each entry is the logarithm of the probability that a model gave to the word that came (Jelinek et al. 1977). The
    product of the probabilities may be too small for float64. Without any word, ValueError must be raised.
    """
    random = np.random.default_rng(0)
    by_hand = np.array([1 / 2, 1 / 2, 1 / 4, 1 / 16])  # as uncertain, on average, as a choice among 4
    for probabilities in (by_hand, random.uniform(0.01, 0.6, 7), np.array([0.02])):
        _check_short_text(perplexity, np.log(probabilities))
    _check_long_text(perplexity, np.linspace(-9.0, -3.0, 4001))
    _check_long_text(perplexity, np.array([-1.5, -800.0, -0.5, -2.0]))
    _check_refusal(
        perplexity,
        (np.array([]),),
        "For a text without any word, an empty array,",
        "There is nothing to take the mean of: raise ValueError and say so, before you compute.",
    )


def _check_short_text(perplexity: Callable[..., float], logs: np.ndarray) -> None:
    """A text of a few words, by what else its perplexity could be."""
    found = _perplexity(perplexity, logs)
    n, mean, total, p = len(logs), float(logs.mean()), float(logs.sum()), np.exp(logs)
    right = math.exp(-mean)
    said = f"For words of probability {_short(p)}, so log-probabilities {_short(logs)}, you return {found:.4g} and not {right:.4g}"
    require(
        not math.isnan(found),
        f"{said}. Do you take the logarithm of a logarithm? What you are given are log-probabilities already.",
    )
    exponent = "the minus belongs in the exponent: np.exp(-mean), not -np.exp(mean)."
    base = "What was taken by a natural logarithm, only np.exp takes back"
    wrong = (
        (math.exp(mean), "the minus is missing. A perplexity is never below 1: exp(-mean), which is 1 / exp(mean)."),
        (-math.exp(mean), exponent),
        (-right, exponent),
        (math.exp(-total), "that is the sum, not the mean. Divide by n, or each further word makes the model look worse."),
        (math.exp(total), "that is the probability of the whole text. Take the mean of the logarithms, turn its sign, then exp."),
        (-mean, "the exp is missing. That is the cross-entropy; the perplexity is its exponential."),
        (mean, "that is the mean log-probability. The minus and the exp are missing: exp(-mean)."),
        (-total, "that is the sum of -log p. Divide it by n, and then take exp."),
        (-mean / math.log(2), "that is the cross-entropy in bits. The perplexity is 2 to the power of it, or np.exp(-mean) directly."),
        (2**-mean, f"you take 2 to the power of it. {base}; 2 ** goes with np.log2."),
        (2**-total, f"you take 2 to the power of the sum. {base}; and divide by n."),
        (2**mean, f"you take 2 to the power of it, without the minus. {base}: np.exp(-mean)."),
        (10**-mean, f"you take 10 to the power of it. {base}; 10 ** goes with np.log10."),
        (1 / p.mean(), "you average the probabilities. Average their logarithms, as you are given them, and take exp last."),
        (p.mean(), "that is the mean probability. Average the logarithms, turn the sign, and take exp last."),
        (
            (1 / p).mean(),
            "exp comes before the mean, so one improbable word outweighs all others. Take the mean first and exp last.",
        ),
        (math.exp(-p.mean()), "you average the probabilities. The mean in the exponent is that of their logarithms."),
        (math.exp(p.mean()), "you average the probabilities. The mean in the exponent is that of their logarithms."),
        (math.exp(-total / max(n - 1, 1)), f"you divide by n - 1. There are {n} words, and each counts: n."),
        (math.exp(-total / (n + 1)), f"you divide by n + 1. There are {n} words, and each counts once: n."),
        (math.exp(-np.median(logs)), "that is the median. Every word counts: take the mean."),
        (math.exp(-logs.min()), "only the least probable word counts. Take the mean over all."),
    )  # fmt: skip
    _diagnose(found, right, wrong, said, f"{said}. A perplexity is never below 1." if found < 1 else "")


def _check_long_text(perplexity: Callable[..., float], logs: np.ndarray) -> None:
    """A text whose probability, or one word's, is 0 in float64."""
    right = math.exp(-logs.mean())
    said = f"For {len(logs)} words with log-probabilities from {logs.min():g} to {logs.max():g}"
    logarithms = (
        "A probability as small as the product of all, or exp(-800) alone, is 0 in float64, and its inverse infinite. Stay with "
        "the logarithms: their mean first, and exp of that one number last."
    )
    try:
        found = _perplexity(perplexity, logs, may_raise=(OverflowError, ZeroDivisionError))
    except (OverflowError, ZeroDivisionError) as error:
        raise CheckFailed(
            f"{said} your function stops with {type(error).__name__}: {error}. {logarithms}"
        ) from error
    said = f"{said} you return {found:.4g} and not {right:.4g}"
    require(math.isfinite(found) and found != 0, f"{said}. {logarithms}")
    require(
        math.isclose(found, right, rel_tol=1e-6),
        f"{said}: a small number added to the probabilities, or logarithms cut off or left out, spoil the mean.",
    )


def _perplexity(
    function: Callable[..., float], logs: np.ndarray, may_raise: tuple[type[Exception], ...] = ()
) -> float:
    """What the student's function returns, once it is known to be one number, and the array is as it was."""
    given = logs.copy()
    with np.errstate(all="ignore"):
        result = call(function, given, may_raise=may_raise)
    require(
        np.array_equal(given, logs),
        "Your function changes the log-probabilities, which it should only read. Write x = x * y, not x *= y.",
    )
    require(
        np.ndim(result) == 0,
        f"You return an array of shape {np.shape(result)}, and a text has one perplexity. Take the mean: .mean().",
    )
    value = result.item() if isinstance(result, np.ndarray) else result
    require(_is_number(value), f"Return one number, the perplexity, not {type(value).__name__}: {value!r}.")
    return float(value)


def _check_refusal(function: Callable[..., Any], given: tuple[Any, ...], said: str, ask: str) -> None:
    """An input without an answer, for which the function must raise ValueError."""

    @functools.wraps(function)
    def answering(*given: Any) -> Any:
        """The same function, but returning nothing is an answer here, and one to be explained."""
        result = function(*given)
        return "nothing" if result is None else result

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # numpy's own, of a mean over nothing
            found = call(answering, *given, may_raise=(ArithmeticError, LookupError, ValueError))
    except ValueError:
        return
    except (ArithmeticError, LookupError) as error:
        raise CheckFailed(
            f"{said} your function stops with {type(error).__name__}: {error}. {ask}"
        ) from error
    shown = _short(found) if isinstance(found, np.ndarray) and found.ndim else found
    raise CheckFailed(f"{said} you return {shown}. {ask}")


class _Step(NamedTuple):
    """What ``lstm_step`` is given: x (d,), h and c (n,), W (4n, d), U (4n, n), b (4n,)."""

    x: np.ndarray
    h: np.ndarray
    c: np.ndarray
    W: np.ndarray
    U: np.ndarray
    b: np.ndarray


class _State(NamedTuple):
    """What ``lstm_step`` returns, both (n,)."""

    h: np.ndarray
    c: np.ndarray


_Candidates = Iterable[tuple[np.ndarray, str]]  # a value, and what is probably wrong if it was found
_Gates = dict[str, np.ndarray]  # the sums (n,) of the four gates, before σ and tanh, by name
_ORDER = ("input", "forget", "cell", "output")


@check("lstm_step: the new h and c, the same as torch.nn.LSTMCell's")
def check_lstm_step(lstm_step: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    """Check a function (x, h, c, W, U, b) -> (h, c), one step of an LSTM (Hochreiter & Schmidhuber 1997, Gers et al. 2000).

    x is (d,), h and c are (n,), W (4n, d), U (4n, n) and b (4n,), all float64. W x + U h + b holds the sums of i, f, g and
    o, n numbers each, in the order of ``torch.nn.LSTMCell``, which gives the right answer here: i, f and o go through σ,
    g through tanh; the new c is f * c + i * g, and the new h is o * tanh(c) with the new c.
    """
    random = np.random.default_rng(0)
    for d, n in ((4, 3), (2, 5), (5, 2)):
        shapes = ((d,), (n,), (n,), (4 * n, d), (4 * n, n), (4 * n,))
        step = _Step(*(random.normal(size=shape) for shape in shapes))
        found, right = _state(lstm_step, step), _by_torch(step)
        said = f"With d = {d} and n = {n}"
        if not _close(found.c, right.c):
            require(
                not _close(found.h, right.c),
                f"{said} the first thing that you return is the new c. The order is (h, c).",
            )
            said = f"{said} your new c is {_short(found.c)} and not {_short(right.c)}"
            _diagnose(found.c, right.c, _wrong_cells(step), said)
        said = f"{said} your new c is right, but your new h is {_short(found.h)} and not {_short(right.h)}"
        _diagnose(found.h, right.h, _wrong_outputs(step, right.c), said)


def _by_torch(step: _Step) -> _State:
    """The right answer: ``torch.nn.LSTMCell`` with these weights, and b as the sum of its two biases."""
    n, d = len(step.h), len(step.x)
    # skip_init leaves the random numbers of the student's notebook alone.
    cell = nn.utils.skip_init(nn.LSTMCell, d, n, dtype=torch.float64)
    x, h, c, *weights = (torch.from_numpy(array) for array in step)
    with torch.no_grad():
        parameters = (cell.weight_ih, cell.weight_hh, cell.bias_ih)
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.copy_(weight)
        cell.bias_hh.zero_()
        return _State(*(part.numpy() for part in cell(x, (h, c))))


def _wrong_cells(step: _Step) -> Iterator[tuple[np.ndarray, str]]:
    """Each new c that comes from one mistake, then from two, and what they are."""
    for most in (1, 2):
        for z, first in _sums(step):
            for gates, second in _layouts(z):
                if bool(first) + bool(second) > most:
                    continue
                for c, third in _cells(gates, step):
                    mistakes = [mistake for mistake in (first, second, third) if mistake]
                    if len(mistakes) == most:
                        yield c, " And ".join(mistakes)


def _sums(step: _Step) -> _Candidates:
    """W x + U h + b, and what else it could be."""
    x, h, b = step.W @ step.x, step.U @ step.h, step.b
    return (
        (x + h + b, ""),
        (x + h, "the bias is forgotten. Add b."),
        (x + b, "U h is forgotten. Without it the step does not know what came before."),
        (h + b, "W x is forgotten. Without it the step does not see its own word."),
        (x, "U h and the bias are forgotten. It is W x + U h + b."),
        (x + h + 2 * b, "the bias is added twice. LSTMCell has two of them; b here is already their sum, so add it once."),
        (x + step.U @ step.c + b, "U is multiplied by c. What goes through U is the old h."),
        (x - h + b, "U h has the wrong sign. It is W x + U h + b."),
    )  # fmt: skip


def _layouts(z: np.ndarray) -> Iterator[tuple[_Gates, str]]:
    """The sums of the gates as PyTorch lays them out, and all other ways to read them."""
    blocks, right = np.split(z, 4), f"PyTorch's order is {', '.join(_ORDER)}."
    for order in itertools.permutations(_ORDER):
        diagnosis = (
            f"you read the four gates in the order {', '.join(order)}, as other books may have it. {right}"
        )
        if order == ("forget", "input", "cell", "output"):
            diagnosis = f"the forget gate and the input gate are exchanged. It is f * c + i * g, and {right}"
        if order == ("cell", "forget", "input", "output"):
            diagnosis = f"i and g are exchanged. σ makes the gate i, tanh makes g, and {right}"
        yield dict(zip(order, blocks, strict=True)), "" if order == _ORDER else diagnosis
    interleaved = z.reshape(-1, 4).T
    yield (
        dict(zip(_ORDER, interleaved, strict=True)),
        (
            "you take every fourth number for a gate. The n numbers of a gate stand together, one gate after the other: "
            "np.split(z, 4), or z.reshape(4, n)."
        ),
    )


def _cells(gates: _Gates, step: _Step) -> Iterator[tuple[np.ndarray, str]]:
    """f * c + i * g, and what else it could be."""
    zi, zf, zg, zo = (gates[name] for name in _ORDER)
    i, f, g, c = _sigma(zi), _sigma(zf), np.tanh(zg), step.c
    new = f * c + i * g
    yield new, ""
    yield from (
        (c + i * g, "the forget gate is missing: the old c is kept whole. It is f * c + i * g."),
        (f * c + g, "the input gate is missing: all of g is written. It is f * c + i * g."),
        (c + g, "both gates are missing. It is f * c + i * g."),
        (i * g, "the old c is gone. Add f * c, the part of it that the forget gate keeps."),
        (f * c, "nothing new is written. Add i * g."),
        (c, "that is the old c. The new one is f * c + i * g."),
        ((1 - f) * c + i * g, "the forget gate is turned round. For all its name, f = 1 keeps everything: f * c."),
        (_sigma(-zf) * c + _sigma(-zi) * g, "your σ is turned round. It is 1 / (1 + np.exp(-z)), with a minus."),
        (f * c + (1 - f) * g, "you write with 1 - f, as a GRU couples its gates. The LSTM has a gate of its own for it: i * g."),
        (f * step.h + i * g, "the forget gate is applied to the old h. The memory that it guards is c: f * c."),
        (f * (c + i * g), "the forget gate is applied to what is new as well. Only the old c goes through it: f * c + i * g."),
        (f * c + f * g, "the forget gate stands in both places. It is f * c + i * g."),
        (i * c + i * g, "the input gate stands in both places. It is f * c + i * g."),
        (f * c - i * g, "what is new is taken away. Add it: f * c + i * g."),
        (np.tanh(new), "your new c has gone through tanh. Only h needs that; c itself goes on as it is."),
        (_sigma(zo) * new, "the output gate is applied to c. It belongs to h alone."),
        (_sigma(zo) * np.tanh(new), "that is the new h. Return both, (h, c)."),
        (
            f * np.tanh(c) + i * g,
            "the old c goes through tanh. It stays as it is, and that is the path on which gradients survive.",
        ),
        (np.full_like(c, f @ c) + i * g, "f @ c is a single number. A gate multiplies number by number: f * c."),
        (f * c + np.full_like(c, i @ g), "i @ g is a single number. A gate multiplies number by number: i * g."),
    )  # fmt: skip
    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "σ": _sigma,
        "tanh": np.tanh,
        "no function": lambda z: z,
    }
    for names in itertools.product(functions, repeat=3):
        i, f, g = (functions[name](z) for name, z in zip(names, (zi, zf, zg), strict=True))
        wrong = [
            f"{gate} through {name}"
            for gate, name, right in zip("ifg", names, ("σ", "σ", "tanh"), strict=True)
            if name != right
        ]
        # i through tanh and g through σ alone are i and g exchanged, which the layouts name.
        if not wrong or names == ("tanh", "σ", "σ"):
            continue
        diagnosis = (
            f"you send {', '.join(wrong)}. The gates i, f and o are shares from 0 to 1, so σ; g is what is written, and may be "
            "negative, so tanh."
        )
        yield f * c + i * g, diagnosis
        yield c + i * g, f"{diagnosis} And the forget gate is missing: it is f * c + i * g."
        yield f * c + g, f"{diagnosis} And the input gate is missing: it is f * c + i * g."


def _wrong_outputs(step: _Step, new: np.ndarray) -> _Candidates:
    """What the new h could be, once the new c is right."""
    zi, zf, zg, zo = np.split(step.W @ step.x + step.U @ step.h + step.b, 4)
    o, shown = _sigma(zo), np.tanh(new)
    return (
        (o * new, "the tanh is missing. It is o * tanh(c)."),
        (shown, "the output gate is missing. It is o * tanh(c)."),
        (new, "that is the new c once more. The new h is o * tanh(c)."),
        (o * np.tanh(step.c), "it is made from the old c. Compute the new c first: it is what h shows."),
        (o * step.c, "it is made from the old c, and the tanh is missing. Compute the new c first, then o * tanh(c)."),
        (np.tanh(step.c), "it is made from the old c, and the output gate is missing. It is o * tanh(c) with the new c."),
        (step.h, "that is the old h. The new one is o * tanh(c)."),
        (np.tanh(zo) * shown, "o goes through tanh. It is a gate, so it goes through σ."),
        (zo * shown, "o goes through no function. It is a gate, so it goes through σ."),
        (_sigma(-zo) * shown, "the σ of o is turned round. It is 1 / (1 + np.exp(-z)), with a minus."),
        (o * _sigma(new), "c goes through σ. It is o * tanh(c)."),
        (np.tanh(zo) * _sigma(new), "tanh and σ are exchanged. It is σ for the gate o, and tanh for c."),
        (np.tanh(o * new), "the tanh goes around o * c. It goes around c alone: o * tanh(c)."),
        (o, "that is the output gate alone. It is o * tanh(c)."),
        (o * np.tanh(zg), "it is made from g, which is only what is new. It is o * tanh(c) with the new c."),
        (_sigma(zi) * shown, "the input gate stands in the place of the output gate. It is o * tanh(c)."),
        (_sigma(zf) * shown, "the forget gate stands in the place of the output gate. It is o * tanh(c)."),
        (step.h + o * shown, "the old h is added. It has done its work in U h: the new one is o * tanh(c)."),
    )  # fmt: skip


def _state(function: Callable[..., Any], step: _Step) -> _State:
    """What the student's function returns, once it is known to be two arrays (n,), and the inputs are as they were."""
    given = [array.copy() for array in step]
    with np.errstate(all="ignore"):
        result = call(function, *given)
    for name, array, before in zip(_Step._fields, given, step, strict=True):
        require(
            np.array_equal(array, before),
            f"Your function changes {name}, which it should only read: whoever called it may still need the old one. Write "
            "c = f * c + i * g, not c *= f.",
        )
    two = "Return two arrays, in this order: h, c"
    require(isinstance(result, tuple | list), f"{two}; you return only one, a {type(result).__name__}.")
    require(len(result) == 2, f"{two}; you return {len(result)}.")
    n = len(step.h)
    for name, array in zip(("h", "c"), result, strict=True):
        require(
            np.shape(array) != (),
            f"Your {name} is a single number. Gates multiply number by number, with `*`; `@` would add up, too.",
        )
        require(
            isinstance(array, np.ndarray),
            f"{name} should be a numpy array, not {type(array).__name__}.",
        )
        case = f"With n = {n} your {name} has shape {array.shape} and not ({n},)"
        require(
            array.shape not in ((4 * n,), (4, n)),
            f"{case}: W x + U h + b holds the sums of four gates. Take it apart first: i, f, g, o = np.split(z, 4).",
        )
        require(
            array.shape != (n, n),
            f"{case}: each number meets every other. A gate multiplies number by number: f * c, both of shape ({n},).",
        )
        require(array.shape == (n,), f"{case}.")
        require(
            array.dtype.kind in "fiu",
            f"{name} should hold numbers, and its elements are of type {array.dtype}.",
        )
        require(
            np.isfinite(array).all(),
            f"Your {name} is {_short(array)}. No sum here is larger than 20, so look at what you divide by.",
        )
    return _State(*result)


@check("with_temperature: softmax(logits / T), without overflow, and no T of 0 or below")
def check_with_temperature(with_temperature: Callable[[np.ndarray, float], np.ndarray]) -> None:
    """Check a function from logits (V,) and a temperature T to probabilities (V,), softmax(logits / T).

    That is equation 1 of Hinton et al. (2015), arXiv:1503.02531. Logits may be as large as ±1000, and a temperature of 0
    or below must raise ValueError.
    """
    logits = np.array([2.0, 1.0, 0.5, -1.0])
    more = np.random.default_rng(0).normal(size=6) * 2
    _check_softmax(with_temperature, logits)
    for values, temperature in ((logits, 0.5), (logits, 2.0), (more, 0.8), (more, 3.0)):
        _check_temperature(with_temperature, values, temperature)
    for temperature in (1.0, 0.5, 2.0):
        _check_large(with_temperature, np.array([1000.0, 999.0, -1000.0]), temperature)
        _check_large(with_temperature, np.array([-1000.0, -1001.0, -1003.0]), temperature)
    for temperature, reason in (
        (0.0, "Nothing can be divided by 0"),
        (-1.0, "Below 0 the least likely word would become the likeliest"),
    ):
        _check_refusal(
            with_temperature,
            (logits.copy(), temperature),
            f"For logits {_short(logits)} and T = {temperature:g}",
            f"{reason}: raise ValueError unless T is above 0, and say so.",
        )


def _check_softmax(function: Callable[..., np.ndarray], logits: np.ndarray) -> None:
    """T = 1, where only the softmax is at work."""
    found, right, raised = _probabilities(function, logits, 1.0), _softmax(logits), np.exp(logits)
    lowered = np.exp(logits - logits.max())
    said = f"For logits {_short(logits)} and T = 1 you return {_short(found)} and not {_short(right)}"
    one = "Divide by their sum, so that they add up to 1."
    wrong = (
        (raised, f"these are the exponentials, not yet probabilities. {one}"),
        (lowered, f"these are the exponentials, not yet probabilities. {one}"),
        (raised / raised.max(), f"you divide by the largest. {one}"),
        (raised / raised.mean(), "you divide by the mean. Divide by the sum, so that they add up to 1."),
        (raised / np.linalg.norm(raised), f"you divide by the length of the vector. {one}"),
        (raised / (1 + raised.sum()), f"1 is added to the sum. {one}"),
        (logits, "these are still the logits. The softmax is missing: the exponentials, divided by their sum."),
        (logits / logits.sum(), "the exponential is missing. Take np.exp of the logits, and then divide by the sum."),
        (np.log(right), "these are the logarithms of the probabilities. Take np.exp of them."),
        (_softmax(-logits), "the sign is turned. The largest logit gets the largest probability."),
        (_softmax(right), "the softmax runs twice. Once gives probabilities already."),
        (_softmax(logits * math.log(2)), "you take 2 to the power of the logits. The softmax takes np.exp."),
        (_softmax(logits * math.log(10)), "you take 10 to the power of the logits. The softmax takes np.exp."),
        (_sigma(logits), "that is σ of each logit by itself. The words share a probability of 1: use the softmax."),
        (np.eye(len(logits))[logits.argmax()], "all goes to the largest logit. The softmax leaves something to the others."),
    )  # fmt: skip
    _diagnose(found, right, wrong, said, _sum_to(found, said))


def _check_temperature(function: Callable[..., np.ndarray], logits: np.ndarray, temperature: float) -> None:
    """Another T, once the softmax itself is right."""
    found, right, p = (
        _probabilities(function, logits, temperature),
        _softmax(logits / temperature),
        _softmax(logits),
    )
    said = f"For logits {_short(logits)} and T = {temperature:g} you return {_short(found)} and not {_short(right)}"
    one = "Divide by their sum, so that they add up to 1."
    after = "is applied after the softmax, to the probabilities, and they no longer add up to 1. Divide the logits by T."
    below = "T is missing below the line. Divide the logits by T once, at the start, and take the softmax of that."
    above = "T is missing above the line. Divide the logits by T once, at the start, and take the softmax of that."
    lowered = logits - logits.max()
    wrong: list[tuple[np.ndarray, str]] = [
        (
            p,
            "that is the softmax without T, which has no effect. Divide the logits by it. Added to all logits, or multiplied "
            "with all exponentials, it cancels.",
        ),
        (
            _softmax(logits * temperature),
            "that is softmax(logits * T), or p ** T, so a high T makes it sharper. Divide instead: logits / T, or p ** (1 / T).",
        ),
        (p / temperature, f"T {after}"),
        (p * temperature, f"T {after}"),
        (p**temperature, "that is p ** T, and adds up to something else than 1. Take p ** (1 / T), and divide it by its sum."),
        (p ** (1 / temperature), f"the power is right, but these are not yet probabilities. {one}"),
        (_softmax(p / temperature), "you divide the probabilities by T, and the softmax runs twice. Divide the logits, once."),
        (_softmax(p * temperature), "T meets the probabilities, and the softmax runs twice. Divide the logits by T, once."),
        (_softmax(logits // temperature), "`//` drops what comes after the decimal point. Divide with `/`."),
        (_softmax(logits / temperature**2), "the logits are divided by T twice. Once is enough."),
        (_softmax(-logits / temperature), "the sign is turned. The largest logit gets the largest probability."),
        (
            np.eye(len(logits))[logits.argmax()],
            "all goes to the largest logit. Only a T near 0 comes close to that: divide the logits by T.",
        ),
    ]  # fmt: skip
    for values in (logits, lowered):
        hot, plain = np.exp(values / temperature), np.exp(values)
        wrong += [
            (hot, f"these are the exponentials, not yet probabilities. {one}"),
            (hot / plain.sum(), below),
            (plain / hot.sum(), above),
        ]
    _diagnose(found, right, wrong, said, _sum_to(found, said))


def _check_large(function: Callable[..., np.ndarray], logits: np.ndarray, temperature: float) -> None:
    """Logits at which exp overflows, or is 0 for every word."""
    right = _softmax(logits / temperature)
    said = f"For logits {_short(logits, 4)} and T = {temperature:g}"
    largest = (
        "np.exp(1000) is more than float64 can hold, and np.exp(-1000) is 0; inf / inf and 0 / 0 are nan. Divide by T first, "
        "then take the largest away: z = logits / T, and np.exp(z - z.max()). The probabilities stay the same."
    )
    try:
        found = _probabilities(
            function, logits, temperature, may_raise=(OverflowError, ZeroDivisionError), may_be_nan=True
        )
    except (OverflowError, ZeroDivisionError) as error:
        raise CheckFailed(
            f"{said} your function stops with {type(error).__name__}: {error}. {largest}"
        ) from error
    said = f"{said} you return {_short(found)} and not {_short(right)}"
    require(np.isfinite(found).all(), f"{said}: {largest}")
    require(
        np.allclose(found, right, atol=1e-6),
        f"{said}: logits cut off, a small number added, or nan replaced hide the overflow and spoil the answer. {largest}",
    )


def _probabilities(
    function: Callable[..., np.ndarray],
    logits: np.ndarray,
    temperature: float,
    may_raise: tuple[type[Exception], ...] = (),
    may_be_nan: bool = False,
) -> np.ndarray:
    """What the student's function returns, once it is known to be an array (V,), and the logits are as they were."""
    given = logits.copy()
    with np.errstate(all="ignore"):
        found = call(function, given, temperature, may_raise=may_raise)
    require(
        np.array_equal(given, logits),
        "Your function changes the logits, which it should only read: the next T would meet others. Write z = logits / T, not "
        "logits /= T.",
    )
    require(
        not _is_number(found) and np.shape(found) != (),
        f"You return a single {type(found).__name__}. Return the probabilities of all V words: the draw comes later.",
    )
    require(isinstance(found, np.ndarray), f"Return a numpy array, not {type(found).__name__}.")
    require(found.dtype.kind in "fiu", f"Return numbers; yours are of type {found.dtype}.")
    require(
        found.shape == logits.shape,
        f"For {len(logits)} logits you return an array of shape {found.shape}; one probability for each is wanted.",
    )
    require(
        may_be_nan or np.isfinite(found).all(),
        f"For logits {_short(logits)} and T = {temperature:g} you return {_short(found)}. Do you take a logarithm or a power "
        "of a logit? Logits may be negative: divide them by T, and take np.exp.",
    )
    return found


def _sum_to(found: np.ndarray, said: str) -> str:
    """What to say of numbers that do not add up to 1, when nothing better is known."""
    total = float(found.sum())
    return (
        "" if _close(total, 1) else f"{said}: yours add up to {total:.3g}. Divide by their sum, last of all."
    )


def _softmax(z: np.ndarray) -> np.ndarray:
    raised = np.exp(z - z.max())
    return raised / raised.sum()


def _sigma(z: Any) -> Any:
    return np.exp(-np.logaddexp(0, -z))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _close(one: Any, other: Any) -> bool:
    return np.allclose(one, other, rtol=1e-5, atol=1e-8)


_diagnose = partial(diagnose, close=_close)


def _short(values: np.ndarray, digits: int = 3) -> str:
    return "[" + ", ".join(f"{value + 0:.{digits}g}" for value in values.ravel().tolist()) + "]"
