"""Lecture 11's exercises: right answers in other styles pass, wrong ones get their diagnosis."""

from typing import ClassVar

import numpy as np
import torch
from exercise_contract import ExerciseContract

from course_utils.exercises import lecture_11
from course_utils.training import warm_up


def groups_from_above(layers, rate, factor):
    groups = []
    for layer in reversed(layers):
        if any(p.requires_grad for p in layer):
            groups.insert(0, {"params": [p for p in layer if p.requires_grad], "lr": rate})
        rate = rate / factor
    return groups


def groups_with_more_keys(layers, rate, factor):
    n = len(layers) - 1
    rates = rate * float(factor) ** (np.arange(n + 1) - n)
    pairs = [([p for p in layer if p.requires_grad], lr) for layer, lr in zip(layers, rates, strict=True)]
    return tuple({"params": tuple(some), "lr": lr, "weight_decay": 0.01} for some, lr in pairs if some)


def groups_without_lr(layers, rate, factor):
    return [{"params": layer} for layer in layers]


def groups_of_modules(layers, rate, factor):
    return [{"params": [layer], "lr": rate} for layer in layers]


def groups_divided_from_below(layers, rate, factor):
    return groups_from_above(layers[::-1], rate, factor)[::-1]


def rate_in_branches(step, steps, highest, rise):
    top = max(1, int(rise * steps))
    if step < top:
        return highest * (step + 1) / top
    return highest * (steps - step) / (steps - top)


def rate_by_interpolation(step, steps, highest, rise):
    top = max(1, int(rise * steps))
    places, heights = [-1, top - 1], [0, highest]
    if step > top - 1:
        places, heights = [top, steps], [highest, 0]
    return np.interp(step, places, heights)


def rate_of_the_course(step, steps, highest, rise):
    return highest * warm_up(step, steps, rise)


def rate_as_a_tensor(step, steps, highest, rise):
    return torch.tensor(rate_in_branches(step, steps, highest, rise))


def rate_from_zero(step, steps, highest, rise):
    top = max(1, int(rise * steps))
    return highest * min(step / top, (steps - step) / max(1, steps - top))


def rate_without_a_step_at_least(step, steps, highest, rise):
    top = int(rise * steps)
    return highest * min((step + 1) / top, (steps - step) / max(1, steps - top))


def rate_below_zero(step, steps, highest, rise):
    top = max(1, int(rise * steps))
    return highest * (1 - 2 * abs(step - top) / steps)


def failed_in_a_loop(verdicts, labels):
    ones = int(sum(labels))
    majority = max(ones, len(labels) - ones)
    failed = []
    for run in range(len(verdicts)):
        if sum(int(a == b) for a, b in zip(verdicts[run], labels, strict=True)) <= majority:
            failed.append(run)
    return failed


def failed_by_numpy(verdicts, labels):
    bound = np.bincount(labels).max()
    return np.flatnonzero((verdicts == labels[None]).sum(axis=1) <= bound)


def failed_below(verdicts, labels):
    majority = max(labels.mean(), 1 - labels.mean())
    return [i for i, row in enumerate(verdicts) if (row == labels).mean() < majority]


def failed_as_a_mask(verdicts, labels):
    return (verdicts == labels).mean(axis=1) <= max(labels.mean(), 1 - labels.mean())


def failed_against_half(verdicts, labels):
    return np.flatnonzero((verdicts == labels).mean(axis=1) <= 0.5).tolist()


class TestExercises(ExerciseContract):
    exercises: ClassVar = {
        lecture_11.check_layer_groups: (
            [groups_from_above, groups_with_more_keys],
            [
                (groups_without_lr, "lr"),
                (groups_of_modules, "flat in one list"),
                (groups_divided_from_below, "stand on their head"),
            ],
        ),
        lecture_11.check_rate_at: (
            [rate_in_branches, rate_by_interpolation, rate_of_the_course, rate_as_a_tensor],
            [
                (rate_from_zero, "the first batch teaches nothing"),
                (rate_without_a_step_at_least, "one step at least"),
                (rate_below_zero, "At step"),
            ],
        ),
        lecture_11.check_failed_runs: (
            [failed_in_a_loop, failed_by_numpy],
            [
                (failed_below, "at or below"),
                (failed_as_a_mask, "true or false"),
                (failed_against_half, "one half"),
            ],
        ),
    }
