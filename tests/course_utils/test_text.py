import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.text import (
    Vocabulary,
    length_bucketed,
    pad_rows,
    split_sentences,
    split_tokens,
    split_words,
)

LENGTHS = st.lists(st.integers(0, 200), max_size=80)


@given(LENGTHS, st.integers(1, 600))
def test_buckets_are_a_partition_within_the_budget_longest_first(lengths, budget):
    batches = length_bucketed(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        sizes = [lengths[i] for i in batch]
        assert sizes == sorted(sizes, reverse=True)
        assert len(batch) == 1 or len(batch) * sizes[0] <= budget
    widest = [lengths[batch[0]] for batch in batches]
    assert widest == sorted(widest, reverse=True)


@given(LENGTHS, st.integers(1, 600))
def test_no_batch_could_have_taken_the_next_text(lengths, budget):
    batches = length_bucketed(lengths, budget)
    for batch in batches[:-1]:
        assert (len(batch) + 1) * max(1, lengths[batch[0]]) > budget


def test_equal_lengths_keep_their_order():
    assert np.concatenate(length_bucketed([3, 3, 5, 3], 6)).tolist() == [2, 0, 1, 3]


@pytest.mark.parametrize(
    ("lengths", "budget", "message"), [([1], 0, "at least 1"), ([-1], 9, "from 0"), ([[1]], 9, "shape")]
)
def test_what_buckets_refuse(lengths, budget, message):
    with pytest.raises(ValueError, match=message):
        length_bucketed(lengths, budget)


def test_pad_rows():
    ids, mask = pad_rows([[5, 6, 7], [8]], padding=9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert pad_rows([])[0].shape == (0, 0)


def test_sentences_and_words():
    text = 'He came. "Did you?" she asked.\nA line. It\'s e.g. 3 o’clock, naïve!'
    assert split_sentences(text) == [
        "He came.", '"Did you?" she asked.', "A line.", "It's e.g. 3 o’clock, naïve!",
    ]  # fmt: skip
    assert split_words(text)[-4:] == ["e", "g", "o'clock", "naïve"]


def test_tokens_are_words_figures_and_single_signs():
    text = "Don’t call 0800-12!! 'Tis naïve, £5.50 :-)"
    assert split_tokens(text) == [
        "Don't", "call", "0800", "-", "12", "!", "!", "'", "Tis", "naïve", ",", "£", "5", ".", "50", ":", "-", ")",
    ]  # fmt: skip
    assert split_tokens("Ring 07700 900123", fold=True) == split_tokens("RING 07911 123456", fold=True)
    assert split_tokens("Ring 07700", fold=True) == ["ring", "00000"]
    assert split_tokens(" \n\t") == []


@given(st.text())
def test_tokens_lose_nothing_but_white_space(text):
    assert "".join(split_tokens(text)) == "".join(text.replace("’", "'").split())
    folded = re.sub(r"\d", "0", text.replace("’", "'").lower())
    assert "".join(split_tokens(text, fold=True)) == "".join(folded.split())


@given(st.text())
def test_a_token_holds_no_white_space_and_is_a_token_by_itself(text):
    for token in split_tokens(text):
        assert split_tokens(token) == [token]


def test_a_vocabulary_counts_sorts_and_cuts():
    vocabulary = Vocabulary([["b", "a"], ["a", "c", "b"], []], min_count=2)
    assert vocabulary.words == ["a", "b"] and vocabulary.counts.tolist() == [2, 2]  # alike: by spelling
    text = vocabulary.encode([["c", "b"], ["c"], ["a", "a"]])
    assert text.ids.tolist() == [1, 0, 0] and text.sentences.tolist() == [0, 2, 2]
    assert "a" in vocabulary and "c" not in vocabulary and len(vocabulary) == 2
    assert Vocabulary([["b", "a", "a"]], max_words=1).words == ["a"]


def test_a_vocabulary_refuses_strings_and_emptiness():
    with pytest.raises(TypeError, match="list of words"):
        Vocabulary(["a sentence"])
    with pytest.raises(ValueError, match="would be empty"):
        Vocabulary([["a"]], min_count=2)


@given(st.lists(st.lists(st.sampled_from("abcde"))))
def test_encoding_loses_nothing_that_is_known(sentences):
    vocabulary = Vocabulary([list("abc")])
    text = vocabulary.encode(sentences)
    kept = [(n, word) for n, sentence in enumerate(sentences) for word in sentence if word in "abc"]
    assert [vocabulary.words[i] for i in text.ids] == [word for _, word in kept]
    assert text.sentences.tolist() == [n for n, _ in kept]


@given(st.lists(st.text()))
def test_a_vocabulary_is_read_as_it_was_written(tmp_path_factory, texts):
    tokens = [*map(split_tokens, texts), ["a\ttab", "", "a\ttab"]]
    vocabulary, path = Vocabulary(tokens), tmp_path_factory.getbasetemp() / "words.txt"
    vocabulary.write(path)
    again = Vocabulary.read(path)
    assert again.words == vocabulary.words and again.index == vocabulary.index
    assert again.counts.tolist() == vocabulary.counts.tolist() and again.counts.dtype == np.int64
    assert again.encode(tokens).ids.tolist() == vocabulary.encode(tokens).ids.tolist()
