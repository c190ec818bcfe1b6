"""Lecture 01: the loss of negative sampling with its gradient, subsampling, and analogies."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from course_utils.exercises import CheckFailed, call, check, diagnose, require
from course_utils.exercises.engine import exercise, show
from course_utils.exercises.quiz import Choice, Question


class _Answer(NamedTuple):
    """What ``sgns`` returns."""

    loss: float
    d_centre: np.ndarray
    d_context: np.ndarray
    d_negatives: np.ndarray


_Vectors = tuple[np.ndarray, np.ndarray, np.ndarray]  # v (d,), u_o (d,), noise (k, d)


@check("sgns: the loss of a pair and its noise words, and the gradient by each vector")
def check_sgns(
    sgns: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, np.ndarray, np.ndarray, np.ndarray]],
) -> None:
    """Check a function (centre, context, negatives) -> (loss, d_centre, d_context, d_negatives).

    ``centre`` v and ``context`` u_o are arrays (d,), ``negatives`` k noise vectors (k, d), all float64. The loss is
    -log σ(u_o·v) - Σ log σ(-u_k·v), equation 4 of Mikolov et al. (2013), arXiv:1310.4546, with its sign turned; the
    gradients have the shapes of the vectors. Scores may be as large as ±800.
    """
    # Scores of log 3 for the pair and -log 3, 0 and log 27 for the noise: σ is 3/4, and 1/4, 1/2 and 27/28.
    by_hand = (
        np.array([math.log(3), 0.0]),
        np.array([1.0, 2.0]),
        np.array([[-1.0, 4.0], [0.0, -2.0], [3.0, 0.0]]),
    )
    random = np.random.default_rng(0)
    sizes = ((4, 5), (3, 1), (5, 2), (1, 3))
    drawn = [(random.normal(size=d), random.normal(size=d), random.normal(size=(k, d))) for d, k in sizes]
    for vectors in (by_hand, *drawn):
        found = _sgns_answer(sgns, vectors)
        said = f"For {_scores(vectors)}"
        for name, value in found._asdict().items():
            require(
                np.isfinite(value).all(),
                f"{said} your {name} is {value}. Do you divide by 0, or take the logarithm of a score?",
            )
        _check_loss(found.loss, vectors, said)
        _check_gradients(found, vectors, said)
    v = np.array([20.0, -20.0])
    _check_large(sgns, (v, -v, np.stack([v, -v])))
    _check_large(sgns, (v, v, np.stack([-v, -v])))


def _right(vectors: _Vectors) -> _Answer:
    """The answer of ``sgns``."""
    v, context, negatives = vectors
    true, noise = context @ v, negatives @ v
    pull, push = _sigma(true) - 1, _sigma(noise)
    loss = float(np.logaddexp(0, -true) + np.logaddexp(0, noise).sum())
    return _Answer(loss, pull * context + push @ negatives, pull * v, np.outer(push, v))


def _sigma(score: Any) -> Any:
    return np.exp(-np.logaddexp(0, -score))


def _scores(vectors: _Vectors) -> str:
    """The scores of the pair and of the noise words, in words."""
    v, context, negatives = vectors
    return f"a score of {context @ v:.3g} for the true pair and {_short(negatives @ v)} for the noise,"


def _check_loss(loss: float, vectors: _Vectors, said: str) -> None:
    """The loss of a pair, by what else it could be."""
    v, context, negatives = vectors
    true, noise = context @ v, negatives @ v
    k, right = len(noise), _right(vectors).loss
    pull, push = np.logaddexp(0, -true), np.logaddexp(0, noise)  # -log σ(true), -log σ(-noise)
    no_log = "the logarithm is missing. The loss adds up -log σ, not σ."
    wrong = (
        (-right, "the minus in front is missing. A logarithm of σ is negative, and the loss its opposite."),
        (right / math.log(2), "that is log2. The paper's log is the natural one, np.log."),
        (right / math.log(10), "that is log10. The paper's log is the natural one, np.log."),
        (pull + push.mean(), "you take the mean over the noise words. Equation 4 is their sum: .sum()."),
        (right / (k + 1), "you take the mean over all terms. Equation 4 is their sum."),
        (
            pull + np.logaddexp(0, -noise).sum(),
            "the noise is pulled towards the centre as if it were true. It is σ(-u·v): the minus inside is missing.",
        ),
        (
            pull - push.sum(),
            "the noise terms are added with the wrong sign. Both parts are -log of a σ, so both are positive.",
        ),
        (
            np.logaddexp(0, true) + np.logaddexp(0, -noise).sum(),
            "the signs are swapped: yours pushes the true pair apart and pulls the noise together.",
        ),
        (np.logaddexp(0, true) + push.sum(), "the true pair is pushed apart like noise. It is σ(u_o·v), without a minus."),
        (pull, "the noise is forgotten. Subtract log σ(-u·v) for each noise word."),
        (push.sum(), "the true pair is forgotten. Subtract log σ(u_o·v), too."),
        (
            pull + np.logaddexp(0, noise.sum()),
            "you add up the scores of the noise words first. Each noise word has a σ of its own: add up afterwards.",
        ),
        (_sigma(true) + _sigma(-noise).sum(), no_log),
        (-_sigma(true) - _sigma(-noise).sum(), no_log),
        (_sigma(true) * _sigma(-noise).prod(), no_log),
        (1 - _sigma(true) + _sigma(noise).sum(), no_log),
        (
            np.logaddexp.reduce([true, *noise]) - true,
            "that is a softmax over the pair and its noise. Negative sampling asks k + 1 separate yes-or-no questions.",
        ),
    )  # fmt: skip
    _diagnose(loss, right, wrong, f"{said} your loss is {loss:.4g} and not {right:.4g}")


def _check_gradients(found: _Answer, vectors: _Vectors, said: str) -> None:
    """The gradients, once the loss is right."""
    v, context, negatives = vectors
    k, right = len(negatives), _right(vectors)
    true, noise = _sigma(context @ v), _sigma(negatives @ v)
    pull = true - 1
    said = f"The loss is right. {said} your"
    downhill = "the sign is turned. A gradient points to where the loss grows; the step of training takes it away later."
    sigma = "the true pair enters with σ. The slope of -log σ(s) is σ(s) - 1."
    turned = "the true pair has the wrong sign. The slope of -log σ(s) is σ(s) - 1, which is negative."
    pulled = "the noise enters with σ - 1 as if it were true. The slope of -log σ(-s) is σ(s)."
    noise_turned = "the noise has the wrong sign. The slope of -log σ(-s) is σ(s), which is positive."
    other_side = "the noise enters with σ(-s). The slope of -log σ(-s) is σ(s)."
    shared = "it is divided by a number of words. The loss is a sum, so its gradient is one, too."
    order = "that is another vector's. The order is loss, d_centre, d_context, d_negatives."

    wrong: tuple[tuple[Any, str], ...] = (
        (-right.d_centre, downhill),
        (pull * context, "the noise is missing. v stands in each of the k noise terms, too: add σ(u·v) u for each."),
        (noise @ negatives, "the true pair is missing. v stands in its term, too: add (σ(u_o·v) - 1) u_o."),
        (true * context + noise @ negatives, sigma),
        (-pull * context + noise @ negatives, turned),
        (pull * context - noise @ negatives, noise_turned),
        (pull * context + (noise - 1) @ negatives, pulled),
        (pull * context + (1 - noise) @ negatives, other_side),
        (pull * context + noise @ negatives / k, shared),
        (right.d_centre / (k + 1), shared),
        (
            pull * context + noise.sum() * negatives.sum(axis=0),
            "slopes and noise vectors are added up apart. Each noise vector has its own slope: multiply first.",
        ),
        (right.d_context, order),
        (
            (pull + noise.sum()) * v,
            "the slopes are multiplied by v itself. The slope of u·v by v is u.",
        ),
        (pull * v + noise @ negatives, "the true slope is multiplied by v itself. The slope of u_o·v by v is u_o."),
    )  # fmt: skip
    _diagnose_gradient("d_centre", found.d_centre, right.d_centre, wrong, said)

    wrong = (
        (-right.d_context, turned),
        (pull * context, "the slope is multiplied by u_o itself. The slope of u_o·v by u_o is the other vector, v."),
        (-pull * context, "the slope is multiplied by u_o itself. The slope of u_o·v by u_o is the other vector, v."),
        (true * v, sigma),
        ((pull + noise.sum()) * v, "the noise is in it. u_o stands in its own term only."),
        (right.d_context / (k + 1), shared),
        (right.d_centre, order),
    )  # fmt: skip
    _diagnose_gradient("d_context", found.d_context, right.d_context, wrong, said)

    wrong = (
        (-right.d_negatives, noise_turned),
        (np.outer(noise - 1, v), pulled),
        (np.outer(1 - noise, v), other_side),
        (right.d_negatives / k, shared),
        (right.d_negatives / (k + 1), shared),
        (
            noise[:, None] * negatives,
            "the slopes are multiplied by the noise vectors themselves. The slope of u·v by u is the other vector, v.",
        ),
        (np.outer(noise, context), "the slopes are multiplied by u_o. The noise scores are u·v, and their slope by u is v."),
        (
            np.tile(noise.sum() * v, (k, 1)),
            "each row is the sum over all noise words. A noise vector stands in its own term only.",
        ),
        (np.tile(pull * v, (k, 1)), "each row has the slope of the true pair. A noise word has its own, σ(u·v)."),
    )  # fmt: skip
    _diagnose_gradient("d_negatives", found.d_negatives, right.d_negatives, wrong, said)


def _diagnose_gradient(
    name: str,
    found: np.ndarray,
    right: np.ndarray,
    wrong: Iterable[tuple[np.ndarray, str]],
    said: str,
) -> None:
    _diagnose(found, right, wrong, f"{said} {name} is {_short(found)} and not {_short(right)}")


def _check_large(function: Callable[..., Any], vectors: _Vectors) -> None:
    """Scores at which exp overflows."""
    right, said = _right(vectors), f"For {_scores(vectors)}"
    overflow = "math.exp(800) and np.exp(800) are more than a float64 can hold"
    log = "-log σ(s) is log(1 + exp(-s)), and np.logaddexp(0, -s) computes that without overflow."
    try:
        found = _sgns_answer(function, vectors, may_raise=(OverflowError,))
    except OverflowError as error:
        raise CheckFailed(
            f"{said} your function stops with OverflowError: {overflow}. {log} σ(s) itself is np.exp(-np.logaddexp(0, -s))."
        ) from error
    require(
        math.isfinite(found.loss),
        f"{said} your loss is {found.loss} and not {right.loss:.4g}: {overflow}, and σ comes out as 0 or 1. {log}",
    )
    require(
        math.isclose(found.loss, right.loss, rel_tol=1e-9, abs_tol=1e-9),
        f"{said} your loss is {found.loss:.4g} and not {right.loss:.4g}: a small number added inside the logarithm, or "
        f"scores cut off, hide the overflow and spoil the loss. {log}",
    )
    for name in ("d_centre", "d_context", "d_negatives"):
        value, wanted = getattr(found, name), getattr(right, name)
        case = f"The loss is right. {said} your {name} is {_short(value)} and not {_short(wanted)}"
        require(
            np.isfinite(value).all(),
            f"{case}: {overflow}, and inf / inf is nan. Write σ(s) as np.exp(-np.logaddexp(0, -s)).",
        )
        require(np.allclose(value, wanted, atol=1e-6), f"{case}.")


def _sgns_answer(
    function: Callable[..., Any], vectors: _Vectors, may_raise: tuple[type[Exception], ...] = ()
) -> _Answer:
    """What the student's function returns, once it is known to be a number and three arrays of the right shapes."""
    given = [vector.copy() for vector in vectors]
    with np.errstate(all="ignore"):
        result = call(function, *given, may_raise=may_raise)
    for name, vector, before in zip(("centre", "context", "negatives"), given, vectors, strict=True):
        require(
            np.array_equal(vector, before),
            f"Your function changes {name}, which it should only read. Write x = x * y, not x *= y.",
        )
    four = "Return four things, in this order: loss, d_centre, d_context, d_negatives"
    require(isinstance(result, tuple | list), f"{four}; you return only one, a {type(result).__name__}.")
    require(len(result) == 4, f"{four}; you return {len(result)}.")
    loss, *gradients = result
    require(
        np.ndim(loss) == 0,
        f"Your loss has shape {np.shape(loss)}, and should be one number. Add up the terms of the noise words: .sum().",
    )
    value = loss.item() if isinstance(loss, np.ndarray) else loss
    require(_is_number(value), f"Your loss should be a number, not {type(value).__name__}: {value!r}.")
    k, d = vectors[2].shape
    for name, gradient, vector in zip(
        ("d_centre", "d_context", "d_negatives"), gradients, vectors, strict=True
    ):
        require(
            isinstance(gradient, np.ndarray),
            f"{name} should be a numpy array, not {type(gradient).__name__}.",
        )
        require(
            gradient.dtype.kind in "fiu",
            f"{name} should hold numbers, and its elements are of type {gradient.dtype}.",
        )
        shape = gradient.shape
        case = f"With d = {d} and k = {k}, {name} has shape {shape} and not {vector.shape}"
        require(
            shape == vector.shape or vector.ndim == 1 or shape != (d,),
            f"{case}: you add up over the noise words. Each of them has a row of its own: np.outer(slopes, centre).",
        )
        require(
            shape == vector.shape or vector.ndim == 1 or shape != (d, k),
            f"{case}: it lies on its side. The slopes come first: np.outer(slopes, centre).",
        )
        require(
            shape == vector.shape or vector.ndim == 2 or shape != (k, d),
            f"{case}: there is a row for each noise word. Add up over them, as slopes @ negatives does.",
        )
        require(shape == vector.shape, f"{case}. A gradient has the shape of the vector it belongs to.")
    return _Answer(float(value), *gradients)


