"""Lecture 01: the loss of negative sampling with its gradient, subsampling, and analogies."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit

from course_utils.exercises.engine import Part, exercise, show


# fmt: off
def _sgns(v: np.ndarray, u: np.ndarray, noise: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Check a function (centre, context, negatives) -> (loss, d_centre, d_context, d_negatives).

    ``centre`` v and ``context`` u_o are arrays (d,), ``negatives`` k noise vectors (k, d), all float64. The loss is
    -log σ(u_o·v) - Σ log σ(-u_k·v), equation 4 of Mikolov et al. (2013), arXiv:1310.4546, with its sign turned; the
    gradients have the shapes of the vectors. Scores may be as large as ±800.
    """
    pull, push = expit(u @ v) - 1, expit(noise @ v)
    return float(_loss(u @ v) + _loss(-noise @ v).sum()), pull * u + push @ noise, pull * v, np.outer(push, v)


def _loss(score: Any) -> Any:  # -log σ(score)
    return np.logaddexp(0, -score)


def _slopes(v: np.ndarray, u: np.ndarray, noise: np.ndarray) -> tuple[Any, ...]:
    return expit(u @ v), expit(noise @ v), v, u, noise


def _overflow(answer: Any, *_: np.ndarray) -> str:
    too_large = "math.exp(800) and np.exp(800) are more than a float64 can hold"
    log = "-log σ(s) is log(1 + exp(-s)), and np.logaddexp(0, -s) computes that without overflow."
    if answer is None or isinstance(answer, Exception):
        return f"{too_large}. {log} σ(s) itself is np.exp(-np.logaddexp(0, -s))."
    if np.ndim(answer):
        return f"{too_large}, and inf / inf is nan. Write σ(s) as np.exp(-np.logaddexp(0, -s))."
    if not math.isfinite(answer):
        return f"{too_large}, and σ comes out as 0 or 1. {log}"
    return f"a small number added inside the logarithm, or scores cut off, hide the overflow and spoil the loss. {log}"


_SIGMA = "the true pair enters with σ. The slope of -log σ(s) is σ(s) - 1."
_TURNED = "the true pair has the wrong sign. The slope of -log σ(s) is σ(s) - 1, which is negative."
_PULLED = "the noise enters with σ - 1 as if it were true. The slope of -log σ(-s) is σ(s)."
_NOISE_TURNED = "the noise has the wrong sign. The slope of -log σ(-s) is σ(s), which is positive."
_OTHER_SIDE = "the noise enters with σ(-s). The slope of -log σ(-s) is σ(s)."
_SHARED = "it is divided by a number of words. The loss is a sum, so its gradient is one, too."
_ORDER = "that is another vector's. The order is loss, d_centre, d_context, d_negatives."
_ALIKE = (lambda *_: None, "a gradient has the shape of the vector it belongs to.")
_V, _draw = np.array([20.0, -20.0]), np.random.default_rng(0)

