"""Lecture 05: the slanted triangle, pooling without padding, and rows for a new vocabulary."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.exercises import CheckFailed, call, check, diagnose, require


@check("slanted_triangular: up to 1 at the cut, down to 1 / ratio at the end, and never below")
def check_slanted_triangular(slanted_triangular: Callable[..., float]) -> None:
    """Check a function (step, steps, cut, ratio) -> the share of the highest rate (Howard & Ruder 2018, equation 3).

    From 1 / ratio at step 0 in a straight line to 1 at step max(1, floor(steps * cut)), and in a straight line to 1 / ratio
    at step ``steps``.
    """
    for steps, cut, ratio in ((100, 0.1, 32.0), (100, 0.1, 8.0), (200, 0.3, 32.0)):
        every, peak = range(steps + 1), int(steps * cut)
        found = np.array([_share(slanted_triangular, step, steps, cut, ratio) for step in every])
        right = np.array([_triangle(step, steps, peak, ratio) for step in every])
        off = int(
            np.argmax(~np.isclose(found, right, rtol=1e-4))
        )  # the first step that is wrong, if there is one
        said = f"At step {off} of {steps}, with cut = {cut:g} and ratio = {ratio:g}, you return {found[off]:.4g} and not {right[off]:.4g}"
        wrong = (
            (np.array([share(step, steps, cut, ratio) for step in every]), why)
            for share, why in _WRONG_SHARES
        )
        _diagnose(found, right, wrong, said)
    advice = (
        "floor(steps * cut) may be 0, so the peak is at step max(1, ...); and it falls over all the steps that are left, "
        "steps - peak, which here are more than peak * (1 / cut - 1)."
    )
    for steps in (19, 5, 1):  # so few that floor(steps * cut) is 1 or 0
        said, every = f"With {steps} step{'s' * (steps > 1)} in all", range(steps + 1)
        try:
            found = np.array(
                [
                    _share(slanted_triangular, step, steps, 0.1, 32.0, may_raise=(ZeroDivisionError,))
                    for step in every
                ]
            )
        except ZeroDivisionError as error:
            raise CheckFailed(f"{said} you divide by 0. {advice}") from error
        least, right = int(found.argmin()), np.array([_triangle(step, steps, 1, 32.0) for step in every])
        require(
            found[least] > 0,
            f"{said} you return {found[least]:.3g} at step {least}: a rate below 0 unlearns. {advice}",
        )
        off = int(np.argmax(~np.isclose(found, right, rtol=1e-4)))
        require(
            _close(found, right),
            f"{said} you return {found[off]:.4g} at step {off} and not {right[off]:.4g}. {advice}",
        )


def _triangle(step: float, steps: int, peak: float, ratio: float) -> float:
    """The right answer, once it is known where the peak is."""
    up = step / peak if step < peak or peak >= steps else (steps - step) / (steps - peak)
    return (1 + up * (ratio - 1)) / ratio


def _by_p(step: float, steps: int, cut: float) -> float:
    """The paper's p: 0 at both ends, 1 at the peak."""
    return (_triangle(step, steps, int(steps * cut), 2.0) * 2) - 1


def _other_p(p: Callable[[int, int, float], float]) -> Callable[[int, int, float, float], float]:
    """The share of the highest rate, made from another p."""
    return lambda step, steps, cut, ratio: (1 + p(step, steps, cut) * (ratio - 1)) / ratio


