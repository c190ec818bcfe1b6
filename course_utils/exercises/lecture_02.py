"""Lecture 02: counting neighbours, GloVe's loss, and a vector for a whole sentence."""

from __future__ import annotations

import functools
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from course_utils.exercises import CheckFailed, call, check, require
from course_utils.text import WordVectors

Pairs = dict[tuple[str, str], float]

# (sentence, window), the simple ones first: a diagnosis should name the first thing that goes wrong.
_CASES = (
    ("my dog brought that old stick back again", 3),
    ("we crossed an icy river", 1),
    ("steam rises", 10),
    ("a rose is a rose", 2),  # pairs come again
    ("a rose is a rose", 4),  # and words meet themselves
    ("no no no", 2),
    ("alone", 2),
    ("", 2),
)


@check("cooccurrences: each pair within the window adds 1/d, in both directions")
def check_cooccurrences(cooccurrences: Callable[[list[str], int], Pairs]) -> None:
    """Check a function (sentence, window) -> {(word, context): weight} (GloVe paper, section 4.2).

    The sentence is a list of n words. Two positions at a distance d of 1 to ``window`` add 1/d to (w1, w2) and to
    (w2, w1), so a word that meets itself gets it twice. Pairs of weight 0 may be left out or not.
    """
    for text, window in _CASES:
        sentence = text.split()
        case = f"For “{text}” and window {window},"
        repeated = len(set(sentence)) < len(sentence)
        index = (
            "sentence.index(word) always finds the first place of a word that comes twice. "
            if repeated
            else ""
        )
        zero = (
            f"{case} you divide by a distance of 0. {index}Loop over positions i and j, leave out i == j, and the distance is at "
            "least 1."
        )
        given = list(sentence)
        try:
            found = call(cooccurrences, given, window, may_raise=(ZeroDivisionError,))
        except ZeroDivisionError as error:
            raise CheckFailed(zero) from error
        require(
            given == sentence, f"{case} your function changes the list it is given; it should only read it."
        )
        require(isinstance(found, dict), f"Return a dictionary, not {type(found).__name__}.")
        for key, weight in found.items():
            require(
                isinstance(key, tuple) and len(key) == 2,
                f"The keys should be pairs (word, context), as in counts[word, context]; one of yours is {key!r}.",
            )
            require(
                all(isinstance(word, str) for word in key),
                f"One of your keys is {key!r}: take the words at these positions, sentence[i], as the key.",
            )
            require(_is_number(weight), f"The weight of {key!r} is {weight!r}: it should be a number.")
            require(math.isfinite(weight), zero)
            require(
                set(key) <= set(sentence),
                f"{case} your dictionary holds {key!r}, of another sentence: it still has the pairs of an earlier call. "
                "Start a new dictionary inside the function.",
            )
        if repeated:
            _diagnose_repeated(found, sentence, window, case)
        else:
            _diagnose_keys(found, sentence, window, case)
            _diagnose_weights(found, sentence, window, case)


def _diagnose_keys(found: Pairs, sentence: list[str], window: int, case: str) -> None:
    """Which pairs are there; for a sentence of different words, where a pair of words is a pair of positions."""
    n = len(sentence)
    both = [(i, j) for i in range(n) for j in range(n) if i != j]
    near = [(i, j) for i, j in both if abs(i - j) <= window]
    keys = {key for key, weight in found.items() if weight != 0}

    def are(places: Iterable[tuple[int, int]]) -> bool:
        return keys == {(sentence[i], sentence[j]) for i, j in places}

    if are(near):
        return
    itself = next((key for key in keys if key[0] == key[1]), None)
    require(
        itself is None,
        f"{case} you count {itself!r}: a word is paired with itself, at distance 0. Leave out the position i == j.",
    )
    require(
        not are((i, j) for i, j in near if i < j) and not are((i, j) for i, j in near if i > j),
        f"{case} each pair is there in one direction only. A neighbour is one both ways: add to (w1, w2) and to (w2, w1).",
    )
    require(
        window == 1 or not are((i, j) for i, j in near if abs(i - j) == 1),
        f"{case} only direct neighbours have a weight. If you divide with `//`, 1 // 2 is 0: use `/`.",
    )
    require(
        not are((i, j) for i, j in both if abs(i - j) < window),
        f"{case} the farthest pairs are missing: distance {window} belongs to the window. range() stops one before its "
        "end, so write + 1.",
    )
    require(
        not are((i, j) for i, j in both if abs(i - j) <= window + 1),
        f"{case} you also count pairs at distance {window + 1}: the window is one too wide. Count d <= window.",
    )
    require(
        not are(both),
        f"{case} every word is paired with every other: use the window, and count d <= {window}.",
    )
    require(
        not are((i, j) for i, j in both if min(abs(i - j), n - abs(i - j)) <= window),
        f"{case} the last word is a neighbour of the first: i - d falls below 0, and sentence[-1] is the last word. "
        "Start at max(0, i - window).",
    )
    require(
        not are((i, j) for i, j in near if max(i, j) >= window)
        and not are((i, j) for i, j in near if i < j or i >= window),
        f"{case} pairs near the beginning are missing: i - window falls below 0 there, and a slice from below 0 is empty. "
        "Start at max(0, i - window).",
    )
    for i, j in both:
        key, distance = (sentence[i], sentence[j]), abs(i - j)
        require(
            distance <= window or key not in keys, f"{case} you count {key!r}, which stand {distance} apart."
        )
        require(distance > window or key in keys, f"{case} {key!r} is missing; they stand {distance} apart.")


