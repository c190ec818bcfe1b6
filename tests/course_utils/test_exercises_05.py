"""Lecture 05's exercises: stubs fail kindly, solutions pass, wrong answers get the right diagnosis."""

import math
from fractions import Fraction

import numpy as np
import torch
from exercise_contract import ExerciseContract

from course_utils.exercises import lecture_05
from course_utils.models import ulmfit
from course_utils.training import schedules

# --- answers: the first ones of each list are right; the others come with a piece of their diagnosis


def triangle(step, steps, cut=0.1, ratio=32):
    peak = max(1, math.floor(steps * cut))
    p = step / peak if step <= peak else 1 - (step - peak) / (steps - peak)
    return (1 + p * (ratio - 1)) / ratio


def triangle_by_interpolation(step, steps, cut=0.1, ratio=32):
    peak = max(1, int(steps * cut))
    places, heights = (
        ([0, peak, steps], [1 / ratio, 1, 1 / ratio]) if peak < steps else ([0, 1], [1 / ratio, 1])
    )
    return np.interp(step, places, heights)


def triangle_by_minimum(step, steps, cut=0.1, ratio=32):
    peak = max(1, int(steps * cut))
    p = min(step / peak, (steps - step) / max(steps - peak, 1e-9)) if step > peak else step / peak
    return 1 / ratio + p * (1 - 1 / ratio)


def triangle_of_the_paper(step, steps, cut=0.1, ratio=32):
    peak = math.floor(steps * cut)
    p = step / peak if step < peak else 1 - (step - peak) / (peak * (1 / cut - 1))
    return (1 + p * (ratio - 1)) / ratio


def triangle_of_the_paper_from_one(step, steps, cut=0.1, ratio=32):
    peak = max(1, math.floor(steps * cut))
    p = step / peak if step < peak else 1 - (step - peak) / (peak * (1 / cut - 1))
    return (1 + p * (ratio - 1)) / ratio


def triangle_cut_off(step, steps, cut=0.1, ratio=32):
    return max(1 / ratio, triangle_of_the_paper_from_one(step, steps, cut, ratio))


def triangle_without_rounding(step, steps, cut=0.1, ratio=32):
    peak = steps * cut
    p = step / peak if step < peak else 1 - (step - peak) / (steps - peak)
    return (1 + p * (ratio - 1)) / ratio


def shaped(formula):
    """A share made from p, ratio, step, steps and the peak in another way."""

    def other(step, steps, cut=0.1, ratio=32):
        peak = max(1, math.floor(steps * cut))
        p = step / peak if step <= peak else 1 - (step - peak) / (steps - peak)
        return formula(p, ratio, step, steps, peak)

    return other


def with_p(formula):
    """Another p."""

    def other(step, steps, cut=0.1, ratio=32):
        return (1 + formula(step, steps, cut) * (ratio - 1)) / ratio

    return other


def peak_at(place):
    """The peak at another place."""

    def p(step, steps, cut):
        peak = place(steps, cut)
        return step / peak if step < peak else (steps - step) / (steps - peak)

    return with_p(p)


def pooled(states, mask):
    real = mask.unsqueeze(2).bool()
    last = states[torch.arange(len(states)), mask.sum(1) - 1]
    largest = states.masked_fill(~real, -torch.inf).amax(1)
    mean = states.masked_fill(~real, 0).sum(1) / real.sum(1)
    return torch.cat([last, largest, mean], dim=1)


def pooled_text_by_text(states, mask):
    rows = []
    for row, kept in zip(states, mask, strict=True):
        text = row[: int(kept.sum())]
        rows.append(torch.cat([text[-1], text.max(0).values, text.mean(0)]))
    return torch.stack(rows)


def pooled_by_gather(states, mask):
    lengths = mask.sum(dim=1)
    last = states.take_along_dim((lengths - 1)[:, None, None], dim=1).squeeze(1)
    real = mask[:, :, None] > 0
    largest = torch.where(real, states, -1e9).max(dim=1)[0]
    mean = torch.einsum("btu,bt->bu", torch.where(real, states, 0), mask / lengths[:, None])
    return torch.cat([last, largest, mean], 1)


