"""Lecture 06: attention that looks back, heads, and the input transformation for pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from course_utils.exercises import CheckFailed, call, check, require


@check("causal_attention: scaled, looking back only, and the gradient flows")
def check_causal_attention(causal_attention: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Check a function (queries, keys, values), each (n, d), -> (n, d): equation 1 with place i looking at 0 .. i."""
    generator = torch.Generator().manual_seed(0)
    for n, d in ((5, 4), (4, 9), (1, 4)):
        queries, keys, values = (torch.randn(n, d, generator=generator) for _ in range(3))
        given = [part.clone().requires_grad_() for part in (queries, keys, values)]
        found = call(causal_attention, *given)
        _check_tensor(found, (n, d), f"For queries of the shape ({n}, {d})")
        right = _mix(queries, keys, values)
        if not _same(found, right):
            for answer, why in _wrong_attentions(queries, keys, values):
                require(not (answer.shape == found.shape and _same(found, answer)), why)
            row = int((found - right).abs().amax(1).argmax())
            raise CheckFailed(
                f"For {n} places of {d} numbers, the result of place {row} is {_short(found[row])} and not {_short(right[row])}."
            )
        require(
            all(
                torch.equal(one.detach(), other)
                for one, other in zip(given, (queries, keys, values), strict=True)
            ),
            "Your function changes its inputs; it should only read them. masked_fill, not masked_fill_.",
        )
        require(found.requires_grad, "No gradient flows: stay in torch, without .detach() or no_grad.")