def _diagnose_weights(found: Pairs, sentence: list[str], window: int, case: str) -> None:
    """The weights, when the pairs are right; for a sentence of different words."""

    def are(weight: Callable[[int], float]) -> bool:
        return _same(found, _counted(sentence, window, weight))

    if are(lambda d: 1 / d):
        return
    wrong: Sequence[tuple[Callable[[int], float], str]] = (
        (lambda d: 2 / d, "all weights are twice too large. Do you go through both directions and add to both each time?"),
        (lambda d: 0.5 / d, "all weights are half of what they should be: each direction gets the full 1/d."),
        (lambda d: 1, "every pair weighs 1. The nearer ones should weigh more: add 1/d."),
        (lambda d: 1 / (d + 1), "direct neighbours weigh 1/2: their distance is 1, not 2, so they weigh 1/1."),
        (lambda d: d, "far pairs weigh more than near ones: add 1/d, not d."),
        (lambda d: 1 / d**2, "the weights are 1/d², and should be 1/d."),
        (
            lambda d: 1 - (d - 1) / window,
            "the weights fall in a straight line, as word2vec's shrinking window does on average. GloVe adds 1/d.",
        ),
    )  # fmt: skip
    for weight, diagnosis in wrong:
        require(not are(weight), f"{case} {diagnosis}")
    right = _counted(sentence, window)
    first = next(key for key in right if not math.isclose(found[key], right[key], rel_tol=1e-4))
    distance = abs(sentence.index(first[0]) - sentence.index(first[1]))
    raise CheckFailed(
        f"{case} {first!r} weighs {found[first]:.3g} and not {right[first]:.3g}: they stand {distance} apart, and that adds 1/d."
    )


def _diagnose_repeated(found: Pairs, sentence: list[str], window: int, case: str) -> None:
    """Pairs and weights for a sentence in which a word comes again."""
    right = _counted(sentence, window)
    if _same(found, right):
        return
    require(
        not any(_same(found, answer) for answer in _by_first_place(sentence, window)),
        f"{case} some distances are wrong: sentence.index(word) always finds the first place of a word that comes twice. Loop "
        "over positions, with enumerate or range(len(sentence)).",
    )
    extra = next((key for key, weight in found.items() if weight and key not in right), None)
    require(extra is None, f"{case} you count {extra!r}, which never stand within the window.")
    wrong = [key for key in right if not math.isclose(found.get(key, 0), right[key], rel_tol=1e-4)]
    key = wrong[0]
    if all(word == context for word, context in wrong):
        require(
            any(found.get(own, 0) for own in wrong),
            f"{case} {key!r} is missing: a word that comes twice may be its own neighbour. Leave out equal positions, not "
            "equal words.",
        )
        require(
            not all(math.isclose(found.get(own, 0), right[own] / 2, rel_tol=1e-4) for own in wrong),
            f"{case} {key!r} has only half its weight: when a word meets itself, both directions are the same cell, and 1/d "
            "goes into it twice.",
        )
    single = defaultdict(list)
    for i, j in _near(len(sentence), window):
        single[sentence[i], sentence[j]].append(1 / abs(i - j))
    require(
        not all(
            any(math.isclose(found.get(pair, 0), weight, rel_tol=1e-4) for weight in weights)
            for pair, weights in single.items()
        ),
        f"{case} a pair that comes again is overwritten: {key!r} should add up to {right[key]:.3g}. Write +=, not =.",
    )
    raise CheckFailed(
        f"{case} {key!r} weighs {found.get(key, 0):.3g} and not {right[key]:.3g}, the sum over all its places."
    )


