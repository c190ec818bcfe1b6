"""Lecture 03's exercises: stubs fail kindly, solutions pass, wrong answers get the right diagnosis."""

import itertools
import math
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from exercise_contract import ExerciseContract

from course_utils.exercises import CheckFailed, lecture_03

# --- answers: the first ones of each list are right; the others come with a piece of their diagnosis


def perplexity(log_probabilities):
    if len(log_probabilities) == 0:
        raise ValueError("a text without words has no perplexity")
    return np.exp(-np.mean(log_probabilities))


def perplexity_by_loop(log_probabilities):
    total, n = 0.0, 0
    for log_probability in log_probabilities:
        total -= log_probability
        n += 1
    if not n:
        raise ValueError("no words")
    return math.exp(total / n)


def perplexity_in_bits(log_probabilities):
    if not log_probabilities.size:
        raise ValueError("no words")
    return 2 ** (-log_probabilities / math.log(2)).mean()


def perplexity_by_roots(log_probabilities):
    """A product that does not vanish, because each factor has had its root taken."""
    if log_probabilities.size == 0:
        raise ValueError("no words")
    return np.exp(-log_probabilities / len(log_probabilities)).prod()


def perplexity_by_torch(log_probabilities):
    if log_probabilities.size == 0:
        raise ValueError("no words")
    return (-torch.tensor(log_probabilities).mean()).exp().item()


def perplexity_by_torch_alone(logs):
    if len(logs) == 0:
        raise ValueError
    return torch.tensor(logs).mean().neg().exp()


def perplexity_unless_sure(logs):
    if not logs.any():
        raise ValueError("no words")
    return perplexity(logs)


def perplexity_by_product(logs):
    return np.prod(np.exp(logs)) ** (-1 / len(logs))


def perplexity_by_python_product(logs):
    return math.prod(math.exp(log) for log in logs) ** (-1 / len(logs))


def perplexity_in_place(logs):
    logs *= -1
    return np.exp(logs.mean())


def perplexity_by_clipping(logs):
    return math.exp(-np.log(np.exp(logs) + 1e-12).mean())


def perplexity_dividing(logs):
    return math.exp(-sum(logs) / len(logs))


def perplexity_of_nothing(logs):
    return perplexity(logs) if len(logs) else None


def sigma(z):
    return 1 / (1 + np.exp(-z))


def swelling(z):
    """Right as long as exp(z) is finite."""
    return np.exp(z) / (1 + np.exp(z))


def lstm(x, h, c, W, U, b):
    i, f, g, o = np.split(W @ x + U @ h + b, 4)
    c = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(c), c


def lstm_by_rows(x, h, c, W, U, b):
    z = (x @ W.T + h @ U.T + b).reshape(4, -1)
    i, f, o = 1 / (1 + np.exp(-z[[0, 1, 3]]))
    new = f * c + i * np.tanh(z[2])
    return [o * np.tanh(new), new]


def lstm_by_slices(x, h, c, W, U, b):
    """Another σ, one product for both inputs, and slices for the gates."""
    n = len(h)
    z = np.hstack([W, U]) @ np.concatenate([x, h]) + b
    i, f, o = (0.5 * (1 + np.tanh(z[k * n : (k + 1) * n] / 2)) for k in (0, 1, 3))
    new = np.add(np.multiply(f, c), np.multiply(i, np.tanh(z[2 * n : 3 * n])))
    return o * np.tanh(new), new


def lstm_by_loop(x, h, c, W, U, b):
    n, new_h, new_c = len(h), np.empty_like(h), np.empty_like(c)
    for k in range(n):
        i, f, g, o = (W[row] @ x + U[row] @ h + b[row] for row in (k, n + k, 2 * n + k, 3 * n + k))
        new_c[k] = sigma(f) * c[k] + sigma(i) * math.tanh(g)
        new_h[k] = sigma(o) * math.tanh(new_c[k])
    return new_h, new_c


