"""Lecture 15a: right answers that must pass, and wrong ones that are no named mistake of the exercise."""

import math
from typing import ClassVar

import numpy as np
import torch
from exercise_contract import ExerciseContract

from course_utils.exercises.lecture_15a import check_fixed_axes, check_percentile, check_to_bytes

# --- answers: the first ones of each list are right; the others come with a piece of their diagnosis


def refuse_first(inputs, dynamic):
    for name, axes in dynamic.items():
        sizes = dict(enumerate(inputs.get(name, ())))
        if not {*axes} <= sizes.keys():
            raise ValueError(name)
    return [(n, a) for n, axes in dynamic.items() for a in axes if not isinstance(inputs[n][a], str)]


def by_types(inputs, dynamic):
    found = []
    for name in dynamic:
        if name not in inputs:
            raise ValueError(f"{name} is misspelt")
        for axis in dynamic[name]:
            if axis not in range(len(inputs[name])):
                raise ValueError(axis)
            if type(inputs[name][axis]) is int:
                found += [(name, axis)]
    return found


def over_the_graph(inputs, dynamic):
    return [
        (n, a)
        for n in inputs
        for a, size in enumerate(inputs[n])
        if a in dynamic.get(n, ()) and size != str(size)
    ]


def trusting(inputs, dynamic):
    return [
        (n, a) for n, axes in dynamic.items() for a in axes if isinstance(inputs.get(n, ["", ""])[a % 2], int)
    ]


def by_torch(batch):
    x = torch.tensor(batch)
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    if low == high:
        return x.numpy()
    step = (high - low) / 255
    zero = round(-low / step)
    return ((torch.round(x / step) + zero).clamp(0, 255) - zero).numpy() * step


def with_a_floor(batch):
    low, high = np.minimum(batch.min(), 0), np.maximum(batch.max(), 0)
    step = max((high - low) / 255, 1e-30)
    return (np.clip(np.rint(batch / step) + np.rint(-low / step), 0, 255) - np.rint(-low / step)) * step


def divides_by_nothing(batch):
    low, high = min(0.0, batch.min()), max(0.0, batch.max())
    step = (high - low) / 255
    return (np.round(batch / step) + np.round(-low / step) - np.round(-low / step)) * step


def cut_down(batch):
    return np.floor(batch * 10) / 10


def by_numpy(waits, percent):
    if len(waits) == 0 or percent <= 0 or percent > 100:
        raise ValueError
    return np.percentile(waits, percent, method="inverted_cdf")


def by_counting(waits, percent):
    if not waits or not 0 < percent <= 100:
        raise ValueError("nothing")
    return min(w for w in waits if 100 * sum(other <= w for other in waits) >= percent * len(waits))


def unchecked(waits, percent):
    return sorted(waits)[math.ceil(percent * len(waits) / 100) - 1] if waits else 0.0


def middle(waits, percent):
    return sorted(waits)[len(waits) // 2]


class TestExercises(ExerciseContract):
    exercises: ClassVar = {
        check_fixed_axes: (
            [refuse_first, by_types],
            [(over_the_graph, "you return"), (trusting, "raise ValueError")],
        ),
        check_to_bytes: (
            [by_torch, with_a_floor],
            [(divides_by_nothing, "a step of 0"), (cut_down, "you return")],
        ),
        check_percentile: (
            [by_numpy, by_counting],
            [(unchecked, "raise ValueError"), (middle, "you return")],
        ),
    }
