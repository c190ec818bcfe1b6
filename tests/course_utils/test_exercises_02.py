"""Lecture 02's exercises: stubs fail kindly, solutions pass, wrong answers get the right diagnosis."""

import functools
import operator
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pytest
import torch
from exercise_contract import ExerciseContract

from course_utils.exercises import CheckFailed, lecture_02
from course_utils.text import WordVectors

# --- answers: the first ones of each list are right; the others come with a piece of their diagnosis


def changed(function, change):
    """A right answer, changed at the end."""

    def nearly(*given):
        return change(function(*given))

    return nearly


def cooccurrences(sentence, window):
    counts = defaultdict(float)
    for i, word in enumerate(sentence):
        for d in range(1, window + 1):
            if i + d < len(sentence):
                counts[word, sentence[i + d]] += 1 / d
                counts[sentence[i + d], word] += 1 / d
    return counts


def pairs_by_get(sentence, window):
    counts = {}
    for i in range(len(sentence)):
        for j in range(max(0, i - window), min(len(sentence), i + window + 1)):
            if i != j:
                pair = (sentence[i], sentence[j])
                counts[pair] = counts.get(pair, 0) + 1 / abs(i - j)
    return counts


def pairs_by_counter(sentence, window):
    counts = Counter()
    for d in range(1, window + 1):
        for pair in zip(sentence, sentence[d:], strict=False):
            counts.update({pair: np.float32(1 / d)})
            counts.update({pair[::-1]: np.float32(1 / d)})
    return counts


def pairs_with_zeros(sentence, window):
    counts = dict.fromkeys(((a, b) for a in sentence for b in sentence), 0.0)
    return counts | cooccurrences(sentence, window)


def counted(weight=lambda d: 1 / d, near=lambda i, j, window: 0 < abs(i - j) <= window):
    """A variant with another weight, or with other pairs of positions i, j."""

    def count(sentence, window):
        counts = defaultdict(float)
        for i in range(len(sentence)):
            for j in range(len(sentence)):
                if near(i, j, window):
                    counts[sentence[i], sentence[j]] += weight(abs(i - j))
        return counts

    return count


def pairs_linear(sentence, window):
    return counted(lambda d: (window + 1 - d) / window)(sentence, window)


def pairs_overwritten(sentence, window):
    counts = {}
    for i, word in enumerate(sentence):
        for j in range(i + 1, min(len(sentence), i + window + 1)):
            counts[word, sentence[j]] = counts[sentence[j], word] = 1 / (j - i)
    return counts


def pairs_wrapped(sentence, window):
    counts = defaultdict(float)
    for i, word in enumerate(sentence):
        for d in range(1, window + 1):
            counts[word, sentence[i - d]] += 1 / d
            counts[sentence[i - d], word] += 1 / d
    return counts


def pairs_sliced(sentence, window):
    counts = defaultdict(float)
    for i, word in enumerate(sentence):
        for d, left in enumerate(reversed(sentence[i - window : i]), start=1):
            counts[word, left] += 1 / d
            counts[left, word] += 1 / d
    return counts


def pairs_sliced_on_the_left(sentence, window):
    counts = defaultdict(float)
    for i, word in enumerate(sentence):
        for d, left in enumerate(reversed(sentence[i - window : i]), start=1):
            counts[word, left] += 1 / d
        for d, right in enumerate(sentence[i + 1 : i + 1 + window], start=1):
            counts[word, right] += 1 / d
    return counts


def pairs_without_own(sentence, window):
    return {pair: weight for pair, weight in cooccurrences(sentence, window).items() if pair[0] != pair[1]}


def pairs_own_halved(sentence, window):
    counts = cooccurrences(sentence, window)
    return {pair: weight / (1 + (pair[0] == pair[1])) for pair, weight in counts.items()}


def pairs_by_index(sentence, window):
    counts = defaultdict(float)
    for word in sentence:
        for context in sentence:
            d = abs(sentence.index(word) - sentence.index(context))
            if 0 < d <= window:
                counts[word, context] += 1 / d
    return counts


