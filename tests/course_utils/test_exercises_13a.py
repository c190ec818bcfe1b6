"""Lecture 13a's exercises: right answers in other styles pass, wrong ones get their diagnosis."""

from itertools import permutations
from typing import ClassVar

import numpy as np
import torch
from exercise_contract import ExerciseContract

from course_utils.exercises.lecture_13a import check_join_pair, check_precision_at


def by_all_orders(scores, labels, k):
    """Every order of the list that keeps the scores falling, and the mean over them."""
    if not 0 < k <= len(scores):
        raise ValueError(k)
    orders = [p for p in permutations(range(len(scores))) if all(np.diff(scores[list(p)]) <= 0)]
    return np.mean([labels[list(p[:k])].mean() for p in orders])


def by_groups(scores, labels, k):
    if k < 1 or k > len(scores):
        raise ValueError(f"no {k} of {len(scores)}")
    right, left = 0.0, k
    for value in sorted(set(scores.tolist()), reverse=True):
        group = labels[scores == value]
        right += min(left, len(group)) * group.sum() / len(group)
        left = max(0, left - len(group))
    return torch.tensor(right / k)


def one_shuffle(scores, labels, k):
    if k < 1 or k > len(scores):
        raise ValueError
    order = np.random.default_rng(1).permutation(len(scores))
    return labels[order][np.argsort(-scores[order], kind="stable")[:k]].mean()


def without_a_check_of_k(scores, labels, k):
    cut = np.sort(scores)[max(len(scores) - k, 0)]
    above, level = scores > cut, scores == cut
    return (labels[above].sum() + (k - above.sum()) * labels[level].mean()) / max(k, 1)


def in_percent(scores, labels, k):
    return 100 * by_groups(scores, labels, k)


def by_counting_what_is_too_much(first, second, room):
    if min(len(first), len(second)) == 0:
        raise ValueError("empty")
    a, b = len(first), len(second)
    for _ in range(max(0, a + b + 3 - room)):
        a, b = (a - 1, b) if a > b else (a, b - 1)
    one, other = first[:a], second[:b]
    row = ["[CLS]", *one, "[SEP]", *other, "[SEP]"]
    types = tuple(int(i > row.index("[SEP]")) for i in range(len(row)))
    return tuple(row), types


def with_an_array_of_types(first, second, room):
    row, types = by_counting_what_is_too_much(first, second, room)
    return list(row), np.array(types).tolist()


def cuts_what_it_was_given(first, second, room):
    while len(first) + len(second) > room - 3:
        (first if len(first) > len(second) else second).pop()
    return by_counting_what_is_too_much(first, second, room)


def lets_an_empty_side_through(first, second, room):
    row = ["[CLS]", *first, "[SEP]", *second, "[SEP]"]
    if first and second:
        return by_counting_what_is_too_much(first, second, room)
    return row, [0] * len(row)


def pieces_only(first, second, room):
    return list(by_counting_what_is_too_much(first, second, room)[0])


def types_by_text(first, second, room):
    row, types = by_counting_what_is_too_much(first, second, room)
    return row, [
        kind if piece not in ("[CLS]", "[SEP]") else 0 for piece, kind in zip(row, types, strict=True)
    ]


class TestExercises(ExerciseContract):
    exercises: ClassVar = {
        check_precision_at: (
            [by_all_orders, by_groups],
            [
                (one_shuffle, "you return"),
                (without_a_check_of_k, "raise ValueError"),
                (in_percent, "you return"),
            ],
        ),
        check_join_pair: (
            [by_counting_what_is_too_much, with_an_array_of_types],
            [
                (cuts_what_it_was_given, "which it should only read"),
                (lets_an_empty_side_through, "nothing to compare"),
                (pieces_only, "2 things"),
                (types_by_text, "type 0"),
            ],
        ),
    }