check_sgns = exercise(
    "sgns: the loss of a pair and its noise words, and the gradient by each vector",
    _sgns, inputs=("centre", "context", "negatives"),
    # Scores of log 3 for the pair and -log 3, 0 and log 27 for the noise: σ is 3/4, and 1/4, 1/2 and 27/28.
    cases=[(np.array([math.log(3), 0.0]), np.array([1.0, 2.0]), np.array([[-1.0, 4.0], [0.0, -2.0], [3.0, 0.0]])),
           *((_draw.normal(size=d), _draw.normal(size=d), _draw.normal(size=(k, d))) for d, k in ((4, 5), (3, 1), (5, 2), (1, 3)))],
    describe=lambda v, u, noise: f"For a score of {u @ v:.3g} for the true pair and {show(noise @ v)} for the noise,",
    edges=[((_V, -_V, np.stack([_V, -_V])), _overflow), ((_V, _V, np.stack([-_V, -_V])), _overflow)],
    parts=(
        Part("loss",
             infinite="Do you divide by 0, or take the logarithm of a score?",
             shapes=[(lambda *_: None, "Add up the terms of the noise words: .sum().")],
             of=lambda v, u, noise: (u @ v, noise @ v), mistakes=[
            (lambda t, n: -_loss(t) - _loss(-n).sum(), "the minus in front is missing. A logarithm of σ is negative, and the loss its opposite."),
            (lambda t, n: (_loss(t) + _loss(-n).sum()) / math.log(2), "that is log2. The paper's log is the natural one, np.log."),
            (lambda t, n: (_loss(t) + _loss(-n).sum()) / math.log(10), "that is log10. The paper's log is the natural one, np.log."),
            (lambda t, n: _loss(t) + _loss(-n).mean(), "you take the mean over the noise words. Equation 4 is their sum: .sum()."),
            (lambda t, n: (_loss(t) + _loss(-n).sum()) / (len(n) + 1), "you take the mean over all terms. Equation 4 is their sum."),
            (lambda t, n: _loss(t) + _loss(n).sum(), "the noise is pulled towards the centre as if it were true. It is σ(-u·v): the minus inside is missing."),
            (lambda t, n: _loss(t) - _loss(-n).sum(), "the noise terms are added with the wrong sign. Both parts are -log of a σ, so both are positive."),
            (lambda t, n: _loss(-t) + _loss(n).sum(), "the signs are swapped: yours pushes the true pair apart and pulls the noise together."),
            (lambda t, n: _loss(-t) + _loss(-n).sum(), "the true pair is pushed apart like noise. It is σ(u_o·v), without a minus."),
            (lambda t, n: _loss(t), "the noise is forgotten. Subtract log σ(-u·v) for each noise word."),
            (lambda t, n: _loss(-n).sum(), "the true pair is forgotten. Subtract log σ(u_o·v), too."),
            (lambda t, n: _loss(t) + _loss(-n.sum()), "you add up the scores of the noise words first. Each noise word has a σ of its own: add up afterwards."),
            ((lambda t, n: expit(t) + expit(-n).sum(), lambda t, n: -expit(t) - expit(-n).sum(), lambda t, n: expit(t) * expit(-n).prod(),
              lambda t, n: 1 - expit(t) + expit(n).sum()), "the logarithm is missing. The loss adds up -log σ, not σ."),
            (lambda t, n: np.logaddexp.reduce([t, *n]) - t,
             "that is a softmax over the pair and its noise. Negative sampling asks k + 1 separate yes-or-no questions."),
        ]),
        Part("d_centre",
             shapes=[(lambda v, u, noise: noise.shape, "there is a row for each noise word. Add up over them, as slopes @ negatives does."), _ALIKE],
             of=_slopes, mistakes=[
            (lambda t, n, v, u, o: (1 - t) * u - n @ o,
             "the sign is turned. A gradient points to where the loss grows; the step of training takes it away later."),
            (lambda t, n, v, u, o: (t - 1) * u, "the noise is missing. v stands in each of the k noise terms, too: add σ(u·v) u for each."),
            (lambda t, n, v, u, o: n @ o, "the true pair is missing. v stands in its term, too: add (σ(u_o·v) - 1) u_o."),
            (lambda t, n, v, u, o: t * u + n @ o, _SIGMA),
            (lambda t, n, v, u, o: (1 - t) * u + n @ o, _TURNED),
            (lambda t, n, v, u, o: (t - 1) * u - n @ o, _NOISE_TURNED),
            (lambda t, n, v, u, o: (t - 1) * u + (n - 1) @ o, _PULLED),
            (lambda t, n, v, u, o: (t - 1) * u + (1 - n) @ o, _OTHER_SIDE),
            ((lambda t, n, v, u, o: (t - 1) * u + n @ o / len(n), lambda t, n, v, u, o: ((t - 1) * u + n @ o) / (len(n) + 1)), _SHARED),
            (lambda t, n, v, u, o: (t - 1) * u + n.sum() * o.sum(axis=0),
             "slopes and noise vectors are added up apart. Each noise vector has its own slope: multiply first."),
            (lambda t, n, v, u, o: (t - 1) * v, _ORDER),
            (lambda t, n, v, u, o: (t - 1 + n.sum()) * v, "the slopes are multiplied by v itself. The slope of u·v by v is u."),
            (lambda t, n, v, u, o: (t - 1) * v + n @ o, "the true slope is multiplied by v itself. The slope of u_o·v by v is u_o."),
        ]),
        Part("d_context", shapes=[_ALIKE], of=_slopes, mistakes=[
            (lambda t, n, v, u, o: (1 - t) * v, _TURNED),
            ((lambda t, n, v, u, o: (t - 1) * u, lambda t, n, v, u, o: (1 - t) * u),
             "the slope is multiplied by u_o itself. The slope of u_o·v by u_o is the other vector, v."),
            (lambda t, n, v, u, o: t * v, _SIGMA),
            (lambda t, n, v, u, o: (t - 1 + n.sum()) * v, "the noise is in it. u_o stands in its own term only."),
            (lambda t, n, v, u, o: (t - 1) * v / (len(n) + 1), _SHARED),
            (lambda t, n, v, u, o: (t - 1) * u + n @ o, _ORDER),
        ]),
        Part("d_negatives",
             shapes=[(lambda v, u, noise: v.shape, "you add up over the noise words. Each of them has a row of its own: np.outer(slopes, centre)."),
                     (lambda v, u, noise: noise.T.shape, "it lies on its side. The slopes come first: np.outer(slopes, centre)."), _ALIKE],
             of=_slopes, mistakes=[
            (lambda t, n, v, u, o: -np.outer(n, v), _NOISE_TURNED),
            (lambda t, n, v, u, o: np.outer(n - 1, v), _PULLED),
            (lambda t, n, v, u, o: np.outer(1 - n, v), _OTHER_SIDE),
            ((lambda t, n, v, u, o: np.outer(n, v) / len(n), lambda t, n, v, u, o: np.outer(n, v) / (len(n) + 1)), _SHARED),
            (lambda t, n, v, u, o: n[:, None] * o, "the slopes are multiplied by the noise vectors themselves. The slope of u·v by u is the other vector, v."),
            (lambda t, n, v, u, o: np.outer(n, u), "the slopes are multiplied by u_o. The noise scores are u·v, and their slope by u is v."),
            (lambda t, n, v, u, o: np.tile(n.sum() * v, (len(n), 1)), "each row is the sum over all noise words. A noise vector stands in its own term only."),
            (lambda t, n, v, u, o: np.tile((t - 1) * v, (len(n), 1)), "each row has the slope of the true pair. A noise word has its own, σ(u·v)."),
        ]),
    ),
)