def _keep(counts: np.ndarray, t: float) -> np.ndarray:
    """Check a function from counts (V,) and a threshold t to probabilities (V,), min(1, sqrt(t / f)).

    f is a word's share of all counts. Equation 5 of Mikolov et al. (2013), arXiv:1310.4546, gives the probability
    1 - sqrt(t / f) of discarding an occurrence; what is wanted is that of keeping it.
    """
    return np.minimum(1, np.sqrt(_ratio(counts, t)))


def _ratio(counts: np.ndarray, t: float) -> np.ndarray:
    return t / (counts / counts.sum())


_DISCARD = "that is the probability of discarding, as the paper prints it. Keeping is the rest: sqrt(t / f)."
_NO_SHARES = "you divide the threshold by the counts. f is a share: counts / counts.sum()."
_REST = "And keep is the opposite of discard: leave out the `1 -`."
_NO_ROOT = "the square root is missing."
_UPSIDE_DOWN = "the fraction is upside down. It is t / f, so that frequent words are kept less often."
_BASE = "f is a word's share of all counts: divide by counts.sum(), not by"
_BRACKETS = "the root covers only a part of the fraction. It is the root of t / f: mind the brackets."
_CAP = "And cap it at 1: np.minimum(1, ...)."
# fmt: off
_PROGRAM = ("that is sqrt(t / f) + t / f, the formula of the published program and of this course's package, and right there. "
            "The exercise asks for the paper's equation 5: sqrt(t / f) alone.")

