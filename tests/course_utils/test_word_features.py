"""encode_words: a vector for every word, whatever its pieces, its company and the length of its sentence."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_features import bert, encoder, forwards  # noqa: F401 - fixtures

from course_utils.features import encode_words
from course_utils.features import encoder as encoding

SENTENCE = ["Free", "transplantation", "to", "80082", "now", "!!"]


def states(encoder, words, layer=-1):  # noqa: F811
    """By the library's own way: the states of a sentence's pieces, and the word that each belongs to."""
    batch = encoder.tokenizer(words, is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        output = encoder.model(**batch, output_hidden_states=True)
    return output.hidden_states[layer][0].numpy(), batch.word_ids(0)


def reference(encoder, words, pieces, layer=-1):  # noqa: F811
    rows, owners = states(encoder, words, layer)
    owners = np.array([-1 if owner is None else owner for owner in owners])
    take = {"first": lambda part: part[0], "mean": lambda part: part.mean(axis=0)}[pieces]
    return np.stack([take(rows[owners == i]) for i in range(len(words))])


@pytest.mark.parametrize("pieces", ["first", "mean"])
@pytest.mark.parametrize("layer", [-1, 0, 2])
def test_a_word_has_the_state_of_its_first_piece_or_the_mean(encoder, pieces, layer):  # noqa: F811
    short, longer = ["ok"], SENTENCE
    got = encode_words([short, longer, short], encoder, pieces=pieces, layers=[layer], cache=False)
    for words, vectors in zip([short, longer, short], got, strict=True):
        assert vectors.dtype == np.float32 and vectors.shape == (len(words), encoder.hidden_size)
        np.testing.assert_allclose(vectors, reference(encoder, words, pieces, layer), atol=2e-5)


def test_layers_are_joined_in_the_order_given(bert):  # noqa: F811
    (joined,) = encode_words([SENTENCE], bert, layers=(3, 1), cache=False)
    parts = [encode_words([SENTENCE], bert, layers=(layer,), cache=False)[0] for layer in (3, 1)]
    np.testing.assert_array_equal(joined, np.concatenate(parts, axis=1))


def test_one_layer_may_stand_alone(bert):  # noqa: F811
    alone, listed = (encode_words([SENTENCE], bert, layers=it, cache=False)[0] for it in (np.int64(1), [1]))
    np.testing.assert_array_equal(alone, listed)


def test_both_ways_of_every_layer_stand_side_by_side(bert):  # noqa: F811
    (both,) = encode_words([SENTENCE], bert, pieces="first+mean", layers=(3, 1), cache=False)
    parts = [
        encode_words([SENTENCE], bert, pieces=way, layers=(layer,), cache=False)[0]
        for layer in (3, 1)
        for way in ("first", "mean")
    ]
    np.testing.assert_array_equal(both, np.concatenate(parts, axis=1))


def test_layer_0_knows_the_word_and_its_place_and_no_company(encoder):  # noqa: F811
    sentences = [["a", "stick", "broke"], ["the", "stick", "figure"]]
    one, other = encode_words(sentences, encoder, layers=(0, 1), cache=False)
    np.testing.assert_allclose(one[1, :384], other[1, :384], atol=1e-6)
    assert not np.allclose(one[1, 384:], other[1, 384:], atol=1e-2)


def test_the_uncased_encoder_gets_lower_case(encoder):  # noqa: F811
    big, small = encode_words([["In", "PARIS"], ["in", "paris"]], encoder, cache=False)
    np.testing.assert_array_equal(big, small)
    (unknown,) = encode_words([["[UNK]", "[UNK]"]], encoder, cache=False)
    assert not np.allclose(big, unknown, atol=1e-2)


def test_words_that_the_tokenizer_takes_for_nothing_are_unknown_ones(encoder):  # noqa: F811
    words = ["nice", "\ufe0f", "", "film"]
    (vectors,) = encode_words([words], encoder, cache=False)
    (unknown,) = encode_words([["nice", "[UNK]", "[UNK]", "film"]], encoder, cache=False)
    np.testing.assert_array_equal(vectors, unknown)


def test_no_words_and_no_sentences(encoder):  # noqa: F811
    assert encode_words([], encoder) == []
    for pieces in ("first", "mean"):
        assert encode_words([[]], encoder, pieces=pieces)[0].shape == (0, encoder.hidden_size)
    assert [rows.shape for rows in encode_words([[], ["a"]], encoder, layers=(0, 1))] == [
        (0, 2 * encoder.hidden_size), (1, 2 * encoder.hidden_size),
    ]  # fmt: skip


def test_a_long_sentence_goes_through_in_windows(bert):  # noqa: F811
    words = [f"w{i % 7}" for i in range(600)]
    (vectors,) = encode_words([words], bert, cache=False)
    assert vectors.shape == (600, bert.hidden_size)
    (start,) = encode_words([words[:200]], bert, cache=False)
    assert not np.allclose(vectors[:100], start[:100])  # it reads on to the right
    lengths = [len(ids) for ids in bert.tokenizer(words, add_special_tokens=False)["input_ids"]]
    room = bert.model.config.max_position_embeddings - 2
    for first, last, take, end in encoding.word_windows(lengths, room):
        (window,) = encode_words([words[first:last]], bert, cache=False)
        np.testing.assert_allclose(vectors[take:end], window[take - first : end - first], atol=1e-5)


def test_one_word_of_more_pieces_than_the_encoder_reads(bert):  # noqa: F811
    (vectors,) = encode_words([["a", "!" * 2000, "b"]], bert, pieces="mean", cache=False)
    assert vectors.shape == (3, bert.hidden_size) and np.isfinite(vectors).all()


@given(st.lists(st.integers(1, 9), max_size=60), st.integers(9, 30))
def test_windows_take_each_word_once_far_from_edges(lengths, room):
    windows = encoding.word_windows(lengths, room)
    taken = [word for first, last, start, end in windows for word in range(start, end)]
    assert taken == list(range(len(lengths)))
    ends = np.cumsum(lengths)
    for first, last, start, end in windows:
        assert first <= start <= end <= last and sum(lengths[first:last]) <= room
    for word in taken:
        middle = ends[word] - lengths[word] / 2

        def far(first, last, middle=middle):
            """How far the nearest edge is that is not the sentence's."""
            left = middle - ends[first] + lengths[first] if first else np.inf
            return min(left, ends[last - 1] - middle if last < len(lengths) else np.inf)

        own = [far(first, last) for first, last, start, end in windows if start <= word < end]
        best = max(far(first, last) for first, last, _, _ in windows if first <= word < last)
        assert own[0] >= best - 9  # but for a word's length: windows part between words


