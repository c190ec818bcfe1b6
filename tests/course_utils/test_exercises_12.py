"""Lecture 12: right answers that must pass, and wrong ones that are no named mistake of the exercise."""

from typing import ClassVar

import numpy as np
import torch
from exercise_contract import ExerciseContract
from torch import nn

from course_utils.exercises.lecture_12 import check_count_trained, check_merged, check_new_bottleneck

# --- answers: the first ones of each list are right; the others come with a piece of their diagnosis


class Around(nn.Sequential):
    """Up is made before down, and the names are others."""

    def forward(self, x):
        return super().forward(x) + x


def as_a_sequence(units, size):
    up = nn.Linear(size, units)
    nn.init.constant_(up.weight, 0)
    nn.init.constant_(up.bias, 0)
    return Around(nn.Linear(units, size), nn.GELU(), up)


class Written(nn.Module):
    """With parameters of its own, and the GELU that approximates by a tanh."""

    def __init__(self, units, size):
        super().__init__()
        self.b = nn.Parameter(torch.zeros(units))
        self.up = nn.Parameter(torch.zeros(units, size))
        self.a = nn.Parameter(torch.full((size,), 0.1))
        self.down = nn.Parameter(0.02 * torch.randn(size, units))

    def forward(self, x):
        narrow = nn.functional.gelu(x @ self.down.T + self.a, approximate="tanh")
        return x + narrow @ self.up.T + self.b


def written(units, size):
    return Written(units, size)


def small_start(units, size):
    module = as_a_sequence(units, size)
    nn.init.normal_(module[2].weight, std=1e-3)
    return module


def bias_left(units, size):
    module = as_a_sequence(units, size)
    nn.init.constant_(module[2].bias, 0.5)
    return module


class MadeInForward(nn.Module):
    def __init__(self, units, size):
        super().__init__()
        self.sizes = units, size

    def forward(self, x):
        return as_a_sequence(*self.sizes)(x)


def made_in_forward(units, size):
    return MadeInForward(units, size)


def frozen(units, size):
    return as_a_sequence(units, size).requires_grad_(False)


def a_function(units, size):
    return as_a_sequence(units, size)(torch.zeros(units))


def first_token_only(units, size):
    class First(Around):
        def forward(self, x):
            return super().forward(x)[:, 0]

    return First(nn.Linear(units, size), nn.GELU(), nn.Linear(size, units))


def by_einsum(weight, a, b, alpha):
    return weight + torch.einsum("or,ri->oi", b, a) * (alpha / a.shape[0])


def one_rank_at_a_time(weight, a, b, alpha):
    return weight + sum(torch.outer(b[:, k], a[k]) for k in range(len(a))) * alpha / len(a)


def by_a_layer(weight, a, b, alpha):
    """What the layer says of the unit vectors are its columns."""
    eye = torch.eye(weight.shape[1])
    return (eye @ weight.T + (eye @ a.T) @ b.T * alpha / b.shape[1]).T


def in_place(weight, a, b, alpha):
    weight += alpha / len(a) * b @ a
    return weight


def wrong_way_round(weight, a, b, alpha):
    return weight + alpha / len(a) * (a @ b)


def as_numpy(weight, a, b, alpha):
    return (weight + alpha / len(a) * b @ a).numpy()


def rank_fixed(weight, a, b, alpha):
    return weight + alpha / 8 * b @ a


def by_names(model):
    counts = {"encoder": 0, "heads": 0}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            counts[name.partition(".")[0]] += int(np.prod(parameter.shape))
    return counts["encoder"], counts["heads"]


def by_ids(model):
    parts = []
    for part in (model.encoder, model.heads):
        seen = {id(p): p.numel() for p in part.parameters() if p.requires_grad}
        parts.append(sum(seen.values()))
    return tuple(parts)


def one_number(model):
    return sum(by_names(model))


def by_modules(model):
    """A walk over the modules meets what is shared once for each of them."""
    return tuple(
        sum(p.numel() for m in part.modules() for p in m.parameters(recurse=False) if p.requires_grad)
        for part in (model.encoder, model.heads)
    )


def weights_without_biases(model):
    return tuple(
        sum(p.numel() for p in part.parameters() if p.requires_grad and p.dim() > 1)
        for part in (model.encoder, model.heads)
    )


class TestExercises(ExerciseContract):
    exercises: ClassVar = {
        check_new_bottleneck: (
            [as_a_sequence, written],
            [
                (small_start, "what it adds is 0 at first"),
                (bias_left, "should not be moved at all"),
                (made_in_forward, "nothing in it can learn"),
                (frozen, "0 numbers learn"),
                (a_function, "Return a module"),
                (first_token_only, "the shape of what goes in"),
            ],
        ),
        check_merged: (
            [by_einsum, one_rank_at_a_time, by_a_layer],
            [
                (in_place, "which it should only read"),
                (wrong_way_round, "B @ A is as large as the weight"),
                (as_numpy, "a tensor, not ndarray"),
                (rank_fixed, "you return"),
            ],
        ),
        check_count_trained: (
            [by_names, by_ids],
            [
                (one_number, "2 things"),
                (by_modules, "is counted twice"),
                (weights_without_biases, "and not"),
            ],
        ),
    }
