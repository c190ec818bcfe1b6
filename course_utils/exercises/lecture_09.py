"""Lecture 09: the first piece of each word, the last four layers joined, a weighted sum of the top."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from course_utils.exercises.engine import exercise


# fmt: off
def _first_places(owners: Sequence[int | None], words: int) -> list[int | None]:
    """Check a function from the owners of the pieces (a word's number, or None) and the number of words to a list of places.

    The list has an entry for each word: the place of its first piece, or None where it has no piece.
    """
    places: list[int | None] = [None] * words
    for place, owner in enumerate(owners):
        if owner is not None and places[owner] is None:
            places[owner] = place
    return places


def _shown(owners: Sequence[int | None]) -> list[int | None]:
    """The places of first pieces, in order, without the words that have none."""
    return [place for place, owner in enumerate(owners) if owner is not None and owner not in owners[:place]]


_EVERY = "Every word needs an entry, also one without a piece: begin with [None] * words."

check_first_places = exercise(
    "first_places: an entry for every word, and None where it has no piece",
    _first_places, inputs=("the owners", "the number of words"),
    cases=[
        ([None, 0, 1, 1, 3, None], 4),
        ([None, 0, 0, 0, 1, 2, 2, None], 3),
        ([0, 2, 2, 3], 5),  # no [CLS], a word without pieces inside and one at the end
        ([None, 1, 1, 2, None, None], 3),  # the first word has none; padding at the end
        ([None, None], 2),
        ([None, 0, 1, None], 2),
    ],
    describe=lambda owners, words: f"For the owners {list(owners)} of {words} words",
    stops={ValueError: "list.index stops where a word has no piece. Look whether it is there, or begin with a list of None."},
    mistakes=[
        (lambda owners, words: _shown(owners), f"a word without a piece is left out, and every later word takes its neighbour's place. {_EVERY}"),
        (lambda owners, words: (_shown(owners) + [None] * words)[:words], f"the places are in order, but not with their words: those after a word without a piece have moved up. {_EVERY}"),
        ((lambda owners, words: [-1 if p is None else p for p in _first_places(owners, words)],
          lambda owners, words: [0 if p is None else p for p in _first_places(owners, words)]),
         "a word without a piece has a place in your list, and whoever looks there reads another token's state, without an error. Say None."),
        (lambda owners, words: [max((i for i, o in enumerate(owners) if o == word), default=None) for word in range(words)],
         "these are the last pieces. Do not overwrite a place that is there already."),
        (lambda owners, words: [p if p is None else p - 1 for p in _first_places(owners, words)],
         "every place is one too low. [CLS] is a piece as well; count from the first entry of the owners."),
        (lambda owners, words: [p if p is None else p + 1 for p in _first_places(owners, words)], "every place is one too high. The first entry has place 0."),
        (lambda owners, words: [p or None for p in _first_places(owners, words)], "place 0 is taken for nothing: ask `is None`, not `not`."),
        (lambda owners, words: [owners.count(word) for word in range(words)], "that counts the pieces of each word. Where is the first of them?"),
    ],
)


def _join_top(states: Sequence[Tensor]) -> Tensor:
    """Check a function from L + 1 hidden states (batch, tokens, units), the embeddings first, to (batch, tokens, 4 x units).

    Fewer than four layers raise ValueError.
    """
    if len(states) < 5:
        raise ValueError("There are fewer than four layers.")
    return torch.cat(tuple(states[-4:]), dim=-1)


_draw = torch.Generator().manual_seed(9)


def _hidden(layers: int, *shape: int) -> tuple[Tensor, ...]:
    return tuple(torch.randn(layers + 1, *shape, generator=_draw))


def _of(pick: Callable[[Sequence[Tensor]], Sequence[Tensor]]) -> Callable[..., Tensor]:
    return lambda states: torch.cat(tuple(pick(states)), dim=-1)


_LAST = "The four wanted are states[-4:]."
_END = "torch.cat(..., dim=-1) puts vectors end to end."

check_join_top = exercise(
    "join_top: the last four layers end to end, the lowest first",
    _join_top, inputs=("the states",),
    cases=[(_hidden(6, 2, 3, 2),), (_hidden(4, 3, 2, 5),), (_hidden(12, 1, 4, 3),)],
    describe=lambda states: f"For {len(states)} hidden states of shape {tuple(states[0].shape)}",
    refused=[((_hidden(3, 1, 2, 2),), "Four hidden states are three layers and the embeddings: raise ValueError."),
             ((_hidden(2, 1, 2, 2),), "Two layers are not four: raise ValueError.")],
    kinds={"list": "Join them into one tensor: torch.cat.", "tuple": "Join them into one tensor: torch.cat."},
    shapes=[
        (lambda s: (s[0].shape[0] * 4, *s[0].shape[1:]), f"the batch has grown: more sentences, not longer vectors. {_END}"),
        (lambda s: (s[0].shape[0], s[0].shape[1] * 4, s[0].shape[2]), f"the sentence has grown: more words, not longer vectors. {_END}"),
        (lambda s: (4, *s[0].shape), f"torch.stack makes a new dimension. {_END}"),
        (lambda s: (*s[0].shape[:2], 4, s[0].shape[2]), "the four layers have a dimension of their own: flatten(2) after it, or torch.cat(..., dim=-1)."),
        (lambda s: tuple(s[0].shape), "these are vectors of one layer's length: added up, or averaged. Joined means end to end."),
        (lambda s: (*s[0].shape[:2], len(s) * s[0].shape[2]), f"all of them are joined, the embeddings as well. {_LAST}"),
        (lambda s: (*s[0].shape[:2], (len(s) - 1) * s[0].shape[2]), f"all layers are joined. {_LAST}"),
        (lambda s: (*s[0].shape[:2], 3 * s[0].shape[2]), f"three are joined. {_LAST}"),
    ],
    mistakes=[
        (_of(lambda s: s[:4]), "these are the first four, the embeddings among them. Count from the end."),
        (_of(lambda s: s[1:5]), "these are layers 1 to 4, the lowest. Count from the end."),
        (_of(lambda s: s[-5:-1]), f"these are four layers, but the last one is missing. {_LAST}"),
        (_of(lambda s: s[:-5:-1]), "the order is turned. The lowest of the four comes first: states[-4:]."),
        (_of(lambda s: [s[-1]] * 4), f"the last layer stands there four times. {_LAST}"),
        (lambda s: torch.stack(tuple(s[-4:]), dim=-1).flatten(2), "the layers are interleaved, number by number. Put whole vectors end to end: torch.cat(..., dim=-1)."),
    ],
)


def _mix_top(states: Tensor, weights: Tensor, gamma: Tensor) -> Tensor:
    """Check a function (states, weights, gamma) -> gamma * sum of s_j states_j over the last len(weights) layers.

    ``states`` is (L + 1, tokens, units), the embeddings first; s is the softmax of the weights (equation 1 of Peters et al. 2018).
    Gradients must reach weights and gamma.
    """
    return gamma * _added(weights.softmax(0), states[-len(weights):])


def _added(shares: Tensor, layers: Tensor) -> Tensor:
    return torch.tensordot(shares, layers, dims=1)


_TOP = "The layers that take part are the last ones: states[-len(weights):]."
_SHARES = "The shares are weights.softmax(0)."

check_mix_top = exercise(
    "mix_top: the last layers by their learned shares, times gamma, and the gradient flows",
    _mix_top, inputs=("the states", "the weights", "gamma"),
    cases=[(torch.randn(depth + 1, tokens, units, generator=_draw), torch.randn(k, generator=_draw), torch.tensor(gamma))
           for depth, tokens, units, k, gamma in ((6, 3, 2, 4, 1.0), (6, 2, 5, 4, 0.5), (4, 3, 3, 2, 2.0), (5, 2, 4, 5, 1.5))],
    describe=lambda h, w, g: f"For {len(h)} hidden states of shape {tuple(h.shape[1:])}, weights [{', '.join(f'{x:.3g}' for x in w)}] and gamma = {float(g):g}",
    gradients=("the weights", "gamma"),
    shapes=[(lambda h, w, g: (len(w), *h.shape[1:]), "these are the layers, weighted. Add them up: .sum(0)."),
            (lambda *_: (), "a vector for each token is wanted. Add up over the layers only."),
            (lambda *_: None, "a vector for each token is wanted: add up over the first dimension, the layers.")],
    mistakes=[
        (lambda h, w, g: g * _added(w.softmax(0), h[: len(w)]), f"these are the lowest, the embeddings among them. {_TOP}"),
        (lambda h, w, g: g * _added(w.softmax(0), h[1 : len(w) + 1]), f"these are the lowest layers. {_TOP}"),
        (lambda h, w, g: g * _added(w.softmax(0), h[-len(w) - 1 : -1]), f"the last layer is missing. {_TOP}"),
        (lambda h, w, g: g * _added(w.softmax(0).flip(0), h[-len(w):]), "the shares are in the other order: the last weight belongs to the last layer."),
        (lambda h, w, g: _added(w.softmax(0), h[-len(w):]), "gamma is missing. It scales the whole sum."),
        (lambda h, w, g: _added((g * w).softmax(0), h[-len(w):]), "gamma meets the weights before the softmax. It scales the sum."),
        (lambda h, w, g: g * _added(w, h[-len(w):]), f"the weights are taken as they are. {_SHARES}"),
        (lambda h, w, g: g * _added(w.exp(), h[-len(w):]), f"the exponentials do not sum to one. {_SHARES}"),
        (lambda h, w, g: g * _added(w / w.sum(), h[-len(w):]), f"the weights are divided by their sum, without an exponential. {_SHARES}"),
        (lambda h, w, g: g * _added(w.sigmoid(), h[-len(w):]), f"each weight goes through a sigmoid by itself, and they do not sum to one. {_SHARES}"),
        (lambda h, w, g: g * h[-len(w):].mean(0) + 0 * w.sum(), f"all layers have the same share. {_SHARES}"),
        (lambda h, w, g: g * h[-len(w):].sum(0) + 0 * w.sum(), f"the layers are added up without shares. {_SHARES}"),
        (lambda h, w, g: g * _added(w.softmax(0), h[-len(w):]) / len(w), "that is divided once more by the number of layers. The shares sum to one already."),
    ],
)
# fmt: on
