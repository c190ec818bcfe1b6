"""Language models: Kneser-Ney against plain loops, the LSTM against nn.LSTM, states that are carried, suffixes in harmony."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.models.language_model import (
    END,
    UNKNOWN,
    KneserNey,
    LanguageModel,
    LSTMCell,
    encode_sentences,
    log_probabilities,
    perplexity,
    perplexity_ratio,
    text_batches,
)
from course_utils.text import EncodedText, Vocabulary
from course_utils.training import linear_fall
from course_utils.training.language_models import log_odds, sampled_loss, train_language_model

WORDS = 7
sentences = st.lists(st.lists(st.integers(1, WORDS - 1), max_size=8), min_size=1, max_size=8)


def encoded(lists):
    """Lists of ids, each closed by END."""
    rows = [[*one, END] for one in lists]
    ids = np.array([word for row in rows for word in row], dtype=np.int64)
    return EncodedText(ids, np.repeat(np.arange(len(rows), dtype=np.int32), [len(row) for row in rows]))


# ---- texts and perplexity


def test_sentences_become_ids_with_an_end_and_a_place_for_unknown_words():
    vocabulary = Vocabulary([["the", "the", "cat"]])
    text = encode_sentences([["the", "cat"], [], ["the", "dog"]], vocabulary)
    assert text.ids.tolist() == [2, 3, END, END, 2, UNKNOWN, END]
    assert text.sentences.tolist() == [0, 0, 0, 1, 2, 2, 2]


def test_perplexity_of_a_coin_and_a_die():
    assert perplexity(np.log(np.full(10, 1 / 2))) == pytest.approx(2)
    assert perplexity(np.log(np.full(3, 1 / 6))) == pytest.approx(6)
    assert perplexity(np.zeros(4)) == 1


def test_a_ratio_of_perplexities_has_an_interval_over_sentences():
    halves, quarters = (np.log(np.full(6, p)) for p in (1 / 2, 1 / 4))
    sentences = np.array([0, 0, 1, 1, 1, 2])
    assert perplexity_ratio(halves, quarters, sentences) == pytest.approx((0.5, 0.5, 0.5))
    draw = np.random.default_rng(0)
    one, other = -draw.random((2, 600))
    ratio, low, high = perplexity_ratio(one, other, np.arange(600) // 3)
    assert ratio == pytest.approx(perplexity(one) / perplexity(other)) and low < ratio < high
    _, lower, higher = perplexity_ratio(one, other, np.arange(600) // 3 // 10)  # a tenth as many sentences
    assert (low, high) != (lower, higher) and lower < ratio < higher


@pytest.mark.parametrize("wrong", [[], [0.5], [np.nan]])
def test_perplexity_refuses_what_is_no_logarithm_of_a_probability(wrong):
    with pytest.raises(ValueError, match="natural logarithms"):
        perplexity(np.array(wrong))


# ---- Kneser-Ney


@settings(deadline=None)
@given(sentences, st.integers(1, 4), st.lists(st.integers(1, WORDS - 1), max_size=4))
def test_probabilities_sum_to_one_after_any_context_seen_or_not(lists, order, context):
    p = KneserNey(WORDS, order).fit(encoded(lists)).next_word(context)
    assert p.shape == (WORDS,) and (p > 0).all()
    assert p.sum() == pytest.approx(1, abs=1e-9)


def by_loops(lists, order, context, word):
    """Interpolated Kneser-Ney as it stands in the papers, for one word."""
    lines = [[END] * order + one + [END] for one in lists]
    grams = [tuple(line[i : i + order]) for line in lines for i in range(1, len(line) - order + 1)]
    tables = {order: Counter(grams)}
    for n in range(order - 1, 0, -1):
        seen = {gram[order - n - 1 :] for gram in grams}
        plain = Counter(gram[order - n :] for gram in grams)
        ways = Counter(gram[1:] for gram in seen)
        tables[n] = {gram: plain[gram] if n > 1 and gram[0] == END else ways[gram] for gram in plain}
    p = 1 / WORDS
    for n in range(1, order + 1):
        table, history = tables[n], tuple(context[len(context) - n + 1 :])
        after = {gram[-1]: count for gram, count in table.items() if gram[:-1] == history}
        ones, twos = (sum(count == c for count in table.values()) for c in (1, 2))
        discount = min(0.9, max(0.1, ones / max(1, ones + 2 * twos)))
        if after:
            rest = discount * len(after) / sum(after.values())
            p = max(after.get(word, 0) - discount, 0) / sum(after.values()) + rest * p
    return p


@settings(deadline=None, max_examples=40)
@given(
    sentences, st.integers(2, 4), st.lists(st.integers(1, WORDS - 1), max_size=3), st.integers(0, WORDS - 1)
)
def test_probabilities_are_what_loops_compute(lists, order, context, word):
    found = KneserNey(WORDS, order).fit(encoded(lists)).next_word(context)[word]
    padded = ([END] * order + context)[len(context) + 1 :]
    assert found == pytest.approx(by_loops(lists, order, padded, word), rel=1e-9)


@given(sentences)
def test_a_sentence_is_scored_word_by_word_and_never_sees_the_one_before(lists):
    model = KneserNey(WORDS).fit(encoded(lists))
    scores = model.log_probabilities(encoded(lists))
    alone = np.concatenate([model.log_probabilities(encoded([one])) for one in lists])
    np.testing.assert_allclose(scores, alone)
    first = lists[0]
    steps = [np.log(model.next_word(first[:i])[word]) for i, word in enumerate([*first, END])]
    np.testing.assert_allclose(scores[: len(steps)], steps)


def test_a_word_that_follows_one_word_only_is_a_poor_guess_elsewhere():
    # 1 occurs nine times, always after 2; 3 occurs five times, after five different words.
    lists = [[2, 1]] * 9 + [[4, 3], [5, 3], [6, 3], [1, 3], [2, 3]]
    p = (
        KneserNey(WORDS, 2).fit(encoded(lists)).next_word([3])
    )  # 3 is always followed by END: all else is backed off
    assert p[3] > p[1]


def test_longer_contexts_help_where_they_matter():
    random = np.random.default_rng(0)
    lists = [[a, b, (a + b) % 6 + 1] for a, b in random.integers(1, 7, size=(400, 2)).tolist()]
    train, test = encoded(lists[:300]), encoded(lists[300:])
    one, two, three = (perplexity(KneserNey(WORDS, n).fit(train).log_probabilities(test)) for n in (1, 2, 3))
    assert three < 0.8 * two < 0.8 * one


@pytest.mark.parametrize("words, order", [(1, 3), (10, 0), (10_000, 5)])
def test_a_size_that_makes_no_sense_is_refused(words, order):
    with pytest.raises(ValueError, match=f"order={order}, words={words}"):
        KneserNey(words, order)


@pytest.mark.parametrize("ids", [[], [0, WORDS], [-1, 0]])
def test_ids_out_of_range_and_empty_texts_are_refused(ids):
    text = EncodedText(np.array(ids, dtype=np.int64), np.zeros(len(ids), dtype=np.int32))
    with pytest.raises(ValueError, match="ids from 0 to 6"):
        KneserNey(WORDS).fit(text)


# ---- the LSTM


def test_the_cell_by_hand_is_torchs():
    torch.manual_seed(0)
    theirs, ours = torch.nn.LSTM(5, 4), LSTMCell(5, 4)
    ours.W.data, ours.U.data = theirs.weight_ih_l0.data, theirs.weight_hh_l0.data
    ours.b.data = theirs.bias_ih_l0.data + theirs.bias_hh_l0.data
    x, state = torch.randn(9, 3, 5), (torch.zeros(3, 4), torch.zeros(3, 4))
    outputs = []
    for step in x:
        state = ours(step, state)
        outputs.append(state[0])
    expected, (h, c) = theirs(x)
    torch.testing.assert_close(torch.stack(outputs), expected)
    torch.testing.assert_close(state, (h[0], c[0]))


def test_an_open_forget_gate_and_a_shut_input_gate_keep_the_cell_as_it_is():
    cell = LSTMCell(2, 3)
    cell.b.data = torch.tensor([-100.0] * 3 + [100.0] * 3 + [0.0] * 6)
    c = torch.randn(4, 3)
    _, after = cell(torch.randn(4, 2), (torch.randn(4, 3), c))
    torch.testing.assert_close(after, c)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return LanguageModel(WORDS, units=8, layers=2, dropout=0.5)


def test_the_softmax_uses_the_embedding_itself(model):
    assert model.output.weight is model.embedding.weight
    assert sum(p.shape == (WORDS, 8) for p in model.parameters()) == 1


def test_every_parameter_gets_a_gradient(model):
    logits, _ = model(torch.randint(WORDS, (2, 5)))
    F.cross_entropy(logits.flatten(0, 1), torch.randint(WORDS, (10,))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_two_chunks_with_the_state_carried_are_one_pass(model):
    model.eval()
    ids = torch.randint(WORDS, (3, 10))
    whole, _ = model(ids)
    first, state = model(ids[:, :4])
    second, _ = model(ids[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    without, _ = model(ids[:, 4:])
    assert not torch.allclose(without, whole[:, 4:])


def test_no_word_sees_the_ones_behind_it(model):
    model.eval()
    ids = torch.randint(WORDS, (1, 6))
    changed = ids.clone()
    changed[0, 4:] = (changed[0, 4:] + 1) % WORDS
    torch.testing.assert_close(model(ids)[0][:, :4], model(changed)[0][:, :4])


@pytest.mark.parametrize("shape", [(3,), (0, 2), (1, 0)])
def test_ids_of_another_shape_are_refused(model, shape):
    with pytest.raises(ValueError, match="must be \\(batch, length\\)"):
        model(torch.zeros(shape, dtype=torch.long))


@given(st.integers(2, 60), st.integers(1, 5), st.integers(1, 7))
def test_chunks_go_on_where_the_last_one_stopped(n, rows, length):
    ids = np.arange(n)
    if (n - 1) // rows < 1:
        with pytest.raises(ValueError, match="do not make"):
            next(text_batches(ids, rows, length))
        return
    chunks = list(text_batches(ids, rows, length))
    inputs, targets = (torch.cat(parts, dim=1) for parts in zip(*chunks, strict=True))
    columns = (n - 1) // rows
    assert inputs.flatten().tolist() == list(range(rows * columns))
    assert torch.equal(targets, inputs + 1)
    assert all(part.shape[1] <= length for part, _ in chunks)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_scores_are_those_of_one_pass_whatever_the_chunks(model, rows):
    ids = np.random.default_rng(0).integers(0, WORDS, 20)
    scores = log_probabilities(model, ids, rows=rows, length=3)
    assert scores.shape == (20,) and not model.training
    assert np.allclose(scores, log_probabilities(model, ids, rows=rows, length=100), atol=1e-6)
    # The first line has seen everything before it.
    columns = -(-20 // rows)
    logits, _ = model(torch.tensor([[END, *ids[: columns - 1]]]))
    expected = logits[0].log_softmax(-1)[torch.arange(columns), torch.tensor(ids[:columns])]
    np.testing.assert_allclose(scores[:columns], expected.detach().numpy(), atol=1e-5)


def test_training_learns_a_pattern_that_needs_memory_and_repeats_itself():
    # After 1 2 comes 3, after 4 2 comes 5: the word before does not tell.
    ids = np.concatenate(
        [[1, 2, 3] if bit else [4, 2, 5] for bit in np.random.default_rng(0).integers(0, 2, 400)]
    )
    losses, found = [], []
    for _ in range(2):
        torch.manual_seed(0)
        model = LanguageModel(WORDS, units=16, dropout=0.0)
        told: list[float] = []
        losses.append(
            train_language_model(model, ids, epochs=8, rows=4, length=15, rate=0.03, after_step=told.append)
        )
        assert told == losses[-1] and not model.training
        found.append(perplexity(log_probabilities(model, ids)))
    assert losses[0] == losses[1]
    # Per three words one coin is thrown: the cube root of 2.
    assert losses[0][0] > 1.5 and found[0] < 1.35


def test_training_carries_the_state_from_chunk_to_chunk(monkeypatch):
    seen = []
    read = LanguageModel.read

    def spy(self, ids, state=None):
        states, new = read(self, ids, state)
        seen.append((state, new))
        return states, new

    monkeypatch.setattr(LanguageModel, "read", spy)
    train_language_model(LanguageModel(WORDS, units=4), np.arange(41) % WORDS, rows=2, length=5, epochs=2)
    assert len(seen) == 8 and seen[0][0] is None and seen[4][0] is None  # each epoch starts at the beginning
    for (_, before), (given_state, _) in pairwise(seen[:4]):
        assert all(
            torch.equal(a, b) and not b.requires_grad for a, b in zip(before, given_state, strict=True)
        )


def test_the_rate_follows_its_schedule_and_the_gradient_is_clipped(monkeypatch):
    rates, norms, step = [], [], torch.optim.AdamW.step

    def spy(self, *arguments, **named):
        rates.append(self.param_groups[0]["lr"])
        weights = [p.grad.flatten() for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.cat(weights).norm()))
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    model = LanguageModel(WORDS, units=4)
    model.embedding.weight.data.mul_(100)  # so that gradients are long
    train_language_model(model, np.arange(41) % WORDS, rows=2, length=5, rate=0.4, epochs=2)
    np.testing.assert_allclose(rates, [0.4 * linear_fall(i, 8) for i in range(8)])
    assert rates[-1] < rates[0] and max(norms) <= 1.001 and max(norms) > 0.99


# ---- a softmax over some of the words


def softmax_of(words, rows=12, units=5, seed=0):
    """An output layer and states that ask it for words, in float64."""
    torch.manual_seed(seed)
    output = torch.nn.Linear(units, words, dtype=torch.float64)
    return output, torch.randn(rows, units, dtype=torch.float64), torch.randint(words, (rows,))


def test_with_all_words_chosen_and_even_odds_it_is_the_cross_entropy():
    output, states, wanted = softmax_of(words=20)
    found = sampled_loss(output, states, wanted, torch.arange(20), torch.zeros(20))
    torch.testing.assert_close(found, F.cross_entropy(output(states), wanted), rtol=1e-14, atol=0)


@settings(deadline=None)
@given(st.sets(st.integers(0, 19)), st.integers(0, 5))
def test_who_does_not_compete_counts_as_impossible_and_gets_no_gradient(others, seed):
    output, states, wanted = softmax_of(words=20, seed=seed)
    odds = -torch.rand(20, dtype=torch.float64)
    chosen = torch.tensor(sorted({*wanted.tolist(), *others}))
    absent = torch.ones(20, dtype=torch.bool)
    absent[chosen] = False
    found = sampled_loss(output, states, wanted, chosen, odds)
    logits = (output(states) - odds).masked_fill(absent, -torch.inf)
    torch.testing.assert_close(found, F.cross_entropy(logits, wanted))
    found.backward()
    assert (output.weight.grad[absent] == 0).all() and (output.bias.grad[absent] == 0).all()
    assert len(chosen) == 1 or (output.weight.grad[chosen] != 0).any(dim=1).all()


def test_odds_are_those_of_being_drawn():
    counts, tokens, negatives, draw = torch.tensor([60, 25, 10, 5, 0]), 6, 3, np.random.default_rng(0)
    text = draw.choice(5, (20_000, tokens), p=[0.6, 0.25, 0.1, 0.05, 0])
    drawn = np.concatenate([text, draw.integers(0, 5, (20_000, negatives))], axis=1)
    seen = [(drawn == word).any(axis=1).mean() for word in range(5)]
    np.testing.assert_allclose(log_odds(counts, tokens, negatives).exp(), seen, atol=0.015)


def test_odds_undo_what_drawing_the_frequent_words_more_often_does():
    """The mean weight of a competitor, exp(logit - odds) times how often it competes, is its share of the full softmax."""
    counts, logits = torch.tensor([900, 90, 9, 1]), torch.tensor([1.0, -1.0, 2.0, 0.5])
    odds = log_odds(counts, 8, 2)
    weights = odds.exp() * (logits - odds).exp()
    torch.testing.assert_close(weights / weights.sum(), logits.softmax(0))


@pytest.fixture(scope="module")
def chain():
    """A text of 120 words in which one of two words follows each; its perplexity is 2."""
    draw, ids = np.random.default_rng(0), [2]
    follows = draw.integers(2, 120, size=(120, 2))
    for side in draw.integers(0, 2, 12_000):
        ids.append(follows[ids[-1], side])
    return np.array(ids)


def test_training_with_some_of_the_words_learns_the_whole_softmax(chain):
    found = {}
    for negatives in (0, 20):
        torch.manual_seed(0)
        model = LanguageModel(120, units=24, dropout=0.0)
        before = model.embedding.weight.detach().clone()
        losses = train_language_model(
            model, chain[:10_000], epochs=4, rows=8, length=10, rate=0.02, negatives=negatives
        )
        assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])
        assert ((model.embedding.weight != before).any(dim=1)).all()
        found[negatives] = perplexity(log_probabilities(model, chain[10_000:]))
    assert found[0] < 3 and found[20] < 1.15 * found[0]


def test_fewer_competitors_make_a_lower_loss_but_no_lower_perplexity(chain):
    """Why the losses of the two ways to train must not be compared."""
    torch.manual_seed(0)
    model = LanguageModel(120, units=8, dropout=0.0)
    losses = train_language_model(model, chain[:161], rows=4, length=5, rate=1e-9, negatives=5)
    assert np.exp(np.mean(losses)) < 60 < perplexity(log_probabilities(model, chain[:161]))