# What else the share could be, as a function of step, steps, cut and ratio, and why.
_WRONG_SHARES: tuple[tuple[Callable[[int, int, float, float], float], str], ...] = (
    (lambda t, n, cut, r: _by_p(t, n, cut), "that is p itself, which is 0 at both ends. The share is (1 + p * (ratio - 1)) / ratio."),
    (lambda t, n, cut, r: _by_p(t, n, cut) * (r - 1) / r, "the 1 is missing: (1 + p * (ratio - 1)) / ratio."),
    (lambda t, n, cut, r: 1 + _by_p(t, n, cut) * (r - 1), "divide by ratio, so that the peak is 1: (1 + p * (ratio - 1)) / ratio."),
    (lambda t, n, cut, r: 1 / r + _by_p(t, n, cut), "1 / ratio is added to p, so the peak is above 1. It is (1 + p * (ratio - 1)) / ratio."),
    (lambda t, n, cut, r: max(_by_p(t, n, cut), 1 / r), "p is cut off at 1 / ratio. It goes there in a straight line: (1 + p * (ratio - 1)) / ratio."),
    (_other_p(lambda t, n, cut: 1 - _by_p(t, n, cut)), "the triangle stands on its head: p is 1 at the peak and 0 at the ends."),
    (_other_p(lambda t, n, cut: 1), "the rate is at its highest all the time. Only one step is the peak."),
    (lambda t, n, cut, r: _triangle(t, n, n / 2, r), "the peak is in the middle. It belongs at step floor(steps * cut)."),
    (lambda t, n, cut, r: _triangle(t, n, n * (1 - cut), r), "it rises slowly and falls fast. The rise takes the share cut, the fall the rest."),
    (_other_p(lambda t, n, cut: 1 - t / n), "it falls from the first step on. First it rises, for the share cut of the steps."),
    (_other_p(lambda t, n, cut: t / n), "it rises up to the last step. From step floor(steps * cut) on it falls."),
    (_other_p(lambda t, n, cut: t / int(n * cut)), "it goes on rising after the peak. From there on p is 1 - (step - peak) / (steps - peak)."),
    (_other_p(lambda t, n, cut: t / (n * cut) if t < n * cut else (t - n * cut) / (n - n * cut)), "it rises again after the peak. There p is 1 minus what has gone by."),
    (_other_p(lambda t, n, cut: t / (n * cut) if t < n * cut else 1 - t / n), "after the peak count from the peak: p is 1 - (step - peak) / (steps - peak)."),
    (lambda t, n, cut, r: _triangle(t, n, int(n * 0.1), r), "cut is taken as 0.1, whatever is asked for."),
    (lambda t, n, cut, r: _triangle(t, n, int(n * cut), 32.0), "ratio is taken as 32, whatever is asked for."),
    (lambda t, n, cut, r: _triangle(min(t + 1, n), n, int(n * cut), r), "that belongs to the step after it. Steps count from 0."),
    (lambda t, n, cut, r: _triangle(max(t - 1, 0), n, int(n * cut), r), "that belongs to the step before it. Steps count from 0."),
)  # fmt: skip


def _share(
    function: Callable[..., float], *given: float, may_raise: tuple[type[Exception], ...] = ()
) -> float:
    """What the student's function returns, once it is known to be one number."""
    result = call(function, *given, may_raise=may_raise)
    require(
        isinstance(result, int | float | np.integer | np.floating) and not isinstance(result, bool),
        f"Return one number, the share of the highest rate, not {type(result).__name__}: {result!r}.",
    )
    require(np.isfinite(result), f"At step {given[0]} of {given[1]} you return {result}.")
    return float(result)


