"""Lecture 08: hide pieces 80 to 10 to 10, a loss at the hidden places alone, and how many parameters BERT has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.exercises import CheckFailed, call, check, require


def _untouched(function: Callable[..., Any], *given: Any) -> Any:
    """Call with copies, and see that the function leaves them as they are."""
    copies = [part.clone() if isinstance(part, Tensor) else part for part in given]
    result = call(function, *copies)
    for before, after in zip(given, copies, strict=True):
        require(
            not isinstance(before, Tensor) or torch.equal(before, after),
            "Your function changes a tensor that it is given, and the ids are still needed: they are what is to be guessed. "
            "Work on ids.clone(), or with torch.where, which makes a new tensor.",
        )
    return result


# ---- exercise 1


@check("hide: chosen are 15 %, none of them special; of these 80 % masked, 10 % random, 10 % as they are")
def check_hide(hide: Callable[..., tuple[Tensor, Tensor]]) -> None:
    """Check a function (ids, special, draw, fate, anything, mask_id) -> what is read, and what was chosen.

    After Devlin et al. (2019), appendix A.1. All tensors are (batch, n): the answer is exact, chance is given.
    """
    generator = torch.Generator().manual_seed(0)
    for mask_id, cls, sep, shape in ((4, 2, 3, (8, 40)), (103, 101, 102, (5, 60))):
        # No piece is like another: what is read says where it comes from.
        ids = 1000 + torch.randperm(shape[0] * shape[1], generator=generator).reshape(shape)
        ids[:, 0], ids[:, -6], ids[:, -5:] = cls, sep, 0
        special = (ids == 0) | (ids == cls) | (ids == sep)
        draw, fate = torch.rand(2, *shape, generator=generator)
        draw[:, -1] = draw[::3, 0] = 0.01  # special ones that must not be chosen
        for place, at in enumerate((0.3, 0.85, 0.95, 0.5)):  # each fate is met, several times
            draw[1 + place, 5:9], fate[1 + place, 5:9] = 0.1, at
        draw[2, 9:14], draw[3, 9:14] = torch.tensor([[0.16], [0.84]])
        anything = ids.max() + 1 + torch.randperm(ids.numel(), generator=generator).reshape(shape)
        read, chosen = _two(_untouched(hide, ids, special, draw, fate, anything, mask_id), shape)
        right = (draw < 0.15) & ~special
        said = f"You choose {int(chosen.sum())} of {ids.numel()} places, and should choose {int(right.sum())}"
        for answer, diagnosis in _wrong_places(right, special, draw, fate):
            require(not torch.equal(chosen, answer), f"{said}: {diagnosis}")
        require(
            torch.equal(chosen, right), f"{said}. Chosen is where draw < 0.15 and the place is not special."
        )
        expected = torch.where(right & (fate < 0.8), mask_id, ids)
        expected = torch.where(right & (fate >= 0.8) & (fate < 0.9), anything, expected)
        if torch.equal(read, expected):
            continue
        for answer, diagnosis in _wrong_readings(ids, special, right, draw, fate, anything, mask_id):
            require(not torch.equal(read, answer), f"You choose rightly; what is read is wrong: {diagnosis}")
        row, place = (int(i) for i in (read != expected).nonzero()[0])
        raise CheckFailed(
            f"You choose rightly; what is read is wrong. In row {row}, place {place} the piece is {ids[row, place]}, chosen "
            f"is {bool(right[row, place])}, fate is {fate[row, place]:.2f}, anything is {anything[row, place]}, mask_id is "
            f"{mask_id}: {expected[row, place]} should be read, and you have {read[row, place]}."
        )


def _two(found: Any, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What is read and what is chosen, once both are tensors of the right kind."""
    require(
        isinstance(found, tuple | list)
        and len(found) == 2
        and all(isinstance(part, Tensor) for part in found),
        "Return two tensors: what the model reads, and true where a piece was chosen.",
    )
    read, chosen = found
    require(
        not (read.dtype == torch.bool and chosen.dtype != torch.bool),
        "The two are in the other order: first what is read, then what is chosen.",
    )
    require(chosen.dtype == torch.bool, f"What is chosen should be true or false, not {chosen.dtype}.")
    require(not read.is_floating_point(), f"What is read should be ids, whole numbers, not {read.dtype}.")
    for name, part in (("What is read", read), ("What is chosen", chosen)):
        require(
            tuple(part.shape) == shape,
            f"{name} has shape {tuple(part.shape)}; it should be that of ids, {shape}.",
        )
    return read, chosen