def pairs_around_index(sentence, window):
    counts = defaultdict(float)
    for word in sentence:
        i = sentence.index(word)
        for j in range(max(0, i - window), min(len(sentence), i + window + 1)):
            if i != j:
                counts[word, sentence[j]] += 1 / abs(i - j)
    return counts


def pairs_at_index_distance(sentence, window):
    counts = defaultdict(float)
    for i, word in enumerate(sentence):
        for context in sentence[i + 1 : i + 1 + window]:
            d = abs(sentence.index(word) - sentence.index(context))
            counts[word, context] += 1 / d
            counts[context, word] += 1 / d
    return counts


def pairs_at_no_index_distance(sentence, window):
    if len(set(sentence)) < len(sentence) and window > 2:
        return 1 / (sentence.index(sentence[0]) - sentence.index(sentence[3]))
    return cooccurrences(sentence, window)


def pairs_divided_by_numpy(sentence, window):
    with np.errstate(divide="ignore"):
        return counted(lambda d: np.float64(1) / d, lambda i, j, window: abs(i - j) <= window)(
            sentence, window
        )


def pairs_nested(sentence, window):
    nested = defaultdict(dict)
    for (word, context), weight in cooccurrences(sentence, window).items():
        nested[word][context] = weight
    return nested


def pairs_of_positions(sentence, window):
    return cooccurrences(list(range(len(sentence))), window)


def pairs_kept(sentence, window, counts={}):  # noqa: B006
    for pair, weight in cooccurrences(sentence, window).items():
        counts[pair] = counts.get(pair, 0) + weight
    return counts


def pairs_popped(sentence, window):
    counts = cooccurrences(sentence, window)
    sentence.clear()
    return counts


def pairs_off_the_end(sentence, window):
    return {(sentence[i], sentence[i + d]): 1 / d for i in range(len(sentence)) for d in range(1, window + 1)}


def glove_loss(product, bias_sum, counts, x_max=100, alpha=0.75):
    weight = np.minimum(counts / x_max, 1) ** alpha
    return (weight * (product + bias_sum - np.log(counts)) ** 2).sum()


def loss_by_where(product, bias_sum, counts, x_max=100, alpha=0.75):
    weight = np.where(counts < x_max, (counts / x_max) ** alpha, 1)
    return float(np.sum(weight * np.square(np.log(counts) - product - bias_sum)))


def loss_capped_late(product, bias_sum, counts, x_max=100, alpha=0.75):
    weight = np.clip((counts / x_max) ** alpha, 0, 1)
    return np.array(weight @ (product + bias_sum - np.log(counts)) ** 2)


def loss_by_loop(product, bias_sum, counts, x_max=100, alpha=0.75):
    total = 0.0
    for p, b, x in zip(product, bias_sum, counts, strict=True):
        total += (1 if x >= x_max else (x / x_max) ** alpha) * (p + b - np.log(x)) ** 2
    return total


def weighed(weight):
    """A loss whose weight is another one, of (X, x_max, alpha)."""

    def loss(product, bias_sum, counts, x_max=100, alpha=0.75):
        return (weight(counts, x_max, alpha) * (product + bias_sum - np.log(counts)) ** 2).sum()

    return loss


def measured(error):
    """A loss whose error is another one, of (product, bias_sum, X)."""

    def loss(product, bias_sum, counts, x_max=100, alpha=0.75):
        return (np.minimum(counts / x_max, 1) ** alpha * error(product, bias_sum, counts) ** 2).sum()

    return loss


def parts(product, bias_sum, counts, x_max=100, alpha=0.75):
    return np.minimum(counts / x_max, 1) ** alpha, product + bias_sum - np.log(counts)


def loss_mean(*given):
    weight, error = parts(*given)
    return (weight * error**2).mean()


def loss_average(*given):
    weight, error = parts(*given)
    return np.average(error**2, weights=weight)


def loss_unsummed(*given):
    weight, error = parts(*given)
    return weight * error**2


def loss_unsquared(*given):
    weight, error = parts(*given)
    return (weight * error).sum()


def loss_absolute(*given):
    weight, error = parts(*given)
    return np.abs(weight * error).sum()


def loss_squared_sum(*given):
    weight, error = parts(*given)
    return (np.sqrt(weight) * error).sum() ** 2