check_keep_probability = exercise(
    "keep_probability: the square root of t / f, and never more than 1",
    _keep,
    inputs=("the counts", "the threshold"),
    cases=[(np.array([2700, 270, 27, 3]), 0.02), (np.array([60.0, 25.0, 10.0, 4.0, 1.0]), 0.03),
           (np.array([3, 300, 20_000, 40, 600_000, 7]), 2e-4), (np.array([5, 5, 5]), 0.5)],  # the last: all are rare enough
    describe=lambda counts, t: f"For counts {show(counts, 6)}, so shares {show(counts / counts.sum())}, and threshold {t:g}",
    shapes=[(lambda *_: None, "one probability for each is wanted.")],
    kinds={"b": "You return True and False: the draw comes later. Return the probabilities of keeping."},
    mistakes=[
        (lambda c, t: np.sqrt(_ratio(c, t)), "what is above 1 is no probability. Rare words are always kept: np.minimum(1, ...)."),
        (lambda c, t: 1 - _keep(c, t), _DISCARD),
        (lambda c, t: 1 - np.sqrt(_ratio(c, t)), _DISCARD),
        (lambda c, t: np.minimum(1, np.sqrt(t / c)), _NO_SHARES),
        (lambda c, t: 1 - np.minimum(1, np.sqrt(t / c)), f"{_NO_SHARES} {_REST}"),
        (lambda c, t: np.minimum(1, _ratio(c, t)), _NO_ROOT),
        (_ratio, f"{_NO_ROOT} {_CAP}"),
        (lambda c, t: 1 - np.minimum(1, _ratio(c, t)), f"{_NO_ROOT} {_REST}"),
        (lambda c, t: np.minimum(1, np.sqrt(_ratio(c, t)) + _ratio(c, t)), _PROGRAM),
        (lambda c, t: np.sqrt(_ratio(c, t)) + _ratio(c, t), f"{_PROGRAM} {_CAP}"),
        (lambda c, t: np.minimum(1, np.sqrt(1 / _ratio(c, t))), _UPSIDE_DOWN),
        (lambda c, t: np.sqrt(1 / _ratio(c, t)), _UPSIDE_DOWN),
        (lambda c, t: np.maximum(1, np.sqrt(_ratio(c, t))), "np.maximum takes the larger one. A cap at 1 is np.minimum(1, ...)."),
        (lambda c, t: np.where(_ratio(c, t) < 1, np.sqrt(_ratio(c, t)), 0), "rare words are thrown away. Where sqrt(t / f) is above 1, keep them: 1, not 0."),
        (lambda c, t: c / c.sum(), "these are the shares. The probability of keeping is sqrt(t / f), at most 1."),
        (lambda c, t: np.minimum(1, np.sqrt(t * c.max() / c)), f"{_BASE} the largest one."),
        (lambda c, t: np.minimum(1, np.sqrt(t * len(c) / c)), f"{_BASE} the number of words."),
        (lambda c, t: _keep(c, t) / _keep(c, t).sum(), "yours add up to 1. Each word has its own probability of being kept: leave out the last division."),
        (lambda c, t: np.minimum(1, math.sqrt(t) / (c / c.sum())), _BRACKETS),
        (lambda c, t: np.minimum(1, t / np.sqrt(c / c.sum())), _BRACKETS),
        (lambda c, t: np.minimum(1, np.sqrt(t // (c / c.sum()))), "`//` drops what comes after the decimal point. Divide with `/`."),
        (lambda c, t: np.ones(len(c)), "every word is always kept. If you divide with `//`, the shares become 0: use `/`. Or the cap is the wrong way round: it is np.minimum(1, ...)."),
        (lambda c, t: np.zeros(len(c)), "every word is thrown away. If you divide with `//`, what is less than 1 becomes 0: use `/`."),
        *((lambda c, t, fixed=fixed: _keep(c, fixed), "your function does not use the threshold it is given. Write no fixed number.") for fixed in (1e-3, 1e-4, 1e-5)),
    ],
)
# fmt: on


# Rows of different lengths; each of the questions below has a different answer if something is left out.
_WORDS = ["bread", "rome", "france", "oslo", "greece", "stone", "italy", "paris", "norway", "athens"]
_TABLE = [
    [-2, 4, -6], [8, 2, -8], [-3, 0, 2], [1, 3, -1], [2, 3, 7],
    [2, 0, 3], [0, 2, -4], [-2, -3, 4], [-6, 10, -1], [2, 1, 3],
]  # fmt: skip
_ASKED = """
rome italy oslo, italy rome norway, rome italy paris, italy rome france, rome italy athens, norway oslo italy,
oslo norway paris, oslo norway athens, norway oslo greece, paris france rome, france paris italy, paris france oslo,
france paris norway, paris france athens, athens greece rome, greece athens italy, athens greece oslo, greece athens norway,
athens greece paris, greece athens france
"""
_QUESTIONS = [tuple(question.split()) for question in _ASKED.split(",")]


@check("analogy: the word nearest to b - a + c, among all words but those of the question")
def check_analogy(analogy: Callable[[list[str], np.ndarray, str, str, str], str]) -> None:
    """Check a function (words, vectors, a, b, c) -> the word d for which a : b :: c : d holds best.

    ``words`` is a list of V words, ``vectors`` an array (V, d) whose rows have any length. The method is that of
    Mikolov, Yih and Zweig (2013), called 3CosAdd by Levy and Goldberg (2014): all rows to length 1, then the largest
    cosine with b - a + c, the three words of the question left out.
    """
    table = np.array(_TABLE, dtype=float)
    right = [_best(_cos_add(_unit(table), *_places(question)), question) for question in _QUESTIONS]
    found = [_word(analogy, _WORDS, table, question) for question in _QUESTIONS]
    if found != right:
        first = next(i for i, answer in enumerate(found) if answer != right[i])
        a, b, c = _QUESTIONS[first]
        said = f"For {a} : {b} :: {c} : ? you return {found[first]!r} and not {right[first]!r}"
        for answers, diagnosis in _wrong_analogies(table):
            require(found != answers, f"{said}: {diagnosis}")
        for answer, question in zip(found, _QUESTIONS, strict=True):
            a, b, c = question
            require(
                answer not in question,
                f"For {a} : {b} :: {c} : ? you return {answer!r}, a word of the question. Leave all three out: set their scores "
                "to -np.inf before you take the largest.",
            )
        raise CheckFailed(f"{said}.")
    _check_far_words(analogy)


def _check_far_words(analogy: Callable[..., str]) -> None:
    """A question whose own words all score highest, and whose allowed answers all score below -1."""
    words, question = ["cold", "moon", "warm", "hot", "salt"], ("cold", "hot", "warm")
    table = np.array([[3.5, 2.0], [-1.3, 1.5], [3.0, -0.2], [2.0, 0.0], [-2.7, 1.2]])
    said = f"For {question[0]} : {question[1]} :: {question[2]} : ? all other words have a negative cosine, and you return"
    start = "A search for the largest must start from -np.inf: 0 or -1 can be more than all there is."

    @functools.wraps(analogy)
    def answering(*given: Any) -> Any:
        """The same function, but returning nothing is an answer here, and one to be explained."""
        result = analogy(*given)
        return "" if result is None else result

    try:
        found = _word(answering, words, table, question, may_raise=(UnboundLocalError, TypeError))
    except (UnboundLocalError, TypeError) as error:
        raise CheckFailed(f"{said} none of them. {start}") from error
    require(found, f"{said} nothing. {start}")
    require(
        found not in question,
        f"{said} {found!r}, a word of the question. Leave all three out, with a score of -np.inf: 0 would be the largest here. A "
        "search for the largest should start from there, too.",
    )
    scores = _cos_add(_unit(table), *(words.index(word) for word in question))
    right = words[int(np.argmax(np.where(np.isin(words, question), -np.inf, scores)))]
    require(
        found == right,
        f"{said} {found!r} and not {right!r}. The answer is the largest one all the same. {start}",
    )


def _places(question: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(_WORDS.index(word) for word in question)


def _unit(table: np.ndarray, axis: int | None = 1) -> np.ndarray:
    return table / np.linalg.norm(table, axis=axis, keepdims=True)


def _cos_add(unit: np.ndarray, a: int, b: int, c: int) -> np.ndarray:
    return unit @ (unit[b] - unit[a] + unit[c])


def _best(scores: np.ndarray, left_out: tuple[str, ...] = (), place: int = 0) -> str:
    """The word with the largest score, or the one at a later place."""
    order = [_WORDS[i] for i in np.argsort(-scores, kind="stable")]
    return [word for word in order if word not in left_out][place]


def _wrong_analogies(table: np.ndarray) -> list[tuple[list[str], str]]:
    """Answers to all questions as a wrong function would give them, and what is probably wrong with it."""
    unit = _unit(table)
    columns, squares = _unit(table, axis=0), table / (table**2).sum(axis=1, keepdims=True)
    cosines = (unit @ unit.T + 1) / 2  # moved to 0 .. 1, as 3CosMul wants them
    raw = (
        "the vectors are not brought to length 1, so long ones count more. Divide each row by its length, "
        "np.linalg.norm(vectors, axis=1, keepdims=True); without the axis it is one number for the whole table."
    )
    late = "you bring the vectors to length 1 only after b - a + c is computed. Do it first, for all."
    rows = "the sum is right, but you compare it with the vectors as they were. Take the rows of length 1 there, too."
    step = "The step from a to b is added to c: b - a + c."
    wrong = [
        (lambda a, b, c: _cos_add(table, a, b, c), raw),
        (lambda a, b, c: unit @ (table[b] - table[a] + table[c]), late),
        (lambda a, b, c: table @ (unit[b] - unit[a] + unit[c]), rows),
        (lambda a, b, c: -np.linalg.norm(table - (table[b] - table[a] + table[c]), axis=1), f"you take distances, and {raw}"),
        (lambda a, b, c: _cos_add(columns, a, b, c), "you bring the columns to length 1. Each word is a row: axis=1."),
        (lambda a, b, c: _cos_add(squares, a, b, c), "you divide by the squared length. Take its root, as np.linalg.norm does."),
        (lambda a, b, c: _cos_add(unit, b, a, c), "that is a - b + c. The step leads from a to b: b - a + c."),
        (lambda a, b, c: _cos_add(unit, c, a, b), f"that is b + a - c. {step}"),
        (lambda a, b, c: unit @ (unit[b] - unit[a] - unit[c]), f"that is b - a - c. {step}"),
        (lambda a, b, c: unit @ (unit[a] + unit[b] + unit[c]), "that is a + b + c. Take a away: b - a + c."),
        (lambda a, b, c: unit @ (unit[b] + unit[c]), "that is b + c. Take a away: b - a + c."),
        (lambda a, b, c: unit @ (unit[b] - unit[a]), "that is b - a, the step alone. Add c, where it starts."),
        (lambda a, b, c: unit @ unit[c], f"that is the neighbour of c. {step}"),
        (lambda a, b, c: unit @ unit[b], f"that is the neighbour of b. {step}"),
        (
            lambda a, b, c: -_cos_add(unit, a, b, c),
            "you take the smallest cosine, or the largest distance. The answer is the nearest word.",
        ),
        (
            lambda a, b, c: cosines[b] * cosines[c] / (cosines[a] + 1e-3),
            "that is 3CosMul, which multiplies cosines and often does better. The exercise asks for 3CosAdd, the sum.",
        ),
    ]  # fmt: skip
    found = [
        ([_best(scores(*_places(question)), question) for question in _QUESTIONS], diagnosis)
        for scores, diagnosis in wrong
    ]
    skip = "the words of the question are not always in front. Look for the best word that is not one of the three."
    for place, name in ((1, "second"), (2, "third"), (3, "fourth")):
        answers = [_best(_cos_add(unit, *_places(question)), place=place) for question in _QUESTIONS]
        found.append((answers, f"you take the {name} best: {skip}"))
    return found


def _word(
    function: Callable[..., str],
    words: list[str],
    table: np.ndarray,
    question: tuple[str, ...],
    may_raise: tuple[type[Exception], ...] = (),
) -> str:
    """What the student's function returns, once it is known to be a word, and the table is as it was."""
    given, vectors = list(words), table.copy()
    with np.errstate(all="ignore"):
        found = call(function, given, vectors, *question, may_raise=may_raise)
    require(
        np.array_equal(vectors, table),
        "Your function changes the vectors it is given: the next question would read others. Write unit = vectors / ..., not "
        "vectors /= ...; and set scores to -np.inf, not rows.",
    )
    require(given == words, "Your function changes the list of words; it should only read it.")
    require(
        not isinstance(found, int | np.integer) or isinstance(found, bool),
        f"You return {found!r}, the place of the word. Return the word itself: words[{found}].",
    )
    require(
        not (isinstance(found, np.ndarray) and found.dtype.kind == "f"),
        "You return numbers, scores or a vector. Return the word with the largest score: words[scores.argmax()].",
    )
    require(
        isinstance(found, str),
        f"Return one word, a string, not {type(found).__name__}: {found!r}.",
    )
    require(not found or found in words, f"You return {found!r}, which is not one of the words.")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _close(one: Any, other: Any) -> bool:
    return np.allclose(one, other, rtol=1e-5, atol=1e-8)


_diagnose = partial(diagnose, close=_close)


def _short(values: np.ndarray) -> str:
    if values.ndim > 1:
        return "[" + ", ".join(_short(row) for row in values) + "]"
    return "[" + ", ".join(f"{value:.3g}" for value in values.tolist()) + "]"


def _whole(values: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values.tolist()) + "]"


QUIZ = [
    Question(
        "What can one-hot vectors of “cat”, “kitten” and “carburettor” not say?",
        [
            Choice(
                "Which word is meant, since two words can share a vector.",
                False,
                "Each word has its own place for the single one, so the vector names it beyond doubt. Naming is all it does.",
            ),
            Choice(
                "How many words there are, since all have the same length.",
                False,
                "The number of places is the number of words. That the length is always 1 takes nothing away from it.",
            ),
            Choice(
                "That two of them are related, since all are equally far apart.",
                True,
                "Any two have a cosine of 0. What a model learns about cats therefore tells it nothing about kittens.",
            ),
        ],
    ),
    Question(
        "Why is the full softmax of equation 2 too costly to train with?",
        [
            Choice(
                "Each pair needs the scores of all words in the vocabulary.",
                True,
                "The sum below the line runs over all V words, for a single pair. Negative sampling scores only k + 1 of them.",
            ),
            Choice(
                "Each pair needs a label, and people have to write it by hand.",
                False,
                "The label is the context word, and the text itself provides it. That holds for both ways of training.",
            ),
            Choice(
                "Its exponentials overflow, which numbers of 64 bits prevent.",
                False,
                "Subtracting the largest score first prevents overflow for nothing. What costs is how many scores there are.",
            ),
        ],
    ),
    Question(
        "You train with true pairs only, without negatives. The loss falls nearly to 0. What have the vectors learned?",
        [
            Choice(
                "The text nearly by heart: each word now predicts its neighbours.",
                False,
                "It would say “true” to any pair, also to one that never occurs. It was never asked to say “made up”.",
            ),
            Choice(
                "Next to nothing: they are long and all point in one direction.",
                True,
                "Every dot product is large then, so every pair looks true: the laziest way to a loss of 0. Pushing noise away "
                "is what forbids it.",
            ),
            Choice(
                "The frequent words only: rare ones come in through the noise.",
                False,
                "Rare words stand in true pairs as well, and collapse like all others. Noise does not introduce words, it holds "
                "them apart.",
            ),
        ],
    ),
    Question(
        "Negatives are drawn from counts to the power of 3/4. What does the power do?",
        [
            Choice(
                "It draws all words equally often, whatever their counts may be.",
                False,
                "That would be the power 0. With 3/4, “the” still comes far more often than “octopus”.",
            ),
            Choice(
                "It leaves a quarter of all words out, namely the rarest of them.",
                False,
                "No word is left out: a count above 0 stays above 0. The power only changes how the shares compare.",
            ),
            Choice(
                "It lets rare words come more often, and frequent ones less so.",
                True,
                "Compared with the counts, shares move a little towards each other. Noise that is mostly “the” and “of” would "
                "teach the other words little.",
            ),
        ],
    ),
    Question(
        "A program answers a : b :: c : ? without leaving out the words of the question. What will it often return?",
        [
            Choice(
                "A word from far away, because b - a + c has no length of 1.",
                False,
                "The length of the sum changes all scores by the same factor, and so never changes which word comes first.",
            ),
            Choice(
                "The word c or b itself, because the step b - a is short.",
                True,
                "The sum lands close to where it started. A part of the success with analogies is owed to the rule, so a report "
                "should name it.",
            ),
            Choice(
                "The same word as before, because the best answer stays best.",
                False,
                "It is the best of the words allowed. The words of the question often score higher still, as the lecture counts.",
            ),
        ],
    ),
    Question(
        "“Unmusical” did not occur in the training text. Which vector does word2vec give it?",
        [
            Choice(
                "None: it has no row in the table; its pieces could help.",
                True,
                "A word is only a row number to word2vec. Models that read pieces, such as FastText, build a vector from “un”, "
                "“music” and the like.",
            ),
            Choice(
                "The vector of the word whose spelling is closest to it.",
                False,
                "Word2vec never looks at letters, so it cannot know that “musical” is near. That idea is FastText's.",
            ),
            Choice(
                "A row of zeros, which training on new text would fill.",
                False,
                "The table has rows for the words counted before training, and no spare ones. A program may choose zeros as a "
                "stopgap; the model has not learned them.",
            ),
        ],
    ),
    Question(
        "On the line from “he” to “she”, “nurse” lies towards “she”. Where does this come from?",
        [
            Choice(
                "From the random start: with another seed it would turn round.",
                False,
                "Seeds move single neighbours about, but a lean as clear as this one comes back: the text is the same each time.",
            ),
            Choice(
                "From labels: somebody marked occupations as male or female.",
                False,
                "No one labelled anything. The vectors were learned from running text, and that was enough.",
            ),
            Choice(
                "From the text: “nurse” stood more often in the company of “she”.",
                True,
                "Vectors learn all of the company a word keeps, prejudice included. What is built on them inherits it, and taking "
                "the direction out hides more than it removes.",
            ),
        ],
    ),
]
