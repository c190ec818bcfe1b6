"""BERT's pre-training: what is hidden, what is guessed, which pairs follow; each bug that a masked-LM loss can have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from course_tools import notebooks
from course_utils.models import bert
from course_utils.models.bert import (
    CLS,
    MASK,
    PAD,
    SEP,
    SPECIAL,
    UNKNOWN,
    BertClassifier,
    BertForPreTraining,
)
from course_utils.training import pretraining
from course_utils.training.pretraining import (
    Pairs,
    Source,
    join_sentences,
    mask_tokens,
    pair_batches,
    pretrain,
    pretraining_loss,
    score,
    sentence_pairs,
    train_tokenizer,
)

WORDS = 60


def small(**sizes) -> BertForPreTraining:
    torch.manual_seed(0)
    return BertForPreTraining(WORDS, units=16, layers=2, heads=2, positions=32, dropout=0.0, **sizes)


def text(sentences: int = 200, seed: int = 0) -> Source:
    """Running text: each sentence counts upwards from where the one before ended, so following parts can be told."""
    draw = np.random.default_rng(seed)
    return join_sentences(
        draw.integers(5, WORDS, size=draw.integers(2, 9)).tolist() for _ in range(sentences)
    )


def batch(seed: int = 0, number: int = 16) -> Pairs:
    return Pairs(*(part[:number] for part in sentence_pairs(text(), 16, seed)))


# ---- what is hidden


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 8), st.integers(1, 40), st.floats(0, 1), st.integers(0, 1000))
def test_special_places_are_never_chosen_and_others_stay_as_they_are(rows, length, share, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, WORDS, (rows, length), generator=generator)
    read, chosen = mask_tokens(ids, WORDS, share, generator=generator)
    assert not chosen[(ids == PAD) | (ids == CLS) | (ids == SEP)].any()
    assert torch.equal(read[~chosen], ids[~chosen])
    assert read.max() < WORDS and read.dtype == ids.dtype


def test_fifteen_per_cent_are_chosen_and_go_80_10_10():
    ids = torch.full((400, 500), 7)
    read, chosen = mask_tokens(ids, 30_000, generator=torch.Generator().manual_seed(0))
    assert chosen.float().mean() == pytest.approx(0.15, abs=0.003)
    became = read[chosen]
    assert (became == MASK).float().mean() == pytest.approx(0.8, abs=0.01)
    assert (became == 7).float().mean() == pytest.approx(0.1, abs=0.006)
    random = became[(became != MASK) & (became != 7)]
    assert len(random) / len(became) == pytest.approx(0.1, abs=0.006)
    assert random.min() >= len(SPECIAL)


def test_random_pieces_come_from_the_whole_vocabulary():
    ids = torch.full((200, 500), 7)
    read, chosen = mask_tokens(ids, WORDS, 1.0, generator=torch.Generator().manual_seed(0))
    assert set(read[chosen].tolist()) == {MASK, *range(len(SPECIAL), WORDS)}


def test_the_same_generator_hides_the_same_and_another_seed_something_else():
    ids = batch().ids
    first, second, other = (
        mask_tokens(ids, WORDS, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[1], other[1])


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="from 0 to 1"):
        mask_tokens(torch.ones(2, 2, dtype=torch.long), WORDS, share)


# ---- pairs


@settings(deadline=None, max_examples=25)
@given(st.integers(5, 40), st.integers(0, 1000))
def test_pairs_are_full_and_their_parts_are_of_the_text(length, seed):
    source = text(seed=seed % 3)
    ids, segments, follows = sentence_pairs(source, length, seed)
    assert ids.shape == segments.shape and ids.shape[1] == length and len(follows) == len(ids)
    assert (ids[:, 0] == CLS).all() and (ids[:, -1] == SEP).all() and ((ids == SEP).sum(1) == 2).all()
    assert (ids != PAD).all()
    long = source.ids.tolist()
    for row, parts, does in zip(ids.tolist(), segments.tolist(), follows.tolist(), strict=True):
        middle = row.index(SEP)
        first, second = row[1:middle], row[middle + 1 : -1]
        assert first and second and parts == [0] * (middle + 1) + [1] * (length - middle - 1)
        where = [i for i in range(len(long)) if long[i : i + len(first)] == first]
        assert where and any(long[i : i + len(second)] == second for i in range(len(long)))
        if does:
            assert any(long[i + len(first) : i + len(first) + len(second)] == second for i in where)


def test_half_of_the_pairs_follow_and_both_kinds_begin_with_a_sentence():
    source = text(4000)
    ids, _, follows = sentence_pairs(source, 32)
    assert follows.float().mean() == pytest.approx(0.5, abs=0.06)
    # Where a sentence begins there stands a mark, and nowhere else: so torn sentences could be seen.
    marked = Source(source.ids.copy(), source.starts)
    marked.ids[:], marked.ids[source.starts] = 9, 8
    ids, _, follows = sentence_pairs(marked, 32)
    second = torch.stack([row[row.tolist().index(SEP) + 1] for row in ids])
    assert (second == 8).all() and (ids[:, 1] == 8).all()


def test_long_sentences_are_torn_in_both_kinds_of_pairs():
    source = join_sentences([[8, *[9] * 199]] * 40)
    ids, _, follows = sentence_pairs(source, 16)
    second = torch.stack([row[row.tolist().index(SEP) + 1] for row in ids])
    for kind in (0, 1):
        assert (second[follows == kind] == 8).float().mean() < 0.1


def test_a_part_from_elsewhere_is_not_from_around_the_corner():
    source = join_sentences([[i] for i in range(5, 2005)])  # every piece tells where it stood
    ids, _, follows = sentence_pairs(source, 19)
    first, second = ids[:, 1], torch.stack([row[row.tolist().index(SEP) + 1] for row in ids])
    distance = (second - first).abs()
    assert (distance[follows == 1] < 16).all() and (distance[follows == 0] > 16).all()


def test_too_little_text_and_too_little_room_are_refused():
    with pytest.raises(ValueError, match="this one has 3"):
        sentence_pairs(join_sentences([[7, 8, 9]]), 16)
    with pytest.raises(ValueError, match="Pairs of 4"):
        sentence_pairs(text(), 4)


def test_batches_go_on_for_ever_with_all_lengths_and_are_cut_anew():
    batches = pair_batches([text(60)], (8, 16), 64)
    some = [next(batches) for _ in range(120)]
    assert {part.ids.shape[1] for part in some} == {8, 16}
    assert all(part.ids.numel() <= 64 for part in some)
    rows = [tuple(row) for part in some for row in part.ids.tolist()]
    assert len(set(rows)) > 1.5 * len({row for row in rows[: len(rows) // 4]})
    again = pair_batches([text(60)], (8, 16), 64)
    assert all(torch.equal(a.ids, next(again).ids) for a in some)


# ---- the model and its loss


def test_logits_are_computed_at_chosen_places_only_and_are_those_of_all_places():
    model = small().eval()
    pairs = batch()
    read, chosen = mask_tokens(pairs.ids, WORDS, generator=torch.Generator().manual_seed(0))
    guesses, verdicts = model(read, pairs.segments, chosen)
    assert guesses.shape == (int(chosen.sum()), WORDS) and verdicts.shape == (16, 2)
    last = model.encoder(read, None, pairs.segments)[-1]
    assert torch.allclose(guesses, model.fill_in(last)[chosen], atol=1e-6)
    assert torch.allclose(verdicts, model.judge(last[:, 0]), atol=1e-6)


def test_only_chosen_places_enter_the_loss():
    """The bug of a loss that ignores its mask: a gradient at a place that was not to be guessed."""
    model, pairs = small(), batch()
    hidden, _ = pretraining_loss(model, pairs, torch.Generator().manual_seed(0))
    _, chosen = mask_tokens(pairs.ids, WORDS, generator=torch.Generator().manual_seed(0))
    states = model.encoder(
        mask_tokens(pairs.ids, WORDS, generator=torch.Generator().manual_seed(0))[0], None, pairs.segments
    )[-1]
    states = states.detach().requires_grad_()
    loss = F.cross_entropy(model.fill_in(states[chosen]), pairs.ids[chosen])
    loss.backward()
    assert loss.item() == pytest.approx(hidden.item(), abs=1e-6)
    moved = states.grad.abs().sum(2) > 0
    assert torch.equal(moved, chosen)


def test_the_answer_does_not_leak_through_the_mask():
    """What stands under a [MASK] must not change what the model reads."""
    pairs = batch()
    read, chosen = mask_tokens(pairs.ids, WORDS, generator=torch.Generator().manual_seed(0))
    masked = chosen & (read == MASK)
    other = pairs.ids.clone()
    other[masked] = (other[masked] - 5 + 1) % (WORDS - 5) + 5
    again, same = mask_tokens(other, WORDS, generator=torch.Generator().manual_seed(0))
    assert torch.equal(chosen, same) and torch.equal(read, again)


def test_padding_changes_neither_loss():
    model = small().eval()
    ids = batch().ids[:4]
    segments, chosen = batch().segments[:4], torch.zeros_like(ids, dtype=torch.bool)
    chosen[:, 3] = True
    longer = F.pad(ids, (0, 9))
    mask = (longer != PAD).long()
    one = model(ids, segments, chosen)
    two = model(longer, F.pad(segments, (0, 9)), F.pad(chosen, (0, 9)), mask)
    for a, b in zip(one, two, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    _, never = mask_tokens(longer, WORDS, 1.0)
    assert not never[:, ids.shape[1] :].any()


def test_both_classes_of_the_pairs_count(monkeypatch):
    """The bug of an ignore index that drops a class: each of the two alone must give a loss and a gradient."""
    for kind in (0, 1):
        model, pairs = small(), batch()
        pairs = pairs._replace(follows=torch.full_like(pairs.follows, kind))
        _, follows = pretraining_loss(model, pairs, torch.Generator().manual_seed(0))
        assert follows.item() == pytest.approx(np.log(2), abs=0.2)
        follows.backward()
        assert model.follows.weight.grad.abs().sum() > 0


def test_every_parameter_gets_a_gradient_and_the_softmax_is_the_embedding():
    model = small()
    hidden, follows = pretraining_loss(model, batch(number=64), torch.Generator().manual_seed(0))
    (hidden + follows).backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []
    assert sum(p.shape == (WORDS, 16) for p in model.parameters()) == 1


def test_a_first_loss_is_that_of_guessing():
    hidden, follows = pretraining_loss(small(), batch(number=64), torch.Generator().manual_seed(0))
    assert hidden.item() == pytest.approx(np.log(WORDS), abs=0.2)
    assert follows.item() == pytest.approx(np.log(2), abs=0.05)


def test_training_learns_both_tasks_of_a_text_with_a_rule():
    """A topic is one word, again and again: the neighbours give the hidden piece, two words that nothing follows."""
    topics = np.random.default_rng(0).integers(5, WORDS, 60)
    source = join_sentences([[int(topics[i // 20])] * 8 for i in range(1200)])
    model = small()
    batches = [
        Pairs(*(part[i : i + 32] for part in sentence_pairs(source, 19, seed)))
        for seed in range(110)
        for i in (0, 32, 64, 96)
    ]
    before = score(model, batches[-8:])
    losses = pretrain(model, batches[:-8], 430, rate=5e-3)
    after = score(model, batches[-8:])
    assert losses.shape == (430, 2) and np.isfinite(losses).all()
    assert before["hidden, accuracy"] < 0.1 and after["hidden, accuracy"] > 0.5
    assert after["hidden, loss"] < 0.6 * before["hidden, loss"]
    assert after["follows, accuracy"] > 0.7
    assert not model.training


def test_without_the_second_task_its_head_does_not_move():
    model = small()
    before = {name: p.clone() for name, p in model.named_parameters()}
    pretrain(model, [batch()] * 3, 3, decay=0.0, next_sentence=False)
    still = {name for name, p in model.named_parameters() if torch.equal(p, before[name])}
    assert still == {"pooler.weight", "pooler.bias", "follows.weight", "follows.bias"}


def test_the_same_seed_trains_the_same_weights():
    one, two = small(), small()
    for model in (one, two):
        pretrain(model, pair_batches([text()], (16,), 256), 5, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_cores_share_a_batch_and_learn_what_one_would(cores, threads, monkeypatch):
    """16 pairs among three cores are 6, 6 and 4: each part counts by its size."""
    alone, shared = small(), small()
    monkeypatch.setattr(
        pretraining,
        "mask_tokens",
        lambda ids, words, generator: (ids.clamp(max=30), torch.arange(16).expand_as(ids) % 5 == 2),
    )
    threads(1)
    one = pretrain(alone, [batch()] * 4, 4)
    threads(cores)
    assert np.allclose(one, pretrain(shared, [batch()] * 4, 4), atol=1e-5)
    assert torch.get_num_threads() == cores
    for a, b in zip(alone.parameters(), shared.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_loop_that_lecture_08_shows_takes_the_steps_of_pretrain(dropout, threads):
    """Without cores to share a batch the two are one: losses and weights are equal to the last bit."""
    (source,) = [
        cell.source
        for cell in notebooks.read(notebooks.find(["08"])[0]).cells
        if cell.source.startswith("def pretrain(")
    ]
    shown = dict(vars(pretraining))
    exec(source, shown)
    threads(1)
    runs = []
    for loop in (shown["pretrain"], pretrain):
        torch.manual_seed(0)
        model = BertForPreTraining(WORDS, units=16, layers=2, heads=2, positions=32, dropout=dropout)
        losses = loop(model, pair_batches([text()], (16,), 256), 12, rate=2e-3, seed=3)
        runs.append((losses, model))
    (losses, one), (wanted, other) = runs
    assert shown["pretrain"] is not pretrain and np.array_equal(losses, wanted)
    assert not one.training and all(map(torch.equal, one.parameters(), other.parameters()))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_with_several_cores_chance_is_the_seeds_alone(dropout, threads):
    threads(3)
    runs = []
    for _ in range(2):
        torch.manual_seed(0)
        model = BertForPreTraining(WORDS, units=16, layers=2, heads=2, positions=32, dropout=dropout)
        runs.append(pretrain(model, pair_batches([text()], (16,), 256), 6, seed=3))
    assert np.array_equal(*runs)


def test_a_batch_in_which_nothing_is_hidden_does_no_harm():
    model, pairs = small(), batch(number=1)
    pairs = pairs._replace(ids=torch.where(pairs.ids > SEP, SEP, pairs.ids))
    losses = pretrain(model, [pairs] * 2, 2)
    assert (losses[:, 0] == 0).all() and np.isfinite(losses).all()
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_scores_are_of_held_out_pairs_with_dropout_off():
    model = BertForPreTraining(WORDS, units=16, layers=2, heads=2, positions=32, dropout=0.5)
    model.train()
    first, second = score(model, [batch()]), score(model, [batch()])
    assert first == second and 0 <= first["follows, accuracy"] <= 1


# ---- the vocabulary


def test_a_tokenizer_learns_pieces_and_puts_the_special_ones_first():
    texts = ["The reader reads the longest book.", "A longer book, read by readers!"] * 20
    tokenizer = train_tokenizer(texts, 80)
    assert [tokenizer.id_to_token(i) for i in range(5)] == SPECIAL
    found = tokenizer.encode("The readers", "reads ❄")
    assert found.ids[0] == CLS and found.ids.count(SEP) == 2 and found.ids[-1] == SEP
    assert UNKNOWN in found.ids and set(found.type_ids) == {0, 1}
    assert tokenizer.encode("THE BOOK").ids == tokenizer.encode("the book").ids
    assert tokenizer.decode(tokenizer.encode("the longest reader").ids) == "the longest reader"


# ---- what it is used for


def test_the_classifier_starts_from_a_copy_and_everything_learns():
    pretrained = small()
    before = [p.clone() for p in pretrained.parameters()]
    judge = BertClassifier(pretrained)
    for name in ("encoder", "pooler"):  # the pooler belongs to what pre-training has learned
        copied, original = getattr(judge, name), getattr(pretrained, name)
        assert copied is not original
        assert all(map(torch.equal, copied.parameters(), original.parameters()))
    ids = batch().ids
    mask = torch.ones_like(ids)
    logs = judge(ids, mask)
    assert logs.shape == (16, 2) and torch.allclose(logs.exp().sum(1), torch.ones(16))
    F.nll_loss(logs, torch.arange(16) % 2).backward()
    unused = {"encoder.segments.weight"}  # a single text has one segment, so only its row moves
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for n, p in judge.named_parameters() if n not in unused
    )
    torch.optim.SGD(judge.parameters(), 1.0).step()
    assert all(torch.equal(a, b) for a, b in zip(before, pretrained.parameters(), strict=True))


def test_the_classifier_does_not_see_padding():
    judge = BertClassifier(small()).eval()
    ids = batch().ids
    longer, mask = F.pad(ids, (0, 7), value=9), F.pad(torch.ones_like(ids), (0, 7))
    assert torch.allclose(judge(ids, torch.ones_like(ids)), judge(longer, mask), atol=1e-5)


def test_blanks_are_filled_in_with_probabilities():
    tokenizer = train_tokenizer(["one two three four five"] * 30, 60)
    torch.manual_seed(0)
    model = BertForPreTraining(tokenizer.get_vocab_size(), units=16, layers=1, heads=2, positions=12)
    found = bert.fill_in_the_blank(model, tokenizer, "One [MASK] three [MASK]", count=4)
    assert len(found) == 2 and all(len(some) == 4 for some in found)
    for some in found:
        assert [p for _, p in some] == sorted((p for _, p in some), reverse=True) and sum(
            p for _, p in some
        ) <= 1
        assert all(tokenizer.token_to_id(piece) is not None for piece, _ in some)
    assert found == bert.fill_in_the_blank(model, tokenizer, "One [MASK] three [MASK]", count=4)
    with pytest.raises(ValueError, match="in capitals and brackets"):
        bert.fill_in_the_blank(model, tokenizer, "one mask three")
    with pytest.raises(ValueError, match="for 12 positions only"):
        bert.fill_in_the_blank(model, tokenizer, "[MASK]" + " one" * 12)