def _mix(
    queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """The right answer; with other places allowed, or another scale, a wrong one."""
    n, d = queries.shape
    scores = queries @ keys.T / (d**0.5 if scale is None else scale)
    allowed = torch.ones(n, n).tril() if allowed is None else allowed
    return scores.masked_fill(allowed == 0, -torch.inf).softmax(1) @ values


def _wrong_attentions(queries: Tensor, keys: Tensor, values: Tensor) -> Iterator[tuple[Tensor, str]]:
    """What else the answer could be, and why."""
    n, d = queries.shape
    back, everywhere = torch.ones(n, n).tril(), torch.ones(n, n)
    scores = queries @ keys.T / d**0.5
    future = "Place i may look at places 0 to i: a lower triangle with its diagonal, torch.ones(n, n).tril()."
    yield _mix(queries, keys, values, everywhere), f"You look at every place, the future included. {future}"
    yield (
        _mix(queries, keys, values, back.T),
        f"You look ahead instead of back: the triangle is upside down. {future}",
    )
    before = _mix(queries, keys, values, back.tril(-1))
    yield before, f"A place does not look at itself in your answer, and the first one at nothing. {future}"
    yield torch.nan_to_num(before), f"A place does not look at itself in your answer. {future}"
    yield _mix(queries, keys, values, scale=1.0), "Divide the scores by √d before the softmax."
    yield _mix(queries, keys, values, scale=d), "You divide by d. It is √d, the root of the number of units."
    yield (
        _mix(queries, keys, values, scale=n**0.5),
        "You divide by √n. d is the length of a query, not the number of places.",
    )
    yield _mix(queries, keys, values, scale=d**-0.5), "You multiply by √d. Divide."
    zeroed = "You set weights to 0 after the softmax, so a row sums to less than 1. Set the scores to -inf before it."
    yield (scores.softmax(1) * back) @ values, zeroed
    yield (
        (scores * back).softmax(1) @ values,
        "A score of 0 is a score like any other: exp(0) = 1. Set it to -inf.",
    )
    yield (
        scores.masked_fill(back == 0, -torch.inf).softmax(0) @ values,
        "Your softmax goes down the columns. Each *row*, one query, sums to 1: softmax(1), or softmax(-1).",
    )
    weights = scores.masked_fill(back == 0, -torch.inf)
    yield weights.exp() @ values, "That is exp of the scores. Divide each row by its sum: softmax."
    yield weights.softmax(1) @ keys, "You take the mean of the keys. What is passed on are the values."
    yield weights.softmax(1) @ queries, "You take the mean of the queries. What is passed on are the values."
    yield (
        _mix(keys, queries, values),
        "Queries and keys have changed places: row i belongs to query i, queries @ keys.T.",
    )
    yield weights.softmax(1), "These are the weights. Multiply them with the values."
    yield values, "These are the values as they came in, unmixed."


@check("split_heads: each head has its own units, of every word in order")
def check_split_heads(split_heads: Callable[[Tensor, int], Tensor]) -> None:
    """Check a function (x, heads): (batch, n, units) -> (batch, heads, n, units / heads), in the order of the units."""
    for batch, n, units, heads in ((2, 5, 12, 3), (1, 5, 12, 4), (3, 4, 6, 1)):
        x = torch.arange(batch * n * units, dtype=torch.float32).view(batch, n, units)
        found = call(split_heads, x.clone(), heads)
        said = f"With {heads} head{'s' * (heads > 1)} for the shape ({batch}, {n}, {units})"
        if isinstance(found, Tensor):
            shape = tuple(found.shape)
            require(
                shape != (batch, n, heads, units // heads) or n == heads,
                f"{said} you return {shape}: the units are split, and words and heads still have to change places, "
                ".transpose(1, 2).",
            )
            require(
                shape != (heads, batch, n, units // heads) or heads == batch,
                f"{said} the heads come first. The texts of the batch come first, then the heads.",
            )
        _check_tensor(found, (batch, heads, n, units // heads), said)
        share = units // heads
        right = torch.stack([x[..., h * share : (h + 1) * share] for h in range(heads)], dim=1)
        if not torch.equal(found, right):
            wrong = (
                (
                    x.reshape(batch, heads, n, share),
                    "the shape is right and the contents are mixed: a plain view cuts the row of numbers anew, across words. "
                    "Split the units first, (batch, n, heads, share), then swap words and heads.",
                ),
                (
                    torch.stack([x[..., h::heads] for h in range(heads)], dim=1),
                    "head h has every heads-th unit. It should have its units side by side.",
                ),
                (right.flip(1), "the heads are in reverse order."),
                (right[:, :1].expand_as(right), "all heads have the same units."),
            )
            for answer, why in wrong:
                require(not torch.equal(found, answer), f"{said}: {why}")
            raise CheckFailed(
                f"{said}: head 0 has {_short(found[0, 0, 0])} of the first word, and should have {_short(right[0, 0, 0])}."
            )
    try:
        call(split_heads, torch.zeros(1, 2, 8), 3, may_raise=(ValueError,))
    except ValueError as error:
        # PyTorch refuses such a shape with a RuntimeError; a ValueError is the student's own.
        require(str(error), "You raise a ValueError without a word. Say what is wrong: 8 units, 3 heads.")
    except CheckFailed as failed:
        raise CheckFailed(f"8 units for 3 heads should raise a ValueError that says so. {failed}") from failed
    else:
        raise CheckFailed("8 units cannot be shared out among 3 heads: raise a ValueError.")


@check("pair_inputs: both orders, with start, delimiter and extract in their places")
def check_pair_inputs(pair_inputs: Callable[..., list[list[int]]]) -> None:
    """Check a function (first, second, start, delimiter, extract) -> two lists of ids (Radford et al. 2018, figure 1)."""
    for first, second in (([5, 6, 7], [8, 9]), ([4], [4, 3, 2, 1]), ([11, 12], [13, 14])):
        start, delimiter, extract = 100, 101, 102
        lists = list(first), list(second)
        found = call(pair_inputs, *lists, start, delimiter, extract)
        require(
            lists == (first, second), "Your function changes a list that it should only read: make new ones."
        )
        found = _as_lists(found)
        one, other = ([start, *a, delimiter, *b, extract] for a, b in ((first, second), (second, first)))
        if found == [one, other]:
            continue
        said = f"For the texts {first} and {second} you return {found}, not {[one, other]}"
        plain = [[*first, *second], [*second, *first]]
        wrong = (
            ([other, one], "the order with the first text in front comes first."),
            ([one, one], "the second row has the same order as the first. Swap the texts."),
            ([other, other], "the first row should have the first text in front."),
            ([one], "one order only. A pair has no first and second, so read it both ways."),
            (
                [one, one[::-1]],
                "you turn the whole row around, with every text back to front. Swap the texts, not their words.",
            ),
            (
                [row[:-1] for row in (one, other)],
                "`extract` is missing at the end: its state is the one that judges.",
            ),
            ([row[1:] for row in (one, other)], "`start` is missing at the beginning."),
            (
                [[i for i in row if i != delimiter] for row in (one, other)],
                "the delimiter is missing: where does a text end?",
            ),
            (plain, "start, delimiter and extract are missing."),
            (
                [[extract, *row[1:-1], start] for row in (one, other)],
                "start and extract have changed places.",
            ),
            (
                [[extract, *row[:-1]] for row in (one, other)],
                "`extract` stands in front. There it has read nothing, since a decoder looks back only. Put it at the end.",
            ),
            (
                [[*row[:-1], delimiter, row[-1]] for row in (one, other)],
                "a delimiter stands between the texts only.",
            ),
            ([[*one, *other[1:]]], "that is one long row. Both orders are rows of their own."),
        )
        for answer, why in wrong:
            require(found != answer, f"{said}: {why}")
        raise CheckFailed(f"{said}.")


def _as_lists(found: Any) -> list[list[int]]:
    """Two rows of ids as lists, whatever sequences they are."""
    require(
        isinstance(found, list | tuple), f"Return a list of two lists of ids, not {type(found).__name__}."
    )
    require(
        all(isinstance(row, list | tuple) for row in found),
        f"Return a list of *two lists*, one for each order, not {found!r}.",
    )
    rows = [list(row) for row in found]
    nested = [i for row in rows for i in row if not isinstance(i, int)]
    require(
        not nested, f"A row is a flat list of ids, and yours contains {nested[:1]}: write *text to unpack it."
    )
    return rows


def _check_tensor(found: Any, shape: tuple[int, ...], said: str) -> None:
    require(isinstance(found, Tensor), f"Return a tensor, not {type(found).__name__}.")
    require(tuple(found.shape) == shape, f"{said} you return the shape {tuple(found.shape)}, not {shape}.")


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.detach(), other, rtol=1e-4, atol=1e-6, equal_nan=True)


def _short(values: Tensor) -> str:
    return "[" + ", ".join(f"{value + 0:.3g}" for value in values.detach().flatten().tolist()) + "]"
