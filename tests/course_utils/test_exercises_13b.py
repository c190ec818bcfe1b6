"""Lecture 13b: right answers that must pass, and wrong ones that are no named mistake of the exercise."""

from typing import ClassVar

import numpy as np
import torch
from exercise_contract import ExerciseContract

from course_utils.exercises.lecture_13b import (
    check_best_span,
    check_chances,
    check_piece_labels,
    check_strict_names,
)

# --- answers: the first ones of each list are right; the others come with a piece of their diagnosis


def by_a_set(owners, labels):
    seen, out = {None}, []
    for owner in owners:
        out.append(-100 if owner in seen else labels[owner])
        seen.add(owner)
    return out


def filled_in(owners, labels):
    out = np.full(len(owners), -100)
    for word, label in enumerate(labels):
        if word in owners:
            out[owners.index(word)] = label
    return out.tolist()


def zipped(owners, labels):
    given = iter(labels)
    return [next(given) if o is not None and o not in owners[:i] else -100 for i, o in enumerate(owners)]


def none_for_nothing(owners, labels):
    return [labels[o] if o is not None and o not in owners[:i] else None for i, o in enumerate(owners)]


def without_none(owners, labels):
    return [labels[o] for o in owners]


def by_a_matrix(begin, end, first, longest):
    begin, end = np.array(begin), np.array(end)
    sums = np.triu(begin[:, None] + end[None])
    allowed = np.tril(np.triu(np.ones_like(sums)), longest - 1).astype(bool)
    allowed[:first] = False
    sums[~allowed] = -np.inf
    return tuple(int(i) for i in np.unravel_index(sums.argmax(), sums.shape))


def by_tensors(begin, end, first, longest):
    best, found = -float("inf"), None
    for i in range(first, len(begin)):
        stop = min(len(end), i + longest)
        value, j = torch.tensor(end[i:stop]).max(0)
        if begin[i] + value > best:
            best, found = begin[i] + float(value), [i, i + int(j)]
    return found


def one_number(begin, end, first, longest):
    return by_tensors(begin, end, first, longest)[0]


def worst(begin, end, first, longest):
    return by_tensors([-x for x in begin], [-x for x in end], first, longest)


def by_a_loop(tags):
    names, start = [], None
    for i, tag in enumerate([*tags, "O"]):
        if start is not None and (tag[0] != "I" or tag[2:] != tags[start][2:]):
            names.append((start, i, tags[start][2:]))
            start = None
        if tag[0] == "B":
            start = i
    return names


def as_a_set(tags):
    return {
        (i, next((j for j in range(i + 1, len(tags)) if tags[j] != f"I{tag[1:]}"), len(tags)), tag[2:])
        for i, tag in enumerate(tags)
        if tag.startswith("B-")
    }


def a_dict(tags):
    return {name[:2]: name[2] for name in by_a_loop(tags)}


def first_words_only(tags):
    return [(i, i + 1, tag[2:]) for i, tag in enumerate(tags) if tag[0] == "B"]


def by_numpy(sizes, power):
    if not len(sizes) or min(sizes) <= 0:
        raise ValueError
    raised = np.power(np.array(sizes, float), power)
    return raised / raised.sum()


def by_logarithms(sizes, power):
    if 0 in sizes or not sizes:
        raise ValueError("no examples")
    return (power * torch.tensor(sizes, dtype=torch.double).log()).softmax(0)


def careless(sizes, power):
    total = sum(n**power for n in sizes)
    return [n**power / total for n in sizes]


def rounded(sizes, power):
    return np.round(by_numpy(sizes, power), 1)


class TestExercises(ExerciseContract):
    exercises: ClassVar = {
        check_piece_labels: (
            [by_a_set, filled_in],
            [
                (zipped, "every label has moved to its neighbour"),
                (none_for_nothing, "and not"),
                (without_none, "None is no word"),
            ],
        ),
        check_best_span: (
            [by_a_matrix, by_tensors],
            [(one_number, "should be a tuple, not int"), (worst, "you return")],
        ),
        check_strict_names: (
            [by_a_loop, as_a_set],
            [(a_dict, "Return a list of names, and not dict"), (first_words_only, "you return")],
        ),
        check_chances: (
            [by_numpy, by_logarithms],
            [(careless, "cannot be drawn"), (rounded, "you return")],
        ),
    }
