"""Lecture 03: perplexity, one step of an LSTM, and the temperature of a softmax."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from course_utils.exercises.engine import Part, close, exercise, show


# fmt: off
def _perplexity(logs: np.ndarray) -> float:
    """Check a function from natural log-probabilities (n,) to the perplexity exp(-mean), one number.

    Each entry is the logarithm of the probability that a model gave to the word that came (Jelinek et al. 1977). The
    product of the probabilities may be too small for float64. Without any word, ValueError must be raised.
    """
    if not len(logs):
        raise ValueError("There is no word to be surprised by.")
    return math.exp(-logs.mean())


def _advise_long(value: Any, logs: np.ndarray) -> str:
    if isinstance(value, float) and 0 < value < math.inf:
        return "a small number added to the probabilities, or logarithms cut off or left out, spoil the mean."
    small = "a probability as small as the product of all, or exp(-800) alone, is 0 in float64, and its inverse infinite."
    return f"{small} Stay with the logarithms: their mean first, and exp of that one number last."


_BASE = "What was taken by a natural logarithm, only np.exp takes back"

check_perplexity = exercise(
    "perplexity: exp of minus the mean log-probability, however long the text is",
    _perplexity, inputs=("the log-probabilities",),
    # The first: as uncertain, on average, as a choice among 4. The last: a text without surprise.
    cases=[(np.log(p),) for p in ([1 / 2, 1 / 2, 1 / 4, 1 / 16], np.random.default_rng(0).uniform(0.01, 0.6, 7), [0.02], [1.0, 1.0])],
    describe=lambda logs: "For a text without any word, an empty array," if not len(logs) else (
        f"For {len(logs)} words with log-probabilities from {logs.min():g} to {logs.max():g}" if len(logs) > 10 else
        f"For words of probability {show(np.exp(logs))}, so log-probabilities {show(logs)},"),
    edges=[((np.linspace(-9.0, -3.0, 4001),), _advise_long), ((np.array([-1.5, -800.0, *[-1.0] * 18]),), _advise_long)],
    refused=[((np.array([]),), "There is nothing to take the mean of: raise ValueError and say so, before you compute.")],
    shapes=[(lambda logs: None, "A text has one perplexity. Take the mean: .mean().")],
    infinite="Do you take the logarithm of a logarithm? What you are given are log-probabilities already.",
    otherwise=lambda value, right, logs: "a perplexity is never below 1." if value < 1 else "",
    mistakes=[
        (lambda logs: np.exp(logs.mean()), "the minus is missing. A perplexity is never below 1: exp(-mean), which is 1 / exp(mean)."),
        ((lambda logs: -np.exp(logs.mean()), lambda logs: -np.exp(-logs.mean())), "the minus belongs in the exponent: np.exp(-mean), not -np.exp(mean)."),
        (lambda logs: np.exp(-logs.sum()), "that is the sum, not the mean. Divide by n, or each further word makes the model look worse."),
        (lambda logs: np.exp(logs.sum()), "that is the probability of the whole text. Take the mean of the logarithms, turn its sign, then exp."),
        (lambda logs: -logs.mean(), "the exp is missing. That is the cross-entropy; the perplexity is its exponential."),
        (lambda logs: logs.mean(), "that is the mean log-probability. The minus and the exp are missing: exp(-mean)."),
        (lambda logs: -logs.sum(), "that is the sum of -log p. Divide it by n, and then take exp."),
        (lambda logs: -logs.mean() / np.log(2), "that is the cross-entropy in bits. The perplexity is 2 to the power of it, or np.exp(-mean) directly."),
        (lambda logs: 2 ** -logs.mean(), f"you take 2 to the power of it. {_BASE}; 2 ** goes with np.log2."),
        (lambda logs: 2 ** -logs.sum(), f"you take 2 to the power of the sum. {_BASE}; and divide by n."),
        (lambda logs: 2 ** logs.mean(), f"you take 2 to the power of it, without the minus. {_BASE}: np.exp(-mean)."),
        (lambda logs: 10 ** -logs.mean(), f"you take 10 to the power of it. {_BASE}; 10 ** goes with np.log10."),
        (lambda logs: 1 / np.exp(logs).mean(), "you average the probabilities. Average their logarithms, as you are given them, and take exp last."),
        (lambda logs: np.exp(logs).mean(), "that is the mean probability. Average the logarithms, turn the sign, and take exp last."),
        (lambda logs: np.exp(-logs).mean(), "exp comes before the mean, so one improbable word outweighs all others. Take the mean first and exp last."),
        ((lambda logs: np.exp(-np.exp(logs).mean()), lambda logs: np.exp(np.exp(logs).mean())), "you average the probabilities. The mean in the exponent is that of their logarithms."),
        (lambda logs: np.exp(-logs.sum() / max(len(logs) - 1, 1)), "you divide by n - 1. Each of the n words counts: n."),
        (lambda logs: np.exp(-logs.sum() / (len(logs) + 1)), "you divide by n + 1. Each of the n words counts once: n."),
        (lambda logs: np.exp(-np.median(logs)), "that is the median. Every word counts: take the mean."),
        (lambda logs: np.exp(-logs.min()), "only the least probable word counts. Take the mean over all."),
    ],
)


def _lstm(x: np.ndarray, h: np.ndarray, c: np.ndarray, W: np.ndarray, U: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Check a function (x, h, c, W, U, b) -> (h, c), one step of an LSTM (Hochreiter & Schmidhuber 1997, Gers et al. 2000).

    x is (d,), h and c are (n,), W (4n, d), U (4n, n) and b (4n,), all float64. W x + U h + b holds the sums of i, f, g and
    o, n numbers each, in the order of ``torch.nn.LSTMCell``, whose answer is the same: i, f and o go through σ, g through
    tanh; the new c is f * c + i * g, and the new h is o * tanh(c) with the new c.
    """
    o, new, *_ = _shown(x, h, c, W, U, b)
    return o * np.tanh(new), new