def _by_first_place(sentence: list[str], window: int) -> list[Pairs]:
    """What comes out when ``sentence.index`` says where a word stands: of both words, or of the one in the centre."""
    first = [sentence.index(word) for word in sentence]
    every = [(i, j) for i in range(len(sentence)) for j in range(len(sentence))]
    distances: list[list[tuple[int, int, int]]] = [
        [(i, j, abs(first[i] - first[j])) for i, j in _near(len(sentence), window)],
        [(i, j, abs(first[i] - first[j])) for i, j in every],
        [(i, j, abs(first[i] - j)) for i, j in every],
    ]
    return [
        _add_up((sentence[i], sentence[j], 1 / d) for i, j, d in answer if 0 < d <= window)
        for answer in distances
    ]


def _near(n: int, window: int) -> list[tuple[int, int]]:
    """All (i, j) of n positions at a distance of 1 to ``window``, in both directions."""
    return [(i, j) for i in range(n) for j in range(n) if 0 < abs(i - j) <= window]


def _counted(sentence: list[str], window: int, weight: Callable[[int], float] = lambda d: 1 / d) -> Pairs:
    return _add_up((sentence[i], sentence[j], weight(abs(i - j))) for i, j in _near(len(sentence), window))


def _add_up(weights: Iterable[tuple[str, str, float]]) -> Pairs:
    total: defaultdict[tuple[str, str], float] = defaultdict(float)
    for word, context, weight in weights:
        total[word, context] += weight
    return dict(total)


def _same(one: Pairs, other: Pairs) -> bool:
    return all(
        math.isclose(one.get(key, 0), other.get(key, 0), rel_tol=1e-4) for key in one.keys() | other.keys()
    )


@check("glove_loss: the squared error in log X, weighted by f(X) and summed")
def check_glove_loss(glove_loss: Callable[..., float]) -> None:
    """Check a function (product, bias_sum, counts, x_max=100, alpha=0.75) -> a number (GloVe paper, equations 8 and 9).

    ``product`` holds w·w̃, ``bias_sum`` b + b̃ and ``counts`` X > 0, all arrays (n,), one entry a cell. The loss is the sum
    of f(X) (product + bias_sum - log X)², with f(x) = (x / x_max)^alpha below ``x_max`` and 1 from there on.
    """
    _check_error(glove_loss)
    products, biases = np.array([0.4, -0.8, 2.1, 3.0, 1.2]), np.array([-0.3, 0.7, 0.5, 0.9, 2.2])
    counts = np.array([0.5, 3.0, 25.0, 100.0, 400.0])
    errors = products + biases - np.log(counts)

    def right(x_max: float = 100, alpha: float = 0.75) -> float:
        return float((np.minimum(counts / x_max, 1) ** alpha * errors**2).sum())

    total = _loss(glove_loss, products, biases, counts)
    weights = np.minimum(counts / 100, 1) ** 0.75
    # A weighted mean gives each cell alone the weight 1, so it must be named before the weights are looked at.
    require(
        not _close(total, right() / weights.sum()),
        "You divide by the sum of the weights, as np.average does. Equation 8 adds up f(X) · error² and divides by nothing.",
    )
    _check_weight(glove_loss)
    said = f"Cell by cell your loss is right, but for five cells together you return {total:.4g} and not {right():.4g}"
    require(
        not _close(total, right() / 5), f"{said}: that is the mean. Equation 8 is the sum over the cells."
    )
    require(
        not _close(total, float((weights**0.5 * errors).sum()) ** 2)
        and not _close(total, float((weights * errors).sum()) ** 2),
        f"{said}: you add up first and square then. Square each error, and add up the squares.",
    )
    require(
        not _close(total, weights.sum() * (errors**2).sum()),
        f"{said}: you add up weights and squares apart. Each square has its own weight: multiply first.",
    )
    require(_close(total, right()), f"{said}.")
    for name, x_max, alpha, ignored in (("x_max", 10, 0.75, right()), ("alpha", 10, 0.5, right(10))):
        result = _loss(glove_loss, products, biases, counts, x_max, alpha)
        said = (
            f"With x_max={x_max} and alpha={alpha} you return {result:.4g} and not {right(x_max, alpha):.4g}"
        )
        require(
            not _close(result, ignored) and not _close(result, right()),
            f"{said}: your function does not use {name}. Take it from the arguments, and write no fixed number.",
        )
        require(_close(result, right(x_max, alpha)), f"{said}.")