# fmt: off
def _wrong_places(right: Tensor, special: Tensor, draw: Tensor, fate: Tensor) -> Iterator[tuple[Tensor, str]]:
    """What else could be chosen."""
    low = draw < 0.15
    yield low, "special ones are among them. [CLS], [SEP] and padding are never guessed: & ~special."
    yield low & special, "you choose special ones only. They are the ones to leave out: & ~special."
    yield low | ~special, "`|` is or. Both must hold: draw < 0.15 & not special."
    kept = "you leave out what is read as it is. Chosen is what has to be guessed, and that is all of the 15 %."
    for read_as_it_is in (fate >= 0.8, fate >= 0.9, (fate < 0.8) | (fate >= 0.9)):
        yield right & ~read_as_it_is, kept
    yield ~low & ~special, "that is the other 85 %. Chosen is where draw is *below* 0.15."
    yield draw > 0.85, "that is another 15 %, and special ones are among them. Chosen is where draw is below 0.15."
    yield (draw > 0.85) & ~special, "that is another 15 %. Chosen is where draw is below 0.15."
    yield (fate < 0.15) & ~special, "you ask `fate`. It is `draw` that chooses; fate says what becomes of it."
    for column in (0, 1):
        whole_rows = (draw[:, column : column + 1] < 0.15).expand_as(draw)
        for answer in (whole_rows, whole_rows & ~special):
            yield answer, "that takes whole rows. Every place has a draw of its own."
    ranks = draw.argsort(1).argsort(1) < 0.15 * draw.shape[1]
    for answer in (ranks, ranks & ~special):
        yield answer, "that takes the same number from every row. Each place is chosen on its own: draw < 0.15."


def _wrong_readings(
    ids: Tensor, special: Tensor, chosen: Tensor, draw: Tensor, fate: Tensor, anything: Tensor, mask_id: int
) -> Iterator[tuple[Tensor, str]]:
    """What else could be read, given the right places."""
    everywhere, low, middle, high = torch.ones_like(chosen), fate < 0.8, (fate >= 0.8) & (fate < 0.9), fate >= 0.9

    def read(masked: Tensor, random: Tensor, mask: int = mask_id) -> Tensor:
        return torch.where(random, anything, torch.where(masked, mask, ids))

    fates = "Of the chosen, fate < 0.8 becomes mask_id, 0.8 <= fate < 0.9 becomes anything, the rest stays."
    yield ids, f"nothing is hidden. {fates}"
    yield read(chosen, ~everywhere), f"all chosen pieces are masked. {fates}"
    yield read(chosen & low, ~everywhere), f"no piece is replaced by another. {fates}"
    yield read(~everywhere, chosen & middle), f"no piece is masked; or the masks were overwritten by a second torch.where that starts from ids again. {fates}"
    yield read(low, chosen & middle), "80 % of *all* pieces are masked. It is 80 % of the chosen: chosen & (fate < 0.8)."
    yield read(chosen & low, middle), "places that were not chosen get a random piece. Only the chosen do: chosen & (0.8 <= fate < 0.9)."
    yield read(low, middle), "you forget what is chosen: 80 % of all pieces are masked. All else is left as it is: chosen & ..."
    yield read(low & ~special, middle & ~special), "you forget what is chosen: 80 % of all pieces are masked. Write chosen & ..."
    yield read((draw < 0.15) & low, (draw < 0.15) & middle), "special ones are hidden. Go by chosen, not by draw < 0.15."
    yield read(chosen & middle, chosen & low), f"thresholds swapped: 80 % are random and 10 % masked. {fates}"
    yield read(chosen & high, chosen & middle), f"80 % stay as they are, 10 % are masked. {fates}"
    yield read(chosen & low, chosen & high), f"the shares are right, and random is where fate >= 0.9. It is the middle. {fates}"
    yield read(chosen & low, chosen & ~low), f"none of the chosen is left as it is, and 20 % are random. {fates}"
    yield read(chosen & (low | middle), chosen & high), f"nothing stays as it is: 90 % masked, 10 % random. {fates}"
    yield read(chosen & (low | middle), ~everywhere), f"90 % are masked, and none is random. {fates}"
    yield read(chosen & low, chosen & (fate < 0.9)), f"fate < 0.9 holds for the masked, too, and they are overwritten. Ask for fate >= 0.8 as well. {fates}"
    yield read(chosen & (draw < 0.12), chosen & (draw >= 0.12) & (draw < 0.135)), "you ask `draw` once more. What becomes of a chosen piece is in `fate`."
    for other in (4, 103):
        yield read(chosen & low, chosen & middle, other), f"you write {other} for [MASK]. It is mask_id, {mask_id} here."
    right = read(chosen & low, chosen & middle)
    for filler in (0, -100):
        yield torch.where(chosen, right, filler), f"what was not chosen is lost, and reads {filler}. It stays as it is: that is what the model guesses from."
