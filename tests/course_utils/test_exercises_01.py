"""Lecture 01's exercises: stubs fail kindly, solutions pass, wrong answers get the right diagnosis; its quiz is fair."""

import math
import re

import numpy as np
import pytest
import torch
from exercise_contract import ExerciseContract

from course_utils.exercises import CheckFailed, lecture_01

# --- answers: the first ones of each list are right; the others come with a piece of their diagnosis


def sigma(score):
    return 1 / (1 + np.exp(-score))


def sgns(centre, context, negatives):
    true, noise = context @ centre, negatives @ centre
    loss = np.logaddexp(0, -true) + np.logaddexp(0, noise).sum()
    pull, push = -np.exp(-np.logaddexp(0, true)), np.exp(-np.logaddexp(0, -noise))
    return loss, pull * context + push @ negatives, pull * centre, np.outer(push, centre)


def sgns_by_loop(centre, context, negatives):
    """Word by word, with a sigmoid that overflows to the right number."""
    true = float(np.dot(context, centre))
    loss, slope = np.logaddexp(0.0, -true), sigma(true) - 1
    d_centre, d_context, d_negatives = slope * context, slope * centre, np.zeros_like(negatives)
    for i, other in enumerate(negatives):
        score = float(other @ centre)
        loss += np.logaddexp(0.0, score)
        d_centre = d_centre + sigma(score) * other
        d_negatives[i] = sigma(score) * centre
    return [np.array(loss), d_centre, d_context, d_negatives]


def sgns_by_autograd(centre, context, negatives):
    v, u, noise = (torch.tensor(x, requires_grad=True) for x in (centre, context, negatives))
    loss = -torch.nn.functional.logsigmoid(u @ v) - torch.nn.functional.logsigmoid(-noise @ v).sum()
    loss.backward()
    return loss.item(), v.grad.numpy(), u.grad.numpy(), noise.grad.numpy()


def sgns_by_scipy(centre, context, negatives):
    from scipy.special import expit, log_expit

    scores = np.concatenate([context[None], negatives]) @ centre
    signs = np.where(np.arange(len(scores)) == 0, 1, -1)
    slopes = -signs * expit(-signs * scores)
    rows = np.concatenate([context[None], negatives])
    return -log_expit(signs * scores).sum(), slopes @ rows, slopes[0] * centre, slopes[1:, None] * centre


def with_loss(loss):
    """The loss from another formula of the scores; the gradients are right."""

    def other_loss(centre, context, negatives):
        return loss(context @ centre, negatives @ centre), *sgns(centre, context, negatives)[1:]

    return other_loss


def with_gradient(place, gradient):
    """One gradient from another formula of σ(true), σ(noise) and the vectors; the rest is right."""

    def other_gradient(centre, context, negatives):
        answer = list(sgns(centre, context, negatives))
        true, noise = sigma(context @ centre), sigma(negatives @ centre)
        answer[place] = gradient(true, noise, centre, context, negatives)
        return tuple(answer)

    return other_gradient


def centre(gradient):
    return with_gradient(1, gradient)


def context(gradient):
    return with_gradient(2, gradient)


def noise(gradient):
    return with_gradient(3, gradient)


def with_sigma(function):
    """All of it right, but with another way to compute σ and its logarithm."""

    def other_sigma(centre, context, negatives):
        true, noise = context @ centre, negatives @ centre
        log, sigma = function
        loss = -log(true) - np.sum([log(-score) for score in noise])
        push = np.array([sigma(score) for score in noise])
        pull = sigma(true) - 1
        return loss, pull * context + push @ negatives, pull * centre, np.outer(push, centre)

    return other_sigma


def sgns_uphill(*given):
    loss, *gradients = sgns(*given)
    return loss, *(-gradient for gradient in gradients)


def sgns_in_place(centre, context, negatives):
    answer = sgns(centre, context, negatives)
    negatives *= 0.5
    return answer