def _keep(counts: np.ndarray, t: float) -> np.ndarray:
    """Check a function from counts (V,) and a threshold t to probabilities (V,), min(1, sqrt(t / f)).

    f is a word's share of all counts. Equation 5 of Mikolov et al. (2013), arXiv:1310.4546, gives the probability
    1 - sqrt(t / f) of discarding an occurrence; what is wanted is that of keeping it.
    """
    return np.minimum(1, np.sqrt(t * counts.sum() / counts))


_NO_SHARES = "you divide the threshold by the counts. f is a share: counts / counts.sum()."
_NO_ROOT = "the square root is missing."
_KEEP, _CAP = "And keep is the opposite of discard: leave out the `1 -`.", "And cap it at 1: np.minimum(1, ...)."
_BASE = "f is a word's share of all counts: divide by counts.sum(), not by"
_PROGRAM = ("that is sqrt(t / f) + t / f, the formula of the published program and of this course's package, and right there. "
            "The exercise asks for the paper's equation 5: sqrt(t / f) alone.")

check_keep_probability = exercise(
    "keep_probability: the square root of t / f, and never more than 1",
    _keep, inputs=("the counts", "the threshold"),
    cases=[(np.array([2700, 270, 27, 3]), 0.02), (np.array([60.0, 25.0, 10.0, 4.0, 1.0]), 0.03),
           (np.array([3, 300, 20_000, 40, 600_000, 7]), 2e-4), (np.array([5, 5, 5]), 0.5)],  # the last: all are rare enough
    describe=lambda counts, t: f"For counts {show(counts, 6)}, so shares {show(counts / counts.sum())}, and threshold {t:g}",
    shapes=[(lambda *_: None, "one probability for each is wanted.")],
    kinds={"b": "You return True and False: the draw comes later. Return the probabilities of keeping."},
    of=lambda c, t: (c, t, t / (c / c.sum())),
    mistakes=[
        (lambda c, t, r: np.sqrt(r), "what is above 1 is no probability. Rare words are always kept: np.minimum(1, ...)."),
        ((lambda c, t, r: 1 - _keep(c, t), lambda c, t, r: 1 - np.sqrt(r)),
         "that is the probability of discarding, as the paper prints it. Keeping is the rest: sqrt(t / f)."),
        (lambda c, t, r: np.minimum(1, np.sqrt(t / c)), _NO_SHARES),
        (lambda c, t, r: 1 - np.minimum(1, np.sqrt(t / c)), f"{_NO_SHARES} {_KEEP}"),
        (lambda c, t, r: np.minimum(1, r), _NO_ROOT),
        (lambda c, t, r: r, f"{_NO_ROOT} {_CAP}"),
        (lambda c, t, r: 1 - np.minimum(1, r), f"{_NO_ROOT} {_KEEP}"),
        (lambda c, t, r: np.minimum(1, np.sqrt(r) + r), _PROGRAM),
        (lambda c, t, r: np.sqrt(r) + r, f"{_PROGRAM} {_CAP}"),
        ((lambda c, t, r: np.minimum(1, np.sqrt(1 / r)), lambda c, t, r: np.sqrt(1 / r)),
         "the fraction is upside down. It is t / f, so that frequent words are kept less often."),
        (lambda c, t, r: np.maximum(1, np.sqrt(r)), "np.maximum takes the larger one. A cap at 1 is np.minimum(1, ...)."),
        (lambda c, t, r: np.where(r < 1, np.sqrt(r), 0), "rare words are thrown away. Where sqrt(t / f) is above 1, keep them: 1, not 0."),
        (lambda c, t, r: c / c.sum(), "these are the shares. The probability of keeping is sqrt(t / f), at most 1."),
        (lambda c, t, r: np.minimum(1, np.sqrt(t * c.max() / c)), f"{_BASE} the largest one."),
        (lambda c, t, r: np.minimum(1, np.sqrt(t * len(c) / c)), f"{_BASE} the number of words."),
        (lambda c, t, r: _keep(c, t) / _keep(c, t).sum(), "yours add up to 1. Each word has its own probability of being kept: leave out the last division."),
        ((lambda c, t, r: np.minimum(1, math.sqrt(t) / (c / c.sum())), lambda c, t, r: np.minimum(1, t / np.sqrt(c / c.sum()))),
         "the root covers only a part of the fraction. It is the root of t / f: mind the brackets."),
        (lambda c, t, r: np.minimum(1, np.sqrt(t // (c / c.sum()))), "`//` drops what comes after the decimal point. Divide with `/`."),
        (lambda c, t, r: np.ones(len(c)),
         "every word is always kept. If you divide with `//`, the shares become 0: use `/`. Or the cap is the wrong way round: it is np.minimum(1, ...)."),
        (lambda c, t, r: np.zeros(len(c)), "every word is thrown away. If you divide with `//`, what is less than 1 becomes 0: use `/`."),
        (tuple(lambda c, t, r, fixed=fixed: _keep(c, fixed) for fixed in (1e-3, 1e-4, 1e-5)),
         "your function does not use the threshold it is given. Write no fixed number."),
    ],
)


# Rows of different lengths; each of the questions below has a different answer if something is left out.
_WORDS = ["bread", "rome", "france", "oslo", "greece", "stone", "italy", "paris", "norway", "athens"]
_TABLE = [[-2, 4, -6], [8, 2, -8], [-3, 0, 2], [1, 3, -1], [2, 3, 7], [2, 0, 3], [0, 2, -4], [-2, -3, 4], [-6, 10, -1], [2, 1, 3]]
_ASKED = """
rome italy oslo, italy rome norway, rome italy paris, italy rome france, rome italy athens, norway oslo italy,
oslo norway paris, oslo norway athens, norway oslo greece, paris france rome, france paris italy, paris france oslo,
france paris norway, paris france athens, athens greece rome, greece athens italy, athens greece oslo, greece athens norway,
athens greece paris, greece athens france
"""
_QUESTIONS = [tuple(question.split()) for question in _ASKED.split(",")]


def _analogy(words: list[str], vectors: np.ndarray, a: str, b: str, c: str) -> str:
    """Check a function (words, vectors, a, b, c) -> the word d for which a : b :: c : d holds best.

    ``words`` is a list of V words, ``vectors`` an array (V, d) whose rows have any length. The method is that of
    Mikolov, Yih and Zweig (2013), called 3CosAdd by Levy and Goldberg (2014): all rows to length 1, then the largest
    cosine with b - a + c, the three words of the question left out.
    """
    return _best(_add)(words, vectors, a, b, c)


def _best(scores: Callable[..., np.ndarray], left_out: str = "abc", place: int = 0) -> Callable[..., str]:
    """An answer by scores of (vectors, vectors of length 1, rows a, b, c): the word with the largest, or at a later place."""
    def analogy(words: list[str], vectors: np.ndarray, a: str, b: str, c: str) -> str:
        rows = dict(zip("abc", map(words.index, (a, b, c)), strict=True))
        values = scores(vectors, _unit(vectors), *rows.values())
        values[[rows[name] for name in left_out]] = -np.inf
        return words[np.argsort(-values, kind="stable")[place]]

    return analogy


def _unit(table: np.ndarray, axis: int = 1) -> np.ndarray:
    return table / np.linalg.norm(table, axis=axis, keepdims=True)


def _add(m: np.ndarray, n: np.ndarray, a: int, b: int, c: int) -> np.ndarray:
    return n @ (n[b] - n[a] + n[c])


def _not_a_candidate(answer: Any, right: str, words: list[str], vectors: np.ndarray, *question: str) -> str:
    if answer in question:
        return "that is a word of the question. Leave all three out: set their scores to -np.inf before you take the largest."
    return f"{answer!r}, which is not one of the words." if answer not in words else ""


def _far(answer: Any, words: list[str], vectors: np.ndarray, *question: str) -> str:
    start = "A search for the largest must start from -np.inf: 0 or -1 can be more than all there is."
    if isinstance(answer, str) and answer in question:
        return ("all other words have a negative cosine, and that is a word of the question. Leave all three out, with a score of -np.inf: "
                "0 would be the largest here. A search for the largest should start from there, too.")
    return f"The answer is the largest one all the same, though all are negative. {start}" if isinstance(answer, str) else start


_RAW = ("the vectors are not brought to length 1, so long ones count more. Divide each row by its length, np.linalg.norm(vectors, axis=1, "
        "keepdims=True); without the axis it is one number for the whole table.")
_STEP = "The step from a to b is added to c: b - a + c."
_SKIP = "the words of the question are not always in front. Look for the best word that is not one of the three."

check_analogy = exercise(
    "analogy: the word nearest to b - a + c, among all words but those of the question",
    _analogy, inputs=("the list of words", "the vectors", "a", "b", "c"),
    cases=[(_WORDS, np.array(_TABLE, dtype=float), *question) for question in _QUESTIONS],
    # The words of this question all score highest, and the others all score below -1.
    edges=[((["cold", "moon", "warm", "hot", "salt"], np.array([[3.5, 2.0], [-1.3, 1.5], [3.0, -0.2], [2.0, 0.0], [-2.7, 1.2]]), "cold", "hot", "warm"), _far)],
    describe=lambda words, vectors, a, b, c: f"For {a} : {b} :: {c} : ?",
    only_read="and the next question would read it. Write unit = vectors / ..., not vectors /= ...; set scores to -np.inf, not rows; copy a list.",
    kinds=dict.fromkeys(("int", "int64"), "You return the place of the word. Return the word itself: words[place].") | {
        "ndarray": "You return numbers, scores or a vector. Return the word with the largest score: words[scores.argmax()].",
        "list": "Return one word, a string, not list."},
    otherwise=_not_a_candidate,
    mistakes=[(_best(scores), why) for scores, why in [
        (lambda m, n, *rows: _add(m, m, *rows), _RAW),
        (lambda m, n, a, b, c: n @ (m[b] - m[a] + m[c]), "you bring the vectors to length 1 only after b - a + c is computed. Do it first, for all."),
        (lambda m, n, a, b, c: m @ (n[b] - n[a] + n[c]),
         "the sum is right, but you compare it with the vectors as they were. Take the rows of length 1 there, too."),
        (lambda m, n, a, b, c: -np.linalg.norm(m - (m[b] - m[a] + m[c]), axis=1), f"you take distances, and {_RAW}"),
        (lambda m, n, *rows: _add(m, _unit(m, axis=0), *rows), "you bring the columns to length 1. Each word is a row: axis=1."),
        (lambda m, n, *rows: _add(m, m / (m**2).sum(axis=1, keepdims=True), *rows), "you divide by the squared length. Take its root, as np.linalg.norm does."),
        (lambda m, n, a, b, c: _add(m, n, b, a, c), "that is a - b + c. The step leads from a to b: b - a + c."),
        (lambda m, n, a, b, c: _add(m, n, c, a, b), f"that is b + a - c. {_STEP}"),
        (lambda m, n, a, b, c: n @ (n[b] - n[a] - n[c]), f"that is b - a - c. {_STEP}"),
        (lambda m, n, a, b, c: n @ (n[a] + n[b] + n[c]), "that is a + b + c. Take a away: b - a + c."),
        (lambda m, n, a, b, c: n @ (n[b] + n[c]), "that is b + c. Take a away: b - a + c."),
        (lambda m, n, a, b, c: n @ (n[b] - n[a]), "that is b - a, the step alone. Add c, where it starts."),
        (lambda m, n, a, b, c: n @ n[c], f"that is the neighbour of c. {_STEP}"),
        (lambda m, n, a, b, c: n @ n[b], f"that is the neighbour of b. {_STEP}"),
        (lambda *given: -_add(*given), "you take the smallest cosine, or the largest distance. The answer is the nearest word."),
        (lambda m, n, a, b, c: (n @ n[b] + 1) * (n @ n[c] + 1) / (n @ n[a] + 1 + 2e-3),
         "that is 3CosMul, which multiplies cosines and often does better. The exercise asks for 3CosAdd, the sum."),
    ]] + [(_best(_add, "", place), f"you take the {name} best: {_SKIP}") for place, name in ((1, "second"), (2, "third"), (3, "fourth"))]
    + [(_best(_add, left_out), "a word of the question. Leave all three out") for left_out in ("", "a", "b", "c", "ab", "ac", "bc")],
)
# fmt: on
