"""The bidirectional language model: who sees what, what padding changes, and that both directions learn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.models import elmo
from course_utils.models.elmo import BiLM, CharacterEncoder, ScalarMix
from course_utils.models.language_model import KneserNey, encode_sentences, perplexity
from course_utils.text import Vocabulary, pad_rows
from course_utils.training.language_models import train_bilm

SENTENCES = [
    ["the", "cat", "sat", "on", "the", "mat"],
    ["a", "dog", "ran"],
    ["stick"],
    ["the", "old", "dog", "and", "the", "young", "cat", "saw", "a", "stick", "on", "the", "road"],
]
VOCABULARY = Vocabulary(SENTENCES)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return BiLM(len(VOCABULARY) + 2, units=12, layers=2, dropout=0.5).eval()


def states(model, sentences):
    rows, words = elmo.number_words(sentences)
    ids, mask = pad_rows(rows)
    with torch.no_grad():
        return model(ids, mask, elmo.spell(words)), mask


@pytest.mark.parametrize("place", [1, 3, 6])
def test_forwards_never_sees_the_future_nor_backwards_the_past(model, place):
    before, _ = states(model, SENTENCES[:1])
    changed = list(SENTENCES[0])
    changed[place - 1] = "stick"
    after, _ = states(model, [changed])
    moved = (before - after).abs()[:, 0]
    ahead, back = moved[..., :12].amax(-1) > 0, moved[..., 12:].amax(-1) > 0
    tokens = torch.arange(8)
    for layer in (1, 2):
        assert torch.equal(ahead[layer], tokens >= place)
        assert torch.equal(back[layer], tokens <= place)
    for half in (ahead, back):  # the word's own vector knows nothing of its neighbours
        assert torch.equal(half[0], tokens == place)


def test_padding_changes_nothing(model):
    together = elmo.embed(model, SENTENCES)
    for sentence, found in zip(SENTENCES, together, strict=True):
        assert found.shape == (3, len(sentence), 24)
        np.testing.assert_allclose(found, elmo.embed(model, [sentence])[0], atol=1e-5)


def test_padding_is_no_prediction(model):
    text = elmo.encode_words(SENTENCES, VOCABULARY)
    ids, mask = pad_rows(text.rows)
    longer_ids, longer_mask = F.pad(ids, (0, 9)), F.pad(mask, (0, 9))
    targets = torch.from_numpy(text.targets)
    short = elmo.predictions(model(ids, mask, text.spelled), ids, mask, targets)
    long = elmo.predictions(model(longer_ids, longer_mask, text.spelled), longer_ids, longer_mask, targets)
    n = sum(len(sentence) + 1 for sentence in SENTENCES)
    _, following, _, preceding = short
    assert len(following) == len(preceding) == n
    for one, other in zip(short, long, strict=True):
        torch.testing.assert_close(one, other)


def test_each_direction_guesses_the_neighbour_on_its_side(model):
    text = elmo.encode_words(SENTENCES[1:2], VOCABULARY)
    ids, mask = pad_rows(text.rows)
    layers = model(ids, mask, text.spelled)
    targets = torch.from_numpy(text.targets)
    ahead, following, back, preceding = elmo.predictions(layers, ids, mask, targets)
    a, dog, ran = (VOCABULARY.index[word] + 2 for word in SENTENCES[1])
    assert following.tolist() == [a, dog, ran, elmo.BOUNDARY]
    assert preceding.tolist() == [elmo.BOUNDARY, a, dog, ran]
    torch.testing.assert_close(ahead, layers[-1, 0, :4, :12])
    torch.testing.assert_close(back, layers[-1, 0, 1:, 12:])


def test_the_second_layer_has_a_residual(model):
    for lstm in (model.forwards[1], model.backwards[1]):
        for parameter in lstm.parameters():
            nn.init.zeros_(parameter)
    found, _ = states(model, SENTENCES)
    torch.testing.assert_close(found[2], found[1])  # an LSTM of zeros says 0, and what went in comes out


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_turning_twice_changes_nothing(lengths):
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)).long()
    turned = elmo.turn(mask)
    place = torch.arange(max(lengths)).expand_as(turned)
    assert torch.equal(turned.take_along_dim(turned, 1), place)
    for row, length in zip(turned.tolist(), lengths, strict=True):
        assert row[:length] == list(range(length))[::-1]


def test_words_are_spelled_byte_by_byte():
    spelled = elmo.spell(["", "ab", "é", "x" * 30])
    assert spelled.shape == (4, elmo.LONGEST + 2)
    assert spelled[0, :4].tolist() == [elmo.BEGIN, elmo.EDGE, elmo.STOP, 0]
    assert spelled[1, :5].tolist() == [elmo.BEGIN, ord("a") + 1, ord("b") + 1, elmo.STOP, 0]
    assert spelled[2, :4].tolist() == [elmo.BEGIN, *(byte + 1 for byte in "é".encode()), elmo.STOP]
    assert spelled[3, -1] == elmo.STOP and (spelled[3] > 0).all()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(min_size=1, max_size=25), min_size=1, max_size=6))
def test_any_word_gets_a_vector_and_case_counts(words):
    torch.manual_seed(0)
    encoder = CharacterEncoder(8)
    vectors = encoder(elmo.spell(words))
    assert vectors.shape == (len(words), 8) and torch.isfinite(vectors).all()
    one, other = encoder(elmo.spell(["May", "may"]))
    assert not torch.allclose(one, other)


def test_a_word_that_was_never_seen_can_be_read_but_not_predicted(model):
    text = elmo.encode_words([["the", "flumptious", "cat"]], VOCABULARY)
    assert text.targets[2] == elmo.UNKNOWN
    seen, unseen = elmo.embed(model, [["the", "flumptious", "cat"], ["the", "snorkelish", "cat"]])
    assert np.abs(seen[0, 1] - unseen[0, 1]).max() > 0.01
    assert np.isfinite(seen).all()


def test_layer_weights_sum_to_one_and_gamma_scales():
    torch.manual_seed(0)
    mix, layers = ScalarMix(3), torch.randn(3, 2, 5, 8)
    torch.testing.assert_close(mix(layers), layers.mean(0))
    mix.weights.data = torch.tensor([1.0, -2.0, 0.5])
    mix.gamma.data.fill_(3.0)
    share = mix.weights.softmax(0)
    assert share.sum().item() == pytest.approx(1)
    torch.testing.assert_close(
        mix(layers), 3 * sum(s * layer for s, layer in zip(share, layers, strict=True))
    )
    mix(layers).sum().backward()
    assert mix.weights.grad.abs().min() > 0 and mix.gamma.grad.abs() > 0


@pytest.mark.parametrize("negatives", [0, 4])
def test_every_parameter_gets_a_gradient(negatives):
    torch.manual_seed(0)
    model = BiLM(len(VOCABULARY) + 2, units=8)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train_bilm(model, elmo.encode_words(SENTENCES * 3, VOCABULARY), epochs=2, tokens=64, negatives=negatives)
    for name, p in model.named_parameters():
        assert not torch.equal(p, before[name]), name


@pytest.mark.parametrize("negatives", [0, 6])
def test_both_directions_learn_what_stands_beside(negatives):
    # a is followed by b or c, each of these by its own word: the trigram's best is known.
    generator = np.random.default_rng(0)
    sentences = [["a", *(("b", "bb") if coin else ("c", "cc"))] for coin in generator.random(400) < 0.5]
    vocabulary = Vocabulary(sentences)
    text = elmo.encode_words(sentences, vocabulary)
    torch.manual_seed(0)
    model = BiLM(len(vocabulary) + 2, units=16, dropout=0)
    losses = train_bilm(model, text, epochs=12, tokens=160, rate=0.01, negatives=negatives)
    assert np.mean(losses[-5:]) < losses[0] / 2
    counted = KneserNey(len(vocabulary) + 2).fit(encode_sentences(sentences, vocabulary))
    best = perplexity(counted.log_probabilities(encode_sentences(sentences, vocabulary)))
    for logs in elmo.log_probabilities(model, text):
        assert len(logs) == 4 * len(sentences)
        assert perplexity(logs) == pytest.approx(2**0.25, abs=0.05)
        assert perplexity(logs) == pytest.approx(best, abs=0.05)


def test_log_probabilities_are_those_of_the_softmax(model):
    text = elmo.encode_words(SENTENCES[1:2], VOCABULARY)
    ids, mask = pad_rows(text.rows)
    with torch.no_grad():
        top = model(ids, mask, text.spelled)[-1, 0]
        ahead = model.softmax(top[:-1, :12]).log_softmax(1)
        back = model.softmax(top[1:, 12:]).log_softmax(1)
    tokens = text.targets[text.rows[0]]
    found = elmo.log_probabilities(model, text)
    np.testing.assert_allclose(found[0], ahead[range(4), tokens[1:]], atol=1e-5)
    np.testing.assert_allclose(found[1], back[range(4), tokens[:-1]], atol=1e-5)


def test_the_same_seed_gives_the_same_weights():
    def train(seed):
        torch.manual_seed(0)
        model = BiLM(len(VOCABULARY) + 2, units=8)
        train_bilm(
            model, elmo.encode_words(SENTENCES, VOCABULARY), epochs=2, tokens=32, negatives=3, seed=seed
        )
        return model.softmax.weight.detach()

    assert torch.equal(train(1), train(1))
    assert not torch.equal(train(1), train(2))


@pytest.mark.parametrize("wrong", [[[]], [["a", ""]], [["a"], []]])
def test_empty_sentences_and_words_are_refused(model, wrong):
    with pytest.raises(ValueError, match="at least one word"):
        elmo.encode_words(wrong, VOCABULARY)
    with pytest.raises(ValueError, match="at least one word"):
        elmo.embed(model, wrong)
