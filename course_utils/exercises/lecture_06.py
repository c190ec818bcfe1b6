"""Lecture 06: attention that looks back, heads, and the input transformation for pairs."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.exercises.engine import exercise, require, show


# fmt: off
def _attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Check a function (queries, keys, values), each (n, d), -> (n, d): equation 1 with place i looking at 0 .. i."""
    return _mix()(queries, keys, values)


def _mix(
    allowed: Callable[[Tensor], Tensor] = torch.tril, scale: Callable[[int, int], float] = lambda n, d: math.sqrt(d),
    weigh: Callable[[Tensor, Tensor], Tensor] = lambda scores, seen: scores.masked_fill(seen == 0, -torch.inf).softmax(1),
) -> Callable[..., Tensor]:
    """Attention by what each place may see, by what the scores are divided by (of n and d), and how they become weights."""
    def mix(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        n, d = queries.shape
        return weigh(queries @ keys.T / scale(n, d), allowed(torch.ones(n, n))) @ values
    return mix


_draw = torch.Generator().manual_seed(0)
_FUTURE = "Place i may look at places 0 to i: a lower triangle with its diagonal, torch.ones(n, n).tril()."
_LOUD = torch.tensor([[1.0, 1.0], [-2.0, 1.0], [1.0, -2.0], [-2.0, -2.0]]) * 400  # scores from -560,000 to 560,000


def _loud(value: Any, *_: Any) -> str:
    if isinstance(value, Tensor) and not value.isfinite().all():
        return ("exp of a large score is more than a float32 can hold, and that of a very small one is 0: inf / inf and 0 / 0 are nan. "
                "softmax(1) takes each row's own largest score off first.")
    return "what you write over the future, or take off it, leaves a score larger than one that counts. -inf is below every score."


check_causal_attention = exercise(
    "causal_attention: scaled, looking back only, and the gradient flows",
    _attention, inputs=("the queries", "the keys", "the values"),
    cases=[tuple(torch.randn(3, n, d, generator=_draw)) for n, d in ((5, 4), (6, 9), (1, 4), (3, 64))],
    edges=[((_LOUD, _LOUD, torch.eye(4)[:, :2]), _loud), ((_LOUD, -_LOUD, torch.eye(4)[:, :2]), _loud)],
    describe=lambda q, k, v: f"For queries of the shape {tuple(q.shape)}",
    infinite=f"A place that may look at nothing has a softmax of 0 / 0: perhaps a place does not look at itself in your answer, and the first one at nothing. {_FUTURE}",
    only_read="which it should only read: masked_fill, not masked_fill_.",
    gradients=("the queries", "the keys", "the values"),
    mistakes=[
        (_mix(lambda ones: ones), f"You look at every place, the future included. {_FUTURE}"),
        (_mix(torch.triu), f"You look ahead instead of back: the triangle is upside down. {_FUTURE}"),
        (lambda *given: _mix(lambda ones: ones.tril(-1))(*given).nan_to_num(), f"A place does not look at itself in your answer. {_FUTURE}"),
        (_mix(scale=lambda n, d: 1), "Divide the scores by √d before the softmax."),
        (_mix(scale=lambda n, d: d), "You divide by d. It is √d, the root of the number of units."),
        (_mix(scale=lambda n, d: math.sqrt(n)), "You divide by √n. d is the length of a query, not the number of places."),
        (_mix(scale=lambda n, d: 1 / math.sqrt(d)), "You multiply by √d. Divide."),
        *((_mix(scale=lambda n, d, to=to: to), f"You divide by {to}, whatever d is. The queries tell you d: queries.shape[1].") for to in (2, 3, 8)),  # type: ignore[misc]
        (_mix(weigh=lambda scores, seen: scores.softmax(1) * seen), "You set weights to 0 after the softmax, so a row sums to less than 1. Set the scores to -inf before it."),
        (_mix(weigh=lambda scores, seen: (scores * seen).softmax(1)), "A score of 0 is a score like any other: exp(0) = 1. Set it to -inf."),
        (_mix(weigh=lambda scores, seen: scores.masked_fill(seen == 0, -torch.inf).softmax(0)),
         "Your softmax goes down the columns. Each *row*, one query, sums to 1: softmax(1), or softmax(-1)."),
        (_mix(weigh=lambda scores, seen: scores.exp() * seen), "That is exp of the scores. Divide each row by its sum: softmax."),
        (lambda q, k, v: _attention(q, k, k), "You take the mean of the keys. What is passed on are the values."),
        (lambda q, k, v: _attention(q, k, q), "You take the mean of the queries. What is passed on are the values."),
        (lambda q, k, v: _attention(k, q, v), "Queries and keys have changed places: row i belongs to query i, queries @ keys.T."),
        (lambda q, k, v: 1 * v, "These are the values as they came in, unmixed."),
    ],
    shapes=[(lambda q, k, v: (len(q), len(q)), "These are the weights. Multiply them with the values.")],
)


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """Check a function (x, heads): (batch, n, units) -> (batch, heads, n, units / heads), in the order of the units."""
    if x.shape[2] % heads:
        raise ValueError(f"{x.shape[2]} units cannot be shared out among {heads} heads.")
    return torch.stack(x.chunk(heads, dim=-1), dim=1)


_SWAP = "the units are split, and words and heads still have to change places, .transpose(1, 2)."
_FIRST = "the heads come first. The texts of the batch come first, then the heads."
check_split_heads = exercise(
    "split_heads: each head has its own units, of every word in order",
    _split_heads, inputs=("x", "the number of heads"),
    cases=[(torch.arange(float(b * n * units)).view(b, n, units), heads) for b, n, units, heads in ((2, 5, 12, 3), (1, 5, 12, 4), (3, 4, 6, 1), (2, 3, 6, 3), (2, 4, 8, 2))],
    refused=[((torch.zeros(1, 2, 8), 3), "8 units for 3 heads should raise a ValueError: they cannot be shared out. Look at the remainder, units % heads.")],
    describe=lambda x, heads: f"With {heads} heads for the shape {tuple(x.shape)}",
    said=lambda mine, right, x, heads: f"With {heads} heads for the shape {tuple(x.shape)} head 0 has {show(mine[0, 0, 0])} of the first word, and should have {show(right[0, 0, 0])}",
    gradients=("x",),
    shapes=[(lambda x, heads: (*x.shape[:2], heads, x.shape[2] // heads), _SWAP), (lambda x, heads: (heads, *x.shape[:2], x.shape[2] // heads), _FIRST)],
    of=lambda x, heads: (x, *x.shape[:2], heads, x.shape[2] // heads),
    mistakes=[
        (lambda x, b, n, h, s: x.reshape(b, h, n, s), "the shape is right and the contents are mixed: a plain view cuts the row of numbers anew, across words. "
                                               "Split the units first, (batch, n, heads, share), then swap words and heads."),
        (lambda x, b, n, h, s: x.reshape(b, n, s, h).permute(0, 3, 1, 2), "head h has every heads-th unit. It should have its units side by side."),
        (lambda x, b, n, h, s: _split_heads(x, h).flip(1), "the heads are in reverse order."),
        (lambda x, b, n, h, s: x[:, None, :, :s].expand(b, h, n, s), "all heads have the same units."),
        (lambda x, b, n, h, s: x.reshape(b, n, h, s).transpose(1, 1 if n == h else 2), _SWAP),
        (lambda x, b, n, h, s: x.reshape(b, n, h, s).permute((2, 0, 1, 3) if b == h else (0, 2, 1, 3)), _FIRST),
    ],
)


def _pairs(first: list[int], second: list[int], start: int, delimiter: int, extract: int) -> list[list[int]]:
    """Check a function (first, second, start, delimiter, extract) -> two lists of ids (Radford et al. 2018, figure 1)."""
    return [[start, *one, delimiter, *other, extract] for one, other in ((first, second), (second, first))]


def _flat(rows: Any, *_: Any) -> list[list[int]]:
    """Two rows of ids as lists, whatever sequences they are."""
    require(isinstance(rows, list | tuple), f"Return a list of two lists of ids, not {type(rows).__name__}.")
    require(all(isinstance(row, list | tuple) for row in rows), f"Return a list of *two lists*, one for each order, not {rows!r}.")
    wrong = [i for row in rows for i in row if not isinstance(i, int | np.integer) or isinstance(i, bool)]
    require(not wrong, f"A row is a flat list of ids, and yours contains {wrong[:1]}: write *text to unpack it.")
    return [[int(i) for i in row] for row in rows]


check_pair_inputs = exercise(
    "pair_inputs: both orders, with start, delimiter and extract in their places",
    _pairs, inputs=("the first list", "the second list", "start", "delimiter", "extract"),
    cases=[([5, 6, 7], [8, 9], 100, 101, 102), ([4], [4, 3, 2, 1], 100, 101, 102), ([11, 12], [13, 14], 40_480, 40_478, 40_479)],
    describe=lambda first, second, *special: f"For the texts {first} and {second}, and {', '.join(map(str, special))} for start, delimiter and extract,",
    only_read="which it should only read: make a new list.",
    read=_flat,
    of=lambda *given: (*_pairs(*given), *given),
    mistakes=[
        (lambda one, other, *_: [other, one], "the order with the first text in front comes first."),
        (lambda one, other, *_: [one, one], "the second row has the same order as the first. Swap the texts."),
        (lambda one, other, *_: [other, other], "the first row should have the first text in front."),
        (lambda one, other, *_: [one], "one order only. A pair has no first and second, so read it both ways."),
        (lambda one, other, *_: [one, one[::-1]], "you turn the whole row around, with every text back to front. Swap the texts, not their words."),
        (lambda one, other, *_: [[*one, *other[1:]]], "that is one long row. Both orders are rows of their own."),
        (lambda one, other, *_: [one[:-1], other[:-1]], "`extract` is missing at the end: its state is the one that judges."),
        (lambda one, other, *_: [one[1:], other[1:]], "`start` is missing at the beginning."),
        (lambda one, other, a, b, s, d, e: [[s, *a, *b, e], [s, *b, *a, e]], "the delimiter is missing: where does a text end?"),
        (lambda one, other, a, b, *_: [[*a, *b], [*b, *a]], "start, delimiter and extract are missing."),
        (lambda one, other, a, b, s, d, e: _pairs(a, b, e, d, s), "start and extract have changed places."),
        (lambda one, other, a, b, s, d, e: [[e, s, *a, d, *b], [e, s, *b, d, *a]],
         "`extract` stands in front. There it has read nothing, since a decoder looks back only. Put it at the end."),
        (lambda one, other, a, b, s, d, e: [[s, *a, d, *b, d, e], [s, *b, d, *a, d, e]], "a delimiter stands between the texts only."),
        (lambda one, other, a, b, *_: _pairs(a, b, 100, 101, 102), "start, delimiter and extract are not always the same numbers: take them as they are given."),
    ],
)
# fmt: on
