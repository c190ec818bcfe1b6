"""Lecture 05: the slanted triangle, pooling without padding, and rows for a new vocabulary."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.exercises.engine import Part, close, exercise, show


# fmt: off
def _slanted(step: int, steps: int, cut: float, ratio: float) -> float:
    """Check a function (step, steps, cut, ratio) -> the share of the highest rate (Howard & Ruder 2018, equation 3).

    From 1 / ratio at step 0 in a straight line to 1 at step max(1, floor(steps * cut)), and in a straight line to 1 / ratio
    at step ``steps``.
    """
    return _share(_p(step, steps, max(1, int(steps * cut))), ratio)


def _share(p: float, ratio: float) -> float:
    return (1 + p * (ratio - 1)) / ratio


def _p(step: float, steps: int, peak: float) -> float:
    """The paper's p: 0 at both ends, 1 at the peak."""
    return step / peak if step < peak or peak >= steps else (steps - step) / (steps - peak)


def _few_steps(value: Any, *_: Any) -> str:
    seen = "you divide by 0. " if isinstance(value, ZeroDivisionError) else "a rate below 0 unlearns. " if isinstance(value, float | int) and value < 0 else ""
    return (f"{seen}floor(steps * cut) may be 0, so the peak is at step max(1, ...); and it falls over all the steps that are left, "
            "steps - peak, which here are more than peak * (1 / cut - 1).")


check_slanted_triangular = exercise(
    "slanted_triangular: up to 1 at the cut, down to 1 / ratio at the end, and never below",
    _slanted, inputs=("the step", "the steps", "the cut", "the ratio"),
    cases=[(step, steps, cut, ratio) for steps, cut, ratio in ((40, 0.1, 32.0), (40, 0.1, 8.0), (50, 0.3, 32.0)) for step in range(steps + 1)],
    edges=[((step, steps, 0.1, 32.0), _few_steps) for steps in (19, 5, 1) for step in range(steps, -1, -1)],  # floor(steps * cut) is 1 or 0
    describe=lambda t, n, cut, ratio: f"At step {t} of {n}, with cut = {cut:g} and ratio = {ratio:g},",
    of=lambda t, n, cut, ratio: (_p(t, n, max(1, int(n * cut))), t, n, cut, ratio),
    mistakes=[
        (lambda p, t, n, cut, r: p, "that is p itself, which is 0 at both ends. The share is (1 + p * (ratio - 1)) / ratio."),
        (lambda p, t, n, cut, r: p * (r - 1) / r, "the 1 is missing: (1 + p * (ratio - 1)) / ratio."),
        (lambda p, t, n, cut, r: 1 + p * (r - 1), "divide by ratio, so that the peak is 1: (1 + p * (ratio - 1)) / ratio."),
        (lambda p, t, n, cut, r: 1 / r + p, "1 / ratio is added to p, so the peak is above 1. It is (1 + p * (ratio - 1)) / ratio."),
        (lambda p, t, n, cut, r: max(p, 1 / r), "p is cut off at 1 / ratio. It goes there in a straight line: (1 + p * (ratio - 1)) / ratio."),
        (lambda p, t, n, cut, r: _share(1 - p, r), "the triangle stands on its head: p is 1 at the peak and 0 at the ends."),
        (lambda p, t, n, cut, r: 1.0, "the rate is at its highest all the time. Only one step is the peak."),
        (lambda p, t, n, cut, r: _share(p, 32), "ratio is taken as 32, whatever is asked for."),
        (lambda p, t, n, cut, r: _slanted(t, n, 0.1, r), "cut is taken as 0.1, whatever is asked for."),
        (lambda p, t, n, cut, r: _slanted(min(t + 1, n), n, cut, r), "that belongs to the step after it. Steps count from 0."),
        (lambda p, t, n, cut, r: _slanted(max(t - 1, 0), n, cut, r), "that belongs to the step before it. Steps count from 0."),
        (lambda p, t, n, cut, r: _share(_p(t, n, n / 2), r), "the peak is in the middle. It belongs at step floor(steps * cut)."),
        (lambda p, t, n, cut, r: _share(_p(t, n, n * (1 - cut)), r), "it rises slowly and falls fast. The rise takes the share cut, the fall the rest."),
        (lambda p, t, n, cut, r: _share(1 - t / n, r), "it falls from the first step on. First it rises, for the share cut of the steps."),
        (lambda p, t, n, cut, r: _share(t / n, r), "it rises up to the last step. From step floor(steps * cut) on it falls."),
        (lambda p, t, n, cut, r: _share(t / int(n * cut), r), "it goes on rising after the peak. From there on p is 1 - (step - peak) / (steps - peak)."),
        (lambda p, t, n, cut, r: _share(t / (n * cut) if t < n * cut else (t - n * cut) / (n - n * cut), r), "it rises again after the peak. There p is 1 minus what has gone by."),
        (lambda p, t, n, cut, r: _share(t / (n * cut) if t < n * cut else 1 - t / n, r), "after the peak count from the peak: p is 1 - (step - peak) / (steps - peak)."),
    ],
)


