"""Lecture 02: counting neighbours, GloVe's loss, and a vector for a whole sentence."""

import itertools
import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from course_utils.exercises.engine import close, exercise, require
from course_utils.text import WordVectors


# fmt: off
def _pairs(sentence: list[str], window: int) -> dict:
    """Check a function (sentence, window) -> {(word, context): weight} (GloVe paper, section 4.2).

    The sentence is a list of n words. Two positions at a distance d of 1 to ``window`` add 1/d to (w1, w2) and to
    (w2, w1), so a word that meets itself gets it twice. Pairs of weight 0 may be left out or not.
    """
    return _counted()(sentence, window)


def _counted(weight: Any = lambda d, window: 1 / d, near: Any = lambda i, j, window, n: 0 < abs(i - j) <= window,
             distance: Any = lambda i, j, first: abs(i - j)) -> Callable[..., dict]:
    """The count with another weight, other pairs of positions, or another distance (``first`` is where each word stands first)."""

    def count(sentence: list[str], window: int) -> dict:
        total: dict = {}
        n, first = len(sentence), [sentence.index(word) for word in sentence]
        for i, j in itertools.product(range(n), repeat=2):
            added = weight(d, window) if near(i, j, window, n) and (d := distance(i, j, first)) else 0
            if added:
                total[sentence[i], sentence[j]] = total.get((sentence[i], sentence[j]), 0) + added
        return total

    return count


def _describe_sentence(sentence: list[str], window: int) -> str:
    return f"For “{' '.join(sentence)}” and window {window},"


def _divided(error: Any, sentence: list[str], window: int) -> str:
    index = f"{_INDEX} " if len(set(sentence)) < len(sentence) else ""
    return f"you divide by a distance of 0. {index}Loop over positions i and j, leave out i == j, and the distance is at least 1."


def _read_pairs(counts: Any, sentence: list[str], window: int) -> dict:
    """The pairs whose weight is not 0, once they are known to be pairs of words of the sentence, with numbers."""
    said = _describe_sentence(sentence, window)
    require(isinstance(counts, dict), f"Return a dictionary, not {type(counts).__name__}.")
    for key, weight in counts.items():
        require(isinstance(key, tuple) and len(key) == 2, f"The keys should be pairs (word, context), as in counts[word, context]; one of yours is {key!r}.")
        require(all(isinstance(word, str) for word in key), f"One of your keys is {key!r}: take the words at these positions, sentence[i], as the key.")
        number = isinstance(weight, numbers.Real | np.ndarray | torch.Tensor) and not isinstance(weight, bool) and np.ndim(weight) == 0
        require(number, f"The weight of {key!r} is {weight!r}: it should be a number.")
        require(math.isfinite(weight), f"{said} {_divided(None, sentence, window)}")
        require(set(key) <= set(sentence), f"{said} your dictionary holds {key!r}, of another sentence: it still has the pairs of an earlier call. Start a new dictionary inside the function.")
        itself = key[0] == key[1] and weight and len(set(sentence)) == len(sentence)
        require(not itself, f"{said} you count {key!r}: a word is paired with itself, at distance 0. Leave out the position i == j.")
    return {key: float(weight) for key, weight in counts.items() if weight}


def _first_off(value: dict, right: dict) -> tuple[str, str]:
    return next(key for key in [*right, *value] if not close(value.get(key, 0.0), right.get(key, 0.0)))


def _say_pair(value: dict, right: dict, sentence: list[str], window: int) -> str:
    key = _first_off(value, right)
    return f"{_describe_sentence(sentence, window)} {key!r} weighs {value.get(key, 0):.3g} and not {right.get(key, 0):.3g}"


def _advise_pair(value: dict, right: dict, sentence: list[str], window: int) -> str:
    """What can be said where no mistake gives the same weights: whether one gives the same pairs, and what is off first."""
    key, once = _first_off(value, right), len(set(sentence)) == len(sentence)
    for mistake, why in _OTHER_PAIRS:
        if once and value.keys() != right.keys() and value.keys() == mistake(sentence, window).keys():
            return why if isinstance(why, str) else why(sentence, window)
    places = [(i, j) for i, j in itertools.product(range(len(sentence)), repeat=2) if 0 < abs(i - j) <= window]
    lone = {(sentence[i], sentence[j]) for i, j in places if close(value.get((sentence[i], sentence[j]), 0.0), 1 / abs(i - j))}
    if not once and lone == right.keys():
        return f"a pair that comes again is overwritten: {key!r} should add up to {right[key]:.3g}. Write +=, not =."
    if not once:
        return f"you count {key!r}, which never stand within the window." if key not in right else "that is not the sum over all its places."
    apart = abs(sentence.index(key[0]) - sentence.index(key[1]))
    if key not in right:
        return f"you count {key!r}, which stand {apart} apart."
    return f"they stand {apart} apart, and that adds 1/d." if key in value else f"{key!r} is missing; they stand {apart} apart."


