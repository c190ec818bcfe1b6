"""XLNet's two streams: no place sees itself or what is read later; the fast way says what the plain one says. ELECTRA's forgeries."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.models.bert import CLS, MASK, SEP, SPECIAL, BertForPreTraining
from course_utils.models.permutation import order_masks, two_streams
from course_utils.models.transformer import attention
from course_utils.training.pretraining import Pairs, permutation_loss, reading_orders, replaced_loss

WORDS = 40


def small(seed=0, dropout=0.0):
    """A model that is far enough from its start for its parts to differ."""
    torch.manual_seed(seed)
    model = BertForPreTraining(WORDS, 16, 3, 2, 32, dropout)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model.eval()


def text(rows=3, n=9, seed=0):
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(len(SPECIAL), WORDS, (rows, n), generator=draw)
    ids[:, 0], ids[:, n // 2], ids[:, -1] = CLS, SEP, SEP
    segments = (torch.arange(n) > n // 2).long().expand(rows, n)
    return Pairs(ids, segments, torch.zeros(rows, dtype=torch.long)), reading_orders(ids, draw)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(6)))
def test_the_masks_say_what_was_read_before(order):
    content, query = order_masks(torch.tensor(order))
    for i in range(6):
        for j in range(6):
            before = order.index(j) < order.index(i)
            assert bool(query[i, j]) == before and bool(content[i, j]) == (before or i == j)


def test_from_left_to_right_it_is_a_decoder():
    content, query = order_masks(torch.arange(5))
    assert torch.equal(content, torch.ones(5, 5, dtype=torch.bool).tril())
    assert torch.equal(query, torch.ones(5, 5, dtype=torch.bool).tril(-1))


def test_each_row_has_its_own_order():
    orders = torch.stack(
        [torch.randperm(7, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    )
    for together, one in zip(zip(*order_masks(orders), strict=True), orders, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(together, order_masks(one), strict=True))


@pytest.mark.parametrize("order", [[0, 1, 1], [1, 2, 3], [[0, 1, 2], [0, 0, 2]]])
def test_what_is_no_order_is_refused(order):
    with pytest.raises(ValueError, match="once"):
        order_masks(torch.tensor(order))


def test_no_place_sees_itself_or_what_is_read_later():
    """Another token at one place: of the query stream, exactly what is read after it changes."""
    model, (batch, order) = small(), text()
    asked = order[:, 1:]
    before = two_streams(model.encoder, batch.ids, batch.segments, order, asked)
    for at in range(1, order.shape[1]):
        place = order[:, at : at + 1]
        other = batch.ids.scatter(1, place, (batch.ids.gather(1, place) - 4) % 30 + 5)
        change = (two_streams(model.encoder, other, batch.segments, order, asked) - before).abs().amax(2)
        assert not change[:, :at].any(), "a place sees itself, or what is read later"
        assert (change[:, at:] > 1e-4).all()


def test_gradients_come_from_what_was_read_before_alone():
    model, (batch, order) = small(), text(rows=1)
    found = []
    model.encoder.words.register_forward_hook(
        lambda layer, given, out: found.append(out) or out.retain_grad()
    )
    for at in range(1, order.shape[1]):
        found.clear()
        two_streams(model.encoder, batch.ids, batch.segments, order, order[:, at : at + 1]).sum().backward()
        reached = found[0].grad[0, : order.shape[1]].abs().sum(1) > 0
        assert set(reached.nonzero().flatten().tolist()) == set(order[0, :at].tolist())


def plainly(model, ids, segments, order):
    """Both streams in full, one head and one query at a time, by ``attention`` of lecture 06."""
    encoder, n = model.encoder, ids.shape[1]
    when = order.argsort(1)

    def embedded(words):
        return encoder.norm(
            encoder.words(words) + encoder.positions(torch.arange(n)) + encoder.segments(segments)
        )

    def step(block, queries, states, allowed):
        heads, out = block.attention, torch.zeros_like(queries)
        q, k, v = (
            heads.split(role(x))
            for role, x in ((heads.query, queries), (heads.key, states), (heads.value, states))
        )
        for row in range(len(ids)):
            for i in range(n):
                may = [j for j in range(n) if allowed(when[row, j], when[row, i])]
                if may:
                    parts = [
                        attention(q[row, h, i : i + 1], k[row, h, may], v[row, h, may])[0]
                        for h in range(heads.heads)
                    ]
                    out[row, i] = torch.cat(parts, -1)
        return block.feed_forward(block.attention_norm(queries + heads.output(out)))

    content, query = embedded(ids), embedded(torch.full_like(ids, MASK))
    for block in encoder.blocks:
        query, content = (
            step(block, query, content, lambda j, i: j < i),
            step(block, content, content, lambda j, i: j <= i),
        )
    return query


def test_the_fast_way_says_what_the_plain_one_says():
    model, (batch, order) = small(), text()
    asked = order[:, [3, 5, 8]]
    with torch.no_grad():
        fast = two_streams(model.encoder, batch.ids, batch.segments, order, asked)
        plain = plainly(model, batch.ids, batch.segments, order)[torch.arange(3)[:, None], asked]
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-5)


def test_the_first_place_cannot_be_asked_for():
    model, (batch, order) = small(), text()
    with pytest.raises(ValueError, match="first place"):
        two_streams(model.encoder, batch.ids, batch.segments, order, order[:, :2])


def test_orders_begin_with_what_is_no_word():
    _, order = text(rows=200)
    assert all({0, 4, 8} == set(row[:3].tolist()) for row in order)
    assert torch.equal(order.sort(1).values, torch.arange(9).expand(200, 9))
    last = torch.bincount(order[:, -1], minlength=9)
    assert last[[0, 4, 8]].sum() == 0 and last[last > 0].min() > 15  # 33 each, by chance


def test_the_permutation_loss_is_that_of_the_last_places():
    model, (batch, _) = small(), text(rows=4, n=12)
    loss = permutation_loss(model, batch, 0.25, torch.Generator().manual_seed(3))
    order = reading_orders(batch.ids, torch.Generator().manual_seed(3))
    logits = model.fill_in(plainly(model, batch.ids, batch.segments, order))
    wanted = [-logits[row, i].log_softmax(0)[batch.ids[row, i]] for row in range(4) for i in order[row, -3:]]
    torch.testing.assert_close(loss, torch.stack(wanted).mean(), atol=1e-5, rtol=1e-5)


class Forger(torch.nn.Module):
    """Always sure of one token."""

    def __init__(self, token):
        super().__init__()
        self.token, self.seen = token, []

    def forward(self, ids, segments, chosen):
        self.seen.append((ids, chosen))
        return 50.0 * F.one_hot(torch.full((int(chosen.sum()),), self.token), WORDS).float(), None


def test_forgeries_are_what_the_forger_drew_and_got_wrong():
    model, (batch, _) = small(), text(rows=30)
    forger, read = Forger(16), []
    model.encoder.register_forward_pre_hook(lambda module, given: read.append(given[0]))
    total = replaced_loss(model, forger, batch, torch.Generator().manual_seed(0))
    ((covered, chosen),), (seen,) = forger.seen, read
    assert 0 < chosen.sum() < 0.3 * chosen.numel() and (covered[chosen] == MASK).all()
    assert torch.equal(seen, batch.ids.masked_fill(chosen, 16)) and torch.equal(
        covered[~chosen], batch.ids[~chosen]
    )
    assert (batch.ids[chosen] == 16).any(), "the case that matters should occur"
    forged = (seen != batch.ids).long()
    verdicts = model.judge(model.encoder(seen, None, batch.segments)[-1].flatten(0, 1))
    guesses, _ = forger(covered, batch.segments, chosen)
    wanted = F.cross_entropy(verdicts, forged.flatten()) + F.cross_entropy(guesses, batch.ids[chosen])
    torch.testing.assert_close(total, wanted)


def test_the_judge_teaches_the_forger_nothing():
    model, (batch, _) = small(), text(rows=30)
    forger = small(seed=1)
    replaced_loss(model, forger, batch, torch.Generator().manual_seed(0)).backward()
    both = [parameter.grad.clone() for parameter in forger.parameters() if parameter.grad is not None]
    forger.zero_grad()
    chosen = torch.rand(batch.ids.shape, generator=torch.Generator().manual_seed(0))  # the same draw
    chosen = (chosen < 0.15) & (batch.ids != CLS) & (batch.ids != SEP)
    guesses, _ = forger(batch.ids.masked_fill(chosen, MASK), batch.segments, chosen)
    F.cross_entropy(guesses, batch.ids[chosen]).backward()
    alone = [parameter.grad for parameter in forger.parameters() if parameter.grad is not None]
    for one, other in zip(both, alone, strict=True):
        torch.testing.assert_close(one, other)
    assert any(
        parameter.grad is not None and parameter.grad.any() for parameter in model.encoder.parameters()
    )