def cell(formula):
    """The new c from another formula of the gates i, f, g and the old c and h; the rest is right."""

    def other_cell(x, h, c, W, U, b):
        i, f, g, o = np.split(W @ x + U @ h + b, 4)
        new = formula(sigma(i), sigma(f), np.tanh(g), c, h)
        return sigma(o) * np.tanh(new), new

    return other_cell


def out(formula):
    """The new h from another formula of the gate o and the new and old c; the rest is right."""

    def other_output(x, h, c, W, U, b):
        i, f, g, o = np.split(W @ x + U @ h + b, 4)
        new = sigma(f) * c + sigma(i) * np.tanh(g)
        return formula(sigma(o), new, c, h, o, i, f, g), new

    return other_output


def through(for_i, for_f, for_g, for_o=sigma):
    """Other functions than σ and tanh for the gates."""

    def other_functions(x, h, c, W, U, b):
        i, f, g, o = np.split(W @ x + U @ h + b, 4)
        new = for_f(f) * c + for_i(i) * for_g(g)
        return for_o(o) * np.tanh(new), new

    return other_functions


def from_sum(total, split=lambda z: np.split(z, 4)):
    """Another sum before the gates, or another way to take it apart."""

    def other_sum(x, h, c, W, U, b):
        i, f, g, o = split(total(W @ x, U @ h, b, U @ c))
        new = sigma(f) * c + sigma(i) * np.tanh(g)
        return sigma(o) * np.tanh(new), new

    return other_sum


def in_order(order):
    """The gates taken in another order, each name by its first letter."""

    def split(z):
        named = dict(zip(order, np.split(z, 4), strict=True))
        return named["i"], named["f"], named["c"], named["o"]

    return from_sum(lambda x, h, b, _: x + h + b, split)


def lstm_in_place(x, h, c, W, U, b):
    i, f, g, o = np.split(W @ x + U @ h + b, 4)
    c *= sigma(f)
    c += sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(c), c


def lstm_overwriting_h(x, h, c, W, U, b):
    h[:], new = lstm(x, h, c, W, U, b)
    return h, new


def lstm_without_split(x, h, c, W, U, b):
    z = W @ x + U @ h + b
    return sigma(z), np.tanh(z)


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def tempered(logits, temperature):
    if temperature <= 0:
        raise ValueError("the temperature must be above 0")
    return softmax(logits / temperature)


def tempered_by_power(logits, temperature):
    if not temperature > 0:
        raise ValueError("above 0, please")
    p = softmax(logits) ** (1 / temperature)
    return p / p.sum()


def tempered_carefully(logits, temperature):
    if not temperature > 0:
        raise ValueError
    scores = np.asarray(logits, dtype=float) / temperature
    return softmax(scores)


def tempered_into_logits_kind(logits, temperature):
    probabilities = np.empty_like(logits)
    probabilities[:] = tempered(logits, temperature)
    return probabilities


def tempered_by_dict(logits, temperature):
    """Keeps one of two equal logits."""
    raised = {logit: math.exp((logit - max(logits)) / temperature) for logit in logits.tolist()}
    return np.array([raised[logit] / sum(raised.values()) for logit in logits])


def tempered_by_log(logits, temperature):
    if temperature <= 0:
        raise ValueError("above 0, please")
    z = logits / temperature
    return np.exp(z - np.logaddexp.reduce(z))


def tempered_by_torch(logits, temperature):
    if temperature <= 0:
        raise ValueError("above 0, please")
    return torch.softmax(torch.tensor(logits) / temperature, dim=0).numpy()


def plain(z):
    return np.exp(z) / np.exp(z).sum()


def tempered_by_math(logits, temperature):
    e = [math.exp(logit / temperature) for logit in logits]
    return np.array(e) / sum(e)


def tempered_too_early(logits, temperature):
    """The largest is taken away, but before the division, and only from the sum below."""
    return np.exp(logits / temperature - logits.max()) / np.exp(logits / temperature - logits.max()).sum()