def sgns_of_scores(centre, context, negatives):
    return -np.log(context @ centre) - np.log(-negatives @ centre).sum(), *sgns(centre, context, negatives)[
        1:
    ]


def softplus(score):
    return np.logaddexp(0, score)


def keep(counts, threshold):
    return np.minimum(1, np.sqrt(threshold / (counts / counts.sum())))


def keep_by_where(counts, threshold):
    share = counts / np.sum(counts)
    return np.where(share > threshold, (threshold / share) ** 0.5, 1.0)


def keep_by_loop(counts, threshold):
    total = sum(counts)
    return np.array([min(1.0, math.sqrt(threshold * total / count)) for count in counts], dtype=np.float32)


def keep_as_one_minus_discard(counts, threshold):
    return 1 - np.clip(1 - np.sqrt(threshold * counts.sum() / counts), 0, 1)


def keep_in_place(counts, threshold):
    counts //= 1
    counts += 1
    return keep(counts - 1, threshold)


def ratio(counts, threshold):
    return threshold * counts.sum() / counts


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def answers(scores, low=-np.inf):
    """Analogies by a formula of scores (vectors, rows a, b, c); the words of the question get a low score."""

    def analogy(words, vectors, a, b, c):
        places = [words.index(word) for word in (a, b, c)]
        found = np.array(scores(vectors, *places))
        if low is not None:
            found[places] = low
        return words[int(found.argmax())]

    return analogy


def add(vectors, a, b, c):
    return unit(vectors) @ (unit(vectors)[b] - unit(vectors)[a] + unit(vectors)[c])


def add_by_cosine(vectors, a, b, c):
    target = unit(vectors)[b] - unit(vectors)[a] + unit(vectors)[c]
    return unit(vectors) @ target / np.linalg.norm(target)


def add_by_distance(vectors, a, b, c):
    return -np.linalg.norm(unit(vectors) - (unit(vectors)[b] - unit(vectors)[a] + unit(vectors)[c]), axis=1)


def three_cosines(vectors, a, b, c):
    cosines = unit(vectors) @ unit(vectors).T
    return cosines[b] - cosines[a] + cosines[c]


def products(vectors, a, b, c):
    cosines = (unit(vectors) @ unit(vectors).T + 1) / 2
    return cosines[b] * cosines[c] / (cosines[a] + 0.001)


def analogy_by_loop(words, vectors, a, b, c):
    table = {word: vector / np.sqrt(vector @ vector) for word, vector in zip(words, vectors, strict=True)}
    target = table[b] - table[a] + table[c]
    return max((word for word in words if word not in (a, b, c)), key=lambda word: table[word] @ target)


def analogy_by_sorting(words, vectors, a, b, c):
    places = {word: i for i, word in enumerate(words)}
    order = np.argsort(-add(vectors, places[a], places[b], places[c]))
    return next(np.array(words)[i] for i in order if words[i] not in {a, b, c})


def ranked(place):
    def analogy(words, vectors, a, b, c):
        return words[np.argsort(-add(vectors, *(words.index(word) for word in (a, b, c))))[place]]

    return analogy


def searching(best, found=None, cosine=add):
    """A search for the largest cosine that starts from a number."""

    def analogy(words, vectors, a, b, c):
        nearest, answer = best, found
        for word, score in zip(words, cosine(vectors, *map(words.index, (a, b, c))), strict=True):
            if word not in (a, b, c) and score > nearest:
                nearest, answer = score, word
        return answer

    return analogy


def analogy_unbound(words, vectors, a, b, c):
    nearest = 0
    for word, score in zip(words, add(vectors, *map(words.index, (a, b, c))), strict=True):
        if word not in (a, b, c) and score > nearest:
            nearest, answer = score, word
    return answer


def analogy_in_place(words, vectors, a, b, c):
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return analogy_by_loop(words, vectors, a, b, c)


def analogy_removing(words, vectors, a, b, c):
    answer = analogy_by_loop(words, vectors, a, b, c)
    words.remove(a)
    return answer