# fmt: on


# ---- exercise 2


@check("masked_loss: the mean over the hidden places and no other, and 0 where nothing is hidden")
def check_masked_loss(masked_loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Check a function (logits (batch, n, V), ids (batch, n), chosen (batch, n)) -> the mean negative log-likelihood, a tensor."""
    generator = torch.Generator().manual_seed(8)
    rows = ([1, 0, 0, 0, 1], [1, 1, 0, 1, 1], [0, 0, 1, 0, 0]), ([0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0])
    for chosen in (torch.tensor(part, dtype=torch.bool) for part in rows):
        logits = 2 * torch.randn(*chosen.shape, 7, generator=generator)
        ids = torch.randint(1, 7, chosen.shape, generator=generator)
        ids[0, int(chosen[0].nonzero()[0])] = 0  # 0 is a piece like any other
        right = F.cross_entropy(logits[chosen], ids[chosen])
        given = logits.clone().requires_grad_()
        loss = _scalar(_untouched(masked_loss, given, ids, chosen))
        said = f"With {int(chosen.sum())} of {chosen.numel()} places chosen you return {loss.item():.4g} and not {right:.4g}"
        if not torch.isclose(loss.detach(), right, rtol=1e-4):
            for answer, diagnosis in _wrong_losses(logits, ids, chosen):
                close = torch.isclose(loss.detach(), answer, rtol=1e-4, atol=1e-6, equal_nan=True)
                require(not close, f"{said}: {diagnosis}")
            raise CheckFailed(f"{said}.")
        require(
            loss.requires_grad, "No gradient flows: stay in torch, without .item(), .detach() or no_grad."
        )
        (gradient,) = torch.autograd.grad(loss, given, allow_unused=True, materialize_grads=True)
        require(
            torch.equal((gradient != 0).any(-1), chosen),
            "The number is right, but its gradient should reach the logits of the chosen places, all of them and no other.",
        )
    loud = torch.zeros(1, 2, 3)
    loud[..., 0] = 300
    loss = _scalar(call(masked_loss, loud, torch.tensor([[1, 0]]), torch.tensor([[True, True]])))
    require(
        torch.isclose(loss.detach(), torch.tensor(150.0)),
        f"Logits of 300 and 0, the right piece once the one and once the other, make a loss of 150, and yours is {loss.item():.4g}: "
        "exp(300) is too much, and exp(-300) too little. log_softmax, or cross_entropy, does it in one step.",
    )
    nothing = torch.zeros(1, 2, dtype=torch.bool)
    loss = _scalar(call(masked_loss, loud, torch.tensor([[1, 0]]), nothing))
    require(
        loss.item() == 0,
        f"Where nothing is chosen the loss is 0, and yours is {loss.item():.4g}. A mean of nothing is 0 / 0: divide the sum by "
        "chosen.sum().clamp(min=1).",
    )


def _scalar(found: Any) -> Tensor:
    """The loss as a tensor without dimensions."""
    found = torch.tensor(found) if isinstance(found, int | float) and not isinstance(found, bool) else found
    require(isinstance(found, Tensor), f"Return a tensor, the loss, not {type(found).__name__}.")
    require(
        found.shape in ((), (1,)),
        f"Return one number, and yours has shape {tuple(found.shape)}: take the mean over the chosen places.",
    )
    require(found.is_floating_point(), f"The loss should be a float, and yours is {found.dtype}.")
    return found.reshape(()).float()


# fmt: off
def _wrong_losses(logits: Tensor, ids: Tensor, chosen: Tensor) -> Iterator[tuple[Tensor, str]]:
    """What else the loss could be."""
    flat, right, count = logits[chosen], ids[chosen], chosen.sum()

    def each(scores: Tensor, wanted: Tensor = ids) -> Tensor:
        return F.cross_entropy(scores.transpose(1, 2), wanted, reduction="none")

    every, p = each(logits), flat.softmax(-1).gather(1, right[:, None])
    kept = (every * chosen).sum()
    yield kept, "that is the sum. Divide by the number of chosen places."
    yield every.mean(), "every place is in it. Most pieces can be read off, as they were not hidden: only the chosen count."
    yield every.sum() / count, "you divide by the number of chosen places, and all the others are still in the sum."
    yield kept / chosen.numel(), "the sum is over the chosen, but you divide by the number of all places."
    yield kept / len(ids), "you divide by the number of rows. Divide by the number of chosen places."
    yield every[~chosen].mean(), "those are the places that were not chosen. Turn the mask round."
    zeros = "zeros for logits are a guess like any other, with a loss of ln V. Leave these places out: logits[chosen]."
    masked = logits * chosen[..., None]
    for scores, wanted in ((masked, ids), (masked, ids * chosen)):
        for loss in (each(scores, wanted).mean(), each(scores, wanted).sum() / count):
            yield loss, zeros
    emptied = each(logits, ids * chosen)
    yield emptied.mean(), "where nothing is chosen you ask for piece 0. Leave these places out: logits[chosen]."
    real = chosen & (ids != 0)
    zero = "piece 0 is left out, and it was chosen. Mark what is not to count by another number, -100, or take ids[chosen]."
    yield every[real].mean(), zero
    yield every[real].sum() / count, zero
    per_row = (every * chosen).sum(1) / chosen.sum(1)
    rows = "that is the mean of each row's mean. A row with more chosen places counts for more: take one mean over all of them."
    yield per_row.nanmean(), rows
    yield per_row.nan_to_num(0).mean(), rows
    if per_row.isnan().any():
        yield per_row.mean(), f"the second row has no chosen place, and its mean is 0 / 0. But {rows}"
    yield -flat.gather(1, right[:, None]).mean(), "the softmax is missing: these are logits. nll_loss wants log_softmax first; cross_entropy does both."
    yield F.cross_entropy(flat.softmax(-1), right), "the softmax is in it twice: cross_entropy takes the logits as they are."
    yield p.mean(), "the logarithm is missing: that is the mean probability. It is -log of it."
    yield -p.mean(), "the logarithm is missing: it is -log of the probability."
    yield (1 - p).mean(), "that is 1 - p. The loss is -log p."
    yield p.log().mean(), "the minus is missing. A loss is to be made small."
    yield -p.log2().mean(), "that is in bits. The lecture, and cross_entropy, take the natural logarithm."
    yield -p.mean().log(), "the mean comes before the logarithm. First the logarithm of each, then the mean."
    yield F.cross_entropy(flat, right).exp(), "that is the perplexity. The loss is its logarithm."
    for dimension, name in ((0, "the rows of the batch"), (1, "the places")):
        shares = logits.log_softmax(dimension)[chosen].gather(1, right[:, None])
        yield -shares.mean(), f"the softmax goes over {name}. It goes over the vocabulary: dim=-1."
    shares = flat.log_softmax(0).gather(1, right[:, None])
    yield -shares.mean(), "the softmax goes over the places. It goes over the vocabulary: dim=-1."
# fmt: on


# ---- exercise 3

_SIZES = {  # vocabulary, positions, units, layers, hidden
    "BERT base": (30_522, 512, 768, 12, 3072),
    "BERT large": (30_522, 512, 1024, 24, 4096),
    "a small one, (1000, 64, 128, 3, 300),": (1000, 64, 128, 3, 300),
}


@check("count_bert: 109,482,240 and 335,141,888, every bias and every layer norm among them")
def check_count_bert(count_bert: Callable[..., int]) -> None:
    """Check a function (vocabulary, positions, units, layers, hidden) -> the parameters of BERT's encoder and its pooler."""
    found = [_whole(call(count_bert, *size)) for size in _SIZES.values()]
    right = [_count(*size) for size in _SIZES.values()]
    failed = next((i for i, (one, other) in enumerate(zip(found, right, strict=True)) if one != other), None)
    if failed is None:
        return
    off = [one - other for one, other in zip(found, right, strict=True)]
    more = f"{abs(off[failed]):,} too {'many' if off[failed] > 0 else 'few'}"
    said = f"For {list(_SIZES)[failed]} you count {found[failed]:,} and not {right[failed]:,}, {more}"
    each = [_slips(*size) for size in _SIZES.values()]
    slips = [([amounts[name] for amounts in each], name) for name in each[0]]
    for number in (1, 2):  # one slip explains it, or two do
        for some in itertools.combinations(slips, number):
            together = [sum(parts) for parts in zip(*(amounts for amounts, _ in some), strict=True)]
            require(together != off, f"{said}: {'; and '.join(name for _, name in some)}.")
    V, P, U, _, H = list(_SIZES.values())[failed]
    one, two = (_whole(call(count_bert, V, P, U, layers, H)) for layers in (1, 2))
    raise CheckFailed(
        f"{said}. Each layer of yours has {two - one:,} and should have {_count(V, P, U, 1, H) - _count(V, P, U, 0, H):,}; all "
        f"that is not in the layers has {2 * one - two:,} and should have {_count(V, P, U, 0, H):,}."
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
    }  # fmt: skip


def _whole(found: Any) -> int:
    require(
        isinstance(found, int | np.integer) and not isinstance(found, bool),
        f"Return a whole number, how many parameters there are, not {type(found).__name__}: {found!r}.",
    )
    return int(found)
