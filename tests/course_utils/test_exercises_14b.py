"""Lecture 14b: right answers that must pass, and wrong ones that are no named mistake of the exercise."""

import math
from typing import ClassVar

import torch
from exercise_contract import ExerciseContract

from course_utils.exercises.lecture_14b import check_nucleus, check_query_mask, check_strided_perplexity

# --- answers: the first ones of each list are right; the others come with a piece of their diagnosis


def by_two_loops(order):
    places, n = order.tolist(), len(order)
    mask = torch.zeros(n, n, dtype=torch.bool)
    for turn, i in enumerate(places):
        for j in places[:turn]:
            mask[i, j] = True
    return mask


def by_indexing(order):
    mask = torch.zeros(len(order), len(order), dtype=torch.bool)
    mask[order[:, None], order[None, :]] = torch.ones(len(order), len(order), dtype=torch.bool).tril(-1)
    return mask


def as_numbers(order):
    return by_two_loops(order).float()


def to_be_added(order):
    return torch.zeros(len(order), len(order)).masked_fill(~by_two_loops(order), -torch.inf)


def backwards_order(order):
    return by_two_loops(order.flip(0)) | by_two_loops(order)


def row_by_row(chances, p):
    new = torch.zeros_like(chances)
    for row, old in zip(new, chances, strict=True):
        held = 0.0
        for token in old.argsort(descending=True):
            if held >= p:
                break
            row[token], held = old[token], held + old[token]
        row /= row.sum()
    return new


def by_a_threshold(chances, p):
    ordered = chances.sort(1, descending=True).values
    least = ordered.gather(1, (ordered.cumsum(1) < p).sum(1, keepdim=True))
    kept = torch.where(chances >= least, chances, 0)
    return kept / kept.sum(1, keepdim=True)


def in_place(chances, p):
    chances[chances < 0.05] = 0
    return chances


def empty(chances, p):
    kept = torch.where(chances > 2, chances, 0)
    return kept / kept.sum(1, keepdim=True)


def one_row(chances, p):
    return row_by_row(chances, p)[0]


def token_by_token(ids, score, length, stride):
    """Which window counts a token: the first that reaches it."""
    if len(ids) < 2 or not 1 <= stride < length:
        raise ValueError
    found = []
    for at in range(1, len(ids)):
        start = max(0, math.ceil((at + 1 - length) / stride)) * stride
        found.append(float(score(ids[start : start + length])[at - start - 1]))
    return math.exp(-sum(found) / len(found))


def not_refused(ids, score, length, stride):
    return token_by_token(ids, score, length, min(max(stride, 1), length - 1)) if len(ids) > 1 else 1.0


def as_a_tensor(ids, score, length, stride):
    return torch.tensor(token_by_token(ids, score, length, stride), dtype=torch.float64)


def one_window(ids, score, length, stride):
    return math.exp(-score(ids).mean())


class TestExercises(ExerciseContract):
    exercises: ClassVar = {
        check_query_mask: (
            [by_two_loops, by_indexing],
            [(as_numbers, "true and false"), (to_be_added, "true and false"), (backwards_order, "and not")],
        ),
        check_nucleus: (
            [row_by_row, by_a_threshold],
            [(in_place, "changes the chances"), (empty, "nothing is left"), (one_row, "shape")],
        ),
        check_strided_perplexity: (
            [token_by_token, as_a_tensor],
            [(not_refused, "raise ValueError"), (one_window, "and not")],
        ),
    }