def _check_error(glove_loss: Callable[..., float]) -> None:
    """The error of one cell whose weight is 1."""
    product, bias, count = 1.3, 0.9, 100.0
    loss = _loss(glove_loss, np.array([product]), np.array([bias]), np.array([count]))
    error = product + bias - math.log(count)
    said = (
        f"For one cell with product {product}, biases {bias} and X = 100, which weighs 1, you return {loss:.4g} and not "
        f"({product} + {bias} - log 100)² = {error**2:.4g}"
    )
    wrong = (
        ((product + bias - count) ** 2, "the logarithm is forgotten. Compare with log X, not with X."),
        ((product + bias - math.log10(count)) ** 2, "that is log10. The paper's log is the natural one, np.log."),
        ((product + bias - math.log2(count)) ** 2, "that is log2. The paper's log is the natural one, np.log."),
        (
            (product + bias - math.log1p(count)) ** 2,
            "that is log(1 + X), made for counts of 0. Those cells are left out here: use np.log.",
        ),
        ((product - math.log(count)) ** 2, "the biases are forgotten. Add bias_sum before you take log X away."),
        ((bias - math.log(count)) ** 2, "the product is forgotten. Add it to the biases."),
        ((product + bias + math.log(count)) ** 2, "log X is added. The error is the difference: take log X away."),
        (0, "frequent cells are thrown away. From x_max on the weight is 1, not 0."),
        (error, "the square is missing, so errors up and down would cancel."),
        (abs(error), "that is the size of the error. The loss takes its square."),
        (error**2 / 2, "half of it. Equation 8 has no factor 1/2."),
    )  # fmt: skip
    for answer, diagnosis in wrong:
        require(not _close(loss, answer), f"{said}: {diagnosis}")
    require(_close(loss, error**2), f"{said}.")


def _check_weight(glove_loss: Callable[..., float]) -> None:
    """The weights of two cells, one above and one below x_max, each alone and with a known error."""
    product, bias = 0.7, 0.4
    above, below = (
        _loss(glove_loss, np.array([product]), np.array([bias]), np.array([x])) for x in (400.0, 25.0)
    )
    require(
        not _close(above, (product + bias - math.log(100)) ** 2),
        "For X = 400 you take log 100: the cap has changed the count itself. Only the weight is capped; log X stays.",
    )
    high, low = above / (product + bias - math.log(400)) ** 2, below / (product + bias - math.log(25)) ** 2
    right = 0.25**0.75
    said = f"In your loss a cell with X = 400 weighs {high:.4g} and one with X = 25 weighs {low:.4g}"
    wrong = (
        (
            _close(high, 1) and _close(low, 1),
            "the weight f(X) is missing, or its cap reaches every cell. Divide by x_max before you cap at 1.",
        ),
        (
            _close(high, 4**0.75) and _close(low, 1),
            "the two cases are swapped. The cap belongs above x_max: np.minimum, not np.maximum.",
        ),
        (_close(low, right**2), "f(X) is squared as well. It stands before the square, not inside."),
        (
            _close(high, 4) and _close(low, 0.25),
            "alpha is forgotten, and so is the cap. It is (X / x_max) ** alpha, and at most 1.",
        ),
        (_close(low, 0.25), "alpha is forgotten. Below x_max it is (X / x_max) ** alpha."),
        (_close(low, 0.25 * 0.75), "you multiply by alpha. It is an exponent: `**`, not `*`."),
        (_close(low, 25**0.75), "X is not divided by x_max. It is (X / x_max) ** alpha."),
        (_close(low, 25**0.75 / 100), "the power comes before the division. It is (X / x_max) ** alpha: mind the brackets."),
        (_close(low, 0.01**0.75), "you cap X itself at 1, before dividing. Divide by x_max first, and cap what comes out."),
        (_close(high, right), "the fraction is upside down. It is X / x_max: rare cells weigh little."),
        (
            _close(high, 4**0.75) and _close(low, right),
            "the weight is not capped. From x_max on it is 1, however large X is.",
        ),
        (_close(high, 0), "frequent cells are thrown away. From x_max on the weight is 1, not 0."),
    )  # fmt: skip
    for happens, diagnosis in wrong:
        require(not happens, f"{said}: {diagnosis}")
    require(
        _close(high, 1) and _close(low, right),
        f"{said}; they should weigh 1 and (25/100)^0.75 = {right:.4g}.",
    )