def _cell(others: dict[int, Callable[..., Any]]) -> Callable[..., np.ndarray]:
    """The new c, in four steps, or with others in their places."""
    steps = [lambda x, h, b, c: x + h + b, lambda z: np.split(z, 4),
             lambda zs: [expit(zs[0]), expit(zs[1]), np.tanh(zs[2]), expit(zs[3])], lambda i, f, g, o, c, h: f * c + i * g]
    add, split, functions, new = (others.get(i, step) for i, step in enumerate(steps))
    return lambda x, h, c, W, U, b: new(*functions(split(add(W @ x, U @ h, b, U @ c))), c, h) + 0 * c


def _shown(x: np.ndarray, h: np.ndarray, c: np.ndarray, W: np.ndarray, U: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
    z = np.split(W @ x + U @ h + b, 4)
    return expit(z[3]), _cell({})(x, h, c, W, U, b), c, h, *z


def _two_slips(value: np.ndarray, right: np.ndarray, *step: np.ndarray) -> str:
    """What is said of a new c that takes two slips to explain."""
    for one, other in itertools.combinations(range(4), 2):
        for (first, why), (second, also) in itertools.product(_SLIPS[one], _SLIPS[other]):
            if close(value, _cell({one: first, other: second})(*step)):
                return f"{why} And {also}"
    return ""


_ORDER = ("input", "forget", "cell", "output")
_TORCHS = f"PyTorch's order is {', '.join(_ORDER)}."
_FC_IG, _O_TANH, _SIGMA_IS = "It is f * c + i * g.", "It is o * tanh(c).", "It is 1 / (1 + np.exp(-z)), with a minus."
_FUNCTIONS: dict[str, Any] = {"σ": expit, "tanh": np.tanh, "no function": lambda z: z}
_SLIPS = ([  # the sums before the gates, of W x, U h, b and U c
    (lambda x, h, b, c: x + h, "the bias is forgotten. Add b."),
    (lambda x, h, b, c: x + b, "U h is forgotten. Without it the step does not know what came before."),
    (lambda x, h, b, c: h + b, "W x is forgotten. Without it the step does not see its own word."),
    (lambda x, h, b, c: x, "U h and the bias are forgotten. It is W x + U h + b."),
    (lambda x, h, b, c: x + h + 2 * b, "the bias is added twice. LSTMCell has two of them; b here is already their sum, so add it once."),
    (lambda x, h, b, c: x + c + b, "U is multiplied by c. What goes through U is the old h."),
    (lambda x, h, b, c: x - h + b, "U h has the wrong sign. It is W x + U h + b."),
], [  # i, f, g and o among them
    *((lambda z, order=order: [np.split(z, 4)[order.index(gate)] for gate in _ORDER], {
        ("forget", "input", "cell", "output"): f"the forget gate and the input gate are exchanged. It is f * c + i * g, and {_TORCHS}",
        ("cell", "forget", "input", "output"): f"i and g are exchanged. σ makes the gate i, tanh makes g, and {_TORCHS}",
    }.get(order, f"you read the four gates in the order {', '.join(order)}, as other books may have it. {_TORCHS}"))
      for order in itertools.permutations(_ORDER) if order != _ORDER),
    (lambda z: z.reshape(-1, 4).T, "you take every fourth number for a gate. The n numbers of a gate stand together, one gate after the other: np.split(z, 4), or z.reshape(4, n)."),
], [  # what they go through
    *((lambda zs, names=names: [_FUNCTIONS[name](z) for name, z in zip((*names, "σ"), zs, strict=True)],
       f"you send {', '.join(f'{gate} through {name}' for gate, name, right in zip('ifg', names, ('σ', 'σ', 'tanh'), strict=True) if name != right)}. "
       "The gates i, f and o are shares from 0 to 1, so σ; g is what is written, and may be negative, so tanh.")
      for names in itertools.product(_FUNCTIONS, repeat=3) if names not in (("σ", "σ", "tanh"), ("tanh", "σ", "σ"))),  # above, the latter is "i and g exchanged"
], [  # the new c, of the gates, the old c and h
    (lambda i, f, g, o, c, h: c + i * g, f"the forget gate is missing: the old c is kept whole. {_FC_IG}"),
    (lambda i, f, g, o, c, h: f * c + g, f"the input gate is missing: all of g is written. {_FC_IG}"),
    (lambda i, f, g, o, c, h: c + g, f"both gates are missing. {_FC_IG}"),
    (lambda i, f, g, o, c, h: i * g, "the old c is gone. Add f * c, the part of it that the forget gate keeps."),
    (lambda i, f, g, o, c, h: f * c, "nothing new is written. Add i * g."),
    (lambda i, f, g, o, c, h: c, "that is the old c. The new one is f * c + i * g."),
    (lambda i, f, g, o, c, h: (1 - f) * c + i * g, "the forget gate is turned round. For all its name, f = 1 keeps everything: f * c."),
    (lambda i, f, g, o, c, h: (1 - f) * c + (1 - i) * g, f"your σ is turned round. {_SIGMA_IS}"),
    (lambda i, f, g, o, c, h: f * c + (1 - f) * g, "you write with 1 - f, as a GRU couples its gates. The LSTM has a gate of its own for it: i * g."),
    (lambda i, f, g, o, c, h: f * h + i * g, "the forget gate is applied to the old h. The memory that it guards is c: f * c."),
    (lambda i, f, g, o, c, h: f * (c + i * g), "the forget gate is applied to what is new as well. Only the old c goes through it: f * c + i * g."),
    (lambda i, f, g, o, c, h: f * c + f * g, f"the forget gate stands in both places. {_FC_IG}"),
    (lambda i, f, g, o, c, h: i * c + i * g, f"the input gate stands in both places. {_FC_IG}"),
    (lambda i, f, g, o, c, h: f * c - i * g, "what is new is taken away. Add it: f * c + i * g."),
    (lambda i, f, g, o, c, h: np.tanh(f * c + i * g), "your new c has gone through tanh. Only h needs that; c itself goes on as it is."),
    (lambda i, f, g, o, c, h: o * (f * c + i * g), "the output gate is applied to c. It belongs to h alone."),
    (lambda i, f, g, o, c, h: o * np.tanh(f * c + i * g), "that is the new h. Return both, (h, c)."),
    (lambda i, f, g, o, c, h: f * np.tanh(c) + i * g, "the old c goes through tanh. It stays as it is, and that is the path on which gradients survive."),
    (lambda i, f, g, o, c, h: f @ c + i * g, "f @ c is a single number. A gate multiplies number by number: f * c."),
    (lambda i, f, g, o, c, h: f * c + i @ g, "i @ g is a single number. A gate multiplies number by number: i * g."),
])
_draw = np.random.default_rng(0)
_STEPS = [tuple(_draw.normal(size=shape) for shape in ((d,), (n,), (n,), (4 * n, d), (4 * n, n), (4 * n,))) for d, n in ((4, 3), (2, 5), (5, 2))]
_SHAPES = [(lambda *step: (), "Gates multiply number by number, with `*`; `@` would add up, too."),
           (lambda x, h, *rest: (len(h), len(h)), "each number meets every other. A gate multiplies number by number: f * c."),
           *((shape, "W x + U h + b holds the sums of four gates. Take it apart first: i, f, g, o = np.split(z, 4).")
             for shape in (lambda x, h, *rest: (4 * len(h),), lambda x, h, *rest: (4, len(h))))]
_DIVIDED = "No sum here is larger than 20, so look at what you divide by."

check_lstm_step = exercise(
    "lstm_step: the new h and c, the same as torch.nn.LSTMCell's",
    _lstm, inputs=("x", "h", "c", "W", "U", "b"), cases=_STEPS, judged=(1, 0), describe=lambda x, h, *rest: f"With d = {len(x)} and n = {len(h)}",
    edges=[((*_STEPS[0][:5], np.array([first] * 9 + [800.0] * 3)), "at b = 800 np.exp(z) is more than float64 can hold, and inf / inf is nan. Write σ(z) as 1 / (1 + np.exp(-z)).")
           for first in (0.0, 800.0)],
    only_read="which it should only read: whoever called it may still need the old one. Write c = f * c + i * g, not c *= f.",
    mistakes=[(lambda *step: _lstm(*step)[::-1], "the first thing that you return is the new c. The order is (h, c).")],
    parts=(
        Part("new h", shapes=_SHAPES, infinite=_DIVIDED, of=_shown, mistakes=[
            (lambda o, new, c, h, *z: o * new, f"the tanh is missing. {_O_TANH}"),
            (lambda o, new, c, h, *z: np.tanh(new), f"the output gate is missing. {_O_TANH}"),
            (lambda o, new, c, h, *z: new, "that is the new c once more. The new h is o * tanh(c)."),
            (lambda o, new, c, h, *z: o * np.tanh(c), "it is made from the old c. Compute the new c first: it is what h shows."),
            (lambda o, new, c, h, *z: o * c, "it is made from the old c, and the tanh is missing. Compute the new c first, then o * tanh(c)."),
            (lambda o, new, c, h, *z: np.tanh(c), "it is made from the old c, and the output gate is missing. It is o * tanh(c) with the new c."),
            (lambda o, new, c, h, *z: h, "that is the old h. The new one is o * tanh(c)."),
            (lambda o, new, c, h, *z: np.tanh(z[3]) * np.tanh(new), "o goes through tanh. It is a gate, so it goes through σ."),
            (lambda o, new, c, h, *z: z[3] * np.tanh(new), "o goes through no function. It is a gate, so it goes through σ."),
            (lambda o, new, c, h, *z: (1 - o) * np.tanh(new), f"the σ of o is turned round. {_SIGMA_IS}"),
            (lambda o, new, c, h, *z: o * expit(new), f"c goes through σ. {_O_TANH}"),
            (lambda o, new, c, h, *z: np.tanh(z[3]) * expit(new), "tanh and σ are exchanged. It is σ for the gate o, and tanh for c."),
            (lambda o, new, c, h, *z: np.tanh(o * new), "the tanh goes around o * c. It goes around c alone: o * tanh(c)."),
            (lambda o, new, c, h, *z: o, f"that is the output gate alone. {_O_TANH}"),
            (lambda o, new, c, h, *z: o * np.tanh(z[2]), "it is made from g, which is only what is new. It is o * tanh(c) with the new c."),
            (lambda o, new, c, h, *z: expit(z[0]) * np.tanh(new), f"the input gate stands in the place of the output gate. {_O_TANH}"),
            (lambda o, new, c, h, *z: expit(z[1]) * np.tanh(new), f"the forget gate stands in the place of the output gate. {_O_TANH}"),
            (lambda o, new, c, h, *z: h + o * np.tanh(new), "the old h is added. It has done its work in U h: the new one is o * tanh(c)."),
        ]),
        Part("new c", shapes=_SHAPES, infinite=_DIVIDED, otherwise=_two_slips, mistakes=[(_cell({i: slip}), why) for i, slips in enumerate(_SLIPS) for slip, why in slips]),
    ),
)


def _tempered(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Check a function from logits (V,) and a temperature T to probabilities (V,), softmax(logits / T).

    That is equation 1 of Hinton et al. (2015), arXiv:1503.02531. Logits may be as large as ±1000, and a temperature of 0
    or below must raise ValueError.
    """
    if not temperature > 0:
        raise ValueError("The temperature must be above 0.")
    return softmax(logits / temperature)


def _or_hot(wrong: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """A mistake, and the same where T = 1 is right."""
    return wrong, lambda z, t: wrong(z, t) if t != 1 else softmax(z)


def _advise_large(value: Any, logits: np.ndarray, temperature: float) -> str:
    hidden = isinstance(value, np.ndarray) and np.isfinite(value).all()
    start = "logits cut off, a small number added, or nan replaced hide the overflow and spoil the answer. " if hidden else ""
    large = "np.exp(1000) is more than float64 can hold, and np.exp(-1000) is 0; inf / inf and 0 / 0 are nan."
    return f"{start}{large} Divide by T first, then take the largest away: z = logits / T, and np.exp(z - z.max()). The probabilities stay the same."


_ONE, _ONCE = "Divide by their sum, so that they add up to 1.", "Divide the logits by T once, at the start, and take the softmax of that."
_LOGITS, _MORE = np.array([2.0, 1.0, 0.5, -1.0]), np.random.default_rng(0).normal(size=6) * 2

check_with_temperature = exercise(
    "with_temperature: softmax(logits / T), without overflow, and no T of 0 or below",
    _tempered, inputs=("the logits", "T"),
    cases=[(_LOGITS, 1.0), (_LOGITS, 0.5), (_LOGITS, 2.0), (_MORE, 0.8), (_MORE, 3.0), (np.array([0.5, 2.0, 0.5, 2.0]), 1.5), (np.array([3, 1, 0]), 2)],
    edges=[*(((np.array(logits), t), _advise_large) for t in (1.0, 0.5, 2.0) for logits in ([1000.0, 999.0, -1000.0], [-1000.0, -1001.0, -1003.0])),
           ((np.array([1000.0, 999.0, -1000.0]), 1000.0), f"the softmax comes first, and what it has rounded to 0, no power brings back. {_ONCE}")],
    refused=[((_LOGITS, 0.0), "Nothing can be divided by 0: raise ValueError unless T is above 0, and say so."),
             ((_LOGITS, -1.0), "Below 0 the least likely word would become the likeliest: raise ValueError unless T is above 0, and say so.")],
    describe=lambda z, t: f"For logits [{', '.join(f'{logit:.4g}' for logit in z)}] and T = {t:g}",
    only_read="which it should only read: the next T would meet others. Write z = logits / T, not logits /= T.",
    shapes=[(lambda *_: (), "Return the probabilities of all V words: the draw comes later."), (lambda *_: None, "one probability for each is wanted.")],
    infinite="Do you take a logarithm or a power of a logit? Logits may be negative: divide them by T, and take np.exp.",
    otherwise=lambda value, right, z, t: "" if close(float(value.sum()), 1.0) else f"yours add up to {value.sum():.3g}. Divide by their sum, last of all.",
    mistakes=[
        (lambda z, t: softmax(z), "that is the softmax without T, which has no effect. Divide the logits by it. Added to all logits, or multiplied with all exponentials, it cancels."),
        (lambda z, t: softmax(z * t), "that is softmax(logits * T), or p ** T, so a high T makes it sharper. Divide instead: logits / T, or p ** (1 / T)."),
        ((lambda z, t: softmax(z) / t, lambda z, t: softmax(z) * t), "T is applied after the softmax, to the probabilities, and they no longer add up to 1. Divide the logits by T."),
        (lambda z, t: softmax(z) ** t, "that is p ** T, and adds up to something else than 1. Take p ** (1 / T), and divide it by its sum."),
        (lambda z, t: softmax(z) ** (1 / t), f"the power is right, but these are not yet probabilities. {_ONE}"),
        *(slip for low in (lambda z: z, lambda z: z - z.max()) for slip in (
            (_or_hot(lambda z, t, low=low: np.exp(low(z) / t)), f"these are the exponentials, not yet probabilities. {_ONE}"),
            (lambda z, t, low=low: np.exp(low(z) / t) / np.exp(low(z)).sum(), f"T is missing below the line. {_ONCE}"),
            (lambda z, t, low=low: np.exp(low(z)) / np.exp(low(z) / t).sum(), f"T is missing above the line. {_ONCE}"))),
        (_or_hot(lambda z, t: np.exp(z / t) / np.exp(z / t).mean()), "you divide by the mean. Divide by the sum, so that they add up to 1."),
        (_or_hot(lambda z, t: np.exp(z / t) / np.linalg.norm(np.exp(z / t))), f"you divide by the length of the vector. {_ONE}"),
        (_or_hot(lambda z, t: np.exp(z / t) / (1 + np.exp(z / t).sum())), f"1 is added to the sum. {_ONE}"),
        (_or_hot(lambda z, t: z / t), "these are still the logits. The softmax is missing: the exponentials, divided by their sum."),
        (_or_hot(lambda z, t: z / z.sum()), "the exponential is missing. Take np.exp of the logits, and then divide by the sum."),
        (_or_hot(lambda z, t: np.log(softmax(z / t))), "these are the logarithms of the probabilities. Take np.exp of them."),
        (_or_hot(lambda z, t: softmax(-z / t)), "the sign is turned. The largest logit gets the largest probability."),
        (_or_hot(lambda z, t: softmax(softmax(z / t))), "the softmax runs twice. Once gives probabilities already."),
        (_or_hot(lambda z, t: softmax(softmax(z) / t)), "you divide the probabilities by T, and the softmax runs twice. Divide the logits, once."),
        (_or_hot(lambda z, t: softmax(softmax(z) * t)), "T meets the probabilities, and the softmax runs twice. Divide the logits by T, once."),
        (_or_hot(lambda z, t: softmax(z / t * math.log(2))), "you take 2 to the power of the logits. The softmax takes np.exp."),
        (_or_hot(lambda z, t: softmax(z / t * math.log(10))), "you take 10 to the power of the logits. The softmax takes np.exp."),
        (_or_hot(lambda z, t: expit(z / t)), "that is σ of each logit by itself. The words share a probability of 1: use the softmax."),
        (_or_hot(lambda z, t: np.eye(len(z))[z.argmax()]), "all goes to the largest logit. The softmax leaves something to the others. Only a T near 0 comes close to that: divide the logits by T."),
        (_or_hot(lambda z, t: softmax(z // t)), "`//` drops what comes after the decimal point. Divide with `/`."),
        (lambda z, t: softmax(z / t**2), "the logits are divided by T twice. Once is enough."),
        (lambda z, t: _tempered(z, t).astype(z.dtype), "they are cut to whole numbers. Where the logits are whole, np.empty_like(logits) holds whole numbers, too: make the array with np.empty(len(logits))."),
    ],
)
# fmt: on