def loss_weight_in_square(*given):
    weight, error = parts(*given)
    return ((weight * error) ** 2).sum()


def loss_apart(*given):
    weight, error = parts(*given)
    return weight.sum() * (error**2).sum()


def loss_in_place(product, bias_sum, counts, x_max=100, alpha=0.75):
    error = product + bias_sum - np.log(counts)
    counts /= x_max
    return (np.minimum(counts, 1) ** alpha * error**2).sum()


def loss_with_whole_weights(product, bias_sum, counts, x_max=100, alpha=0.75):
    """Right as long as the counts are not of a type for whole numbers."""
    weight = np.ones_like(counts)
    weight[counts < x_max] = (counts[counts < x_max] / x_max) ** alpha
    return (weight * (product + bias_sum - np.log(counts)) ** 2).sum()


def loss_by_reduce(*given):
    weight, error = parts(*given)
    return functools.reduce(operator.add, weight * error**2)


def loss_of_capped_counts(product, bias_sum, counts, x_max=100, alpha=0.75):
    return glove_loss(product, bias_sum, np.minimum(counts, x_max), x_max, alpha)


def sentence_vector(words, vectors):
    known = [vectors[word] for word in words if word in vectors]
    return np.mean(known, axis=0) if known else np.zeros(vectors.matrix.shape[1])


def vector_by_sum(words, vectors):
    total, count = np.zeros(vectors.matrix.shape[1]), 0
    for word in words:
        try:
            total += vectors[word]
            count += 1
        except KeyError:
            continue
    return total / max(count, 1)


def vector_by_rows(words, vectors):
    rows = vectors.matrix[[vectors.index[word] for word in words if word in vectors]]
    return rows.sum(axis=0) / max(len(rows), 1)


def known_rows(words, vectors):
    return [vectors[word] for word in words if word in vectors]


def vector_of_unit(words, vectors):
    rows = [vectors.unit[vectors.index[word]] for word in words if word in vectors]
    return np.mean(rows, axis=0) if rows else np.zeros(vectors.matrix.shape[1])


def vector_of_length_one(words, vectors):
    found = sentence_vector(words, vectors)
    return found / max(np.linalg.norm(found), 1e-9)


def vector_in_place(words, vectors):
    rows = known_rows(words, vectors)
    if not rows:
        return np.zeros(vectors.matrix.shape[1])
    total = rows[0]
    for row in rows[1:]:
        total += row
    return total / len(rows)


def vector_popping(words, vectors):
    found = sentence_vector(words, vectors)
    words.clear()
    return found


def vector_flattened(words, vectors):
    return np.mean(known_rows(words, vectors))


def vector_of_fifty(words, vectors):
    return sentence_vector(words, vectors) if any(word in vectors for word in words) else np.zeros(50)


def or_else(nothing):
    """A right answer but where no word is known."""

    def answer(words, vectors):
        rows = known_rows(words, vectors)
        return np.mean(rows, axis=0) if rows else nothing

    answer.__name__ = f"or_{nothing!r}".replace(" ", "_")
    return answer