_INDEX = "sentence.index(word) always finds the first place of a word that comes twice."
_OTHER_PAIRS = [
    *((_counted(near=near), "each pair is there in one direction only. A neighbour is one both ways: add to (w1, w2) and to (w2, w1).")
      for near in (lambda i, j, window, n: i < j <= i + window, lambda i, j, window, n: j < i <= j + window)),
    (_counted(lambda d, window: 1 // d), "only direct neighbours have a weight. If you divide with `//`, 1 // 2 is 0: use `/`."),
    (_counted(near=lambda i, j, window, n: 0 < abs(i - j) < window), lambda sentence, window: f"the farthest pairs are missing: distance {window} belongs to the window. range() stops one before its end, so write + 1."),
    (_counted(near=lambda i, j, window, n: 0 < abs(i - j) <= window + 1), lambda sentence, window: f"you also count pairs at distance {window + 1}: the window is one too wide. Count d <= window."),
    (_counted(near=lambda i, j, window, n: i != j), lambda sentence, window: f"every word is paired with every other: use the window, and count d <= {window}."),
    (_counted(near=lambda i, j, window, n: i != j and min(abs(i - j), n - abs(i - j)) <= window, distance=lambda i, j, first: min(abs(i - j), len(first) - abs(i - j))),
     "the last word is a neighbour of the first: i - d falls below 0, and sentence[-1] is the last word. Start at max(0, i - window)."),
    *((_counted(near=near), "pairs near the beginning are missing: i - window falls below 0 there, and a slice from below 0 is empty. Start at max(0, i - window).")
      for near in (lambda i, j, window, n: 0 < abs(i - j) <= window <= max(i, j), lambda i, j, window, n: 0 < abs(i - j) <= window and (i < j or window <= i))),
]

check_cooccurrences = exercise(
    "cooccurrences: each pair within the window adds 1/d, in both directions",
    _pairs, inputs=("the list", "the window"),
    cases=[(text.split(), window) for text, window in (  # the simple ones first: a diagnosis should name the first thing that goes wrong
        ("my dog brought that old stick back again", 3), ("we crossed an icy river", 1), ("steam rises", 10),
        ("a rose is a rose", 2),  # pairs come again
        ("a rose is a rose", 4),  # and words meet themselves
        ("no no no", 2), ("alone", 2), ("", 2))],
    describe=_describe_sentence, read=_read_pairs, stops={ZeroDivisionError: _divided}, said=_say_pair, otherwise=_advise_pair,
    mistakes=[
        *_OTHER_PAIRS,
        (_counted(lambda d, window: 2 / d), "all weights are twice too large. Do you go through both directions and add to both each time?"),
        (_counted(lambda d, window: 0.5 / d), "all weights are half of what they should be: each direction gets the full 1/d."),
        (_counted(lambda d, window: 1), "every pair weighs 1. The nearer ones should weigh more: add 1/d."),
        (_counted(lambda d, window: 1 / (d + 1)), "direct neighbours weigh 1/2: their distance is 1, not 2, so they weigh 1/1."),
        (_counted(lambda d, window: d), "far pairs weigh more than near ones: add 1/d, not d."),
        (_counted(lambda d, window: 1 / d**2), "the weights are 1/d², and should be 1/d."),
        (_counted(lambda d, window: 1 - (d - 1) / window), "the weights fall in a straight line, as word2vec's shrinking window does on average. GloVe adds 1/d."),
        ((_counted(distance=lambda i, j, first: abs(first[i] - first[j])), *(_counted(lambda d, window: (d <= window) / d, lambda i, j, window, n: True, distance)
            for distance in (lambda i, j, first: abs(first[i] - first[j]), lambda i, j, first: abs(first[i] - j)))), f"some distances are wrong: {_INDEX} Loop over positions, with enumerate or range(len(sentence))."),
        (lambda *case: {pair: weight for pair, weight in _pairs(*case).items() if pair[0] != pair[1]}, "a word that comes twice may be its own neighbour. Leave out equal positions, not equal words."),
        (lambda *case: {pair: weight / (1 + (pair[0] == pair[1])) for pair, weight in _pairs(*case).items()}, "that is only half its weight: when a word meets itself, both directions are the same cell, and 1/d goes into it twice."),
    ],
)


def _loss(product: np.ndarray, bias_sum: np.ndarray, counts: np.ndarray, x_max: float = 100, alpha: float = 0.75) -> float:
    """Check a function (product, bias_sum, counts, x_max=100, alpha=0.75) -> a number (GloVe paper, equations 8 and 9).

    ``product`` holds w·w̃, ``bias_sum`` b + b̃ and ``counts`` X > 0, all arrays (n,), one entry a cell. The loss is the sum
    of f(X) (product + bias_sum - log X)², with f(x) = (x / x_max)^alpha below ``x_max`` and 1 from there on.
    """
    return float((_f(counts, x_max, alpha) * (product + bias_sum - np.log(counts)) ** 2).sum())


def _f(x: np.ndarray, x_max: float = 100, alpha: float = 0.75) -> np.ndarray:
    return np.minimum(x / x_max, 1) ** alpha


def _describe_cells(p: np.ndarray, b: np.ndarray, x: np.ndarray, x_max: float = 100, alpha: float = 0.75) -> str:
    if len(x) == 1:
        weighs = f"{_f(x)[0]:.4g}" if x[0] >= 100 else f"({x[0]:g}/100)^0.75 = {_f(x)[0]:.4g}"
        return f"For one cell with product {p[0]}, biases {b[0]} and X = {x[0]:g}, which weighs {weighs},"
    if x.dtype.kind == "i":
        return f"For whole counts, {x.tolist()},"
    return f"Cell by cell your loss is right, but for {len(x)} cells together" if x_max == 100 else f"With x_max={x_max} and alpha={alpha}"


_CELLS = (np.array([0.4, -0.8, 2.1, 3.0, 1.2]), np.array([-0.3, 0.7, 0.5, 0.9, 2.2]), np.array([0.5, 3.0, 25.0, 100.0, 400.0]))

check_glove_loss = exercise(
    "glove_loss: the squared error in log X, weighted by f(X) and summed",
    _loss, inputs=("the products", "the biases", "the counts"),
    cases=[(np.array([1.3]), np.array([0.9]), np.array([100.0])), *((np.array([0.7]), np.array([0.4]), np.array([x])) for x in (400.0, 25.0)),
           _CELLS, (*_CELLS, 10, 0.75), (*_CELLS, 10, 0.5), (*(cells[1:] for cells in _CELLS[:2]), np.array([3, 25, 100, 400]))],
    edges=[((np.array([]),) * 3, "without a cell there is no error, and the sum is 0: begin it there.")],
    describe=_describe_cells, shapes=[(lambda *_: None, "That is a loss for each cell. Add them up: .sum().")],
    only_read="which it should only read: the next step would read wrong counts. Write x = x / y, not x /= y.", infinite="No count here is 0, so look at what the logarithm gets.",
    otherwise=lambda value, right, p, b, x, *_: "" if len(x) > 1 or x[0] == 100 else (
        f"so the cell weighs {value / (p + b - np.log(x))[0] ** 2:.4g}. With X = 400 and X = 25 they should weigh 1 and (25/100)^0.75 = 0.3536."),
    of=lambda p, b, x, x_max=100, alpha=0.75: (_f(x, x_max, alpha), p + b - np.log(x), x, x_max, alpha, p, b),
    mistakes=[
        (lambda f, e, x, m, a, p, b: (f * (p + b - x) ** 2).sum(), "the logarithm is forgotten. Compare with log X, not with X."),
        (lambda f, e, x, m, a, p, b: (f * (p + b - np.log10(x)) ** 2).sum(), "that is log10. The paper's log is the natural one, np.log."),
        (lambda f, e, x, m, a, p, b: (f * (p + b - np.log2(x)) ** 2).sum(), "that is log2. The paper's log is the natural one, np.log."),
        (lambda f, e, x, m, a, p, b: (f * (p + b - np.log1p(x)) ** 2).sum(), "that is log(1 + X), made for counts of 0. Those cells are left out here: use np.log."),
        (lambda f, e, x, m, a, p, b: (f * (p - np.log(x)) ** 2).sum(), "the biases are forgotten. Add bias_sum before you take log X away."),
        (lambda f, e, x, m, a, p, b: (f * (b - np.log(x)) ** 2).sum(), "the product is forgotten. Add it to the biases."),
        (lambda f, e, x, m, a, p, b: (f * (p + b + np.log(x)) ** 2).sum(), "log X is added. The error is the difference: take log X away."),
        (lambda f, e, x, m, a, p, b: (f * (p + b - np.log(np.minimum(x, 100))) ** 2).sum(), "the cap has changed the count itself. Only the weight is capped; log X stays."),
        (lambda f, e, *_: (f * e).sum(), "the square is missing, so errors up and down would cancel."),
        (lambda f, e, *_: np.abs(f * e).sum(), "that is the size of the error. The loss takes its square."),
        (lambda f, e, *_: (f * e**2).sum() / 2, "half of it. Equation 8 has no factor 1/2."),
        (lambda f, e, *_: (f * e**2).mean(), "that is the mean. Equation 8 is the sum over the cells."),
        (lambda f, e, *_: np.average(e**2, weights=f), "you divide by the sum of the weights, as np.average does. Equation 8 adds up f(X) · error² and divides by nothing."),
        ((lambda f, e, *_: (np.sqrt(f) * e).sum() ** 2, lambda f, e, *_: (f * e).sum() ** 2), "you add up first and square then. Square each error, and add up the squares."),
        (lambda f, e, *_: ((f * e) ** 2).sum(), "f(X) is squared as well. It stands before the square, not inside."),
        (lambda f, e, *_: f.sum() * (e**2).sum(), "you add up weights and squares apart. Each square has its own weight: multiply first."),
        ((lambda f, e, *_: (e**2).sum(), lambda f, e, x, m, a, *_: (np.minimum(x**a, 1) * e**2).sum()), "the weight f(X) is missing, or its cap reaches every cell. Divide by x_max before you cap at 1."),
        (lambda f, e, x, m, a, *_: (np.maximum(x / m, 1) ** a * e**2).sum(), "the two cases are swapped. The cap belongs above x_max: np.minimum, not np.maximum."),
        (lambda f, e, x, m, a, *_: (x / m * e**2).sum(), "alpha is forgotten, and so is the cap. It is (X / x_max) ** alpha, and at most 1."),
        (lambda f, e, x, m, a, *_: (np.minimum(x / m, 1) * e**2).sum(), "alpha is forgotten. Below x_max it is (X / x_max) ** alpha."),
        (lambda f, e, x, m, a, *_: (np.where(x < m, x / m * a, 1) * e**2).sum(), "you multiply by alpha. It is an exponent: `**`, not `*`."),
        (lambda f, e, x, m, a, *_: (np.where(x < m, x**a, 1) * e**2).sum(), "X is not divided by x_max. It is (X / x_max) ** alpha."),
        (lambda f, e, x, m, a, *_: (np.where(x < m, x**a / m, 1) * e**2).sum(), "the power comes before the division. It is (X / x_max) ** alpha: mind the brackets."),
        (lambda f, e, x, m, a, *_: (np.where(x < m, (np.minimum(x, 1) / m) ** a, 1) * e**2).sum(), "you cap X itself at 1, before dividing. Divide by x_max first, and cap what comes out."),
        (lambda f, e, x, m, a, *_: (np.minimum(m / x, 1) ** a * e**2).sum(), "the fraction is upside down. It is X / x_max: rare cells weigh little."),
        (lambda f, e, x, m, a, *_: ((x / m) ** a * e**2).sum(), "the weight is not capped. From x_max on it is 1, however large X is."),
        ((lambda f, e, x, m, a, *_: (np.where(x < m, (x / m) ** a, 0) * e**2).sum(), lambda f, e, x, m, a, *_: (np.where(x <= m, (x / m) ** a, 0) * e**2).sum()), "frequent cells are thrown away. From x_max on the weight is 1, not 0."),
        (lambda f, e, x, m, a, *_: (np.minimum(x // m, 1) ** a * e**2).sum(), "`//` drops what comes after the decimal point, and rare cells with it. Divide with `/`."),
        (lambda f, e, x, m, a, *_: (_f(x, m, a).astype(x.dtype) * e**2).sum(), "the weights are cut to whole numbers: np.ones_like(counts) of whole counts holds no others. Make them with np.ones(len(counts))."),
        ((lambda f, e, x, m, a, p, b: _loss(p, b, x), lambda f, e, x, m, a, p, b: _loss(p, b, x, alpha=a)), "your function does not use x_max. Take it from the arguments, and write no fixed number."),
        (lambda f, e, x, m, a, p, b: _loss(p, b, x, m), "your function does not use alpha. Take it from the arguments, and write no fixed number."),
    ],
)


def _mean(words: list[str], vectors: WordVectors) -> np.ndarray:
    """Check a function from n words and their vectors to the mean over the known ones, an array (d,).

    A word that comes twice counts twice, words are looked up as they are written, and without a known word the mean is
    zeros. Averaged word vectors are what a deep averaging network starts from (Iyyer et al. 2015).
    """
    rows = _rows(words, vectors)
    return rows.mean(axis=0) if len(rows) else np.zeros(vectors.matrix.shape[1])


def _rows(words: list[str], vectors: WordVectors, table: str = "matrix") -> np.ndarray:
    return getattr(vectors, table)[[vectors.index[word] for word in words if word in vectors]]


def _no_vector(words: list[str], vectors: WordVectors) -> str:
    return f"{next((word for word in words if word not in vectors), '')!r} has no vector"


def _zeros(vectors: WordVectors) -> str:
    return f"Return zeros, one for each of the {vectors.matrix.shape[1]} dimensions: np.zeros(vectors.matrix.shape[1])."


def _read_vector(answer: Any, words: list[str], vectors: WordVectors) -> Any:
    """The answer as it is; where no word is known, once it is known to be zeros."""
    if len(_rows(words, vectors)):
        return answer
    value, said, zeros = np.asarray(answer), _describe_words(words, vectors), _zeros(vectors)
    well = value.dtype.kind in "fiu" and not np.isnan(value).any()
    require(well, f"{said} you return {'nan' if value.dtype.kind == 'f' else repr(answer)}: a mean over nothing is none. {zeros}")
    require(value.shape == vectors.matrix[0].shape, f"{said} you return something of shape {value.shape}. {zeros}")
    require(isinstance(answer, np.ndarray), f"{said} return an array, not {type(answer).__name__}.")
    return answer


def _describe_words(words: list[str], vectors: WordVectors) -> str:
    return f"For {words}" if len(_rows(words, vectors)) else f"For {words}, where no word is known,"


_TABLE = {"dog": [3, 1, 0, 2], "stick": [0, 4, 3, -1], "ice": [-2, 0, 1, 5], "us": [1, 1, 6, 0], "US": [7, -3, 2, 1]}
_VECTORS = [WordVectors(list(_TABLE), np.array(list(_TABLE.values()))[:, :d]) for d in (4, 3)]
assert all(vectors.unit.any() for vectors in _VECTORS)  # computed once: a first look at it would be a change

check_sentence_vector = exercise(
    "sentence_vector: the mean of the vectors of the known words",
    _mean, inputs=("the list of words", "the word vectors themselves"),
    cases=[(words.split(), vectors) for vectors in _VECTORS for words in ("dog stick ice", "us", "dog dog dog ice dog", "dog qwzx stick", "Stick dog US")],
    edges=[((words.split(), vectors), lambda value, words, vectors: f"There is nothing to average. {_zeros(vectors)}") for vectors in _VECTORS for words in ("qwzx xzwq", "")],
    describe=_describe_words, read=_read_vector,
    only_read="which it should only read: vectors[word] is a row of the table, and += writes into it. Start from np.zeros.",
    stops={KeyError: lambda error, words, vectors: str(error) if {*words} <= {*vectors.words} else f"{_no_vector(words, vectors)}. Leave unknown words out: `if word in vectors`."},
    shapes=[(lambda *_: (), "Average over the words only, .mean(axis=0), not over all."),
            (lambda words, vectors: (len(words),), "that is one for each word. Average over the words, axis=0."),
            (lambda words, vectors: (len(words), vectors.matrix.shape[1]), "that is a row for each word. Average over the words: .mean(axis=0)."),
            (lambda *_: None, "it should be (d,), whatever the vectors.")],
    mistakes=[
        (lambda words, vectors: _rows(words, vectors).sum(axis=0), "that is the sum. Divide it by the number of known words."),
        (lambda words, vectors: _mean(list(dict.fromkeys(words)), vectors), "a word that comes more than once counts only once. Keep the list: a set drops the repeats."),
        (lambda words, vectors: _rows(words, vectors, "unit").mean(axis=0), "you average the vectors brought to length 1, vectors.unit. Take them as they are: vectors[word]."),
        (lambda words, vectors: _mean(words, vectors) / np.linalg.norm(_mean(words, vectors)), "your mean is brought to length 1. Leave it as it is."),
        (lambda words, vectors: _rows(words, vectors).max(axis=0), "that is the largest number of each column. Take the mean."),
        (lambda words, vectors: _mean(words, vectors) // 1, "`//` drops what comes after the decimal point. Divide with `/`."),
        (lambda words, vectors: _rows(words, vectors).sum(axis=0) / len(words), lambda words, vectors: f"{_no_vector(words, vectors)}, but is counted. "
         f"Divide by the number of known words, {len(_rows(words, vectors))}, not of all, {len(words)}."),
        (lambda words, vectors: _mean([word.lower() for word in words], vectors), "you put the words into lower case. Look them up as they are written; “US” is not “us”."),
    ],
)
# fmt: on