def _loss(function: Callable[..., float], *given: Any) -> float:
    """What the student's loss returns, once it is known to be one number and the arrays are as they were."""
    copies = [value.copy() if isinstance(value, np.ndarray) else value for value in given]
    with np.errstate(all="ignore"):
        result = call(function, *copies)
    require(
        all(np.array_equal(copy, value) for copy, value in zip(copies, given, strict=True)),
        "Your function changes its inputs: the next step would read wrong counts. Write x = x / y, not x /= y.",
    )
    require(
        np.ndim(result) == 0,
        f"You return an array of shape {np.shape(result)}, a loss for each cell. Add them up: .sum().",
    )
    value = result.item() if isinstance(result, np.ndarray) else result
    require(_is_number(value), f"Return one number, the loss, not {type(value).__name__}: {value!r}.")
    require(
        math.isfinite(value), f"Your loss is {value}: no count here is 0, so look at what the logarithm gets."
    )
    return float(value)


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-12)


@check("sentence_vector: the mean of the vectors of the known words")
def check_sentence_vector(sentence_vector: Callable[[list[str], WordVectors], np.ndarray]) -> None:
    """Check a function from n words and their vectors to the mean over the known ones, an array (d,).

    A word that comes twice counts twice, words are looked up as they are written, and without a known word the mean is
    zeros. Averaged word vectors are what a deep averaging network starts from (Iyyer et al. 2015).
    """
    for d in (4, 3):
        rows = {
            "dog": [3, 1, 0, 2],
            "stick": [0, 4, 3, -1],
            "ice": [-2, 0, 1, 5],
            "us": [1, 1, 6, 0],
            "US": [7, -3, 2, 1],
        }
        vectors = WordVectors(list(rows), np.array(list(rows.values()))[:, :d])  # fmt: skip
        _check_known(sentence_vector, vectors)
        _check_unknown(sentence_vector, vectors)
        _check_nothing(sentence_vector, vectors)


