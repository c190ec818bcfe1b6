"""Lecture 15a: axes that a graph has fixed, a batch in eight bits, and percentiles of waiting times."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from course_utils.exercises.engine import exercise

# fmt: off
Sizes, Wanted = Mapping[str, Sequence[int | str]], Mapping[str, Sequence[int]]


def _fixed_axes(inputs: Sizes, dynamic: Wanted) -> list[tuple[str, int]]:
    """Check a function from sizes by input (numbers, or names where an axis is dynamic) and the axes that must be dynamic to the
    pairs (input, axis) of those that are fixed. What the graph has not got is misspelt: ValueError."""
    pairs = [(name, axis) for name, axes in dynamic.items() for axis in axes]
    if any(name not in inputs or not 0 <= axis < len(inputs[name]) for name, axis in pairs):
        raise ValueError("misspelt")
    return [(name, axis) for name, axis in pairs if isinstance(inputs[name][axis], int)]


def _pairs_by(rule: Callable[[Sizes, Wanted, str, int], bool]) -> Callable[[Sizes, Wanted], list[tuple[str, int]]]:
    """A wrong answer: the asked pairs that the rule keeps."""
    return lambda inputs, dynamic: [(n, a) for n, axes in dynamic.items() for a in axes if rule(inputs, dynamic, n, a)]


def _all_of_graph(inputs: Sizes, dynamic: Wanted) -> list[tuple[str, int]]:
    return [(n, a) for n, sizes in inputs.items() for a, size in enumerate(sizes) if isinstance(size, int)]


BOTH = {"input_ids": [0, 1], "attention_mask": [0, 1]}
check_fixed_axes = exercise(
    "fixed_axes: the axes that should be dynamic and are not",
    _fixed_axes, inputs=("the inputs", "the axes that must be dynamic"),
    cases=[
        ({"attention_mask": ["texts", "tokens"], "input_ids": ["texts", 9]}, BOTH),
        ({"input_ids": [2, "tokens"], "attention_mask": ["texts", 9], "scale": [1]}, BOTH),
        ({"input_ids": [2, 9], "bias": ["heads", 12, "t"]}, {"input_ids": [1], "bias": [0, 2]}),
        ({"input_ids": ["texts", "tokens"]}, {"input_ids": [0, 1]}),
        ({"b": [0, "t"], "a": [1, 1]}, {"a": [1], "b": [1, 0]}),
    ],
    mistakes=[
        (_all_of_graph, "that are all fixed axes of the graph. Only those count that must be dynamic, in the order in which they are asked for."),
        (_pairs_by(lambda i, d, n, a: isinstance(i[n][a], str)), "those are the dynamic ones. The fixed ones are wanted: their size is a number."),
        (_pairs_by(lambda i, d, n, a: bool(i[n][a]) and isinstance(i[n][a], int)), "a size of 0 is fixed, too, and counts as false. Ask whether it is a number."),
        (lambda i, d: [n for n, _ in _fixed_axes(i, d)], "which axis of the input? Return pairs (input, axis)."),
        (lambda i, d: [(n, i[n][a]) for n, a in _fixed_axes(i, d)], "the second of a pair is the number of the axis, not its size."),
    ],
    refused=[
        (({"input_ids": ["texts", 9]}, {"input_idz": [0, 1]}), "input_idz is no input of this graph: it was misspelt, and that must raise ValueError, not pass in silence."),
        (({"input_ids": ["texts", 9]}, {"input_ids": [2]}), "there is no axis 2: raise ValueError."),
        (({"input_ids": ["texts", 9]}, {"input_ids": [-1]}), "there is no axis -1 of a graph, and Python would take the last one: raise ValueError."),
    ],
)


def _to_bytes(batch: np.ndarray, *, of: Any = None, zero: bool = True, codes: int = 255, back: bool = True, include: bool = True) -> np.ndarray:
    """Check a function from a batch (texts, units) to what is left of it in eight bits: one range for the whole batch, from the smaller
    of 0 and its smallest number to the larger of 0 and its largest, 256 codes, and back to floats."""
    batch = np.asarray(batch, dtype=float)
    lowest, highest = batch.min(of, keepdims=of is not None), batch.max(of, keepdims=of is not None)
    if include:
        lowest, highest = np.minimum(lowest, 0), np.maximum(highest, 0)
    step = np.where(highest > lowest, (highest - lowest) / codes, 1.0)
    origin = np.round(-lowest / step) if zero else 0.0
    kept = np.clip(np.round(batch / step) + origin, 0, codes)
    return (kept - origin) * step if back else kept


def _symmetric(batch: np.ndarray) -> np.ndarray:
    step = np.abs(batch).max() / 127 or 1.0
    return np.clip(np.round(batch / step), -128, 127) * step


check_to_bytes = exercise(
    "to_bytes: a batch in eight bits, with one range for all of it",
    _to_bytes, inputs=("the batch",),
    cases=[
        (np.array([[0.31, -1.7, 0.02], [2.6, 0.9, -0.4]]),),
        (np.array([[0.11, 0.23], [0.05, 9.7], [0.4, 0.3]]),),  # all above 0
        (np.array([[-3.3, -0.2, -0.71], [-0.5, -1.9, -2.2]]),),  # all below
        (np.array([[1.0, -0.6, 0.013, 31.0]]),),
    ],
    edges=[((np.zeros((2, 3)),), "a batch of zeros has a step of 0, and dividing by it gives no number. Return it as it is.")],
    mistakes=[
        (lambda b: _to_bytes(b, of=1), "every text has a range of its own. That would be better, and is not what the runtime does: one range for the whole batch."),
        (lambda b: _to_bytes(b, of=0), "every unit has a range of its own. There is one for the whole batch."),
        (lambda b: _to_bytes(b, zero=False), "without the zero point all that lies below 0 is cut off."),
        (lambda b: _to_bytes(b, codes=256), "256 codes have 255 steps between them, from 0 to 255."),
        (lambda b: _to_bytes(b, back=False), "those are the codes. The layer behind sees (code - zero) times the step."),
        (lambda b: _to_bytes(b, include=False), "the range must hold 0: padding is 0, and has to stay that exactly."),
        (_symmetric, "that is the symmetric form, which weights have. What flows gets codes 0 to 255 and a zero point."),
        (lambda b: np.asarray(b, dtype=float), "nothing was rounded."),
    ],
)


def _percentile(waits: Sequence[float], percent: int) -> float:
    """Check a function from waiting times and a percentage to the smallest time such that at least that share is no longer."""
    if not len(waits) or not 0 < percent <= 100:
        raise ValueError("no time, or no percentage")
    return sorted(waits)[math.ceil(percent * len(waits) / 100) - 1]


check_percentile = exercise(
    "percentile: by the nearest rank, a time that somebody has waited",
    _percentile, inputs=("the waits", "the percentage"),
    cases=[
        ([9.0, 2.0, 4.5, 7.0, 3.0], 50), ([9.0, 2.0, 4.5, 7.0, 3.0], 99), ([5.0, 1.0, 8.0, 2.0], 50), ([12.0, 3.0, 40.0, 7.0], 75),
        ([6.0, 2.0, 3.0], 34), ([6.0, 2.0, 3.0], 100), ([0.7, 9.1, 0.2, 0.4, 0.3, 0.9, 0.8, 0.6, 1.0, 0.5], 91), ([4.0], 1),
    ],
    mistakes=[
        (lambda w, p: float(np.percentile(w, p)), "that draws a line between two times. By the nearest rank it is one of them."),
        (lambda w, p: list(w)[math.ceil(p * len(w) / 100) - 1], "sort the times first."),
        (lambda w, p: sorted(w)[min(int(p * len(w) / 100), len(w) - 1)], "that is one place too far where the rank is a whole number: ranks begin at 1, places at 0."),
        (lambda w, p: sorted(w)[max(int(p * len(w) / 100) - 1, 0)], "round the rank up, or fewer than so many are no longer."),
        (lambda w, p: sorted(w, reverse=True)[math.ceil(p * len(w) / 100) - 1], "that counts from the longest. p99 is long, p1 is short."),
        (lambda w, p: sorted(w)[max(round(p * len(w) / 100) - 1, 0)], "rounded to the nearest, the rank may be too low: round up."),
    ],
    refused=[(([], 50), "of no waiting times there is no percentile: raise ValueError."),
             (([1.0, 2.0], 0), "0 percent has no rank: raise ValueError."),
             (([1.0, 2.0], 101), "there is no more than 100 percent: raise ValueError.")],
)