def test_what_was_encoded_is_read_back_and_words_are_no_texts(encoder, forwards):  # noqa: F811
    once = encode_words([SENTENCE, ["ok"]], encoder)
    count = len(forwards)
    again = encode_words([["ok"], SENTENCE], encoder)
    assert len(forwards) == count
    np.testing.assert_array_equal(once[0], again[1])
    # The same pieces, cut into other words.
    encode_words([["trans", "##plantation"]], encoder)
    assert [len(rows) for rows in encode_words([["80", "##08", "##2"], ["80082"]], encoder)] == [3, 1]


@pytest.mark.parametrize(
    ("sentences", "options", "error", "message"),
    [
        ([["a"]], {"layers": 1.5}, ValueError, "layers"),
        (["not words"], {}, TypeError, "list of strings"),
        ([["a", 3]], {}, TypeError, "not a string"),
        ([["a"]], {"pieces": "last"}, ValueError, "first or mean"),
        ([["a"]], {"pieces": "mean+mean"}, ValueError, "first or mean"),
        ([["a"]], {"layers": (9,)}, ValueError, "layers"),
        ([["a"]], {"layers": ()}, ValueError, "layers"),
        ([["\ud800"]], {}, ValueError, "half a character"),
    ],
)
def test_what_is_refused(encoder, sentences, options, error, message):  # noqa: F811
    with pytest.raises(error, match=message):
        encode_words(sentences, encoder, **options)