def _check_known(function: Callable[..., np.ndarray], vectors: WordVectors) -> None:
    """Sentences of known words only, and one with a word that comes again."""
    for words in (["dog", "stick", "ice"], ["us"], ["dog", "dog", "dog", "ice", "dog"]):
        found = _vector(function, words, vectors)
        rows, unit = (
            np.stack([table[vectors.index[word]] for word in words])
            for table in (vectors.matrix, vectors.unit)
        )
        right = rows.mean(axis=0)
        said = f"For {words} you return {_short(found)} and not {_short(right)}"
        once = np.stack([vectors[word] for word in dict.fromkeys(words)]).mean(axis=0)
        wrong = (
            (rows.sum(axis=0), "that is the sum. Divide it by the number of known words."),
            (once, "a word that comes more than once counts only once. Keep the list: a set drops the repeats."),
            (
                unit.mean(axis=0),
                "you average the vectors brought to length 1, vectors.unit. Take them as they are: vectors[word].",
            ),
            (right / np.linalg.norm(right), "your mean is brought to length 1. Leave it as it is."),
            (rows.max(axis=0), "that is the largest number of each column. Take the mean."),
            (rows.mean(axis=0) // 1, "`//` drops what comes after the decimal point. Divide with `/`."),
        )  # fmt: skip
        for answer, diagnosis in wrong:
            same = np.allclose(answer, right, atol=1e-5)
            require(same or not np.allclose(found, answer, atol=1e-5), f"{said}: {diagnosis}")
        require(np.allclose(found, right, atol=1e-5), f"{said}.")


def _check_unknown(function: Callable[..., np.ndarray], vectors: WordVectors) -> None:
    """Sentences with words that have no vector, one of them only because of its capital."""
    for words in (["dog", "qwzx", "stick"], ["Stick", "dog", "US"]):
        unknown = next(word for word in words if word not in vectors)
        try:
            found = _vector(function, words, vectors, may_raise=(KeyError,))
        except KeyError as error:
            raise CheckFailed(
                f"For {words} your function stops with KeyError, because {unknown!r} has no vector. Leave unknown words "
                "out: `if word in vectors`."
            ) from error
        rows = np.stack([vectors[word] for word in words if word in vectors])
        right = rows.mean(axis=0)
        said = f"For {words} you return {_short(found)} and not {_short(right)}"
        require(
            not np.allclose(found, rows.sum(axis=0) / len(words), atol=1e-5),
            f"{said}: {unknown!r} has no vector, but is counted. Divide by the number of known words, {len(rows)}, not of all, "
            f"{len(words)}.",
        )
        lower = [vectors[word.lower()] for word in words if word.lower() in vectors]
        require(
            len(lower) == len(rows) or not np.allclose(found, np.mean(lower, axis=0), atol=1e-5),
            f"{said}: you put the words into lower case. Look them up as they are written; “US” is not “us”.",
        )
        require(np.allclose(found, right, atol=1e-5), f"{said}.")


def _check_nothing(function: Callable[..., np.ndarray], vectors: WordVectors) -> None:
    """Sentences without a known word."""
    d = vectors.matrix.shape[1]
    zeros = f"Return zeros, one for each of the {d} dimensions: np.zeros(vectors.matrix.shape[1])."

    @functools.wraps(function)
    def answering(*given: Any) -> Any:
        """The same function, but returning nothing is an answer here, and one to be explained."""
        result = function(*given)
        return () if result is None else result

    for words in (["qwzx", "xzwq"], []):
        said = f"For {words}, where no word is known,"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy's own, of a mean over nothing
                found = call(
                    answering, list(words), vectors, may_raise=(ValueError, ZeroDivisionError, IndexError)
                )
        except (ValueError, ZeroDivisionError, IndexError) as error:
            raise CheckFailed(
                f"{said} your function stops with {type(error).__name__}: {error}. There is nothing to average. {zeros}"
            ) from error
        require(not isinstance(found, tuple) or found, f"{said} your function returns nothing. {zeros}")
        value = np.asarray(found)
        require(
            value.dtype.kind in "fiu" and not np.isnan(value).any(),
            f"{said} you return {'nan' if value.dtype.kind == 'f' else repr(found)}: a mean over nothing is none. {zeros}",
        )
        require(value.shape == (d,), f"{said} you return something of shape {value.shape}. {zeros}")
        require(isinstance(found, np.ndarray), f"{said} return an array, not {type(found).__name__}.")
        require(not value.any(), f"{said} you return {_short(value)}. {zeros}")


def _vector(
    function: Callable[..., np.ndarray],
    words: list[str],
    vectors: WordVectors,
    may_raise: tuple[type[Exception], ...] = (),
) -> np.ndarray:
    """What the student's function returns, once it is known to be an array (d,) and nothing else has changed."""
    given, before = list(words), vectors.matrix.copy()
    d = before.shape[1]
    try:
        found = call(function, given, vectors, may_raise=may_raise)
    finally:
        changed = not np.array_equal(vectors.matrix, before)
        vectors.matrix[:] = before
    require(
        not changed,
        "Your function changes the word vectors themselves: vectors[word] is a row of the table, and += writes into it. Start "
        "from np.zeros.",
    )
    require(given == words, "Your function changes the list of words; it should only read it.")
    require(isinstance(found, np.ndarray | np.generic), f"Return a numpy array, not {type(found).__name__}.")
    require(
        found.shape != (),
        "You return a single number: average over the words only, .mean(axis=0), not over all.",
    )
    require(
        len(words) == d or found.shape != (len(words),),
        f"You return {len(words)} numbers, one for each word: average over the words, axis=0.",
    )
    require(
        found.shape != (len(words), d),
        f"The shape is {found.shape}, a row for each word. Average over the words: .mean(axis=0).",
    )
    require(
        found.shape == (d,),
        f"The shape is {found.shape}, and should be (d,), here ({d},), whatever the vectors.",
    )
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _short(values: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:.3g}" for value in values.ravel().tolist()) + "]"