def _concat_pool(states: Tensor, mask: Tensor) -> Tensor:
    """Check a function from states (B, T, U) and a mask (B, T), 1 for a token and 0 for padding, to (B, 3 x U).

    Side by side for each text: the state of its last token, the largest value of each unit, and its mean (Howard & Ruder 2018,
    section 3.3). The padding is at the end, and the states there are any numbers, NaN among them.
    """
    texts = [row[: int(kept.sum())] for row, kept in zip(states, mask, strict=True)]
    return torch.stack([torch.cat([text[-1], text.amax(0), text.mean(0)]) for text in texts])


def _pool(place: int, part: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """One part made in another way: of the states, the mask, the states with 0 for padding, and the lengths (B, 1)."""
    def pool(states: Tensor, mask: Tensor) -> Tensor:
        parts = list(_concat_pool(states, mask).chunk(3, dim=1))
        parts[place] = part(states, mask.unsqueeze(2), states * mask.unsqueeze(2), mask.sum(1, keepdim=True))
        return torch.cat(parts, dim=1)
    return pool


def _part(place: int, name: str, *mistakes: tuple[Callable[..., Tensor], str]) -> Part:
    def said(mine: Tensor, right: Tensor, states: Tensor, mask: Tensor) -> str:
        off = next(i for i in range(len(mine)) if not close(mine[i], right[i]))
        return f"Your {name} of text {off}, which has {int(mask[off].sum())} of {mask.shape[1]} tokens, is {show(mine[off])} and not {show(right[off])}"
    return Part(name, said=said, mistakes=[(_pool(place, part), why) for part, why in mistakes])


def _padded(padding: float, low: float = -0.5, lengths: tuple[int, ...] = (3, 2, 1, 4), tokens: int = 5, units: int = 3) -> tuple[Tensor, Tensor]:
    """States and their mask; the first unit is never above ``low``, as 0 would be its largest, and ``padding`` is what padding holds."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(len(lengths), tokens, units, generator=generator)
    states[..., 0] = low - states[..., 0].abs()
    mask = (torch.arange(tokens) < torch.tensor(lengths)[:, None]).long()
    return states.masked_fill(mask.unsqueeze(2) == 0, padding) + 0.1 * torch.rand(states.shape, generator=generator), mask


_PARTS = ("last state", "maximum", "mean")
_STACK = "you stack the three parts. Put them side by side: torch.cat([...], dim=1)."
_LAST = "Its last token stands at mask.sum(1) - 1."
check_concat_pool = exercise(
    "concat_pool: the last state, the largest, the mean, and no padding in any of them",
    _concat_pool, inputs=("the states", "the mask"),
    cases=[_padded(7.0)],
    edges=[
        (_padded(7.0, lengths=(3, 1), tokens=3, units=2), "A text as long as the longest has no padding; its last token stands at mask.sum(1) - 1, too."),
        (_padded(1e6), "what you take off is less than what padding can hold. It counts for nothing, whatever stands there: masked_fill(mask == 0, -inf)."),
        (_padded(7.0, low=-1e6), "what you fill the padding with is larger than these states. -inf is below every number."),
        (_padded(torch.nan), "the padding holds NaN here, and 0 × NaN is NaN, NaN - 1e9 is NaN. Put a number in its place before you compute: masked_fill, or torch.where."),
    ],
    describe=lambda states, mask: f"For states {tuple(states.shape)} and lengths {mask.sum(1).tolist()}",
    kinds={kind: f"Return a tensor, not {kind}: torch.cat([...], dim=1)." for kind in ("list", "tuple", "ndarray")},
    shapes=[
        (lambda s, m: (3, len(s), s.shape[2]), _STACK), (lambda s, m: (len(s), 3, s.shape[2]), _STACK),
        (lambda s, m: (3 * len(s), s.shape[2]), "the parts stand one below the other. Put them side by side, dim=1."),
        (lambda s, m: (len(s), s.shape[2]), "that is one part of the three. Put all of them side by side."),
        (lambda s, m: (len(s), 3 * s.shape[1]), "there is a number for each token. Pool over the tokens, dim=1."),
        (lambda s, m: None, "it should be (B, 3 x U)."),
    ],
    infinite="There is a number that is not finite: is -inf left in it, or 0 / 0?",
    only_read="which it should only read: masked_fill, not masked_fill_.",
    gradients=("the states",),
    uphill="The gradient should reach every token, through each of the three parts, and no padding.",
    observe=lambda states, mask, answer: answer.chunk(3, dim=1),
    parts=(
        _part(0, "last state",
            (lambda s, m, zeroed, n: s[:, -1], f"states[:, -1] is padding wherever a text is shorter than the longest. {_LAST}"),
            (lambda s, m, zeroed, n: s[:, 0], "that is the first token, which has read nothing yet. Take the last one."),
            (lambda s, m, zeroed, n: s[range(len(s)), n[:, 0].clamp(max=s.shape[1] - 1)], f"that is one place too far: counting starts at 0. {_LAST}"),
            (lambda s, m, zeroed, n: s[range(len(s)), n[:, 0] - 2], "that is one place too early: the last token stands at mask.sum(1) - 1."),
            (lambda s, m, zeroed, n: zeroed[:, -1], f"masked or not, states[:, -1] is padding wherever a text is shorter. {_LAST}"),
            (lambda s, m, zeroed, n: s[:, n[0, 0] - 1], "every text has a length of its own: mask.sum(1) - 1, one number for each.")),
        _part(1, "maximum",
            (lambda s, m, zeroed, n: s.amax(1), "the padding is in it. Fill it with -inf first: states.masked_fill(mask == 0, -inf), with one more dimension for the mask."),
            (lambda s, m, zeroed, n: zeroed.amax(1), "padding set to 0 is still larger than a negative state. Fill it with -inf."),
            (lambda s, m, zeroed, n: s.amax(1) * (n == s.shape[1]), "the padding is in it. Fill it with -inf first."),
            (lambda s, m, zeroed, n: zeroed.abs().amax(1), "that is the largest size. Take the largest value: signs count."),
            (lambda s, m, zeroed, n: zeroed.sum(1) / n, "that is the mean. Take .amax(1), or .max(1).values."),
            (lambda s, m, zeroed, n: s.masked_fill(m == 0, torch.inf).amin(1), "that is the smallest value.")),
        _part(2, "mean",
            (lambda s, m, zeroed, n: s.mean(1), "the padding is in it. Sum the tokens alone, and divide by their number, mask.sum(1)."),
            (lambda s, m, zeroed, n: zeroed.mean(1), "the padding is out of the sum, but you divide by T. Divide by the number of tokens, mask.sum(1)."),
            (lambda s, m, zeroed, n: s.sum(1) / n, "you divide by the number of tokens, but the padding is still in the sum."),
            (lambda s, m, zeroed, n: zeroed.sum(1), "that is the sum. Divide it by the number of tokens, mask.sum(1)."),
            (lambda s, m, zeroed, n: zeroed.sum(1) / (n + 1), "you divide by one too many."),
            (lambda s, m, zeroed, n: zeroed.sum(1) // n, "`//` drops what comes after the decimal point. Divide with `/`."),
            (lambda s, m, zeroed, n: s.masked_fill(m == 0, -torch.inf).amax(1), "that is the maximum.")),
    ),
    mistakes=[
        (lambda s, m, order=order: torch.cat([_concat_pool(s, m).chunk(3, dim=1)[part] for part in order], dim=1),
         f"The three parts are right, and in the order {', '.join(_PARTS[part] for part in order)}. The lecture's order is {', '.join(_PARTS)}.")
        for order in itertools.permutations(range(3)) if order != (0, 1, 2)
    ],
)


def _transfer_rows(table: np.ndarray, old: list[str], new: list[str]) -> np.ndarray:
    """Check a function (table, old, new) -> the table of the new vocabulary.

    ``table`` has a row for END, one for UNKNOWN, and one for each of the list ``old`` of words, (len(old) + 2, units); the result
    is the same for the list ``new``. A word that both have keeps its row, another starts from the mean of all rows of the table.
    """
    return _rows()(table, old, new)


def _rows(known: Callable[..., Any] = lambda table, place, i: table[place + 2], unknown: Callable[..., Any] = lambda table: table.mean(0)) -> Callable[..., np.ndarray]:
    """Rows for known words, by their place in the old list and their row in the new table, and for unknown ones."""
    return lambda table, old, new: np.stack([*table[:2], *(known(table, old.index(word), i) if word in old else unknown(table) for i, word in enumerate(new, start=2))])


def _row(mine: np.ndarray, right: np.ndarray, table: np.ndarray, old: list[str], new: list[str]) -> str:
    off = next(i for i in range(len(right)) if not close(mine[i], right[i]))
    if off > 1:
        return f"The row of {new[off - 2]!r} is {show(mine[off])} and not {show(right[off])}"
    return f"Row {off}, {('END', 'UNKNOWN')[off]}, should stay as it is, {show(right[off])}, and is {show(mine[off])}. The two special ids stand first in both tables"


_START = "A new word starts from the mean of all rows of the table: table.mean(axis=0)."
check_transfer_rows = exercise(
    "transfer_rows: known words keep their rows, new words start from the mean",
    _transfer_rows, inputs=("the table", "the list of old words", "the list of new words"),
    cases=[(np.random.default_rng(0).normal(size=(8, 3)).round(2), ["the", "a", "dog", "cat", "sat", "on"], new)
           for new in (["cat", "the", "dog"], ["sat", "txt", "a", "u", "the"], ["lol"])],
    describe=lambda table, old, new: f"For the new words {new}",
    shapes=[
        (lambda table, old, new: (sum(word in old for word in new) + 2, 3), "the new words that the table lacks have none. They start from the mean."),
        (lambda table, old, new: (len(new), 3), "the two special ids, END and UNKNOWN, have rows as well: the first two of the table."),
        (lambda table, old, new: table.shape, "that is a table of the old size. It should have a row for each new word."),
        (lambda table, old, new: None, "a row for each id, please."),
    ],
    infinite="Is a row never filled in?",
    said=_row,
    mistakes=[
        (_rows(lambda table, place, i: table[place]), "that row belongs to another word. Word i has row i + 2, after END and UNKNOWN."),
        (_rows(lambda table, place, i: table[place + 1]), "you go on by one. There are two special rows, so word i has row i + 2."),
        (_rows(lambda table, place, i: table[i]), "that is the row with the same number in the old table. Look the word up by its name."),
        (_rows(lambda table, place, i: table.mean(0)), "that is the mean, and the word is known. Is it compared by its name?"),
        (_rows(lambda table, place, i: table[1]), "that is UNKNOWN's row, and the word is known."),
        (_rows(unknown=lambda table: 0 * table[0]), f"that is zero, and a softmax gives such a word the same score everywhere. {_START}"),
        (_rows(unknown=lambda table: table[1]), f"that is UNKNOWN's row: -1 for “not found”, plus 2, is 1. {_START}"),
        (_rows(unknown=lambda table: table[0]), f"that is END's row. {_START}"),
        (_rows(unknown=lambda table: table[-1]), f"that is the last row of the table, where -1 points to. {_START}"),
        (_rows(unknown=lambda table: table[-2]), f"that is another word's row: -1 for “not found” means the last but one here. {_START}"),
        (_rows(unknown=lambda table: 0 * table[0] + table.mean()), f"that is one number for all units. The mean goes over the rows, axis=0. {_START}"),
        (_rows(unknown=lambda table: table[2:].mean(0)), "that is the mean of the words alone. Take END and UNKNOWN in, as the lecture does: table.mean(axis=0)."),
        (_rows(unknown=lambda table: np.median(table, axis=0)), f"that is the median. {_START}"),
        (_rows(unknown=lambda table: table.sum(0)), f"that is the sum. {_START}"),
        (_rows(unknown=lambda table: 0 * table[0] + 1), f"that is 1 everywhere. {_START}"),
    ],
)
# fmt: on
