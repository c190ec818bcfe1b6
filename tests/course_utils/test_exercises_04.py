"""Lecture 04's exercises: stubs fail kindly, solutions pass, wrong answers get the right diagnosis."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from exercise_contract import ExerciseContract

from course_utils.exercises import CheckFailed, lecture_04
from course_utils.models.elmo import CharacterEncoder, ScalarMix, turn

# --- answers: the first ones of each list are right; the others come with a piece of their diagnosis


def sigma(z):
    return 1 / (1 + np.exp(-z))


def relu(z):
    return np.maximum(z, 0)


def softmax(z):
    raised = np.exp(z - z.max())
    return raised / raised.sum()


def swelling(z):
    """Right as long as exp(z) is finite."""
    return np.exp(z) / (1 + np.exp(z))


def changed(function, change):
    """A right answer, changed at the end."""

    def nearly(*given):
        return change(function(*given))

    return nearly


def highway(x, W, b, W_gate, b_gate):
    gate = sigma(W_gate @ x + b_gate)
    return gate * relu(W @ x + b) + (1 - gate) * x


def highway_by_where(x, W, b, W_gate, b_gate):
    """The same as a step from x towards the new vector."""
    new = W @ x + b
    return x + (np.where(new > 0, new, 0) - x) / (1 + np.exp(-(W_gate @ x + b_gate)))


def highway_by_torch(x, W, b, W_gate, b_gate):
    x, W, b, W_gate, b_gate = map(torch.tensor, (x, W, b, W_gate, b_gate))
    gate = torch.sigmoid(W_gate @ x + b_gate)
    return torch.lerp(x, torch.relu(W @ x + b), gate).numpy()


def highway_by_loop(x, W, b, W_gate, b_gate):
    y = np.empty_like(x)
    for i in range(len(x)):
        gate = 1 / (1 + math.exp(-(W_gate[i] @ x + b_gate[i])))
        y[i] = gate * max(W[i] @ x + b[i], 0.0) + (1 - gate) * x[i]
    return y


def from_parts(formula):
    """A highway layer from another formula of x, the new vector's sum z and the gate's sum zg."""

    def other_highway(x, W, b, W_gate, b_gate):
        return formula(x, W @ x + b, W_gate @ x + b_gate)

    return other_highway


def from_sums(sums):
    """A highway layer whose two sums are others."""

    def other_sums(*given):
        z, zg = sums(*given)
        return sigma(zg) * relu(z) + (1 - sigma(zg)) * given[0]

    return other_sums


def highway_in_place(x, W, b, W_gate, b_gate):
    gate = sigma(W_gate @ x + b_gate)
    new = relu(W @ x + b)
    x *= 1 - gate
    return x + gate * new


def closed_for_negatives(x, W, b, W_gate, b_gate):
    """Right as long as the gate is neither open nor shut."""
    gate = (
        np.clip(sigma(W_gate @ x + b_gate), 0.01, 0.99)
        if abs(b_gate).max() > 20
        else sigma(W_gate @ x + b_gate)
    )
    return gate * relu(W @ x + b) + (1 - gate) * x


def backwards(ids, lengths):
    turned = ids.copy()
    for row, n in zip(turned, lengths, strict=True):
        row[:n] = row[:n][::-1].copy()
    return turned


def backwards_by_places(ids, lengths):
    place = np.arange(ids.shape[1])
    ends = np.array(lengths)[:, None]
    return np.take_along_axis(ids, np.where(place < ends, ends - 1 - place, place), axis=1)


def backwards_by_lists(ids, lengths):
    return [[*row[:n][::-1], *row[n:]] for row, n in zip(ids.tolist(), lengths, strict=True)]


def backwards_by_the_course(ids, lengths):
    mask = torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]
    return torch.tensor(ids).take_along_dim(turn(mask.long()), 1).numpy()


def backwards_by_value(ids, lengths):
    turned = ids.copy()
    for row in turned:
        row[row != 0] = row[row != 0][::-1]
    return turned


def backwards_by_count(ids, lengths):
    return backwards(ids, [(row != 0).sum() for row in ids])


def backwards_in_place(ids, lengths):
    for row, n in zip(ids, lengths, strict=True):
        row[:n] = row[:n][::-1].copy()
    return ids


def backwards_by_view(ids, lengths):
    """Reads what it has written already."""
    turned = ids.copy()
    for row, n in zip(turned, lengths, strict=True):
        for i in range(n):
            row[i] = row[n - 1 - i]
    return turned


def backwards_without_padding(ids, lengths):
    return [row[:n][::-1] for row, n in zip(ids.tolist(), lengths, strict=True)]


def backwards_into_floats(ids, lengths):
    turned = np.zeros(ids.shape)
    turned[:] = backwards(ids, lengths)
    return turned


def backwards_from_the_end(ids, lengths):
    """Where a row has no word, it begins at the last place."""
    turned = ids.copy()
    for new, row, n in zip(turned, ids, lengths, strict=True):
        new[:n] = row[n - 1 :: -1]
    return turned


def backwards_by_index(ids, lengths):
    """Takes a word that comes again for the first of its kind."""
    rows = []
    for row, n in zip(ids.tolist(), lengths, strict=True):
        rows.append([row[n - 1 - row.index(token)] if i < n else 0 for i, token in enumerate(row)])
    return np.array(rows)


def backwards_padding_first(ids, lengths):
    turned = np.zeros_like(ids)
    for new, row, n in zip(turned, ids, lengths, strict=True):
        new[len(row) - n :] = row[:n][::-1]
    return turned


def mix(layers, weights, gamma):
    s = softmax(weights)
    return gamma * (s[:, None, None] * layers).sum(0)


def mix_by_tensordot(layers, weights, gamma):
    return gamma * np.tensordot(softmax(weights), layers, axes=1)


def mix_by_einsum(layers, weights, gamma):
    return np.einsum("l,lnd->nd", gamma * softmax(weights), layers)


def mix_by_loop(layers, weights, gamma):
    total = np.zeros(layers.shape[1:])
    for share, layer in zip(softmax(weights), layers, strict=True):
        total += share * layer
    return gamma * total


def mix_by_the_course(layers, weights, gamma):
    module = ScalarMix(len(weights)).double()
    module.weights.data = torch.tensor(weights)
    module.gamma.data = torch.tensor(gamma, dtype=torch.double)
    return module(torch.tensor(layers)).detach().numpy()


def shares(formula):
    """A mixture with other shares than the softmax of the weights."""
    return lambda layers, weights, gamma: gamma * np.tensordot(formula(weights), layers, axes=1)


def softmax_by_dict(weights):
    """Keeps one of two equal weights."""
    raised = {weight: math.exp(weight - weights.max()) for weight in weights}
    return np.array([raised[weight] / sum(raised.values()) for weight in weights])


def plain_softmax(weights):
    return np.exp(weights) / np.exp(weights).sum()


def mix_in_place(layers, weights, gamma):
    layers *= gamma
    return np.tensordot(softmax(weights), layers, axes=1)


def reduction(base, new):
    if base == 1:
        raise ValueError("no errors to reduce")
    return (new - base) / (1 - base)


def reduction_of_errors(base, new):
    before, after = 1 - base, 1 - new
    if not before:
        raise ValueError("the baseline makes no errors")
    return 1 - after / before


def reduction_by_numpy(base, new):
    if base >= 1:
        raise ValueError
    return np.divide(np.subtract(new, base), 1 - base)


def reduction_of_tensors(base, new):
    if base == 1:
        raise ValueError
    before, after = 1 - torch.tensor(base, dtype=torch.float64), 1 - torch.tensor(new, dtype=torch.float64)
    return (before - after) / before


def reduction_or_zero(base, new):
    return reduction(base, new) if base < 1 else 0.0


EXERCISES = {
    lecture_04.check_highway: (
        [highway, highway_by_where, highway_by_torch, highway_by_loop, changed(highway, np.float32)],
        [
            (from_parts(lambda x, z, zg: sigma(zg) * x + (1 - sigma(zg)) * relu(z)), "the gate is turned round"),
            (from_parts(lambda x, z, zg: sigma(zg) * relu(z)), "what the gate holds back is lost"),
            (from_parts(lambda x, z, zg: sigma(zg) * relu(z) + x), "x is added whole"),
            (from_parts(lambda x, z, zg: relu(z) + x), "residual connection"),
            (from_parts(lambda x, z, zg: relu(z)), "the gate is missing"),
            (from_parts(lambda x, z, zg: (1 - sigma(zg)) * x), "the new part is missing"),
            (from_parts(lambda x, z, zg: sigma(zg)), "the gate alone"),
            (from_parts(lambda x, z, zg: relu(z) + (1 - sigma(zg)) * x), "the new part needs its gate as well"),
            (from_parts(lambda x, z, zg: sigma(zg) * z + (1 - sigma(zg)) * x), "the relu is missing"),
            (from_parts(lambda x, z, zg: sigma(zg) * np.tanh(z) + (1 - sigma(zg)) * x), "tanh stands where"),
            (from_parts(lambda x, z, zg: sigma(zg) * sigma(z) + (1 - sigma(zg)) * x), "σ stands where"),
            (from_parts(lambda x, z, zg: zg * relu(z) + (1 - zg) * x), "the σ is missing"),
            (from_parts(lambda x, z, zg: relu(sigma(zg) * relu(z) + (1 - sigma(zg)) * x)), "the relu goes around everything"),
            (from_parts(lambda x, z, zg: sigma(-zg) * relu(z) + sigma(zg) * x), "the gate is turned round"),
            (from_sums(lambda x, W, b, U, c: (W @ x + b, U @ x)), "the gate's bias is forgotten"),
            (from_sums(lambda x, W, b, U, c: (W @ x, U @ x + c)), "the bias b is forgotten"),
            (from_sums(lambda x, W, b, U, c: (W @ x, U @ x)), "both biases are forgotten"),
            (from_sums(lambda x, W, b, U, c: (W @ x + b, U @ relu(W @ x + b) + c)), "the gate looks at the new vector"),
            (from_sums(lambda x, W, b, U, c: (W @ x + b, W @ x + b)), "the same weights as the transformation"),
            (from_sums(lambda x, W, b, U, c: (x @ W + b, U @ x + c)), "x stands before W, which"),
            (from_sums(lambda x, W, b, U, c: (W @ x + b, x @ U + c)), "x stands before W_gate"),
            (from_sums(lambda x, W, b, U, c: (x @ W + b, x @ U + c)), "x stands before the weights"),
            (highway_in_place, "changes x, which it should only read"),
            (closed_for_negatives, "Where the gate is shut"),
            (from_parts(lambda x, z, zg: sigma(zg) @ relu(z)), "a single number"),
            (from_parts(lambda x, z, zg: sigma(zg)[:, None] * relu(z) + (1 - sigma(zg)) * x), "has shape (3, 3) and not (3,): each number meets every other"),
            (from_parts(lambda x, z, zg: list(x)), "Return a numpy array, not list"),
            (from_parts(lambda x, z, zg: x / 0), ". Do you divide by 0?"),
            (from_parts(lambda x, z, zg: x[:2]), "has shape (2,) and not (3,)"),
            (from_parts(lambda x, z, zg: x.astype(str)), "Return numbers"),
            (from_parts(lambda x, z, zg: x.total()), "stopped"),
            (from_parts(lambda x, z, zg: swelling(zg) * relu(z) + (1 - swelling(zg)) * x), "(its bias is 800)"),
            (from_parts(lambda x, z, zg: swelling(zg) * relu(z) + (1 - swelling(zg)) * x), "np.exp(800) is more than float64 can hold"),
            (changed(highway, lambda y: (y, y)), "and you return several"),
        ],
    ),
    lecture_04.check_read_backwards: (
        [backwards, backwards_by_places, backwards_by_lists, backwards_by_the_course, changed(backwards, np.int32), changed(backwards, tuple)],
        [
            (lambda ids, lengths: ids.copy(), "nothing is turned round"),
            (lambda ids, lengths: ids[:, ::-1], "the padding is turned round with the words"),
            (lambda ids, lengths: ids[::-1, ::-1], "sentences and words are both turned"),
            (lambda ids, lengths: torch.tensor(ids).flip(1).numpy(), "the padding is turned round with the words"),
            (backwards_by_value, "you find the padding by its value"),
            (backwards_by_count, "you find the padding by its value"),
            (lambda ids, lengths: backwards(ids, [n - 1 for n in lengths]), "the last word stays in its place"),
            (lambda ids, lengths: backwards(ids, [n + 1 for n in lengths]), "one id too many"),
            (lambda ids, lengths: backwards(ids, [lengths[0]] * len(ids)), "at the first row's length"),
            (backwards_padding_first, "the padding is turned round with the words"),
            (backwards_without_padding, "other lengths than"),
            (backwards_in_place, "changes the ids, which it should only read"),
            (backwards_by_view, "and not [[8, 7, 6, 5]]"),
            (lambda ids, lengths: ids.T[::-1], "the batch keeps its shape"),
            (lambda ids, lengths: "abc", "Return a numpy array, not str"),
            (lambda ids, lengths: ids.astype(str), "Return whole numbers"),
            (lambda ids, lengths: ids.turn(), "stopped"),
            (backwards_into_floats, "a table looks up whole ones only"),
            (changed(backwards, lambda turned: turned.astype(np.int16)), "of type int16, which is too small"),
            (changed(backwards, lambda turned: turned.astype(np.uint8)), "of type uint8, which is too small"),
            (backwards_from_the_end, "stopped"),
            (backwards_by_index, "For [[7, 70000, 7, 8, 0], [0, 0, 0, 0, 0]] with lengths [4, 0] you return"),
            (lambda ids, lengths: (backwards(ids, lengths), lengths), "and you return several"),
        ],
    ),
    lecture_04.check_scalar_mix: (
        [mix, mix_by_tensordot, mix_by_einsum, mix_by_loop, mix_by_the_course, changed(mix, np.float32)],
        [
            (lambda h, w, g: np.tensordot(softmax(w), h, axes=1), "gamma is missing"),
            (lambda h, w, g: np.tensordot(softmax(g * w), h, axes=1), "gamma meets the weights before the softmax"),
            (lambda h, w, g: np.tensordot(softmax(w), h, axes=1) / g, "you divide by gamma"),
            (lambda h, w, g: g * g * np.tensordot(softmax(w), h, axes=1), "gamma is applied twice"),
            (lambda h, w, g: g + np.tensordot(softmax(w), h, axes=1), "gamma is added"),
            (shares(lambda w: w), "the weights are taken as they are"),
            (shares(np.exp), "not yet shares"),
            (shares(lambda w: w / w.sum()), "divided by their sum, without np.exp"),
            (shares(lambda w: softmax(w) / len(w)), "that is the mean over the layers"),
            (shares(lambda w: np.exp(w) / len(w)), "the exponentials are averaged"),
            (shares(np.ones_like), "added up without weights"),
            (lambda h, w, g: g * h.mean(0), "all layers get the same share"),
            (shares(sigma), "through σ by itself"),
            (shares(lambda w: softmax(-w)), "the sign is turned"),
            (shares(lambda w: softmax(softmax(w))), "the softmax runs twice"),
            (lambda h, w, g: g * np.tensordot(softmax(h.mean((1, 2))), h, axes=1), "the softmax is taken of the layers"),
            (lambda h, w, g: g * h[w.argmax()], "only the layer with the largest weight"),
            (lambda h, w, g: g * (softmax(w) * h).sum(0) if h.shape[2] == len(w) else mix(h, w, g), "meet the columns, not the layers"),
            (lambda h, w, g: h @ softmax(w) * g if h.shape[2] == len(w) else mix(h, w, g), "meet the columns, not the layers"),
            (lambda h, w, g: mix(h, w, g).sum(0, keepdims=True) + 0 * h[0], "the words are added up as well"),
            (shares(plain_softmax), "np.exp(1000) is more than float64 can hold"),
            (lambda h, w, g: np.nan_to_num(shares(plain_softmax)(h, w, g)), "np.exp(1000) is more than float64 can hold"),
            (lambda h, w, g: g * softmax(w)[:, None, None] * h, "has shape (2, 1, 3) and not (1, 3): these are all layers, weighted"),
            (lambda h, w, g: mix(h, w, g).sum(), "a single number"),
            (lambda h, w, g: mix(h, w, g).sum(0), "a vector for each word"),
            (mix_in_place, "changes the layers, which it should only read"),
            (lambda h, w, g: mix(h, w, g).tolist(), "Return a numpy array, not list"),
            (lambda h, w, g: (softmax(w) * h).sum(0), "stopped"),
            (lambda h, w, g: mix(h, np.maximum(w, -500), g), "with weights [-1000, -1001, -1003]"),
            (shares(lambda w: np.exp(w - max(0, w.max())) / np.exp(w - max(0, w.max())).sum()), "np.exp(-1000) is 0"),
            (shares(softmax_by_dict), "with weights [1000, 1000, 998]"),
            (changed(mix, lambda mixture: (mixture, 1)), "and you return several"),
        ],
    ),
    lecture_04.check_relative_error_reduction: (
        [reduction, reduction_of_errors, reduction_by_numpy, reduction_of_tensors, changed(reduction, np.float32),
         changed(reduction, Fraction), changed(reduction, np.array)],
        [
            (lambda base, new: new - base, "the gain in points"),
            (lambda base, new: 100 * reduction(base, new), "in per cent"),
            (lambda base, new: -reduction(base, new), "the sign is turned"),
            (lambda base, new: max(reduction(base, new), 0.0), "a worse model is hidden"),
            (lambda base, new: abs(reduction(base, new)), "a worse model is hidden"),
            (lambda base, new: (1 - new) / (1 - base), "the part of the errors that is left"),
            (lambda base, new: (new - base) / (1 - new), "the errors of the new model"),
            (lambda base, new: (new - base) / base, "relative to the score"),
            (lambda base, new: new / base, "the ratio of the scores"),
            (lambda base, new: 1 - new / base, "that compares the scores"),
            (lambda base, new: (new - base) / (1 - base), "raise ValueError and say so, before you divide"),
            (reduction_or_zero, "From 1.0 to 0.9 you return 0. A baseline of 1.0 makes no error, so no part of its errors can go: raise ValueError"),
            (lambda base, new: np.array([reduction(base, new)]), "Return one number"),
            (lambda base, new: math.nan, "Divide by 1 - base"),
            (lambda base, new: base.errors - new, "stopped"),
            (lambda base, new: round(reduction(base, new), 2), "From 0.7 to 0.8 you return 0.33 and not 0.3333: you round"),
            (lambda base, new: float(f"{reduction(base, new):.3f}"), "you round"),
            (lambda base, new: reduction(base, new) if base != new else 0.0, "From 1.0 to 1.0 you return 0. A baseline"),
            (lambda base, new: np.divide(new - base, 1 - base), "From 1.0 to 0.9 you return -inf"),
            (lambda base, new: (reduction(base, new), base), "and you return several"),
            (lambda base, new: reduction(base, new) > 0, "should be a number, not bool"),
        ],
    ),
}  # fmt: skip


class TestLecture04(ExerciseContract):
    exercises = EXERCISES


def test_a_diagnosis_shows_what_was_given_and_both_answers():
    with pytest.raises(
        CheckFailed, match=r"^With d = 3 you return \[.+\] and not \[.+\]: the gate is missing"
    ):
        lecture_04.check_highway(from_parts(lambda x, z, zg: relu(z)))
    said = "For [[5, 6, 0, 0], [1, 2, 3, 4]] with lengths [2, 4] you return [[0, 0, 6, 5], [4, 3, 2, 1]] and not [[6, 5, 0, 0], [4, 3, 2, 1]]: "
    with pytest.raises(CheckFailed, match=re.escape(said)):
        lecture_04.check_read_backwards(lambda ids, lengths: ids[:, ::-1])
    with pytest.raises(
        CheckFailed, match=re.escape("From 0.9 to 0.95 you return 0.05 and not 0.5: that is the gain")
    ):
        lecture_04.check_relative_error_reduction(lambda base, new: new - base)


# --- the checks against the course's own modules


def test_the_highway_of_the_exercise_is_that_of_the_character_encoder():
    torch.manual_seed(0)
    encoder = CharacterEncoder(units=4, filters=((1, 3), (2, 2))).double()
    encoder.project = torch.nn.Identity()
    kept = []
    encoder.transform.register_forward_hook(lambda module, inputs, output: kept.append(inputs[0]))
    spelled = torch.randint(1, 257, (3, 22))
    found = encoder(spelled).detach().numpy()
    weights = [p.detach().numpy() for layer in (encoder.transform, encoder.gate) for p in layer.parameters()]
    for x, y in zip(kept[0].detach().numpy(), found, strict=True):
        np.testing.assert_allclose(highway(x, *weights), y)