def tempered_in_place(logits, temperature):
    logits /= temperature
    return softmax(logits)


def lowered_in_place(logits, temperature):
    logits -= logits.max()
    return tempered(logits, temperature)


def tempered_or_greedy(logits, temperature):
    if temperature <= 0:
        return np.eye(len(logits))[logits.argmax()]
    return softmax(logits / temperature)


def tempered_above_zero_only(logits, temperature):
    if temperature == 0:
        raise ValueError("not 0")
    return softmax(logits / temperature)


def tempered_by_inverse(logits, temperature):
    return softmax(logits * (1 / temperature))


def tempered_or_none(logits, temperature):
    return softmax(logits / temperature) if temperature > 0 else None


def when_hot(formula):
    """Right at T = 1, and another formula of logits, T and the softmax elsewhere."""

    def other(logits, temperature):
        return formula(logits, temperature, softmax(logits)) if temperature != 1 else softmax(logits)

    return other


def changed(function, change):
    """A right answer, changed at the end."""

    def nearly(*given):
        return change(function(*given))

    return nearly


# fmt: off
EXERCISES = {
    lecture_03.check_perplexity: (
        [perplexity, perplexity_by_loop, perplexity_in_bits, perplexity_by_roots, perplexity_by_torch,
         changed(perplexity, np.array), changed(perplexity, np.float32), changed(perplexity, Fraction), perplexity_by_torch_alone,
         changed(perplexity_by_torch_alone, lambda value: value.requires_grad_())],
        [
            (lambda logs: np.exp(logs.mean()), "the minus is missing"),
            (lambda logs: np.exp(logs).prod() ** (1 / len(logs)), "the minus is missing"),
            (lambda logs: -np.exp(logs.mean()), "belongs in the exponent"),
            (lambda logs: -np.exp(-logs.mean()), "belongs in the exponent"),
            (lambda logs: np.exp(-logs.sum()), "that is the sum, not the mean"),
            (lambda logs: 1 / np.exp(logs).prod(), "that is the sum, not the mean"),
            (lambda logs: np.exp(logs).prod(), "the probability of the whole text"),
            (lambda logs: -logs.mean(), "the exp is missing. That is the cross-entropy"),
            (lambda logs: logs.mean(), "the mean log-probability. The minus and the exp"),
            (lambda logs: -logs.sum(), "the sum of -log p"),
            (lambda logs: -logs.mean() / np.log(2), "the cross-entropy in bits"),
            (lambda logs: 2 ** -logs.mean(), "2 ** goes with np.log2"),
            (lambda logs: 2 ** -logs.sum(), "2 to the power of the sum"),
            (lambda logs: 2 ** logs.mean(), "without the minus"),
            (lambda logs: 10 ** -logs.mean(), "10 ** goes with np.log10"),
            (lambda logs: 1 / np.exp(logs).mean(), "you average the probabilities"),
            (lambda logs: np.exp(-np.log(np.exp(logs).mean())), "you average the probabilities"),
            (lambda logs: np.exp(logs).mean(), "the mean probability"),
            (lambda logs: np.exp(-logs).mean(), "exp comes before the mean"),
            (lambda logs: np.exp(-np.exp(logs).mean()), "The mean in the exponent"),
            (lambda logs: np.exp(-logs.sum() / (len(logs) - 1)), "you divide by n - 1"),
            (lambda logs: np.exp(-logs.sum() / (len(logs) + 1)), "you divide by n + 1"),
            (lambda logs: np.exp(-np.median(logs)), "that is the median"),
            (lambda logs: np.exp(-logs.min()), "only the least probable word"),
            (lambda logs: np.exp(-np.log(logs).mean()), "the logarithm of a logarithm"),
            (lambda logs: 0.3, "you return 0.3 and not 4: a perplexity is never below 1"),
            (lambda logs: 4.0, "you return 4 and not"),
            (lambda logs: 5.0, "you return 5 and not 4"),
            (lambda logs: np.exp(-logs), "Take the mean: .mean()"),
            (lambda logs: [perplexity(logs)], "has shape (1,), and should be one number"),
            (lambda logs: f"{perplexity(logs):.2f}", "should be a number, not str"),
            (perplexity_in_place, "changes the log-probabilities"),
            (perplexity_by_product, "Stay with the logarithms"),
            (perplexity_by_python_product, "stops with ZeroDivisionError"),
            (lambda logs: (1 / np.exp(logs)).prod() ** (1 / len(logs)), "Stay with the logarithms"),
            (lambda logs: np.exp(-np.log(np.exp(logs)).mean()), "or exp(-800) alone, is 0 in float64"),
            (lambda logs: math.prod(math.exp(-log) for log in logs) ** (1 / len(logs)), "you return inf"),
            (perplexity_by_clipping, "logarithms cut off or left out"),
            (lambda logs: np.exp(-logs.mean()), "without any word, an empty array, you return nan. There is nothing"),
            (perplexity_dividing, "your function stops with ZeroDivisionError: "),
            (lambda logs: math.exp(-sum(logs) / max(len(logs), 1)), "you return 1. There is nothing"),
            (perplexity_of_nothing, "you return nothing. There is nothing to take the mean of: raise ValueError"),
            (lambda logs: math.log(logs), "stopped"),
            (perplexity_unless_sure, "with ValueError: no words"),
            (lambda logs: (perplexity(logs), len(logs)), "and you return several"),
            (lambda logs: bool(perplexity(logs)), "should be a number, not bool"),
        ],
    ),
    lecture_03.check_lstm_step: (
        [lstm, lstm_by_rows, lstm_by_slices, lstm_by_loop, changed(lstm, lambda answer: [part.astype(np.float32) for part in answer])],
        [
            (in_order("fico"), "the forget gate and the input gate are exchanged"),
            (in_order("ifoc"), "in the order input, forget, output, cell"),
            (in_order("fioc"), "in the order forget, input, output, cell"),
            (in_order("iofc"), "in the order input, output, forget, cell"),
            (in_order("cfio"), "i and g are exchanged"),
            (through(np.tanh, sigma, sigma), "i and g are exchanged"),
            (in_order("cifo"), "PyTorch's order is input, forget, cell, output"),
            (from_sum(lambda x, h, b, _: x + h + b, lambda z: z.reshape(-1, 4).T), "every fourth number"),
            (from_sum(lambda x, h, b, _: x + h), "the bias is forgotten"),
            (from_sum(lambda x, h, b, _: x + b), "U h is forgotten"),
            (from_sum(lambda x, h, b, _: h + b), "W x is forgotten"),
            (from_sum(lambda x, h, b, _: x), "U h and the bias are forgotten"),
            (from_sum(lambda x, h, b, _: x + h + b + b), "the bias is added twice"),
            (from_sum(lambda x, h, b, c: x + c + b), "U is multiplied by c"),
            (from_sum(lambda x, h, b, _: x - h + b), "wrong sign"),
            (cell(lambda i, f, g, c, h: c + i * g), "the forget gate is missing"),
            (cell(lambda i, f, g, c, h: f * c + g), "the input gate is missing"),
            (cell(lambda i, f, g, c, h: c + g), "both gates are missing"),
            (cell(lambda i, f, g, c, h: i * g), "the old c is gone"),
            (cell(lambda i, f, g, c, h: f * c), "nothing new is written"),
            (cell(lambda i, f, g, c, h: c.copy()), "that is the old c"),
            (cell(lambda i, f, g, c, h: (1 - f) * c + i * g), "f = 1 keeps everything"),
            (cell(lambda i, f, g, c, h: f * c + (1 - f) * g), "as a GRU couples its gates"),
            (cell(lambda i, f, g, c, h: f * h + i * g), "applied to the old h"),
            (cell(lambda i, f, g, c, h: f * (c + i * g)), "applied to what is new as well"),
            (cell(lambda i, f, g, c, h: i * c + f * g), "the forget gate and the input gate are exchanged"),
            (cell(lambda i, f, g, c, h: f * c + f * g), "the forget gate stands in both places"),
            (cell(lambda i, f, g, c, h: i * c + i * g), "the input gate stands in both places"),
            (cell(lambda i, f, g, c, h: f * c - i * g), "what is new is taken away"),
            (cell(lambda i, f, g, c, h: np.tanh(f * c + i * g)), "has gone through tanh. Only h needs that"),
            (cell(lambda i, f, g, c, h: f * np.tanh(c) + i * g), "the old c goes through tanh"),
            (cell(lambda i, f, g, c, h: f @ c + i * g), "f @ c is a single number"),
            (cell(lambda i, f, g, c, h: f * c + i @ g), "i @ g is a single number"),
            (cell(lambda i, f, g, c, h: f @ c + i @ g), "Gates multiply number by number"),
            (cell(lambda i, f, g, c, h: np.outer(f, c) + np.outer(i, g)), "each number meets every other"),
            (cell(lambda i, f, g, c, h: c * 0), "your new c is [0, 0, 0] and not"),
            (through(sigma, sigma, sigma), "you send g through σ."),
            (through(np.tanh, np.tanh, sigma, np.tanh), "you send i through tanh, f through tanh, g through σ."),
            (through(np.tanh, sigma, np.tanh), "you send i through tanh."),
            (through(sigma, sigma, lambda z: z), "you send g through no function"),
            (through(*[lambda z: 1 / (1 + np.exp(z))] * 2, np.tanh, lambda z: 1 / (1 + np.exp(z))), "your σ is turned round"),
            (through(sigma, sigma, np.tanh, lambda z: sigma(-z)), "the σ of o is turned round"),
            (cell(lambda i, f, g, c, h: c + i * sigma(np.arctanh(g))), "And the forget gate is missing"),
            (from_sum(lambda x, h, b, _: x + h, lambda z: np.split(z, 4)[::-1]), "And you read the four gates in the order"),
            (out(lambda o, new, c, h, *_: o * new), "the tanh is missing"),
            (out(lambda o, new, c, h, *_: np.tanh(new)), "the output gate is missing"),
            (out(lambda o, new, c, h, *_: new), "that is the new c once more"),
            (out(lambda o, new, c, h, *_: o * np.tanh(c)), "made from the old c. Compute the new c first"),
            (out(lambda o, new, c, h, *_: o * c), "made from the old c, and the tanh is missing"),
            (out(lambda o, new, c, h, *_: np.tanh(c)), "made from the old c, and the output gate is missing"),
            (out(lambda o, new, c, h, *_: h.copy()), "that is the old h"),
            (out(lambda o, new, c, h, zo, *_: np.tanh(zo) * np.tanh(new)), "o goes through tanh"),
            (out(lambda o, new, c, h, zo, *_: zo * np.tanh(new)), "o goes through no function"),
            (out(lambda o, new, c, h, *_: o * sigma(new)), "c goes through σ"),
            (out(lambda o, new, c, h, zo, *_: np.tanh(zo) * sigma(new)), "tanh and σ are exchanged"),
            (out(lambda o, new, c, h, *_: np.tanh(o * new)), "around c alone"),
            (out(lambda o, new, c, h, *_: o), "the output gate alone"),
            (out(lambda o, new, c, h, zo, i, f, g: o * np.tanh(g)), "made from g"),
            (out(lambda o, new, c, h, zo, i, f, g: sigma(i) * np.tanh(new)), "the input gate stands in the place"),
            (out(lambda o, new, c, h, zo, i, f, g: sigma(f) * np.tanh(new)), "the forget gate stands in the place"),
            (out(lambda o, new, c, h, *_: h + o * np.tanh(new)), "the old h is added"),
            (out(lambda o, new, c, h, *_: new * 0), "The new c is right. With d = 4 and n = 3 your new h is [0, 0, 0]"),
            (out(lambda o, new, c, h, *_: o @ np.tanh(new)), "Your new h is a single number. Gates multiply"),
            (changed(lstm, lambda answer: answer[::-1]), "the new c. The order is (h, c)"),
            (changed(lstm, lambda answer: answer[0]), "you return only one, a ndarray"),
            (changed(lstm, lambda answer: (*answer, 1)), "you return 3"),
            (changed(lstm, lambda answer: (answer[0], answer[0])), "that is the new h. Return both"),
            (changed(lstm, lambda answer: (answer[0], answer[1].tolist())), "c should be a numpy array, not list"),
            (changed(lstm, lambda answer: (answer[0].astype(str), answer[1])), "h should hold numbers"),
            (changed(lstm, lambda answer: (answer[0][None], answer[1])), "h has shape (1, 3) and not (3,)"),
            (changed(lstm, lambda answer: (answer[0] / 0, answer[1])), "look at what you divide by"),
            (lstm_without_split, "holds the sums of four gates"),
            (lstm_in_place, "changes c, which it should only read"),
            (lstm_overwriting_h, "changes h, which it should only read"),
            (lambda x, h, c, W, U, b: lstm(h, x, c, W, U, b), "stopped"),
            (through(swelling, swelling, np.tanh, swelling), "The new c is right. With d = 4 and n = 3 your new h is [nan, nan, nan]"),
            (through(swelling, swelling, np.tanh, swelling), "at b = 800 np.exp(z) is more than float64 can hold"),
            (through(sigma, sigma, lambda z: (np.exp(2 * z) - 1) / (np.exp(2 * z) + 1)), "inf / inf is nan"),
            (lambda *step: tuple(map(torch.tensor, lstm(*step))), "h should be a numpy array, not Tensor"),
        ],
    ),
    lecture_03.check_with_temperature: (
        [tempered, tempered_by_log, tempered_by_torch, tempered_carefully, changed(tempered, lambda p: p.astype(np.float32))],
        [
            (lambda z, t: softmax(z * t), "that is softmax(logits * T), or p ** T"),
            (lambda z, t: softmax(z) ** t / (softmax(z) ** t).sum(), "logits / T, or p ** (1 / T)"),
            (lambda z, t: softmax(z), "the softmax without T, which has no effect"),
            (lambda z, t: softmax(z) / t / (softmax(z) / t).sum(), "it cancels"),
            (lambda z, t: softmax(z + t), "it cancels"),
            (lambda z, t: softmax(z) / t, "applied after the softmax, to the probabilities"),
            (lambda z, t: softmax(z) * t, "applied after the softmax, to the probabilities"),
            (lambda z, t: softmax(z) ** t, "that is p ** T, and adds up to something else than 1"),
            (lambda z, t: softmax(z) ** (1 / t), "the power is right, but these are not yet probabilities"),
            (lambda z, t: np.exp(z / t) / np.exp(z).sum(), "T is missing below the line"),
            (lambda z, t: np.exp((z - z.max()) / t) / np.exp(z - z.max()).sum(), "T is missing below the line"),
            (lambda z, t: np.exp(z) / np.exp(z / t).sum(), "T is missing above the line"),
            (when_hot(lambda z, t, p: softmax(p / t)), "you divide the probabilities by T, and the softmax runs twice"),
            (when_hot(lambda z, t, p: softmax(p * t)), "T meets the probabilities"),
            (when_hot(lambda z, t, p: softmax(z // t)), "`//` drops what comes after"),
            (when_hot(lambda z, t, p: softmax(z / t**2)), "divided by T twice"),
            (when_hot(lambda z, t, p: softmax(-z / t)), "the sign is turned"),
            (when_hot(lambda z, t, p: np.eye(len(z))[z.argmax()]), "Only a T near 0 comes close"),
            (when_hot(lambda z, t, p: np.exp(z / t)), "not yet probabilities"),
            (when_hot(lambda z, t, p: np.exp((z - z.max()) / t)), "not yet probabilities"),
            (when_hot(lambda z, t, p: z**t), "Do you take a logarithm or a power of a logit"),
            (when_hot(lambda z, t, p: softmax(z / t) + t), "yours add up to 3"),
            (when_hot(lambda z, t, p: np.full(len(z), 1 / len(z))), "you return [0.25, 0.25, 0.25, 0.25] and not"),
            (lambda z, t: np.exp(z / t), "these are the exponentials, not yet probabilities"),
            (lambda z, t: np.exp((z - z.max()) / t), "these are the exponentials, not yet probabilities"),
            (lambda z, t: np.exp(z / t) / np.exp(z / t).max() * 1.0 + 1, "yours add up to"),
            (lambda z, t: np.exp(z / t) / np.exp(z / t).mean(), "you divide by the mean"),
            (lambda z, t: np.exp(z / t) / np.linalg.norm(np.exp(z / t)), "the length of the vector"),
            (lambda z, t: np.exp(z / t) / (1 + np.exp(z / t).sum()), "1 is added to the sum"),
            (lambda z, t: z / t, "these are still the logits"),
            (lambda z, t: (z / t) / (z / t).sum(), "the exponential is missing"),
            (lambda z, t: np.log(softmax(z / t)), "the logarithms of the probabilities"),
            (lambda z, t: softmax(-z / t), "the sign is turned"),
            (lambda z, t: softmax(softmax(z) / t), "the softmax runs twice"),
            (lambda z, t: 2 ** (z / t) / (2 ** (z / t)).sum(), "2 to the power of the logits"),
            (lambda z, t: 10 ** (z / t) / (10 ** (z / t)).sum(), "10 to the power of the logits"),
            (lambda z, t: sigma(z / t), "σ of each logit by itself"),
            (lambda z, t: np.eye(len(z))[z.argmax()], "all goes to the largest logit"),
            (lambda z, t: plain(z / t), "inf / inf and 0 / 0 are nan"),
            (tempered_by_math, "stops with OverflowError"),
            (tempered_too_early, "Divide by T first, then take the largest away"),
            (lambda z, t: plain(np.clip(z / t, -500, 500)), "For logits [1000, 999, -1000] and T = 1 you return [0.5, 0.5, 0]"),
            (lambda z, t: plain(np.clip(z / t, -500, 500)), "logits cut off"),
            (lambda z, t: np.nan_to_num(plain(z / t)), "nan replaced"),
            (lambda z, t: np.exp(z / t - max(0, (z / t).max())) / (np.exp(z / t - max(0, (z / t).max())).sum() + 1e-12), "hide the overflow"),
            (lambda z, t: softmax(z / t), "T = 0 you return [nan, nan, nan, nan]. Nothing can be divided by 0"),
            (tempered_by_inverse, "stops with ZeroDivisionError"),
            (tempered_or_greedy, "T = 0 you return [1, 0, 0, 0]. Nothing can be divided by 0: raise ValueError"),
            (tempered_or_none, "you return nothing. Nothing can be divided by 0"),
            (tempered_above_zero_only, "Below 0 the least likely word would become the likeliest"),
            (tempered_in_place, "changes the logits"),
            (lowered_in_place, "changes the logits"),
            (changed(tempered, np.argmax), "Return the probabilities of all V words"),
            (changed(tempered, np.ndarray.tolist), "Return a numpy array, not list"),
            (changed(tempered, lambda p: p.astype(str)), "Return numbers"),
            (changed(tempered, lambda p: p[:, None]), "one probability for each is wanted"),
            (lambda z, t: softmax(z / t).total(), "stopped"),
            (tempered_by_power, "For logits [1000, 999, -1000] and T = 1000 you return [0.5, 0.5, 0] and not [0.469, 0.468, 0.063"),
            (tempered_by_power, "the softmax comes first, and what it has rounded to 0, no power brings back"),
            (tempered_into_logits_kind, "For logits [3, 1, 0] and T = 2 you return [0, 0, 0] and not"),
            (tempered_into_logits_kind, "np.empty_like(logits) holds whole numbers, too"),
            (tempered_by_dict, "For logits [0.5, 2, 0.5, 2] and T = 1.5"),
            (changed(tempered, lambda p: (p, p.argmax())), "and you return several"),
            (lambda z, t: np.exp(z / t - max(0, (z / t).max())) / np.exp(z / t - max(0, (z / t).max())).sum(), "0 / 0 are nan"),
        ],
    ),
}
# fmt: on


class TestLecture03(ExerciseContract):
    exercises = EXERCISES


@pytest.mark.parametrize("order", list(itertools.permutations("ifco")), ids="".join)
def test_every_other_order_of_the_gates_is_recognised(order):
    if order == ("i", "f", "c", "o"):
        lecture_03.check_lstm_step(in_order(order))
        return
    names = {"i": "input", "f": "forget", "c": "cell", "o": "output"}
    with pytest.raises(CheckFailed) as failed:
        lecture_03.check_lstm_step(in_order(order))
    said = f"you read the four gates in the order {', '.join(names[gate] for gate in order)}"
    assert said in str(failed.value) or "are exchanged" in str(failed.value)
    assert "PyTorch's order is input, forget, cell, output." in str(failed.value)


def test_a_diagnosis_shows_what_was_given_and_both_answers():
    said = "For words of probability [0.5, 0.5, 0.25, 0.0625], so log-probabilities [-0.693, -0.693, -1.39, -2.77], you return 256 and not 4: "
    with pytest.raises(CheckFailed, match=re.escape(said)):
        lecture_03.check_perplexity(lambda logs: np.exp(-logs.sum()))
    with pytest.raises(
        CheckFailed, match=r"^With d = 4 and n = 3 your new c is \[.+\] and not \[.+\]: the bias"
    ):
        lecture_03.check_lstm_step(from_sum(lambda x, h, b, _: x + h))
    with pytest.raises(
        CheckFailed, match=r"^For logits \[2, 1, 0\.5, -1\] and T = 0\.5 you return \[.+\] and not"
    ):
        lecture_03.check_with_temperature(lambda z, t: softmax(z * t))


# --- the checks against the source of what they check


def test_the_right_step_is_that_of_torch_and_costs_no_random_numbers():
    state = torch.random.get_rng_state()
    lecture_03.check_lstm_step(lstm)
    assert torch.equal(state, torch.random.get_rng_state())

    lstm_of_torch = torch.nn.LSTM(3, 4, dtype=torch.float64)
    W, U, first, second = (weight.detach().numpy() for weight in lstm_of_torch.parameters())
    words = np.random.default_rng(1).normal(size=(6, 3))
    theirs, _ = lstm_of_torch(torch.tensor(words))
    h, c = np.zeros(4), np.zeros(4)
    for x, wanted in zip(words, theirs.detach().numpy(), strict=True):
        one = lecture_03.check_lstm_step.exercise.reference(x, h, c, W, U, first + second)
        h, c = lstm(x, h, c, W, U, first + second)
        np.testing.assert_allclose(one, (h, c))
        np.testing.assert_allclose(h, wanted)


def test_perplexity_is_the_exponential_of_torchs_cross_entropy():
    logits, words = torch.randn(20, 7, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 7
    logs = torch.log_softmax(logits, dim=1)[torch.arange(20), words].numpy()
    loss = torch.nn.functional.cross_entropy(logits, words)
    assert math.isclose(perplexity(logs), math.exp(loss), rel_tol=1e-6)
    assert math.isclose(perplexity(np.log(np.full(9, 1 / 50))), 50)


def test_the_softmax_of_the_check_is_torchs():
    logits = np.array([1000.0, 999.0, -1000.0])
    for temperature in (0.1, 1, 30):
        theirs = torch.softmax(torch.tensor(logits) / temperature, dim=0).numpy()
        np.testing.assert_allclose(
            lecture_03.check_with_temperature.exercise.reference(logits, temperature), theirs
        )