def analogy_excluding(some):
    def analogy(words, vectors, a, b, c):
        scores = add(vectors, *map(words.index, (a, b, c)))
        for name, word in (("a", a), ("b", b), ("c", c)):
            if name in some:
                scores[words.index(word)] = -np.inf
        return words[scores.argmax()]

    return analogy


def by_index(words, vectors, a, b, c):
    return words.index(analogy_by_loop(words, vectors, a, b, c))


def changed(function, change):
    """A right answer, changed at the end."""

    def nearly(*given):
        return change(function(*given))

    return nearly


# fmt: off
EXERCISES = {
    lecture_01.check_sgns: (
        [sgns, sgns_by_loop, sgns_by_autograd, sgns_by_scipy, changed(sgns, lambda answer: (torch.tensor(answer[0]), *answer[1:])),
         changed(sgns, lambda answer: (np.float32(answer[0]), *(part.astype(np.float32) for part in answer[1:])))],
        [
            (changed(sgns, lambda answer: answer[0]), "you return only one, a float64"),
            (changed(sgns, lambda answer: answer[:3]), "you return 3"),
            (changed(sgns, lambda answer: (None, *answer[1:])), "should be a number, not NoneType"),
            (changed(sgns, lambda answer: (*answer[:3], answer[3].tolist())), "d_negatives should be a numpy array"),
            (changed(sgns, lambda answer: (answer[0], answer[1].astype(str), *answer[2:])), "d_centre should hold numbers"),
            (sgns_in_place, "changes negatives"),
            (with_loss(lambda true, noise: softplus(-true) + softplus(noise)), "Add up the terms of the noise words"),
            (sgns_of_scores, "take the logarithm of a score"),
            (with_loss(lambda true, noise: -softplus(-true) - softplus(noise).sum()), "the minus in front is missing"),
            (with_loss(lambda true, noise: (softplus(-true) + softplus(noise).sum()) / np.log(2)), "log2"),
            (with_loss(lambda true, noise: (softplus(-true) + softplus(noise).sum()) / np.log(10)), "log10"),
            (with_loss(lambda true, noise: softplus(-true) + softplus(noise).mean()), "mean over the noise words"),
            (with_loss(lambda true, noise: softplus(np.array([-true, *noise])).mean()), "mean over all terms"),
            (with_loss(lambda true, noise: softplus(-true) + softplus(-noise).sum()), "pulled towards the centre"),
            (with_loss(lambda true, noise: softplus(-true) - softplus(noise).sum()), "added with the wrong sign"),
            (with_loss(lambda true, noise: softplus(true) + softplus(-noise).sum()), "the signs are swapped"),
            (with_loss(lambda true, noise: softplus(true) + softplus(noise).sum()), "pushed apart like noise"),
            (with_loss(lambda true, noise: softplus(-true)), "the noise is forgotten"),
            (with_loss(lambda true, noise: softplus(noise).sum()), "the true pair is forgotten"),
            (with_loss(lambda true, noise: softplus(-true) + softplus(noise.sum())), "add up the scores"),
            (with_loss(lambda true, noise: -sigma(true) - sigma(-noise).sum()), "the logarithm is missing"),
            (with_loss(lambda true, noise: sigma(true) * sigma(-noise).prod()), "the logarithm is missing"),
            (with_loss(lambda true, noise: np.log(np.exp([true, *noise]).sum()) - true), "a softmax over the pair"),
            (with_loss(lambda true, noise: 1.0), "your loss is 1 and not"),
            (sgns_uphill, "the sign is turned"),
            (centre(lambda true, noise, v, u, others: (true - 1) * u), "the noise is missing"),
            (centre(lambda true, noise, v, u, others: noise @ others), "the true pair is missing"),
            (centre(lambda true, noise, v, u, others: true * u + noise @ others), "the true pair enters with σ."),
            (centre(lambda true, noise, v, u, others: (1 - true) * u + noise @ others), "the true pair has the wrong sign"),
            (centre(lambda true, noise, v, u, others: (true - 1) * u - noise @ others), "the noise has the wrong sign"),
            (centre(lambda true, noise, v, u, others: (true - 1) * u + (noise - 1) @ others), "as if it were true"),
            (centre(lambda true, noise, v, u, others: (true - 1) * u + (1 - noise) @ others), "enters with σ(-s)"),
            (centre(lambda true, noise, v, u, others: (true - 1) * u + noise @ others / len(noise)), "divided by a number of words"),
            (centre(lambda true, noise, v, u, others: (true - 1) * u + noise.sum() * others.sum(0)), "are added up apart"),
            (centre(lambda true, noise, v, u, others: (true - 1 + noise.sum()) * v), "multiplied by v itself"),
            (centre(lambda true, noise, v, u, others: (true - 1) * v + noise @ others), "true slope is multiplied by v itself"),
            (centre(lambda true, noise, v, u, others: noise[:, None] * others + (true - 1) * u), "a row for each noise word"),
            (centre(lambda true, noise, v, u, others: 0 * v), "your d_centre is [0, 0] and not"),
            (changed(sgns, lambda answer: (answer[0], answer[2], answer[1], answer[3])), "The order is loss, d_centre"),
            (context(lambda true, noise, v, u, others: (true - 1) * u), "multiplied by u_o itself"),
            (context(lambda true, noise, v, u, others: true * v), "the true pair enters with σ."),
            (context(lambda true, noise, v, u, others: (1 - true) * v), "the true pair has the wrong sign"),
            (context(lambda true, noise, v, u, others: (true - 1 + noise.sum()) * v), "in its own term only"),
            (context(lambda true, noise, v, u, others: true - 1), "d_context should be a numpy array"),
            (context(lambda true, noise, v, u, others: ((true - 1) * v)[None]), "shape (1, 2) and not (2,)"),
            (noise(lambda true, noise, v, u, others: noise @ others), "you add up over the noise words"),
            (noise(lambda true, noise, v, u, others: np.outer(v, noise)), "it lies on its side"),
            (noise(lambda true, noise, v, u, others: -np.outer(noise, v)), "the noise has the wrong sign"),
            (noise(lambda true, noise, v, u, others: np.outer(noise - 1, v)), "as if it were true"),
            (noise(lambda true, noise, v, u, others: np.outer(1 - noise, v)), "enters with σ(-s)"),
            (noise(lambda true, noise, v, u, others: np.outer(noise, v) / len(noise)), "divided by a number of words"),
            (noise(lambda true, noise, v, u, others: noise[:, None] * others), "multiplied by the noise vectors themselves"),
            (noise(lambda true, noise, v, u, others: np.outer(noise, u)), "multiplied by u_o"),
            (noise(lambda true, noise, v, u, others: np.tile(noise @ np.outer(noise * 0 + 1, v), (len(noise), 1))), "each row is the sum"),
            (noise(lambda true, noise, v, u, others: np.tile((true - 1) * v, (len(noise), 1))), "slope of the true pair"),
            (with_sigma((lambda s: np.log(sigma(s)), sigma)), "np.logaddexp(0, -s) computes that without overflow"),
            (with_sigma((lambda s: -np.log(1 + np.exp(-s)), sigma)), "np.logaddexp(0, -s) computes that without overflow"),
            (with_sigma((lambda s: math.log(1 / (1 + math.exp(-s))), sigma)), "stops with OverflowError"),
            (with_sigma((lambda s: np.log(sigma(s) + 1e-9), sigma)), "a small number added inside the logarithm"),
            (with_sigma((lambda s: np.log(sigma(np.clip(s, -30, 30))), sigma)), "or scores cut off"),
            (with_sigma((lambda s: -softplus(-s), lambda s: np.exp(s) / (1 + np.exp(s)))), "inf / inf is nan"),
            (lambda centre, context, negatives: centre @ negatives, "stopped"),
        ],
    ),
    lecture_01.check_keep_probability: (
        [keep, keep_by_where, keep_by_loop, keep_as_one_minus_discard],
        [
            (lambda counts, t: np.sqrt(ratio(counts, t)), "above 1 is no probability"),
            (lambda counts, t: 1 - keep(counts, t), "probability of discarding"),
            (lambda counts, t: 1 - np.sqrt(ratio(counts, t)), "probability of discarding"),
            (lambda counts, t: np.minimum(1, np.sqrt(t / counts)), "f is a share"),
            (lambda counts, t: 1 - np.minimum(1, np.sqrt(t / counts)), "leave out the `1 -`"),
            (lambda counts, t: np.minimum(1, ratio(counts, t)), "the square root is missing"),
            (lambda counts, t: ratio(counts, t), "the square root is missing. And cap it"),
            (lambda counts, t: 1 - np.minimum(1, ratio(counts, t)), "the square root is missing. And keep"),
            (lambda counts, t: np.minimum(1, np.sqrt(ratio(counts, t)) + ratio(counts, t)), "and right there"),
            (lambda counts, t: np.sqrt(ratio(counts, t)) + ratio(counts, t), "sqrt(t / f) alone. And cap it"),
            (lambda counts, t: np.minimum(1, np.sqrt(1 / ratio(counts, t))), "upside down"),
            (lambda counts, t: np.maximum(1, np.sqrt(ratio(counts, t))), "np.maximum takes the larger one"),
            (lambda counts, t: keep(counts, t) * (ratio(counts, t) < 1), "rare words are thrown away"),
            (lambda counts, t: counts / counts.sum(), "these are the shares"),
            (lambda counts, t: np.minimum(1, np.sqrt(t * counts.max() / counts)), "not by the largest one"),
            (lambda counts, t: np.minimum(1, np.sqrt(t / (counts / len(counts)))), "not by the number of words"),
            (lambda counts, t: np.minimum(1, np.sqrt(t / counts.mean() * counts)), "you return"),
            (lambda counts, t: keep(counts, t) / keep(counts, t).sum(), "yours add up to 1"),
            (lambda counts, t: np.minimum(1, np.sqrt(t) / (counts / counts.sum())), "only a part of the fraction"),
            (lambda counts, t: np.minimum(1, t / np.sqrt(counts / counts.sum())), "only a part of the fraction"),
            (lambda counts, t: np.minimum(1, np.sqrt(t // (counts / counts.sum()))), "drops what comes after"),
            (lambda counts, t: np.minimum(1, np.sqrt(t / (counts // counts.sum()))), "the shares become 0"),
            (lambda counts, t: np.sqrt(ratio(counts, t)) // 1 * 0, "every word is thrown away"),
            (lambda counts, t: keep(counts, 1e-3), "does not use the threshold"),
            (lambda counts, t: keep(counts, 1e-5), "does not use the threshold"),
            (keep_in_place, "changes the counts"),
            (lambda counts, t: keep(counts, t).tolist(), "Return a numpy array, not list"),
            (lambda counts, t: keep(counts, t) > 0.5, "the draw comes later"),
            (lambda counts, t: keep(counts, t).astype(str), "Return numbers"),
            (lambda counts, t: keep(counts, t)[:, None], "one probability for each"),
            (lambda counts, t: counts.share, "stopped"),
        ],
    ),
    lecture_01.check_analogy: (
        [answers(add), answers(add_by_cosine), answers(add_by_distance), answers(three_cosines), analogy_by_loop,
         analogy_by_sorting, searching(-np.inf)],
        [
            (answers(add, low=None), "a word of the question. Leave all three out"),
            (analogy_excluding("c"), "a word of the question. Leave all three out"),
            (analogy_excluding("bc"), "a word of the question. Leave all three out, with"),
            (answers(lambda m, a, b, c: m @ (m[b] - m[a] + m[c])), "not brought to length 1, so long ones count more"),
            (answers(lambda m, a, b, c: (m / np.linalg.norm(m)) @ (m[b] - m[a] + m[c])), "one number for the whole table"),
            (answers(lambda m, a, b, c: unit(m) @ (m[b] - m[a] + m[c])), "only after b - a + c"),
            (answers(lambda m, a, b, c: m @ (unit(m)[b] - unit(m)[a] + unit(m)[c])), "compare it with the vectors as they were"),
            (answers(lambda m, a, b, c: -np.square(m - m[b] + m[a] - m[c]).sum(1)), "you take distances"),
            (answers(lambda m, a, b, c: (unit(m.T).T) @ (unit(m.T).T[b] - unit(m.T).T[a] + unit(m.T).T[c])), "the columns"),
            (answers(lambda m, a, b, c: add_squares(m, a, b, c)), "by the squared length"),
            (answers(lambda m, a, b, c: add(m, b, a, c)), "that is a - b + c"),
            (answers(lambda m, a, b, c: add(m, c, b, a)), "that is b + a - c"),
            (answers(lambda m, a, b, c: unit(m) @ (unit(m)[b] - unit(m)[a] - unit(m)[c])), "that is b - a - c"),
            (answers(lambda m, a, b, c: unit(m) @ (unit(m)[b] + unit(m)[a] + unit(m)[c])), "that is a + b + c"),
            (answers(lambda m, a, b, c: unit(m) @ (unit(m)[b] + unit(m)[c])), "that is b + c"),
            (answers(lambda m, a, b, c: unit(m) @ (unit(m)[b] - unit(m)[a])), "the step alone"),
            (answers(lambda m, a, b, c: unit(m) @ unit(m)[c]), "the neighbour of c"),
            (answers(lambda m, a, b, c: unit(m) @ unit(m)[b]), "the neighbour of b"),
            (answers(lambda m, a, b, c: -add(m, a, b, c)), "the smallest cosine"),
            (answers(products), "that is 3CosMul"),
            (ranked(1), "you take the second best"),
            (ranked(2), "you take the third best"),
            (ranked(3), "you take the fourth best"),
            (lambda words, vectors, a, b, c: "stone", "you return 'stone' and not"),
            (answers(add, low=0), "0 would be the largest here"),
            (answers(add, low=-1), "with a score of -np.inf"),
            (searching(0), "you return nothing. A search for the largest must start from -np.inf"),
            (searching(-1), "you return nothing. A search for the largest must start from -np.inf"),
            (searching(0, "salt"), "The answer is the largest one all the same"),
            (analogy_unbound, "stops with UnboundLocalError: A search for the largest must start from -np.inf"),
            (by_index, "the place of the word. Return the word itself"),
            (lambda words, vectors, a, b, c: vectors[0], "You return numbers, scores or a vector"),
            (changed(analogy_by_loop, lambda word: [word]), "Return one word, a string, not list"),
            (changed(analogy_by_loop, str.upper), "'NORWAY', which is not one of the words"),
            (analogy_in_place, "changes the vectors"),
            (analogy_removing, "changes the list of words"),
            (lambda words, vectors, a, b, c: vectors / np.linalg.norm(vectors, axis=1), "stopped"),
        ],
    ),
}
# fmt: on
def add_squares(vectors, a, b, c):
    rows = vectors / (vectors**2).sum(1, keepdims=True)
    return rows @ (rows[b] - rows[a] + rows[c])


class TestLecture01(ExerciseContract):
    exercises = EXERCISES


def test_a_diagnosis_shows_the_question_and_both_answers():
    with pytest.raises(CheckFailed) as failed:
        lecture_01.check_analogy(answers(lambda m, a, b, c: unit(m) @ unit(m)[b]))
    assert re.search(r"^For \w+ : \w+ :: \w+ : \? you return '\w+' and not '\w+': ", str(failed.value))
    said = "For a score of 1.1 for the true pair and [-1.1, 0, 3.3] for the noise, your loss is -4.601 and not 4.601: "
    with pytest.raises(CheckFailed, match=re.escape(said)):
        lecture_01.check_sgns(with_loss(lambda true, noise: -softplus(-true) - softplus(noise).sum()))


# --- the checks against the source of what they check


def test_the_answer_of_sgns_by_hand_and_by_differences():
    v, u, noise = np.array([math.log(3), 0]), np.array([1.0, 2]), np.array([[-1.0, 4], [0, -2], [3, 0]])
    loss, d_centre, d_context, d_negatives = lecture_01._sgns(v, u, noise)
    assert math.isclose(loss, math.log(4 / 3 * 4 / 3 * 2 * 28))
    np.testing.assert_allclose(d_centre, [-1 / 4 - 1 / 4 + 3 * 27 / 28, -2 / 4 + 4 / 4 - 2 / 2])
    np.testing.assert_allclose(d_context, [-math.log(3) / 4, 0])
    np.testing.assert_allclose(d_negatives, np.outer([1 / 4, 1 / 2, 27 / 28], v))

    random = np.random.default_rng(3)
    vectors = [random.normal(size=shape) for shape in (3, 3, (4, 3))]
    for place, gradient in enumerate(lecture_01._sgns(*vectors)[1:]):
        for at in np.ndindex(gradient.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = [vector.copy() for vector in vectors]
                moved[place][at] += step
                sides.append(lecture_01._sgns(*moved)[0])
            assert math.isclose((sides[0] - sides[1]) / 2e-5, gradient[at], rel_tol=1e-6, abs_tol=1e-8)


def test_the_exercises_mean_what_the_course_computes():
    from course_utils.models.word2vec import SkipGram, keep_probability
    from course_utils.word_vectors import WordVectors

    model = SkipGram(5, 3).double()
    torch.nn.init.normal_(model.context.weight, generator=torch.Generator().manual_seed(0))
    loss = model(torch.tensor([0]), torch.tensor([1]), torch.tensor([[2, 3, 4]]))
    loss.backward()
    centres, contexts = (part.weight.detach().numpy() for part in (model.centre, model.context))
    mine = sgns(centres[0], contexts[1], contexts[2:])
    np.testing.assert_allclose(mine[0], loss.item())
    np.testing.assert_allclose(mine[1], model.centre.weight.grad[0])
    np.testing.assert_allclose(mine[2], model.context.weight.grad[1])
    np.testing.assert_allclose(mine[3], model.context.weight.grad[2:])

    counts = np.array([900, 90, 9, 1])
    # The package follows the published program: the check says so to whoever hands that in.
    with pytest.raises(CheckFailed, match="of this course's package, and right there"):
        lecture_01.check_keep_probability(keep_probability)
    assert (keep_probability(counts, 0.01) >= keep(counts, 0.01)).all()

    words, table = lecture_01._WORDS, np.array(lecture_01._TABLE, dtype=float)
    vectors = WordVectors(words, table)
    for a, b, c in lecture_01._QUESTIONS:
        assert vectors.analogy(a, b, c, 1)[0][0] == answers(add)(words, table, a, b, c)


def test_the_analogies_make_sense_and_are_no_close_calls():
    capitals = {"rome": "italy", "oslo": "norway", "paris": "france", "athens": "greece"}
    other = capitals | {country: capital for capital, country in capitals.items()}
    words, table = lecture_01._WORDS, np.array(lecture_01._TABLE, dtype=float)
    assert len(words) == len(table) == len(set(words))
    for question in lecture_01._QUESTIONS:
        assert other[question[0]] == question[1]
        assert answers(add)(words, table, *question) == other[question[2]]
        scores = add_by_cosine(table, *map(words.index, question))
        scores[[words.index(word) for word in question]] = -np.inf
        assert np.diff(np.sort(scores)[-2:]) > 0.01
