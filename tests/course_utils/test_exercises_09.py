"""Lecture 09: right answers in other styles that must pass, and wrong ones with a piece of their diagnosis."""

from typing import ClassVar

import numpy as np
import torch
from exercise_contract import ExerciseContract

from course_utils.exercises.lecture_09 import check_first_places, check_join_top, check_mix_top


def places_by_index(owners, words):
    return [owners.index(word) if word in owners else None for word in range(words)]


def places_by_dict(owners, words):
    found = {}
    for place, owner in enumerate(owners):
        found.setdefault(owner, place)
    return [found.get(word) for word in range(words)]


def places_from_the_right(owners, words):
    places = [None] * words
    for place in reversed(range(len(owners))):
        if owners[place] is not None:
            places[owners[place]] = place
    return places


def places_by_numpy(owners, words):
    known = np.array([-1 if owner is None else owner for owner in owners])
    return [int(np.argmax(known == word)) if (known == word).any() else None for word in range(words)]


def places_without_a_look(owners, words):
    return [owners.index(word) for word in range(words)]


def places_of_those_there_are(owners, words):
    return places_by_index(owners, len({owner for owner in owners if owner is not None}))


def joined_by_stack(states):
    if len(states) < 5:
        raise ValueError
    return torch.stack(states[-4:], dim=2).flatten(2)


def joined_by_hand(states):
    if len(states) - 1 < 4:
        raise ValueError("too few layers")
    batch, tokens, units = states[0].shape
    room = torch.empty(batch, tokens, 4 * units)
    for i in range(4):
        room[..., i * units : (i + 1) * units] = states[len(states) - 4 + i]
    return room


def joined_if_four_tensors(states):
    if len(states) < 4:
        raise ValueError
    return torch.cat(states[-4:], -1)


def mixed_by_loop(states, weights, gamma):
    shares, k = torch.softmax(weights, dim=0), len(weights)
    return gamma * sum(shares[j] * states[len(states) - k + j] for j in range(k))


def mixed_by_einsum(states, weights, gamma):
    return torch.einsum("j,jtu->tu", gamma * weights.softmax(-1), states[-weights.shape[0] :])


def mixed_by_broadcasting(states, weights, gamma):
    shares = weights.exp() / weights.exp().sum()
    return gamma * (shares[:, None, None] * states[-len(weights) :]).sum(0)


def mixed_without_gradient(states, weights, gamma):
    return gamma * torch.tensordot(weights.detach().softmax(0), states[-len(weights) :], dims=1)


def mixed_by_numpy(states, weights, gamma):
    return torch.tensor(mixed_by_loop(states, weights, gamma).detach().numpy())


def mixed_backwards(states, weights, gamma):
    return gamma * torch.tensordot(weights.softmax(0), states.flip(0)[: len(weights)], dims=1)


class TestLecture09(ExerciseContract):
    exercises: ClassVar = {
        check_first_places: (
            [places_by_index, places_by_dict, places_from_the_right, places_by_numpy],
            [
                (places_without_a_look, "list.index stops"),
                (places_of_those_there_are, "you return"),
                (lambda owners, words: [i for i, o in enumerate(owners) if o is not None], "you return"),
                (lambda owners, words: dict(enumerate(places_by_index(owners, words))), "should be a list"),
            ],
        ),
        check_join_top: (
            [joined_by_stack, joined_by_hand],
            [
                (joined_if_four_tensors, "three layers and the embeddings"),
                (lambda states: states[-4:], "Join them into one tensor"),
                (lambda states: torch.cat(states[-4:], 1), "more words, not longer vectors"),
                (lambda states: torch.cat(states[-4:]), "more sentences, not longer vectors"),
                (lambda states: torch.stack(states[-4:]).mean(0), "one layer's length"),
                (lambda states: torch.cat(states, -1), "the embeddings as well"),
            ],
        ),
        check_mix_top: (
            [mixed_by_loop, mixed_by_einsum, mixed_by_broadcasting],
            [
                (mixed_without_gradient, "the gradient that flows back is not"),
                (mixed_by_numpy, "No gradient flows"),
                (mixed_backwards, "in the other order"),
                (lambda h, w, g: g * w.softmax(0)[:, None, None] * h[-len(w) :], "Add them up"),
                (lambda h, w, g: g * (w.softmax(0)[:, None, None] * h[-len(w) :]).sum(), "a vector for each"),
            ],
        ),
    }
