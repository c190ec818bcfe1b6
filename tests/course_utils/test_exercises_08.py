"""Lecture 08's exercises: stubs fail kindly, solutions pass, wrong answers get the right diagnosis; the counts are the model's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exercise_contract import ExerciseContract, not_implemented

from course_utils.exercises import CheckFailed, lecture_08
from course_utils.models.bert import BertForPreTraining
from course_utils.models.transformer import Encoder

# --- exercise 1


def hide(ids, special, draw, fate, anything, mask_id):
    chosen = (draw < 0.15) & ~special
    read = torch.where(chosen & (fate < 0.8), mask_id, ids)
    return torch.where(chosen & (fate >= 0.8) & (fate < 0.9), anything, read), chosen


def hide_in_a_copy(ids, special, draw, fate, anything, mask_id):
    chosen = draw.lt(0.15).logical_and(special.logical_not())
    read = ids.clone()
    read[chosen & (fate < 0.9)] = anything[chosen & (fate < 0.9)]
    read[chosen & (fate < 0.8)] = mask_id
    return read, chosen


def hide_by_loop(ids, special, draw, fate, anything, mask_id):
    read, chosen = ids.clone(), torch.zeros_like(special)
    for at in torch.cartesian_prod(*(torch.arange(n) for n in ids.shape)).tolist():
        at = tuple(at)
        if draw[at] < 0.15 and not special[at]:
            chosen[at] = True
            read[at] = mask_id if fate[at] < 0.8 else anything[at] if fate[at] < 0.9 else ids[at]
    return [read, chosen]


def hide_in_place(ids, special, draw, fate, anything, mask_id):
    chosen = (draw < 0.15) & ~special
    read = ids
    read[chosen & (fate < 0.8)] = mask_id
    middle = chosen & (fate >= 0.8) & (fate < 0.9)
    read[middle] = anything[middle]
    return read, chosen


def choosing(places):
    """Other places, and what follows from them."""

    def other(ids, special, draw, fate, anything, mask_id):
        chosen = places(special, draw, fate)
        read = torch.where(chosen & (fate < 0.8), mask_id, ids)
        return torch.where(chosen & (fate >= 0.8) & (fate < 0.9), anything, read), chosen

    return other


def reading(masked, random=lambda chosen, draw, fate: torch.zeros_like(chosen), mask=None):
    """The right places, and something else to be read there."""

    def other(ids, special, draw, fate, anything, mask_id):
        chosen = (draw < 0.15) & ~special
        read = torch.where(masked(chosen, draw, fate), mask or mask_id, ids)
        return torch.where(random(chosen, draw, fate), anything, read), chosen

    return other


def from_ids_again(ids, special, draw, fate, anything, mask_id):
    chosen = (draw < 0.15) & ~special
    read = torch.where(chosen & (fate < 0.8), mask_id, ids)
    read = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), anything, ids)
    return read, chosen


def changed_only(*given):
    return hide(*given)[0], hide(*given)[0] != given[0]


def labels(ids, *given):
    read, chosen = hide(ids, *given)
    return torch.where(chosen, read, -100), chosen


def low(chosen, draw, fate):
    return chosen & (fate < 0.8)


def middle(chosen, draw, fate):
    return chosen & (fate >= 0.8) & (fate < 0.9)


def high(chosen, draw, fate):
    return chosen & (fate >= 0.9)


def closed(draw_up_to=False, masked_up_to=False, random_up_to=False):
    """Hide with `<=` for `<`, once or more often."""

    def below(number, limit, included):
        return number <= limit if included else number < limit

    def other(ids, special, draw, fate, anything, mask_id):
        chosen = below(draw, 0.15, draw_up_to) & ~special
        masked, other = below(fate, 0.8, masked_up_to), below(fate, 0.9, random_up_to)
        return torch.where(chosen & masked, mask_id, torch.where(chosen & other, anything, ids)), chosen

    return other


def always_one(ids, special, draw, fate, anything, mask_id):
    """Never nothing: if no draw is low enough, the lowest is chosen."""
    draw = draw.clone()
    if not ((draw < 0.15) & ~special).any():
        draw[0, 1] = 0.0
    return hide(ids, special, draw, fate, anything, mask_id)


HIDDEN = [
    (closed(draw_up_to=True), "draw = 0.15 is not *below* 0.15"),
    (closed(masked_up_to=True), "fate = 0.8 is not *below* 0.8"),
    (closed(random_up_to=True), "fate = 0.9 is not *below* 0.9"),
    (closed(masked_up_to=True, random_up_to=True), "is not *below*"),
    (always_one, "Chosen is where draw < 0.15"),
    (lambda *given: (*hide(*given), 0), "Return 2 things, in this order: what is read, what is chosen"),
    (lambda *given: (hide(*given)[0].to(torch.uint8), hide(*given)[1]), "too small for these numbers"),
    (lambda *given: (hide(*given)[0].to(torch.int16), hide(*given)[1]), "too small for these numbers"),
    (hide_in_place, "changes ids, a tensor that it is given"),
    (lambda *given: hide(*given)[0], "Return 2 things, in this order: what is read, what is chosen"),
    (lambda *given: hide(*given)[::-1], "in the other order"),
    (lambda *given: (hide(*given)[0], hide(*given)[1].long()), "true or false"),
    (lambda *given: (hide(*given)[0].float(), hide(*given)[1]), "whole numbers"),
    (lambda *given: tuple(part[hide(*given)[1]] for part in hide(*given)), "that of ids"),
    (choosing(lambda special, draw, fate: draw < 0.15), "special ones are among them"),
    (choosing(lambda special, draw, fate: (draw < 0.15) & special), "special ones only"),
    (choosing(lambda special, draw, fate: (draw < 0.15) | ~special), "`|` is or"),
    (choosing(lambda special, draw, fate: (draw > 0.15) & ~special), "the other 85 %"),
    (choosing(lambda special, draw, fate: (draw > 0.85) & ~special), "another 15 %"),
    (choosing(lambda special, draw, fate: (fate < 0.15) & ~special), "you ask `fate`"),
    (choosing(lambda special, draw, fate: (draw[:, :1] < 0.15) & ~special), "whole rows"),
    (choosing(lambda special, draw, fate: (draw[:, 1:2] < 0.15).expand_as(draw)), "whole rows"),
    (
        choosing(lambda special, draw, fate: (draw.argsort(1).argsort(1) < 0.15 * draw.shape[1]) & ~special),
        "the same number from every row",
    ),
    (choosing(lambda special, draw, fate: (draw < 0.15) & ~special & (fate < 0.9)), "you leave out"),
    (choosing(lambda special, draw, fate: (draw < 0.25) & ~special), "Chosen is where draw < 0.15"),
    (changed_only, "you leave out what is read as it is"),
    (labels, "what was not chosen is lost"),
    (from_ids_again, "starts from ids again"),
    (reading(lambda chosen, draw, fate: torch.zeros_like(chosen)), "nothing is hidden"),
    (reading(lambda chosen, draw, fate: chosen), "all chosen pieces are masked"),
    (reading(low), "no piece is replaced by another"),
    (reading(lambda chosen, draw, fate: fate < 0.8, middle), "80 % of *all* pieces"),
    (reading(low, lambda chosen, draw, fate: middle(True, draw, fate)), "places that were not chosen get a random piece"),
    (reading(lambda chosen, draw, fate: fate < 0.8, lambda chosen, draw, fate: middle(True, draw, fate)), "forget what is chosen"),
    (reading(lambda c, draw, fate: low(draw < 0.15, 0, fate), lambda c, draw, fate: middle(draw < 0.15, 0, fate)), "special ones are hidden"),
    (reading(middle, low), "thresholds swapped"),
    (reading(high, middle), "80 % stay as they are"),
    (reading(low, high), "random is where fate >= 0.9"),
    (reading(low, lambda chosen, draw, fate: chosen & (fate >= 0.8)), "20 % are random"),
    (reading(lambda chosen, draw, fate: chosen & (fate < 0.9), high), "nothing stays as it is"),
    (reading(lambda chosen, draw, fate: chosen & (fate < 0.9)), "none is random"),
    (reading(low, lambda chosen, draw, fate: chosen & (fate < 0.9)), "they are overwritten"),
    (reading(lambda chosen, draw, fate: draw < 0.15 * 0.8), "what is read is wrong: in row"),
    (reading(lambda c, draw, fate: c & (draw < 0.12), lambda c, draw, fate: c & (draw >= 0.12) & (draw < 0.135)), "`draw` once more"),
    (reading(low, middle, mask=103), "you write 103"),
    (reading(low, middle, mask=4), "you write 4"),
    (reading(lambda chosen, draw, fate: chosen & (fate < 0.5), middle), "should be read, and you have"),
]  # fmt: skip


# --- exercise 2


def masked_loss(logits, ids, chosen):
    log_p = logits[chosen].log_softmax(-1)
    return -log_p.gather(1, ids[chosen].unsqueeze(1)).sum() / chosen.sum().clamp(min=1)


def masked_loss_by_ignoring(logits, ids, chosen):
    wanted = ids.masked_fill(~chosen, -100)
    total = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum")
    return total / max(1, int(chosen.sum()))


def masked_loss_by_weighing(logits, ids, chosen):
    every = F.cross_entropy(logits.transpose(1, 2), ids, reduction="none")
    return torch.where(chosen, every, 0).sum() / chosen.sum() if chosen.any() else logits[chosen].sum()


def cross_entropy(logits, ids, **options):
    return F.cross_entropy(logits.transpose(1, 2), ids, **options)


def every(logits, ids, chosen):
    return cross_entropy(logits, ids, reduction="none") * chosen


def probability(logits, ids, chosen, dim=-1):
    return logits.softmax(dim)[chosen].gather(1, ids[chosen][:, None])


def loss_in_place(logits, ids, chosen):
    ids[~chosen] = -100
    return cross_entropy(logits, ids)


def per_row(logits, ids, chosen):
    return every(logits, ids, chosen).sum(1) / chosen.sum(1)


def loss_with_the_others_in_the_gradient(logits, ids, chosen):
    rest = cross_entropy(logits, ids)
    return masked_loss(logits, ids, chosen) + rest - rest.detach()


def loss_with_a_chosen_place_detached(logits, ids, chosen):
    logits = logits.clone()
    logits[0] = logits[0].detach()
    return masked_loss(logits, ids, chosen)


def without_nothing(nothing):
    """The right loss, but something else where nothing is chosen."""
    return lambda logits, ids, chosen: masked_loss(logits, ids, chosen) if chosen.any() else nothing(logits)


def masked_loss_of_a_mean(logits, ids, chosen):
    """A mean of nothing is NaN, and what becomes 0 of it has a gradient of 0."""
    return F.cross_entropy(logits[chosen], ids[chosen]).nan_to_num(0)


LOSSES = [
    (without_nothing(lambda logits: 0.0), "Where nothing is chosen"),
    (without_nothing(lambda logits: torch.tensor(0.0)), "Where nothing is chosen"),
    (without_nothing(lambda logits: logits.sum().detach() * 0), "Where nothing is chosen"),
    (without_nothing(lambda logits: torch.tensor(0.0, requires_grad=True)), "Where nothing is chosen"),
    (without_nothing(lambda logits: logits.sum()), "Where nothing is chosen"),
    (without_nothing(lambda logits: logits[:0].mean()), "A mean of nothing is 0 / 0"),
    (without_nothing(lambda logits: logits.sum() - logits.sum().detach()), "Where nothing is chosen"),
    (without_nothing(lambda logits: (logits.sum() * 0).sqrt()), "Where nothing is chosen"),
    (lambda *given: every(*given).sum() / (given[2].sum() + 1), "one more than were chosen"),
    (lambda *given: every(*given).sum() / given[2].sum().clamp(min=1), "0 × NaN is NaN"),
    (lambda *given: (every(*given).sum() / given[2].sum().clamp(min=1)).nan_to_num(0), "0 × NaN is NaN"),
    (lambda *given: (masked_loss(*given), given[2].sum()), "you return several"),
    (lambda *given: masked_loss(*given).detach().numpy(), "Return a tensor"),
    (lambda *given: probability(*given).clamp(min=1e-9).log().sum() / -given[2].sum().clamp(min=1), "a loss of 150"),
    (loss_in_place, "changes the ids, and the ids are still needed"),
    (lambda logits, ids, chosen: cross_entropy(logits, ids), "every place is in it"),
    (lambda *given: every(*given).sum(), "that is the sum"),
    (lambda *given: every(*given).mean(), "divide by the number of all places"),
    (lambda *given: every(*given).sum() / len(given[0]), "number of rows"),
    (lambda *given: cross_entropy(*given[:2], reduction="sum") / given[2].sum(), "all the others are still in the sum"),
    (every, "Return one number"),
    (lambda logits, ids, chosen: masked_loss(logits, ids, ~chosen), "those are the places that were not chosen"),
    (lambda logits, ids, chosen: cross_entropy(logits * chosen[..., None], ids), "ln V"),
    (lambda logits, ids, chosen: cross_entropy(logits * chosen[..., None], ids * chosen), "ln V"),
    (lambda logits, ids, chosen: cross_entropy(logits * chosen[..., None], ids, reduction="sum") / chosen.sum(), "ln V"),
    (lambda logits, ids, chosen: cross_entropy(logits, ids * chosen), "you ask for piece 0"),
    (lambda logits, ids, chosen: cross_entropy(logits, ids * chosen, ignore_index=0), "piece 0 is left out"),
    (lambda logits, ids, chosen: per_row(logits, ids, chosen).mean(), "each row's mean"),
    (lambda logits, ids, chosen: per_row(logits, ids, chosen).nanmean(), "each row's mean"),
    (lambda *given: (masked_loss if given[2].any(1).all() else per_row)(*given).mean(), "no chosen place, and its mean is 0 / 0"),
    (lambda logits, ids, chosen: F.nll_loss(logits[chosen], ids[chosen]), "the softmax is missing"),
    (lambda logits, ids, chosen: F.cross_entropy(logits[chosen].softmax(-1), ids[chosen]), "in it twice"),
    (lambda *given: probability(*given).mean(), "mean probability"),
    (lambda *given: -probability(*given).mean(), "the logarithm is missing"),
    (lambda *given: (1 - probability(*given)).mean(), "that is 1 - p"),
    (lambda *given: probability(*given).log().mean(), "the minus is missing"),
    (lambda *given: -probability(*given).log2().mean(), "in bits"),
    (lambda *given: -probability(*given).mean().log(), "the mean comes before the logarithm"),
    (lambda *given: masked_loss(*given).exp(), "perplexity"),
    (lambda *given: -probability(*given, dim=0).log().mean(), "the rows of the batch"),
    (lambda *given: -probability(*given, dim=1).log().mean(), "goes over the places"),
    (lambda logits, ids, chosen: F.nll_loss(logits[chosen].log_softmax(0), ids[chosen]), "goes over the places"),
    (lambda *given: -probability(*given).log().mean(), "a loss of 150"),
    (lambda logits, ids, chosen: F.cross_entropy(logits[chosen], ids[chosen]), "A mean of nothing is 0 / 0"),
    (lambda *given: masked_loss(*given) + 1, "places chosen you return"),
    (lambda *given: masked_loss(*given).item(), "No gradient flows"),
    (loss_with_the_others_in_the_gradient, "its gradient should reach"),
    (loss_with_a_chosen_place_detached, "its gradient should reach"),
    (lambda *given: "0.5", "Return a tensor"),
    (lambda *given: torch.tensor(3), "should be a float"),
    (lambda logits, ids, chosen: F.cross_entropy(logits, ids), "stopped"),
]  # fmt: skip


# --- exercise 3


def count_bert(vocabulary, positions, units, layers, hidden):
    return counting()(vocabulary, positions, units, layers, hidden)


def counting(
    bias=1,
    forward_bias=1,
    norms=2,
    inner_norms=2,
    first_norm=1,
    segments=2,
    pooler=1,
    squares=4,
    factor=lambda units: 1,
    extra=lambda V, P, U, L, H: 0,
):
    """The count with one slip or the other: ``norms`` is the size of a layer norm in units, ``factor`` multiplies q, k, v."""

    def count(V, P, U, L, H):
        square = U * U + bias * U
        attention = (squares - 3 + 3 * factor(U)) * square
        forward = 2 * U * H + bias * forward_bias * (U + H)
        layer = attention + forward + inner_norms * norms * U
        return (
            (V + P + segments + first_norm * norms) * U + L * layer + pooler * square + extra(V, P, U, L, H)
        )

    return count


def count_the_model(vocabulary, positions, units, layers, hidden):
    with torch.device("meta"):
        encoder = Encoder(vocabulary, units, layers, 4, hidden, positions)
        return sum(p.numel() for part in (encoder, torch.nn.Linear(units, units)) for p in part.parameters())


COUNTS = [
    (counting(bias=0), "all biases of the linear layers"),
    (counting(bias=0, extra=lambda V, P, U, L, H: U), "the biases in the layers are forgotten"),
    (counting(forward_bias=0), "biases of the feed-forward network"),
    (counting(norms=0), "all layer norms are forgotten"),
    (counting(norms=1), "a scale *and* a shift"),
    (counting(inner_norms=1), "two layer norms in it"),
    (counting(inner_norms=0), "its two layer norms are forgotten"),
    (counting(extra=lambda V, P, U, L, H: -4 * L * U), "or the biases of its attention"),
    (counting(extra=lambda V, P, U, L, H: -3 * L * U), "query, key and value are forgotten"),
    (counting(first_norm=0), "layer norm after the embeddings"),
    (counting(segments=0), "two segment embeddings"),
    (counting(segments=1), "one of the two segments"),
    (counting(pooler=0), "the pooler is forgotten"),
    (counting(squares=3), "mostly its output projection"),
    (counting(extra=lambda V, P, U, L, H: -P * U), "the positions are forgotten"),
    (counting(extra=lambda V, P, U, L, H: -V * U), "the vocabulary are forgotten"),
    (counting(extra=lambda V, P, U, L, H: -L * U * H), "goes up *and* down"),
    (counting(factor=lambda units: 12), "for each of 12 heads"),
    (counting(factor=lambda units: units // 64), "64 each"),
    (counting(extra=lambda V, P, U, L, H: V * U), "the softmax is counted again: its weight"),
    (counting(extra=lambda V, P, U, L, H: V * U + V), "with a bias"),
    (counting(extra=lambda V, P, U, L, H: U * U + 3 * U + V), "the head that fills in is counted, and it"),
    (counting(extra=lambda V, P, U, L, H: 2 * U + 2), "follows the other"),
    (lambda V, P, U, L, H: count_bert(V, P, U, 1, H), "there is one layer only"),
    (lambda V, P, U, L, H: count_bert(V, P, U, L, 4 * U), "hidden is taken as 4 x units"),
    (counting(bias=0, norms=0), "all biases of the linear layers are forgotten, the pooler's too; and all layer norms"),
    (counting(pooler=0, segments=0), "; and "),
    (counting(extra=lambda V, P, U, L, H: L * 77 + 1000), "has 7,087,949 and should have 7,087,872; all that is not in the layers has 24,428,776"),
    (lambda V, P, U, L, H: 109_482_240 if L == 12 else 335_141_888, "For a small one"),
    (lambda *size: float(count_bert(*size)), "Return a whole number"),
    (lambda *size: f"{count_bert(*size):,}", "Return a whole number"),
    (lambda *size: (count_bert(*size), 0), "Return a whole number"),
    (lambda *size: np.array([count_bert(*size)]), "Return a whole number"),
    (lambda *size: True, "Return a whole number"),
]  # fmt: skip

EXERCISES = {
    lecture_08.check_hide: ([hide, hide_in_a_copy, hide_by_loop], HIDDEN),
    lecture_08.check_masked_loss: (
        [
            masked_loss,
            masked_loss_by_ignoring,
            masked_loss_by_weighing,
            masked_loss_of_a_mean,
            lambda *given: masked_loss(*given)[None],
        ],
        LOSSES,
    ),
    lecture_08.check_count_bert: (
        [
            count_bert,
            count_the_model,
            lambda *size: np.int64(count_bert(*size)),
            lambda *size: torch.tensor(count_bert(*size)),
        ],
        COUNTS,
    ),
}


class TestLecture08(ExerciseContract):
    exercises = EXERCISES


@pytest.mark.parametrize("size", [(300, 20, 24, 2, 96), (120, 12, 16, 1, 64)])
def test_the_right_count_is_that_of_the_lecture_s_model(size):
    vocabulary, positions, units, layers, _ = size
    model = BertForPreTraining(vocabulary, units, layers, 4, positions)
    kept = [*model.encoder.parameters(), *model.pooler.parameters()]
    assert count_bert(*size) == lecture_08._count(*size) == sum(p.numel() for p in kept)


def test_no_two_slips_of_a_count_are_taken_for_each_other():
    sizes = lecture_08._SIZES.values()
    off = [
        tuple(lecture_08._slips(*size)[name] for size in sizes)
        for name in lecture_08._slips(*next(iter(sizes)))
    ]
    assert len(set(off)) == len(off) and (0, 0, 0) not in off


def test_a_stub_after_its_first_line_is_still_a_stub():
    for check in EXERCISES:
        with pytest.raises(CheckFailed, match="still to be written"):
            check(lambda *given: (len(given), not_implemented(*given)))