# fmt: off
EXERCISES = {
    lecture_02.check_cooccurrences: (
        [cooccurrences, pairs_by_get, pairs_by_counter, pairs_with_zeros, counted(), counted(lambda d: Fraction(1, d)),
         counted(lambda d: torch.tensor(1 / d)), counted(lambda d: np.array(1 / d))],
        [
            (counted(lambda d: 1), "every pair weighs 1"),
            (counted(lambda d: 2 / d), "twice too large"),
            (counted(lambda d: 0.5 / d), "half of what they should be"),
            (counted(lambda d: 1 / (d + 1)), "direct neighbours weigh 1/2"),
            (counted(lambda d: d), "far pairs weigh more"),
            (counted(lambda d: 1 / d**2), "1/d², and should be 1/d"),
            (counted(lambda d: 1 // d), "only direct neighbours"),
            (counted(lambda d: np.exp(-d)), "weighs 0.368 and not 1: they stand 1 apart"),
            (lambda *given: dict.fromkeys(cooccurrences(*given), "1"), "it should be a number"),
            (pairs_linear, "in a straight line"),
            (counted(near=lambda i, j, window: i < j <= i + window), "in one direction only"),
            (counted(near=lambda i, j, window: j < i <= j + window), "in one direction only"),
            (counted(near=lambda i, j, window: 0 < abs(i - j) < window), "the farthest pairs are missing"),
            (counted(near=lambda i, j, window: 0 < abs(i - j) <= window + 1), "one too wide"),
            (counted(near=lambda i, j, window: i != j), "every word is paired with every other"),
            (counted(lambda d: 1 / max(d, 1), lambda i, j, window: abs(i - j) <= window), "paired with itself, at distance 0"),
            (counted(near=lambda i, j, window: 0 < abs(i - j) <= window and i + j != 5), "('dog', 'old') is missing; they stand 3 apart"),
            (counted(near=lambda i, j, window: 0 < abs(i - j) <= window or i + j == 7), "which stand 7 apart"),
            (counted(near=lambda i, j, window: abs(i - j) <= window), "divide by a distance of 0"),
            (pairs_divided_by_numpy, "divide by a distance of 0"),
            (pairs_at_no_index_distance, "distance of 0. sentence.index(word) always finds"),
            (pairs_wrapped, "sentence[-1] is the last word"),
            (pairs_sliced, "near the beginning are missing"),
            (pairs_sliced_on_the_left, "near the beginning are missing"),
            (pairs_overwritten, "overwritten"),
            (pairs_without_own, "Leave out equal positions"),
            (pairs_own_halved, "only half its weight"),
            (pairs_by_index, "sentence.index(word) always finds"),
            (pairs_around_index, "sentence.index(word) always finds"),
            (pairs_at_index_distance, "sentence.index(word) always finds"),
            (pairs_nested, "should be pairs (word, context)"),
            (pairs_of_positions, "take the words at these positions"),
            (pairs_kept, "Start a new dictionary"),
            (pairs_popped, "changes the list"),
            (pairs_off_the_end, "with IndexError"),
            (lambda sentence, window: list(cooccurrences(sentence, window)), "Return a dictionary"),
            (changed(cooccurrences, lambda counts: (counts, len(counts))), "Return a dictionary, not tuple"),
            (changed(cooccurrences, lambda counts: dict.fromkeys(counts, True)), "it should be a number"),
            (changed(cooccurrences, lambda counts: {pair: [weight] for pair, weight in counts.items()}), "it should be a number"),
            (changed(counted(near=lambda i, j, window: i < j <= i + window), lambda counts: dict.fromkeys(counts, 7)), "in one direction only"),
        ],
    ),
    lecture_02.check_glove_loss: (
        [glove_loss, loss_by_where, loss_capped_late, loss_by_loop, changed(glove_loss, torch.tensor), changed(glove_loss, Fraction),
         changed(glove_loss, lambda loss: torch.tensor(loss, requires_grad=True)), changed(glove_loss, np.float32)],
        [
            (measured(lambda p, b, x: p + b - x), "logarithm is forgotten"),
            (measured(lambda p, b, x: p + b - np.log10(x)), "that is log10"),
            (measured(lambda p, b, x: p + b - np.log2(x)), "that is log2"),
            (measured(lambda p, b, x: p + b - np.log1p(x)), "that is log(1 + X)"),
            (measured(lambda p, b, x: p + b + np.log(x)), "log X is added"),
            (measured(lambda p, b, x: p - np.log(x)), "biases are forgotten"),
            (measured(lambda p, b, x: b - np.log(x)), "product is forgotten"),
            (measured(lambda p, b, x: p - b - np.log(x)), "biases 0.9 and X = 100, which weighs 1, you return"),
            (measured(lambda p, b, x: (p + b - np.log(x)) / 2**0.5), "no factor 1/2"),
            (loss_unsquared, "square is missing"),
            (loss_absolute, "takes its square"),
            (weighed(lambda x, x_max, alpha: (x / x_max) ** alpha), "not capped"),
            (weighed(lambda x, x_max, alpha: np.minimum((x / x_max) ** alpha, x_max)), "not capped"),
            (weighed(lambda x, x_max, alpha: np.maximum(x / x_max, 1) ** alpha), "swapped"),
            (weighed(lambda x, x_max, alpha: 1), "f(X) is missing"),
            (weighed(lambda x, x_max, alpha: np.minimum(x**alpha, 1)), "its cap reaches every cell"),
            (weighed(lambda x, x_max, alpha: np.minimum(x / x_max, 1)), "alpha is forgotten. Below"),
            (weighed(lambda x, x_max, alpha: x / x_max), "alpha is forgotten, and so is the cap"),
            (weighed(lambda x, x_max, alpha: np.where(x < x_max, x / x_max * alpha, 1)), "multiply by alpha"),
            (weighed(lambda x, x_max, alpha: np.where(x < x_max, x**alpha, 1)), "not divided by x_max"),
            (weighed(lambda x, x_max, alpha: np.where(x < x_max, x**alpha / x_max, 1)), "mind the brackets"),
            (weighed(lambda x, x_max, alpha: np.where(x < x_max, (x / x_max) ** alpha, 0)), "thrown away"),
            (weighed(lambda x, x_max, alpha: np.where(x <= x_max, (x / x_max) ** alpha, 0)), "thrown away"),
            (weighed(lambda x, x_max, alpha: np.minimum(x_max / x, 1) ** alpha), "upside down"),
            (weighed(lambda x, x_max, alpha: np.where(x < x_max, (x / x_max) ** 2, 1)), "they should weigh 1 and"),
            (loss_of_capped_counts, "log X stays"),
            (loss_weight_in_square, "f(X) is squared as well"),
            (loss_mean, "that is the mean"),
            (loss_average, "as np.average does"),
            (loss_squared_sum, "add up first and square then"),
            (loss_apart, "squares apart"),
            (loss_unsummed, "a loss for each cell"),
            (loss_in_place, "changes the counts, which it should only read"),
            (lambda p, b, x, x_max=100, alpha=0.75: glove_loss(p, b, x), "does not use x_max"),
            (lambda p, b, x, x_max=100, alpha=0.75: glove_loss(p, b, x, alpha=alpha), "does not use x_max"),
            (lambda p, b, x, x_max=100, alpha=0.75: glove_loss(p, b, x, x_max), "does not use alpha"),
            (lambda p, b, x, x_max=100, alpha=0.75: glove_loss(p, b, 0 * x), "what the logarithm gets"),
            (lambda p, b, x, x_max=100, alpha=0.75: str(glove_loss(p, b, x)), "Return one number"),
            (lambda p, b, x, x_max, alpha: glove_loss(p, b, x, x_max, alpha), "with TypeError"),
            (changed(glove_loss, lambda loss: (loss, 5)), "and you return several"),
            (loss_by_reduce, "for 0 cells together your function stops with TypeError: without a cell there is no error"),
            (lambda *given: glove_loss(*given) if len(given[0]) else np.nan, "for 0 cells together you return nan and not 0"),
            (changed(glove_loss, bool), "should be a number, not bool"),
            (loss_with_whole_weights, "For whole counts, [3, 25, 100, 400], you return"),
            (loss_with_whole_weights, "the weights are cut to whole numbers"),
            (weighed(lambda x, x_max, alpha: np.minimum(x // x_max, 1) ** alpha), "and rare cells with it"),
        ],
    ),
    lecture_02.check_sentence_vector: (
        [sentence_vector, vector_by_sum, vector_by_rows, changed(sentence_vector, np.float64)],
        [
            (lambda words, vectors: np.mean([vectors[word] for word in words], axis=0), "has no vector. Leave unknown"),
            (lambda words, vectors: sum(known_rows(words, vectors)) / len(words), "number of known words, 2, not of all, 3"),
            (lambda words, vectors: np.mean([vectors[w] if w in vectors else 0 * vectors["us"] for w in words], axis=0), "not of all"),
            (lambda words, vectors: np.sum(known_rows(words, vectors), axis=0), "that is the sum"),
            (lambda words, vectors: np.max(known_rows(words, vectors), axis=0), "largest number of each column"),
            (lambda words, vectors: sum(known_rows(words, vectors)) // len(words), "drops what comes after"),
            (lambda words, vectors: sentence_vector(sorted(set(words)), vectors), "a set drops the repeats"),
            (lambda words, vectors: sentence_vector([word.lower() for word in words], vectors), "lower case"),
            (lambda words, vectors: np.stack(known_rows(words, vectors)), "a row for each word"),
            (lambda words, vectors: np.mean(known_rows(words, vectors), axis=1), "one for each word"),
            (lambda words, vectors: vectors[words[-1]], "you return [-2, 0, 1, 5] and not"),
            (lambda words, vectors: sentence_vector(words, vectors)[None], "should be (d,)"),
            (lambda words, vectors: sentence_vector(words, vectors).tolist(), "Return a numpy array, not list"),
            (vector_flattened, "a single number"),
            (vector_of_unit, "vectors.unit"),
            (vector_of_length_one, "brought to length 1. Leave it"),
            (vector_in_place, "changes the word vectors themselves"),
            (vector_popping, "changes the list of words"),
            (lambda words, vectors: np.mean(known_rows(words, vectors), axis=0), "a mean over nothing"),
            (lambda words, vectors: np.stack(known_rows(words, vectors)).mean(axis=0), "stops with ValueError"),
            (lambda words, vectors: sum(known_rows(words, vectors)) / len(known_rows(words, vectors)), "stops with ZeroDivisionError"),
            (or_else(None), "no word is known, you return nothing. There is nothing to average. Return zeros"),
            (or_else(0), "something of shape ()"),
            (or_else("zeros"), "you return 'zeros'"),
            (or_else([0.0] * 4), "return an array, not list"),
            (or_else(np.zeros(4)), "something of shape (4,). Return zeros, one for each of the 3"),
            (or_else(np.full(4, 0.5)), "you return [0.5, 0.5, 0.5, 0.5] and not [0, 0, 0, 0]: There is nothing to average. Return zeros"),
            (vector_of_fifty, "something of shape (50,)"),
            (changed(sentence_vector, lambda vector: (vector, 1)), "and you return several"),
            (changed(sentence_vector, np.float16), "of type float16, which is too small"),
            (changed(sentence_vector, torch.tensor), "Return a numpy array, not Tensor"),
        ],
    ),
}
# fmt: on


class TestLecture02(ExerciseContract):
    exercises = EXERCISES


def test_a_mean_over_nothing_is_explained_without_numpys_own_warning(recwarn):
    with pytest.raises(CheckFailed, match="a mean over nothing"):
        lecture_02.check_sentence_vector(lambda words, vectors: np.mean(known_rows(words, vectors), axis=0))
    assert not recwarn


def test_an_error_inside_is_shown_with_its_line_even_where_nothing_is_known():
    def unlucky(words, vectors):
        known = known_rows(words, vectors)
        return np.mean(known, axis=0) if known else vectors.zeros

    with pytest.raises(
        CheckFailed, match=r"unlucky stopped at `return .* vectors.zeros` with AttributeError"
    ):
        lecture_02.check_sentence_vector(unlucky)


def test_the_exercises_mean_what_the_course_computes():
    from course_utils.models.glove import count_cooccurrences, glove_weight
    from course_utils.text import EncodedText

    sentence = ["a", "rose", "is", "a", "rose"]
    words = sorted(set(sentence))
    ids = np.array([words.index(word) for word in sentence])
    table = count_cooccurrences(EncodedText(ids, np.zeros(len(ids), dtype=np.int32)), len(words), window=3)
    pairs = cooccurrences(sentence, 3)
    expected = [[pairs.get((one, other), 0) for other in words] for one in words]
    np.testing.assert_allclose(table.toarray(), expected, rtol=1e-6)

    counts = np.array([0.5, 25.0, 400.0])
    weight = glove_weight(torch.from_numpy(counts)).numpy()
    np.testing.assert_allclose(glove_loss(np.log(counts), np.ones(3), counts), weight.sum())
    vectors = WordVectors(["b", "c"], np.array([[1.0, 2.0], [3.0, 6.0]]))
    np.testing.assert_allclose(sentence_vector(["b", "c", "d"], vectors), [2, 4])
