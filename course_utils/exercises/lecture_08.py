"""Lecture 08: hide pieces 80 to 10 to 10, a loss at the hidden places alone, and how many parameters BERT has."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.exercises.engine import CheckFailed, Exercise, Part, call, check, exercise, grade, require


# fmt: off
def _hide(ids: Tensor, special: Tensor, draw: Tensor, fate: Tensor, anything: Tensor, mask_id: int) -> tuple[Tensor, Tensor]:
    """Check a function (ids, special, draw, fate, anything, mask_id) -> what is read, and what was chosen.

    After Devlin et al. (2019), appendix A.1. All tensors are (batch, n): the answer is exact, chance is given.
    """
    chosen = (draw < 0.15) & ~special
    read = torch.where(chosen & (fate < 0.8), mask_id, ids)
    return torch.where(chosen & (fate >= 0.8) & (fate < 0.9), anything, read), chosen


def _drawn(mask_id: int, cls: int, sep: int, shape: tuple[int, int], least: float = 0.0) -> tuple[Any, ...]:
    """A case in which no piece is like another: what is read says where it comes from. No draw is below ``least``."""
    generator = torch.Generator().manual_seed(mask_id)
    ids = 100_000 + torch.randperm(shape[0] * shape[1], generator=generator).reshape(shape)
    ids[:, 0], ids[:, -6], ids[:, -5:] = cls, sep, 0
    draw, fate = torch.rand(2, *shape, generator=generator, dtype=torch.float64)
    draw[:, -1] = draw[::3, 0] = 0.01  # special ones that must not be chosen
    for place, at in enumerate((0.3, 0.85, 0.95, 0.5)):  # each fate is met, several times
        draw[1 + place, 5:9], fate[1 + place, 5:9] = 0.1, at
    draw[2, 9:14], draw[3, 9:14] = 0.16, 0.84
    draw[0, 10:13], fate[0, 10:13] = torch.tensor([[0.15, 0.1, 0.1], [0.5, 0.8, 0.9]], dtype=torch.float64)  # the bounds
    anything = ids.max() + 1 + torch.randperm(ids.numel(), generator=generator).reshape(shape)
    return ids, (ids == 0) | (ids == cls) | (ids == sep), draw.clamp(min=least), fate, anything, mask_id


def _shares(ids: Tensor, special: Tensor, draw: Tensor, fate: Tensor, anything: Tensor, mask_id: int) -> tuple[Any, ...]:
    """What reads ids, given where [MASK] and where anything stands; the chosen; the three shares of fate; special, draw and fate."""
    chosen = (draw < 0.15) & ~special
    def read(masked: Tensor, random: Tensor | None = None, mask: int = mask_id) -> Tensor:
        return torch.where(chosen & ~chosen if random is None else random, anything, torch.where(masked, mask, ids))
    return read, chosen, fate < 0.8, (fate >= 0.8) & (fate < 0.9), fate >= 0.9, special, draw, fate


def _first_read(read: Tensor, right: Tensor, ids: Tensor, special: Tensor, draw: Tensor, fate: Tensor, anything: Tensor, mask_id: int) -> str:
    at = tuple((read != right).nonzero()[0].tolist())
    return (f"in row {at[0]}, place {at[1]} the piece is {ids[at]}, chosen is {bool(draw[at] < 0.15 and not special[at])}, fate is {fate[at]:.2f}, "
            f"anything is {anything[at]}, mask_id is {mask_id}: {right[at]} should be read, and you have {read[at]}.")


_FATES = "Of the chosen, fate < 0.8 becomes mask_id, 0.8 <= fate < 0.9 becomes anything, the rest stays."
_FORGET = "you forget what is chosen: 80 % of all pieces are masked."
check_hide = exercise(
    "hide: chosen are 15 %, none of them special; of these 80 % masked, 10 % random, 10 % as they are",
    _hide, inputs=("ids", "special", "draw", "fate", "anything", "mask_id"),
    cases=[_drawn(4, 2, 3, (8, 40)), _drawn(103, 101, 102, (5, 60)), _drawn(103, 101, 102, (5, 60), least=0.15)],  # the last: none is chosen
    describe=lambda ids, *_: f"For ids of the shape {tuple(ids.shape)}",
    only_read="a tensor that it is given, and the ids are still needed: they are what is to be guessed. Work on ids.clone(), or with torch.where, which makes a new tensor.",
    judged=(1, 0),
    parts=(
        Part("what is read", otherwise=_first_read, said=lambda *_: "You choose correctly; what is read is wrong", of=_shares, shapes=[(lambda *_: None, "it should be that of ids.")],
             kinds={"b": "The two are in the other order: first what is read, then what is chosen."}, mistakes=[
            (lambda read, c, *_: read(c & ~c), f"nothing is hidden. {_FATES}"),
            (lambda read, c, *_: read(c), f"all chosen pieces are masked. {_FATES}"),
            (lambda read, c, low, *_: read(c & low), f"no piece is replaced by another. {_FATES}"),
            (lambda read, c, low, mid, *_: read(c & ~c, c & mid), f"no piece is masked; or the masks were overwritten by a second torch.where that starts from ids again. {_FATES}"),
            (lambda read, c, low, mid, *_: read(low, c & mid), "80 % of *all* pieces are masked. It is 80 % of the chosen: chosen & (fate < 0.8)."),
            (lambda read, c, low, mid, *_: read(c & low, mid), "places that were not chosen get a random piece. Only the chosen do: chosen & (0.8 <= fate < 0.9)."),
            (lambda read, c, low, mid, *_: read(low, mid), f"{_FORGET} All else is left as it is: chosen & ..."),
            (lambda read, c, low, mid, high, special, *_: read(low & ~special, mid & ~special), f"{_FORGET} Write chosen & ..."),
            (lambda read, c, low, mid, high, special, draw, fate: read((draw < 0.15) & low, (draw < 0.15) & mid), "special ones are hidden. Go by chosen, not by draw < 0.15."),
            (lambda read, c, low, mid, *_: read(c & mid, c & low), f"thresholds swapped: 80 % are random and 10 % masked. {_FATES}"),
            (lambda read, c, low, mid, high, *_: read(c & high, c & mid), f"80 % stay as they are, 10 % are masked. {_FATES}"),
            (lambda read, c, low, mid, high, *_: read(c & low, c & high), f"the shares are right, and random is where fate >= 0.9. It is the middle. {_FATES}"),
            (lambda read, c, low, *_: read(c & low, c & ~low), f"none of the chosen is left as it is, and 20 % are random. {_FATES}"),
            (lambda read, c, low, mid, high, *_: read(c & (low | mid), c & high), f"nothing stays as it is: 90 % masked, 10 % random. {_FATES}"),
            (lambda read, c, low, mid, *_: read(c & (low | mid)), f"90 % are masked, and none is random. {_FATES}"),
            (lambda read, c, low, mid, *_: read(c & low, c & (low | mid)), f"fate < 0.9 holds for the masked, too, and they are overwritten. Ask for fate >= 0.8 as well. {_FATES}"),
            (lambda read, c, low, mid, high, special, draw, fate: read(c & (draw < 0.12), c & (draw >= 0.12) & (draw < 0.135)),
             "you ask `draw` once more. What becomes of a chosen piece is in `fate`."),
            (lambda read, c, low, mid, high, special, draw, fate: read(c & (fate <= 0.8), c & mid & (fate > 0.8)), f"fate = 0.8 is not *below* 0.8. {_FATES}"),
            (lambda read, c, low, mid, high, special, draw, fate: read(c & low, c & ~low & (fate <= 0.9)), f"fate = 0.9 is not *below* 0.9. {_FATES}"),
            (lambda read, c, low, mid, high, special, draw, fate: read(c & (fate <= 0.8), c & (fate > 0.8) & (fate <= 0.9)), f"fate = 0.8 is not *below* 0.8, nor 0.9 below 0.9. {_FATES}"),
            *((lambda read, c, low, mid, *_, mask=mask: read(c & low, c & mid, mask),
               lambda *case, mask=mask: f"you write {mask} for [MASK]. It is mask_id, {case[-1]} here.") for mask in (4, 103)),
            *((lambda read, c, low, mid, *_, other=other: torch.where(c, read(c & low, c & mid), other),
               f"what was not chosen is lost, and reads {other}. It stays as it is: that is what the model guesses from.") for other in (0, -100)),
        ]),
        Part("what is chosen", otherwise="Chosen is where draw < 0.15 and the place is not special.", shapes=[(lambda *_: None, "it should be that of ids.")],
             kinds=dict.fromkeys("iuf", "What is chosen should be true or false."),
             said=lambda mine, right, *_: f"You choose {int(mine.sum())} of {mine.numel()} places, and should choose {int(right.sum())}", mistakes=[
            (lambda ids, special, draw, *_: draw < 0.15, "special ones are among them. [CLS], [SEP] and padding are never guessed: & ~special."),
            (lambda ids, special, draw, *_: (draw < 0.15) & special, "you choose special ones only. They are the ones to leave out: & ~special."),
            (lambda ids, special, draw, *_: (draw < 0.15) | ~special, "`|` is or. Both must hold: draw < 0.15 & not special."),
            (lambda ids, special, draw, *_: (draw <= 0.15) & ~special, "draw = 0.15 is not *below* 0.15. Write <, not <=."),
            ((lambda ids, special, draw, fate, *_: (draw < 0.15) & ~special & (fate < 0.8), lambda ids, special, draw, fate, *_: (draw < 0.15) & ~special & (fate < 0.9),
              lambda ids, special, draw, fate, *_: (draw < 0.15) & ~special & (fate >= 0.8) & (fate < 0.9)),
             "you leave out what is read as it is. Chosen is what has to be guessed, and that is all of the 15 %."),
            ((lambda ids, special, draw, *_: (draw > 0.15) & ~special, lambda ids, special, draw, *_: (draw >= 0.15) & ~special),
             "that is the other 85 %. Chosen is where draw is *below* 0.15."),
            (lambda ids, special, draw, *_: draw > 0.85, "that is another 15 %, and special ones are among them. Chosen is where draw is below 0.15."),
            (lambda ids, special, draw, *_: (draw > 0.85) & ~special, "that is another 15 %. Chosen is where draw is below 0.15."),
            (lambda ids, special, draw, fate, *_: (fate < 0.15) & ~special, "you ask `fate`. It is `draw` that chooses; fate says what becomes of it."),
            *((lambda ids, special, draw, *_, at=at, all=all: (draw[:, at : at + 1] < 0.15).expand_as(draw) & (all | ~special),
               "that takes whole rows. Every place has a draw of its own.") for at in (0, 1) for all in (True, False)),
            *((lambda ids, special, draw, *_, all=all: (draw.argsort(1).argsort(1) < 0.15 * draw.shape[1]) & (all | ~special),
               "that takes the same number from every row. Each place is chosen on its own: draw < 0.15.") for all in (True, False)),
        ]),
    ),
)


def _masked_loss(logits: Tensor, ids: Tensor, chosen: Tensor) -> Tensor:
    """Check a function (logits (batch, n, V), ids (batch, n), chosen (batch, n)) -> the mean negative log-likelihood, a tensor."""
    return F.cross_entropy(logits[chosen], ids[chosen], reduction="sum") / chosen.sum().clamp(min=1)


def _guessed(places: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
    chosen = torch.tensor(places) > 0
    ids = torch.randint(1, 7, chosen.shape, generator=_chance)
    ids[0, int(chosen[0].nonzero()[0])] = 0  # 0 is a piece like any other
    return 2 * torch.randn(*chosen.shape, 7, generator=_chance), ids, chosen


def _every(logits: Tensor, ids: Tensor) -> Tensor:
    return F.cross_entropy(logits.transpose(1, 2), ids, reduction="none")


def _known(x: Tensor, ids: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    """A case, with the loss of every place, and the probabilities of the right pieces at the chosen ones."""
    return x, ids, c, _every(x, ids), x.softmax(-1)[c].gather(1, ids[c][:, None])


def _nothing_and_nan(masked_loss: Callable[..., Any]) -> None:
    """Where nothing is chosen there is still something to go back from; what is not chosen is not even NaN."""
    logits, ids = _LOUD.clone().requires_grad_(), torch.tensor([[1, 0]])
    loss, clamp = call(masked_loss, logits, ids, torch.zeros(1, 2, dtype=torch.bool)), "Divide the sum by chosen.sum().clamp(min=1)."
    said = "Where nothing is chosen the loss is 0, as a tensor that a training can go back from,"
    require(isinstance(loss, Tensor) and loss.numel() == 1, f"{said} and yours is {loss!r}. {clamp}")
    require(loss.item() == 0, f"{said} and yours is {loss.item():.4g}. A mean of nothing is 0 / 0. {clamp}")
    gradient = torch.autograd.grad(loss, logits, allow_unused=True)[0] if loss.requires_grad else None
    if gradient is None:
        raise CheckFailed(f"{said} and yours does not hang on the logits: .backward() would stop, or reach nothing. A sum over nothing does. {clamp}")
    require(not gradient.any(), f"{said} and the gradient that yours sends to the logits is {gradient.flatten().tolist()}, not 0. {clamp}")
    logits = torch.tensor([[[torch.nan] * 3, [0.0, 0.0, 0.0]]])
    loss = call(masked_loss, logits, ids, torch.tensor([[False, True]]))
    require(abs(loss.item() - math.log(3)) < 1e-4, f"The logits of a place that was not chosen are NaN here, and your loss is {loss.item():.4g}: 0 × NaN is NaN. Take logits[chosen].")


_chance, _LOUD = torch.Generator().manual_seed(8), torch.tensor([[[300.0, 0.0, 0.0], [300.0, 0.0, 0.0]]])
check_masked_loss = exercise(
    "masked_loss: the mean over the hidden places and no other, and 0 where nothing is hidden",
    _masked_loss, inputs=("the logits", "the ids", "chosen"),
    cases=[_guessed([[1, 0, 0, 0, 1], [1, 1, 0, 1, 1], [0, 0, 1, 0, 0]]), _guessed([[0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0]])],
    edges=[((_LOUD, torch.tensor([[1, 0]]), torch.ones(1, 2) > 0),
            "Logits of 300 and 0, the right piece once the one and once the other, make a loss of 150: exp(300) is too much, and exp(-300) too little. "
            "log_softmax, or cross_entropy, does it in one step.")],
    describe=lambda logits, ids, chosen: f"With {int(chosen.sum())} of {chosen.numel()} places chosen",
    kinds={"float": "No gradient flows through a plain number: stay in torch, without .item(), .detach() or no_grad. Return a tensor, the loss.", "i": "The loss should be a float."},
    shapes=[(lambda *_: None, "Return one number: take the mean over the chosen places.")],
    infinite="Is it the mean of each row's mean? The second row has no chosen place, and its mean is 0 / 0: take one mean over all of them.",
    only_read="and the ids are still needed: they are what is to be guessed. masked_fill makes a new tensor.",
    read=lambda loss, *_: loss.reshape(()) if isinstance(loss, Tensor) and loss.shape == (1,) else loss,
    gradients=("the logits",),
    uphill="The number is right, but its gradient should reach the logits of the chosen places, all of them and no other.",
    also=_nothing_and_nan,
    of=_known,
    mistakes=[
        (lambda x, ids, c, every, p: (every * c).sum(), "that is the sum. Divide by the number of chosen places."),
        (lambda x, ids, c, every, p: every.mean(), "every place is in it. Most pieces can be read off, as they were not hidden: only the chosen count."),
        (lambda x, ids, c, every, p: every.sum() / c.sum(), "you divide by the number of chosen places, and all the others are still in the sum."),
        (lambda x, ids, c, every, p: (every * c).mean(), "the sum is over the chosen, but you divide by the number of all places."),
        (lambda x, ids, c, every, p: (every * c).sum() / len(x), "you divide by the number of rows. Divide by the number of chosen places."),
        (lambda x, ids, c, every, p: (every * c).sum() / (c.sum() + 1), "you divide by one more than were chosen. Against 0 / 0, write chosen.sum().clamp(min=1)."),
        (lambda x, ids, c, every, p: every[~c].mean(), "those are the places that were not chosen. Turn the mask round."),
        ((lambda x, ids, c, every, p: _every(x * c[..., None], ids).mean(), lambda x, ids, c, every, p: _every(x * c[..., None], ids * c).mean(),
          lambda x, ids, c, every, p: _every(x * c[..., None], ids).sum() / c.sum(), lambda x, ids, c, every, p: _every(x * c[..., None], ids * c).sum() / c.sum()),
         "zeros for logits are a guess like any other, with a loss of ln V. Leave these places out: logits[chosen]."),
        (lambda x, ids, c, every, p: _every(x, ids * c).mean(), "where nothing is chosen you ask for piece 0. Leave these places out: logits[chosen]."),
        ((lambda x, ids, c, every, p: every[c & (ids != 0)].mean(), lambda x, ids, c, every, p: every[c & (ids != 0)].sum() / c.sum()),
         "piece 0 is left out, and it was chosen. Mark what is not to count by another number, -100, or take ids[chosen]."),
        ((lambda x, ids, c, every, p: ((every * c).sum(1) / c.sum(1)).nanmean(), lambda x, ids, c, every, p: ((every * c).sum(1) / c.sum(1)).nan_to_num(0).mean()),
         "that is the mean of each row's mean. A row with more chosen places counts for more: take one mean over all of them."),
        (lambda x, ids, c, every, p: F.nll_loss(x[c], ids[c]), "the softmax is missing: these are logits. nll_loss wants log_softmax first; cross_entropy does both."),
        (lambda x, ids, c, every, p: F.cross_entropy(x[c].softmax(-1), ids[c]), "the softmax is in it twice: cross_entropy takes the logits as they are."),
        (lambda x, ids, c, every, p: p.mean(), "the logarithm is missing: that is the mean probability. It is -log of it."),
        (lambda x, ids, c, every, p: -p.mean(), "the logarithm is missing: it is -log of the probability."),
        (lambda x, ids, c, every, p: (1 - p).mean(), "that is 1 - p. The loss is -log p."),
        (lambda x, ids, c, every, p: p.log().mean(), "the minus is missing. A loss is to be made small."),
        (lambda x, ids, c, every, p: -p.log2().mean(), "that is in bits. The lecture, and cross_entropy, take the natural logarithm."),
        (lambda x, ids, c, every, p: -p.mean().log(), "the mean comes before the logarithm. First the logarithm of each, then the mean."),
        (lambda x, ids, c, every, p: 1 / p.log().mean().exp(), "that is the perplexity. The loss is its logarithm."),
        (lambda x, ids, c, every, p: F.nll_loss(x.log_softmax(0)[c], ids[c]), "the softmax goes over the rows of the batch. It goes over the vocabulary: dim=-1."),
        ((lambda x, ids, c, every, p: F.nll_loss(x.log_softmax(1)[c], ids[c]), lambda x, ids, c, every, p: F.nll_loss(x[c].log_softmax(0), ids[c])),
         "the softmax goes over the places. It goes over the vocabulary: dim=-1."),
    ],
)


def _count(V: int, P: int, U: int, L: int, H: int) -> int:
    """The right answer: embeddings and their norm, the layers, the pooler."""
    square = U * U + U
    return (V + P + 2 + 2) * U + L * (4 * square + 2 * U * H + H + U + 4 * U) + square


def _slips(V: int, P: int, U: int, L: int, H: int) -> dict[str, int]:
    """By how much the number is off for each slip."""
    square, forward = U * U + U, 2 * U * H + H + U
    return {
        "all biases of the linear layers are forgotten, the pooler's too": -L * (5 * U + H) - U,
        "the biases in the layers are forgotten: 4 x units in the attention, hidden + units after it": -L * (5 * U + H),
        "the biases of the feed-forward network are forgotten, hidden + units a layer": -L * (H + U),
        "the bias is forgotten where the feed-forward network goes up, hidden a layer": -L * H,
        "each layer lacks one bias (or one half of a layer norm), units": -L * U,
        "each layer lacks 2 x units: there are two layer norms in it, each with a scale and a shift": -L * 2 * U,
        "the biases of query, key and value are forgotten": -L * 3 * U,
        "each layer lacks 4 x units: its two layer norms are forgotten, or the biases of its attention": -L * 4 * U,
        "all layer norms are forgotten: two in each layer and one after the embeddings, 2 x units each": -(4 * L + 2) * U,
        "a layer norm has a scale *and* a shift, 2 x units": -(2 * L + 1) * U,
        "the pooler is forgotten, units x units and a bias": -square,
        "units are missing once: the pooler's bias, or one of the two segments": -U,
        "2 x units are missing: the two segment embeddings, or the layer norm after the embeddings": -2 * U,
        "the embeddings of the positions are forgotten": -P * U,
        "the embeddings of the vocabulary are forgotten": -V * U,
        "one of the attention's four matrices is forgotten, mostly its output projection: units x units and a bias a layer": -L * square,
        "one of the attention's four matrices is forgotten, mostly its output projection: units x units a layer": -L * U * U,
        "the feed-forward network goes up *and* down: one of its two matrices is forgotten": -L * (U * H + U),
        "the feed-forward network goes up *and* down: one of its two matrices is forgotten, and not its bias": -L * U * H,
        "hidden is taken as 4 x units, whatever is given": L * (2 * U + 1) * (4 * U - H),
        "there is one layer only: multiply by layers": -(L - 1) * (4 * square + forward + 4 * U),
        "query, key and value are counted for each of 12 heads: the heads share the units, and are 12 narrow ones": L * 11 * 3 * square,
        "query, key, value and output are counted for each of 12 heads: the heads share the units": L * 11 * 4 * square,
        "query, key and value are counted for each head: the heads share the units, 64 each": L * (U // 64 - 1) * 3 * square,
        "query, key, value and output are counted for each head: the heads share the units, 64 each": L * (U // 64 - 1) * 4 * square,
        "the softmax is counted again: its weight is the embedding": V * U,
        "the softmax is counted again, with a bias: its weight is the embedding, and the head is no part of this sum": V * U + V,
        "the bias of the softmax is no part of the encoder": V,
        "the head that fills in is counted, and it is no part of the encoder": square + 2 * U + V,
        "the head that fills in is counted, and its softmax, too, whose weight is the embedding": square + 2 * U + V + V * U,
        "the head that says whether one part follows the other is counted": 2 * U + 2,
        "the pooler is counted in every layer. It stands once, at the end": (L - 1) * square,
        "one layer of units x units with a bias is too much: a second pooler, or the one before the softmax": square,
    }


def _unexplained(counts: list[int], right: list[int], *sizes: tuple[int, ...]) -> str:
    """Two slips at once, if they explain all counts; else where the difference is."""
    off, slips = [one - other for one, other in zip(counts, right, strict=True)], [_slips(*size) for size in sizes]
    for pair in itertools.combinations(slips[0], 2):
        if off == [sum(amounts[name] for name in pair) for amounts in slips]:
            return f"{'; and '.join(pair)}."
    mine, theirs = ((two - one, 2 * one - two) for *_, one, two in (counts, right))
    return (f"each layer of yours has {mine[0]:,} and should have {theirs[0]:,}; all that is not in the layers has {mine[1]:,} and should have {theirs[1]:,}, "
            "both for the sizes of BERT base.")


def _size(counts: list[int], right: list[int], *_: Any) -> str:
    name, one, other = next(triple for triple in zip(_SIZES, counts, right, strict=True) if triple[1] != triple[2])
    return f"For {name} you count {one:,} and not {other:,}, {abs(one - other):,} too {'many' if one > other else 'few'}"


_SIZES = {  # vocabulary, positions, units, layers, hidden
    "BERT base": (30_522, 512, 768, 12, 3072),
    "BERT large": (30_522, 512, 1024, 24, 4096),
    "a small one, (1000, 64, 128, 3, 300),": (1000, 64, 128, 3, 300),
    "BERT base with 1 layer": (30_522, 512, 768, 1, 3072),
    "BERT base with 2 layers": (30_522, 512, 768, 2, 3072),
}
_CENSUS = Exercise(
    title="count_bert: 109,482,240 and 335,141,888, every bias and every layer norm among them",
    reference=lambda *sizes: [_count(*size) for size in sizes],
    inputs=tuple(_SIZES),
    cases=[tuple(_SIZES.values())],
    said=_size,
    otherwise=_unexplained,
    mistakes=[(lambda *sizes, name=name: [_count(*size) + _slips(*size)[name] for size in sizes], f"{name}.") for name in _slips(*_SIZES["BERT base"])],
)


@check(_CENSUS.title)
def check_count_bert(count_bert: Callable[..., int]) -> None:
    """Check a function (vocabulary, positions, units, layers, hidden) -> the parameters of BERT's encoder and its pooler."""
    counts = [call(count_bert, *size) for size in _SIZES.values()]
    for count in counts:
        whole = not isinstance(count, list | tuple) and np.shape(count) == () and np.asarray(count).dtype.kind in "iu"
        require(whole, f"Return a whole number, how many parameters there are, not {type(count).__name__}: {count!r}.")
    grade(_CENSUS, lambda *_: [int(count) for count in counts])


check_count_bert.exercise = _CENSUS  # type: ignore[attr-defined]  # for `verify`
# fmt: on