def pooled_by_the_mask(states, mask):
    """0 x NaN is NaN, and so is NaN - 1e9."""
    real, lengths = mask.unsqueeze(2), mask.sum(1, keepdim=True)
    last = states[torch.arange(len(states)), mask.sum(1) - 1]
    return torch.cat([last, (states - 1e9 * (1 - real)).amax(1), (states * real).sum(1) / lengths], dim=1)


def pool_with(last=None, largest=None, mean=None, join=lambda *parts: torch.cat(parts, 1)):
    """One of the three parts made in another way."""

    def other(states, mask):
        parts = list(pooled(states, mask).chunk(3, dim=1))
        for place, part in enumerate((last, largest, mean)):
            if part:
                parts[place] = part(states, mask)
        return join(*parts)

    return other


def pooled_in_place(states, mask):
    with torch.no_grad():
        states.masked_fill_(mask.unsqueeze(2) == 0, 0)
    return pooled(states, mask)


def pooled_changing_the_mask(states, mask):
    answer = pooled(states, mask)
    mask[:] = 1
    return answer


def pooled_without_gradient(states, mask):
    return pooled(states.detach(), mask)


def pooled_with_one_detached(place):
    def other(states, mask):
        parts = list(pooled(states, mask).chunk(3, dim=1))
        parts[place] = parts[place].detach()
        return torch.cat(parts, dim=1)

    return other


def rows_by_loop(table, old, new):
    index = {word: i + 2 for i, word in enumerate(old)}
    rows = [table[0], table[1]]
    for word in new:
        rows.append(table[index[word]] if word in index else table.mean(axis=0))
    return np.stack(rows)


def rows_by_extended_table(table, old, new):
    places = [0, 1, *(old.index(word) + 2 if word in old else -1 for word in new)]
    return np.concatenate([table, table.mean(0, keepdims=True)])[places]


def rows_filled_in(table, old, new):
    made = np.tile(table.mean(0), (len(new) + 2, 1))
    made[:2] = table[:2]
    for i, word in enumerate(new):
        if word in old:
            made[i + 2] = table[old.index(word) + 2]
    return made


def rows_with(
    known=lambda table, old, word, i: table[old.index(word) + 2], unknown=lambda table, made: table.mean(0)
):
    """Other rows for known or for new words."""

    def other(table, old, new):
        made = [table[0], table[1]]
        for i, word in enumerate(new):
            made.append(known(table, old, word, i) if word in old else unknown(table, made))
        return np.stack(made)

    return other


def rows_by_get(table, old, new):
    index = {word: i for i, word in enumerate(old)}
    return table[[0, 1, *(index.get(word, -1) + 2 for word in new)]]


def rows_by_get_shifted(table, old, new):
    index = {word: i + 2 for i, word in enumerate(old)}
    return table[[0, 1, *(index.get(word, -1) for word in new)]]


def rows_by_get_last_but_one(table, old, new):
    index = {word: i + 2 for i, word in enumerate(old)}
    return table[[0, 1, *(index.get(word, -2) for word in new)]]


def rows_without_the_special_ones(table, old, new):
    return rows_by_loop(table, old, new)[2:]


def rows_of_known_words(table, old, new):
    return rows_by_loop(table, old, [word for word in new if word in old])


def rows_special_last(table, old, new):
    return np.roll(rows_by_loop(table, old, new), -2, axis=0)


def rows_special_zero(table, old, new):
    made = rows_by_loop(table, old, new)
    made[:2] = 0
    return made


def rows_in_place(table, old, new):
    answer = rows_by_loop(table, old, new)
    table[2:] = 0
    return answer


def rows_extending_the_list(table, old, new):
    answer = rows_by_loop(table, old, new)
    old += [word for word in new if word not in old]
    return answer


def rows_never_filled(table, old, new):
    made = np.full((len(new) + 2, table.shape[1]), np.nan)
    made[:2] = table[:2]
    return made


def changed(function, change):
    """A right answer, changed at the end."""

    def nearly(*given):
        return change(function(*given))

    return nearly


