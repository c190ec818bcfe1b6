"""Lecture 15b: right answers that must pass, and wrong ones that are no named mistake of the exercise."""

import math
from typing import ClassVar

import numpy as np
from exercise_contract import ExerciseContract

from course_utils.exercises.lecture_15b import check_batches, check_delays, check_moved_threshold

# --- answers: the first ones of each list are right; the others come with a piece of their diagnosis


def by_a_queue(arrivals, most, wait, work):
    """A clock that jumps from event to event."""
    left, now, out = list(enumerate(arrivals)), -math.inf, []
    while left:
        full = left[most - 1][1] if len(left) >= most else math.inf
        now = max(now, min(left[0][1] + wait, full))
        taken = [number for number, at in left if at <= now][:most]
        left = left[len(taken) :]
        out.append(tuple(taken))
        now += work
    return tuple(out)


def by_numpy(arrivals, most, wait, work):
    arrivals, first, free, out = np.array(arrivals), 0, -np.inf, []
    while first < len(arrivals):
        start = arrivals[first] + wait
        if first + most <= len(arrivals):
            start = min(start, arrivals[first + most - 1])
        start = max(start, free)
        stop = min(first + most, int(np.searchsorted(arrivals, start, side="right")))
        out.append(np.arange(first, stop))
        first, free = stop, start + work
    return out


def by_ranges(arrivals, most, wait, work):
    return [range(batch[0], batch[-1] + 1) for batch in by_a_queue(arrivals, most, wait, work)]


def one_list(arrivals, most, wait, work):
    return [i for batch in by_a_queue(arrivals, most, wait, work) for i in batch]


def looks_too_far(arrivals, most, wait, work):
    first, free, out = 0, -math.inf, []
    while first < len(arrivals):
        start = max(free, min(arrivals[first] + wait, arrivals[first + most - 1]))
        out.append([i for i in range(first, min(first + most, len(arrivals))) if arrivals[i] <= start])
        first, free = first + len(out[-1]), start + work
    return out


def by_logits(threshold, before, now):
    if min(before, now) <= 0 or max(before, now) >= 1:
        raise ValueError("no odds")
    logit = lambda p: math.log(p / (1 - p))  # noqa: E731
    return 1 / (1 + math.exp(-(logit(threshold) + logit(before) - logit(now))))


def by_bayes(threshold, before, now):
    if not {0, 1}.isdisjoint({before, now}):
        raise ValueError
    spam, ham = threshold * before / now, (1 - threshold) * (1 - before) / (1 - now)
    return np.float64(spam / (spam + ham))


def trusting(threshold, before, now):
    spam, ham = threshold * before * (1 - now), (1 - threshold) * (1 - before) * now
    return spam / (spam + ham)


def rounded(threshold, before, now):
    return round(by_logits(threshold, before, now), 1)


def by_a_loop(due, work):
    free, out = due[0], []
    for i in range(len(due)):
        begin = due[i] if due[i] > free else free
        free = begin + work[i]
        out.append(free - due[i])
    return out


def by_backlog(due, work):
    """What is left to do when a text comes, and its own work on top."""
    backlog, out, last = 0.0, [], due[0]
    for at, seconds in zip(due, work):  # noqa: B905
        backlog = max(0.0, backlog - (at - last)) + seconds
        out.append(backlog)
        last = at
    return np.array(out)


def total(due, work):
    return sum(by_a_loop(due, work))


def impatient(due, work):
    return [2 * late for late in by_a_loop(due, work)]


class TestExercises(ExerciseContract):
    exercises: ClassVar = {
        check_batches: (
            [by_a_queue, by_numpy, by_ranges],
            [(one_list, "Return a list of batches"), (looks_too_far, "fewer than `most` texts may be left")],
        ),
        check_moved_threshold: ([by_logits, by_bayes], [(trusting, "nothing says"), (rounded, "you return")]),
        check_delays: ([by_a_loop, by_backlog], [(total, "should be"), (impatient, "you return")]),
    }
