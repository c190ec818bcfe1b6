"""Lecture 15b: which texts become a batch, a threshold when the share of spam has moved, and waiting counted from when it was due."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from course_utils.exercises.engine import exercise, require

# fmt: off
Batches = list[list[int]]


def _batches(arrivals: Sequence[float], most: int, wait: float, work: float, *, late: int = 0, newest: bool = False, idle: bool = False,
             when_full: bool = True, open_end: bool = False) -> Batches:
    """Check a function from arrivals (times, in order), most, wait and work (seconds a batch) to batches: lists of the texts' numbers.

    A batch begins as soon as ``most`` texts wait, or the oldest has waited ``wait`` seconds, but not before the one before it is
    done. It takes the oldest that have arrived by then, ``most`` at most.
    """
    found: Batches = []
    first, free = 0, -np.inf
    while first < len(arrivals):
        start = arrivals[first] + wait
        if newest:  # every arrival begins the waiting anew
            last = first
            while last + 1 < len(arrivals) and arrivals[last + 1] <= arrivals[last] + wait:
                last += 1
            start = arrivals[last] + wait
        if when_full and first + most <= len(arrivals):
            start = min(start, arrivals[first + most - 1])
        start = start if idle else max(start, free)
        room = len(arrivals) if open_end else first + most
        batch = [i for i in range(first, min(room, len(arrivals))) if arrivals[i] <= start + late]
        found.append(batch)
        first, free = first + len(batch), start + work
    return found


def _read(raw: Any, *_: Any) -> Any:
    """Lists, tuples, ranges and arrays of whole numbers are all batches."""
    kinds = list | tuple | range
    raw = raw.tolist() if isinstance(raw, np.ndarray) else raw
    raw = [batch.tolist() if isinstance(batch, np.ndarray) else batch for batch in raw] if isinstance(raw, kinds) else raw
    require(isinstance(raw, kinds) and all(isinstance(batch, kinds) for batch in raw), "Return a list of batches, each a list of the texts' numbers.")
    batches = [[i.item() if isinstance(i, np.generic) else i for i in batch] for batch in raw]
    require(all(type(i) in (int, float) for batch in batches for i in batch), "Each text of a batch is a number, its place among the arrivals.")
    return batches


def _only_full(arrivals: Sequence[float], most: int, wait: float, work: float) -> Batches:
    return [[*range(i, i + most)] for i in range(0, len(arrivals) - most + 1, most)]


def _of_most(arrivals: Sequence[float], most: int, wait: float, work: float) -> Batches:
    return [[*range(i, min(i + most, len(arrivals)))] for i in range(0, len(arrivals), most)]


_A = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 30.0]
_BURST = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
check_batches = exercise(
    "batches: which texts are scored together",
    _batches, inputs=("the arrivals", "most", "wait", "work"), read=_read,
    cases=[
        (_A, 3, 4.0, 1.0),  # full, then patience
        (_BURST, 4, 1.0, 3.0),  # more arrive while a batch is scored than fit
        ([0.0, 0.1, 0.2, 0.3, 1.6, 1.7], 3, 1.0, 1.0),  # full long before the patience is over
        ([0.0, 3.0, 6.0, 9.0, 12.0], 8, 4.0, 0.5),  # each within the patience of the one before
        ([0.0, 4.0, 5.0], 5, 4.0, 0.5),  # one arrives at the very end of the patience
        ([0.0, 0.1, 0.2, 0.3, 0.4], 2, 5.0, 0.05), ([2.0], 4, 1.5, 1.0), ([], 4, 1.0, 1.0), ([0.0, 1.0, 2.0], 1, 3.0, 0.1),
    ],
    describe=lambda arrivals, most, wait, work: f"For arrivals at {arrivals}, most={most}, wait={wait}, work={work}",
    mistakes=[
        (lambda *given: _batches(*given)[:-1], "the last texts are never scored: nobody comes after them to fill their batch. When their patience is over, it begins all the same."),
        (_only_full, "only full batches begin. Whoever comes last waits for ever: a batch begins, too, when the oldest has waited `wait` seconds."),
        (_of_most, "the texts are dealt out by number, as if all were there from the start. Look at when they arrive."),
        (lambda *given: _batches(*given, newest=True), "every new text begins the waiting anew, and a steady stream keeps the first waiting. Count from the *oldest*."),
        (lambda *given: _batches(*given, when_full=False), "a batch that is full still waits. It begins as soon as `most` texts are there."),
        (lambda *given: _batches(*given, idle=True), "two batches are scored at once. The next begins when the one before is done, `work` seconds after it began."),
        (lambda *given: _batches(*given, open_end=True), "a batch holds more than `most` texts."),
        (lambda arrivals, most, wait, work: [[i] for i in range(len(arrivals))], "each text is a batch of its own: nothing is gathered."),
        (lambda arrivals, most, wait, work: _batches(arrivals, most, 0.0, work), "nobody waits for company: `wait` has no effect."),
        (lambda *given: [batch[::-1] for batch in _batches(*given)], "the texts of a batch stand in the wrong order: the oldest comes first."),
        (lambda arrivals, *given: [[arrivals[i] for i in batch] for batch in _batches(arrivals, *given)], "these are times. Return the numbers of the texts, from 0 on."),
    ],
    stops={IndexError: "fewer than `most` texts may be left: look before you ask when the last of a full batch arrived."},
)


def _moved(threshold: float, before: float, now: float) -> float:
    """Check a function from a threshold and the share of spam before and now to the threshold on the same scores that means the same now.

    At the edge the odds of spam are to be those of ``threshold``; a score's odds move with those of the shares (Saerens et al. 2002).
    """
    if not (0 < before < 1 and 0 < now < 1):
        raise ValueError("A share of all or nothing has no odds.")
    odds = threshold / (1 - threshold) * (before / (1 - before)) / (now / (1 - now))
    return odds / (1 + odds)


def _odds(p: float) -> float:
    return p / (1 - p)


check_moved_threshold = exercise(
    "moved_threshold: what a threshold becomes when the share of spam has changed",
    _moved, inputs=("the threshold", "the share before", "the share now"),
    cases=[(0.5, 0.13, 0.3), (0.9, 0.2, 0.05), (0.6, 0.25, 0.25), (0.25, 0.4, 0.7), (0.95, 0.13, 0.01)],
    mistakes=[
        (lambda t, p, q: t, "the threshold has not moved, but a score of 0.5 means something else where spam is twice as common."),
        (lambda t, p, q: _moved(t, q, p), "it moves the wrong way: where spam has become more common, less has to be seen before we block."),
        (lambda t, p, q: t * p / q, "probabilities were multiplied, and may exceed 1. Odds multiply: p / (1 - p)."),
        (lambda t, p, q: t + p - q, "shares were subtracted. Odds multiply: p / (1 - p)."),
        (lambda t, p, q: _odds(_moved(t, p, q)), "these are odds. Back to a probability: odds / (1 + odds)."),
        (lambda t, p, q: _odds(t) * p / q / (1 + _odds(t) * p / q), "the shares have to become odds, too: p / (1 - p), not p alone."),
        (lambda t, p, q: 1 - _moved(t, p, q), "that is the threshold for ham, 1 minus what is wanted."),
        (lambda t, p, q: _moved(0.5, p, q), "the threshold has no effect: that is what 0.5 becomes."),
        (lambda t, p, q: _moved(t, p, 0.5), "the share now has no effect: that is a threshold for as much spam as ham."),
    ],
    refused=[((0.5, 0.0, 0.2), "Where there was no spam, nothing says what a score means: raise ValueError."),
             ((0.5, 0.2, 1.0), "Where all is spam there is no threshold: raise ValueError.")],
)


def _delays(due: Sequence[float], work: Sequence[float], rule: Callable[[float, float], float] = max) -> list[float]:
    """Check a function from when texts are due (in order) and the seconds that each takes to the seconds from due to answered.

    One worker takes them in order, each when it is due or when the one before is done, whichever is later.
    """
    done, found = -np.inf, []
    for at, seconds in zip(due, work, strict=True):
        done = rule(at, done) + seconds
        found.append(done - at)
    return found


def _ends(due: Sequence[float], work: Sequence[float]) -> list[float]:
    return [at + late for at, late in zip(due, _delays(due, work), strict=True)]


def _listed(raw: Any, *_: Any) -> Any:
    return raw.tolist() if hasattr(raw, "tolist") else list(raw) if isinstance(raw, tuple) else raw


check_delays = exercise(
    "delays: seconds from when a text was due to its answer",
    _delays, inputs=("when they are due", "the seconds each takes"), read=_listed,
    cases=[([0.0, 1.0, 2.0, 9.0], [0.5, 4.0, 0.5, 0.25]), ([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]), ([1.0, 2.5], [0.5, 0.25]), ([3.0, 3.5, 4.0], [2.0, 0.1, 0.1])],
    mistakes=[
        (lambda due, work: list(work), "that is the work alone. A text also waits for those before it, and its user counts that, too."),
        (lambda due, work: [late - w for late, w in zip(_delays(due, work), work, strict=True)], "that is the waiting alone: its own work comes on top."),
        (_ends, "these are the moments of the answers. Subtract when each was due."),
        (lambda due, work: (np.cumsum(work) - np.array(due) + due[0]).tolist(), "the worker never rests, and answers before a text is due. It begins when the text is there *and* the worker is free."),
        (lambda due, work: [end - begin for end, begin in zip(_ends(due, work), [due[0], *_ends(due, work)[:-1]], strict=True)], "each is counted from the answer before it: so a client measures that asks only when it is answered. Count from when the text was *due*."),
        (lambda due, work: np.cumsum(work).tolist(), "these are sums of the work, as if all were due at once, at the start."),
    ],
)
# fmt: on