@check("concat_pool: the last state, the largest, the mean, and no padding in any of them")
def check_concat_pool(concat_pool: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Check a function from states (B, T, U) and a mask (B, T), 1 for a token and 0 for padding, to (B, 3 x U).

    Side by side for each text: the state of its last token, the largest value of each unit, and its mean (Howard & Ruder 2018,
    section 3.3). The padding is at the end, and the states there are any numbers.
    """
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(4, 5, 3, generator=generator)
    states[..., 0] = -states[..., 0].abs() - 0.5  # a unit that is never positive: 0 would be its largest
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 0]])
    states = states.masked_fill(mask.unsqueeze(2) == 0, 7.0) + 0.1 * torch.rand(4, 5, 3, generator=generator)
    given, given_mask = states.clone().requires_grad_(), mask.clone()
    result = call(concat_pool, given, given_mask)
    parts = _pooled(result)
    right = _right_parts(states, mask)
    for order in itertools.permutations(range(3)):
        if order != (0, 1, 2):
            require(
                not all(_same(parts[place], right[part]) for place, part in enumerate(order)),
                f"The three parts are right, and in the order {', '.join(_PARTS[part] for part in order)}. The lecture's order "
                f"is {', '.join(_PARTS)}.",
            )
    for number, candidates in enumerate(_wrong_parts(states, mask)):
        _diagnose(
            parts[number],
            right[number],
            candidates,
            f"Your {_PARTS[number]} of the second text (two tokens, then padding) is {_short(parts[number][1])} and not "
            f"{_short(right[number][1])}",
        )
    require(
        torch.equal(given.detach(), states) and torch.equal(given_mask, mask),
        "Your function changes its inputs; it should only read them. masked_fill, not masked_fill_.",
    )
    require(
        result.requires_grad,
        "No gradient flows through your pooling: stay in torch, without .detach() or no_grad.",
    )
    result.sum().backward()
    gradient = given.grad if given.grad is not None else torch.zeros_like(states)
    require(
        bool((gradient[mask == 0] == 0).all()) and bool((gradient[mask == 1] != 0).all()),
        "The gradient should reach every token, through the mean, and no padding.",
    )


_PARTS = ("last state", "maximum", "mean")


def _right_parts(states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Last state, maximum and mean, text by text."""
    texts = [row[: int(kept.sum())] for row, kept in zip(states, mask, strict=True)]
    return (
        torch.stack([text[-1] for text in texts]),
        torch.stack([text.amax(0) for text in texts]),
        torch.stack([text.mean(0) for text in texts]),
    )


def _wrong_parts(states: Tensor, mask: Tensor) -> tuple[Iterable[tuple[Any, str]], ...]:
    """What each part could be instead, and why."""
    _, tokens, _ = states.shape
    rows, lengths, zeroed = torch.arange(len(states)), mask.sum(1), states * mask.unsqueeze(2)
    right = _right_parts(states, mask)
    last: list[tuple[Any, str]] = [
        (states[:, -1], "states[:, -1] is padding wherever a text is shorter than the longest. Its last token stands at mask.sum(1) - 1."),
        (states[:, 0], "that is the first token, which has read nothing yet. Take the last one."),
        (states[rows, lengths.clamp(max=tokens - 1)], "that is one place too far: counting starts at 0, so the last token stands at mask.sum(1) - 1."),
        (states[rows, lengths - 2], "that is one place too early: the last token stands at mask.sum(1) - 1."),
        (zeroed[:, -1], "masked or not, states[:, -1] is padding wherever a text is shorter. Its last token stands at mask.sum(1) - 1."),
        (states[rows, lengths[0] - 1], "every text has a length of its own: mask.sum(1) - 1, one number for each."),
    ]  # fmt: skip
    largest: list[tuple[Any, str]] = [
        (states.amax(1), "the padding is in it. Fill it with -inf first: states.masked_fill(mask == 0, -inf), with one more dimension for the mask."),
        (zeroed.amax(1), "padding set to 0 is still larger than a negative state. Fill it with -inf."),
        (states.amax(1) * (lengths == tokens)[:, None], "the padding is in it. Fill it with -inf first."),
        (zeroed.abs().amax(1), "that is the largest size. Take the largest value: signs count."),
        (right[2], "that is the mean. Take .amax(1), or .max(1).values."),
        (states.masked_fill(mask.unsqueeze(2) == 0, torch.inf).amin(1), "that is the smallest value."),
    ]  # fmt: skip
    mean: list[tuple[Any, str]] = [
        (states.mean(1), "the padding is in it. Sum the tokens alone, and divide by their number, mask.sum(1)."),
        (zeroed.mean(1), "the padding is out of the sum, but you divide by T. Divide by the number of tokens, mask.sum(1)."),
        (states.sum(1) / lengths[:, None], "you divide by the number of tokens, but the padding is still in the sum."),
        (zeroed.sum(1), "that is the sum. Divide it by the number of tokens, mask.sum(1)."),
        (zeroed.sum(1) / (lengths[:, None] + 1), "you divide by one too many."),
        (zeroed.sum(1) // lengths[:, None], "`//` drops what comes after the decimal point. Divide with `/`."),
        (right[1], "that is the maximum."),
    ]  # fmt: skip
    return last, largest, mean


def _pooled(result: Any) -> tuple[Tensor, ...]:
    """The three parts of what the student's function returns, once the shape is right."""
    require(
        isinstance(result, Tensor), f"Return a tensor, not {type(result).__name__}: torch.cat([...], dim=1)."
    )
    shape = tuple(result.shape)
    require(
        shape not in ((3, 4, 3), (4, 3, 3)),
        f"The shape is {shape}: you stack the three parts. Put them side by side: torch.cat([...], dim=1).",
    )
    require(
        shape != (12, 3),
        "The shape is (12, 3): the parts stand one below the other. Put them side by side, dim=1.",
    )
    require(
        shape != (4, 3), "The shape is (4, 3): that is one part of the three. Put all of them side by side."
    )
    require(
        shape != (4, 15),
        "The shape is (4, 15): there is a number for each token. Pool over the tokens, dim=1.",
    )
    require(shape == (4, 9), f"The shape is {shape}, and should be (B, 3 x U), here (4, 9).")
    require(
        bool(torch.isfinite(result).all()),
        "There is a number that is not finite in your answer: is -inf left in it, or 0 / 0?",
    )
    return tuple(result.detach().split(3, dim=1))


@check("transfer_rows: known words keep their rows, new words start from the mean")
def check_transfer_rows(transfer_rows: Callable[..., np.ndarray]) -> None:
    """Check a function (table, old, new) -> the table of the new vocabulary.

    ``table`` has a row for END, one for UNKNOWN, and one for each of the list ``old`` of words, (len(old) + 2, units); the result
    is the same for the list ``new``. A word that both have keeps its row, another starts from the mean of all rows of the table.
    """
    old = ["the", "a", "dog", "cat", "sat", "on"]
    table = np.random.default_rng(0).normal(size=(len(old) + 2, 3)).round(2)
    for new in (["cat", "the", "dog"], ["sat", "txt", "a", "u", "the"], ["lol"]):
        given, lists = table.copy(), (list(old), list(new))
        found = call(transfer_rows, given, *lists)
        require(
            np.array_equal(given, table),
            "Your function changes the table, which it should only read: make a new one.",
        )
        require(lists == (old, new), "Your function changes a list of words, which it should only read.")
        require(isinstance(found, np.ndarray), f"Return a numpy array, not {type(found).__name__}.")
        known = [word in old for word in new]
        shape = (len(new) + 2, 3)
        advice = {
            (
                len(new),
                3,
            ): "the two special ids, END and UNKNOWN, have rows as well: the first two of the table.",
            (sum(known) + 2, 3): "the new words that the table lacks have none. They start from the mean.",
            table.shape: "that is a table of the old size. It should have a row for each new word.",
        }
        said = f"For the new words {new} you return the shape {found.shape}, not ({len(new)} + 2, 3)"
        require(found.shape == shape, f"{said}: {advice.get(found.shape, 'a row for each id, please.')}")
        require(
            bool(np.isfinite(found.astype(float)).all()),
            f"There is nan in the rows for {new}. Is a row never filled in?",
        )
        _check_rows(found.astype(float), table, old, new)


def _check_rows(found: np.ndarray, table: np.ndarray, old: list[str], new: list[str]) -> None:
    """Row by row: the special ones, known words, new words."""
    for i, name in enumerate(("END", "UNKNOWN")):
        said = f"Row {i}, {name}, should stay as it is, {_short(table[i])}, and is {_short(found[i])}"
        require(_close(found[i], table[i]), f"{said}. The two special ids stand first in both tables.")
    middle = table.mean(0)
    for i, word in enumerate(new, start=2):
        row, right = found[i], table[old.index(word) + 2] if word in old else middle
        said = f"The row of {word!r} is {_short(row)} and not {_short(right)}"
        if word in old:
            _diagnose(row, right, _wrong_known(table, old.index(word), i), said)
        else:
            _diagnose(row, right, _wrong_new(table, found), said)


def _wrong_known(table: np.ndarray, place: int, i: int) -> Iterator[tuple[Any, str]]:
    """What else the row of a known word could be."""
    yield table[place], "that row belongs to another word. Word i has row i + 2, after END and UNKNOWN."
    if place + 1 < len(table):
        yield table[place + 1], "you go on by one. There are two special rows, so word i has row i + 2."
    yield (
        table[min(i, len(table) - 1)],
        "that is the row with the same number in the old table. Look the word up by its name.",
    )
    yield table.mean(0), "that is the mean, and the word is known. Is it compared by its name?"
    yield table[1], "that is UNKNOWN's row, and the word is known."


def _wrong_new(table: np.ndarray, found: np.ndarray) -> Iterator[tuple[Any, str]]:
    """What else the row of a new word could be."""
    start = "A new word starts from the mean of all rows of the table: table.mean(axis=0)."
    yield (
        np.zeros(table.shape[1]),
        f"that is zero, and a softmax gives such a word the same score everywhere. {start}",
    )
    yield table[1], f"that is UNKNOWN's row: -1 for “not found”, plus 2, is 1. {start}"
    yield table[0], f"that is END's row. {start}"
    yield table[-1], f"that is the last row of the table, where -1 points to. {start}"
    yield table[-2], f"that is another word's row: -1 for “not found” means the last but one here. {start}"
    yield (
        np.full(table.shape[1], table.mean()),
        f"that is one number for all units. The mean goes over the rows, axis=0. {start}",
    )
    yield (
        table[2:].mean(0),
        "that is the mean of the words alone. Take END and UNKNOWN in, as the lecture does: table.mean(axis=0).",
    )
    yield np.median(table, axis=0), f"that is the median. {start}"
    yield table.sum(0), f"that is the sum. {start}"
    yield np.ones(table.shape[1]), f"that is 1 everywhere. {start}"


def _close(one: Any, other: Any) -> bool:
    return np.allclose(np.asarray(one, float), np.asarray(other, float), rtol=1e-4, atol=1e-6)


_diagnose = partial(diagnose, close=_close)


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def _short(values: Any) -> str:
    return "[" + ", ".join(f"{value + 0:.3g}" for value in np.asarray(values, float).ravel().tolist()) + "]"