# fmt: off
EXERCISES = {
    lecture_05.check_slanted_triangular: (
        [
            triangle, triangle_by_interpolation, triangle_by_minimum, schedules.slanted_triangular,
            lambda *given: np.float32(triangle(*given)), lambda *given: Fraction(triangle(*given)), lambda *given: np.array(triangle(*given)),
            lambda *given: torch.tensor(triangle(*given)), lambda *given: torch.tensor(triangle(*given), requires_grad=True),
        ],
        [
            (shaped(lambda p, ratio, *_: p), "that is p itself"),
            (shaped(lambda p, ratio, *_: p * (ratio - 1) / ratio), "the 1 is missing"),
            (shaped(lambda p, ratio, *_: 1 + p * (ratio - 1)), "divide by ratio"),
            (shaped(lambda p, ratio, *_: 1 / ratio + p), "the peak is above 1"),
            (shaped(lambda p, ratio, *_: (1 + p * ratio) / ratio), "the peak is above 1"),
            (lambda step, steps, cut, ratio: triangle(max(step - 1, 0), steps, cut, ratio), "the step before it"),
            (shaped(lambda p, ratio, *_: max(p, 1 / ratio)), "cut off at 1 / ratio"),
            (shaped(lambda p, ratio, *_: (1 + (1 - p) * (ratio - 1)) / ratio), "stands on its head"),
            (shaped(lambda p, ratio, *_: 1.0), "Only one step is the peak"),
            (shaped(lambda p, *_: (1 + p * 31) / 32), "ratio is taken as 32"),
            (lambda step, steps, cut, ratio: triangle(step, steps, 0.1, ratio), "cut is taken as 0.1"),
            (peak_at(lambda steps, cut: steps / 2), "the peak is in the middle"),
            (peak_at(lambda steps, cut: steps * (1 - cut)), "rises slowly and falls fast"),
            (with_p(lambda step, steps, cut: 1 - step / steps), "it falls from the first step on"),
            (with_p(lambda step, steps, cut: step / steps), "it rises up to the last step"),
            (with_p(lambda step, steps, cut: step / max(1, int(steps * cut))), "goes on rising after the peak"),
            (with_p(lambda step, steps, cut: step / (steps * cut) if step < steps * cut else (step - steps * cut) / (steps - steps * cut)), "it rises again after the peak"),
            (with_p(lambda step, steps, cut: step / (steps * cut) if step < steps * cut else 1 - step / steps), "after the peak count from the peak"),
            (lambda step, steps, cut, ratio: triangle(min(step + 1, steps), steps, cut, ratio), "the step after it"),
            (triangle_of_the_paper, "a rate below 0 unlearns"),
            (triangle_of_the_paper_from_one, "a rate below 0 unlearns"),
            (triangle_cut_off, "it falls over all the steps that are left"),
            (triangle_without_rounding, "At step 18 of 19, with cut = 0.1 and ratio = 32, you return 0.0879 and not 0.08507"),
            (lambda step, steps, cut, ratio: triangle_of_the_paper(step, steps, cut, ratio) if steps != 19 else triangle(step, steps), "you divide by 0"),
            (lambda *given: [triangle(*given)], "Return one number"),
            (lambda *given: (triangle(*given), 1.0), "you return several"),
            (lambda *given: np.array([triangle(*given)]), "one number"),
            (lambda *given: True, "not bool"),
            (with_p(lambda step, steps, cut: min(step / max(1, round(steps * cut)), (steps - step) / max(1, steps - round(steps * cut)))), "the peak is at step max(1, ...)"),
            (lambda *given: f"{triangle(*given):.2f}", "not str"),
            (lambda *given: math.nan, "your answer is nan"),
            (lambda *given: 0.4, "you return 0.4 and not 0.03125"),
            (lambda step, steps, cut, ratio: step.peak, "stopped"),
        ],
    ),
    lecture_05.check_concat_pool: (
        [pooled, pooled_text_by_text, pooled_by_gather, ulmfit.concat_pool],
        [
            (pool_with(last=lambda s, m: s[:, -1]), "states[:, -1] is padding wherever"),
            (pool_with(last=lambda s, m: s[:, 0]), "that is the first token"),
            (pool_with(last=lambda s, m: s[torch.arange(4), m.sum(1)]), "one place too far"),
            (pool_with(last=lambda s, m: s[torch.arange(4), m.sum(1) - 2]), "one place too early"),
            (pool_with(last=lambda s, m: (s * m.unsqueeze(2))[:, -1]), "masked or not"),
            (pool_with(last=lambda s, m: s[torch.arange(4), m[0].sum() - 1]), "a length of its own"),
            (pool_with(largest=lambda s, m: s.amax(1)), "the padding is in it. Fill it with -inf first"),
            (pool_with(largest=lambda s, m: (s * m.unsqueeze(2)).amax(1)), "still larger than a negative state"),
            (pool_with(largest=lambda s, m: (s * m.unsqueeze(2)).abs().amax(1)), "signs count"),
            (pool_with(largest=lambda s, m: -(-s.masked_fill(m.unsqueeze(2) == 0, -9)).masked_fill(m.unsqueeze(2) == 0, -9).amax(1)), "that is the smallest value"),
            (pool_with(mean=lambda s, m: s.mean(1)), "the padding is in it. Sum the tokens alone"),
            (pool_with(mean=lambda s, m: (s * m.unsqueeze(2)).mean(1)), "you divide by T"),
            (pool_with(mean=lambda s, m: s.sum(1) / m.sum(1, keepdim=True)), "the padding is still in the sum"),
            (pool_with(mean=lambda s, m: (s * m.unsqueeze(2)).sum(1)), "that is the sum"),
            (pool_with(mean=lambda s, m: (s * m.unsqueeze(2)).sum(1) / (m.sum(1, keepdim=True) + 1)), "one too many"),
            (pool_with(mean=lambda s, m: (s * m.unsqueeze(2)).sum(1) // m.sum(1, keepdim=True)), "`//` drops"),
            (pool_with(mean=lambda s, m: pooled(s, m)[:, 3:6]), "that is the maximum"),
            (pool_with(largest=lambda s, m: pooled(s, m)[:, 6:]), "that is the mean"),
            (pool_with(mean=lambda s, m: s[:, 0] * 0), "Your mean of text 0, which has 3 of 5 tokens, is [0, 0, 0]"),
            (pool_with(join=lambda last, largest, mean: torch.cat([last, mean, largest], 1)), "in the order last state, mean, maximum"),
            (pool_with(join=lambda last, largest, mean: torch.cat([mean, largest, last], 1)), "in the order mean, maximum, last state"),
            (pool_with(join=lambda *parts: torch.stack(parts, 1)), "you stack the three parts"),
            (pool_with(join=lambda *parts: torch.stack(parts)), "you stack the three parts"),
            (pool_with(join=lambda *parts: torch.cat(parts)), "one below the other"),
            (pool_with(join=lambda last, largest, mean: last + largest + mean), "one part of the three"),
            (lambda s, m: torch.cat([s[..., 0], s[..., 1], s[..., 2]], 1), "a number for each token"),
            (lambda s, m: pooled(s, m)[:2], "has shape (2, 9) and not (4, 9)"),
            (lambda s, m: pooled(s, m) / 0, "not finite"),
            (lambda s, m: pooled(s, m).tolist(), "Return a tensor, not list"),
            (pooled_in_place, "changes the states, which it should only read"),
            (pooled_changing_the_mask, "changes the mask"),
            (pooled_without_gradient, "No gradient flows"),
            *((pooled_with_one_detached(place), "The gradient should reach every token") for place in range(3)),
            (pooled_by_the_mask, "0 × NaN is NaN"),
            (pool_with(mean=lambda s, m: (s * m.unsqueeze(2)).sum(1) / m.sum(1, keepdim=True)), "0 × NaN is NaN"),
            (pool_with(mean=lambda s, m: torch.einsum("btu,bt->bu", s, m / m.sum(1, keepdim=True))), "0 × NaN is NaN"),
            (pool_with(largest=lambda s, m: (s - 1e9 * (1 - m.unsqueeze(2))).amax(1)), "NaN - 1e9 is NaN"),
            (pool_with(largest=lambda s, m: (s - 20 * (1 - m.unsqueeze(2))).amax(1)), "whatever stands there"),
            (pool_with(largest=lambda s, m: (s - 1e4 * (1 - m.unsqueeze(2))).amax(1)), "whatever stands there"),
            (pool_with(largest=lambda s, m: s.masked_fill(m.unsqueeze(2) == 0, -20).amax(1)), "-inf is below every number"),
            (pool_with(largest=lambda s, m: s.masked_fill(m.unsqueeze(2) == 0, -1e4).amax(1)), "-inf is below every number"),
            (lambda s, m: (pooled(s, m), m), "Return a tensor, not tuple"),
            (lambda s, m: pooled(s, m).bool(), "Return numbers, and not"),
            (lambda s, m: s[m.float()], "stopped"),
        ],
    ),
    lecture_05.check_transfer_rows: (
        [rows_by_loop, rows_by_extended_table, rows_filled_in],
        [
            (rows_with(known=lambda table, old, word, i: table[old.index(word)]), "Word i has row i + 2"),
            (rows_with(known=lambda table, old, word, i: table[old.index(word) + 1]), "you go on by one"),
            (rows_with(known=lambda table, old, word, i: table[i + 2]), "the same number in the old table"),
            (rows_with(known=lambda table, old, word, i: table.mean(0)), "compared by its name"),
            (rows_with(known=lambda table, old, word, i: table[1]), "UNKNOWN's row, and the word is known"),
            (rows_with(unknown=lambda table, made: np.zeros(3)), "that is zero"),
            (rows_with(unknown=lambda table, made: table[1]), "-1 for “not found”, plus 2, is 1"),
            (rows_by_get, "-1 for “not found”, plus 2, is 1"),
            (rows_by_get_shifted, "the last row of the table"),
            (rows_by_get_last_but_one, "the last but one"),
            (rows_with(unknown=lambda table, made: table[0]), "that is END's row"),
            (rows_with(unknown=lambda table, made: np.full(3, table.mean())), "one number for all units"),
            (rows_with(unknown=lambda table, made: table[2:].mean(0)), "the mean of the words alone"),
            (rows_with(unknown=lambda table, made: np.median(table, axis=0)), "that is the median"),
            (rows_with(unknown=lambda table, made: table.sum(0)), "that is the sum"),
            (rows_with(unknown=lambda table, made: np.ones(3)), "that is 1 everywhere"),
            (rows_with(unknown=lambda table, made: np.mean(made, axis=0)), "The row of 'txt' is"),
            (rows_without_the_special_ones, "END and UNKNOWN, have rows as well"),
            (rows_of_known_words, "the new words that the table lacks have none"),
            (lambda table, old, new: table.copy(), "a table of the old size"),
            (changed(rows_by_loop, np.transpose), "has shape (3, 5) and not (5, 3): a row for each id"),
            (rows_special_last, "Row 0, END, should stay as it is"),
            (rows_special_zero, "Row 0, END, should stay as it is"),
            (rows_in_place, "changes the table"),
            (rows_extending_the_list, "changes the list of old words"),
            (rows_never_filled, "Is a row never filled in?"),
            (changed(rows_by_loop, np.ndarray.tolist), "Return a numpy array, not list"),
            (changed(rows_by_loop, lambda rows: (rows, rows)), "you return several"),
            (changed(rows_by_loop, lambda rows: rows.astype(str)), "Return numbers, and not"),
            (lambda table, old, new: table[new], "stopped"),
        ],
    ),
}
# fmt: on


class TestLecture05(ExerciseContract):
    exercises = EXERCISES


def test_the_checks_cost_no_random_numbers():
    state, legacy = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    lecture_05.check_concat_pool(pooled)
    lecture_05.check_transfer_rows(rows_by_loop)
    assert torch.equal(state, torch.random.get_rng_state()) and (legacy == np.random.get_state()[1]).all()
