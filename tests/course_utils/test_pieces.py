"""Our tokenizer is the library's: on every word at hand and on random Unicode; and its pieces spell the word, greedily."""

import random
import re
import unicodedata
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import WordPiece

from course_utils.assets import resolve
from course_utils.datasets import load_corpus, load_language, load_sms, suffix_language
from course_utils.text.pieces import basic_tokens, is_punctuation, learn_pieces, tokenize, word_pieces
from course_utils.training.pretraining import train_tokenizer

BERT = Tokenizer.from_file(str(resolve("minilm", profile="ci").path("tokenizer.json")))
BERT.no_truncation()
BERT.no_padding()
VOCABULARY = BERT.get_vocab()
SPECIAL = re.compile(r"\[(?:PAD|UNK|CLS|SEP|MASK)\]")  # the library finds these before anything else is done


def theirs(text: str) -> list[str]:
    return BERT.encode(text, add_special_tokens=False).tokens


def their_words(text: str) -> list[str]:
    normalised = BERT.normalizer.normalize_str(text)
    return [word for word, _ in BERT.pre_tokenizer.pre_tokenize_str(normalised)]


def steady(character: str) -> bool:
    """Known to the tables of both programs, which are of different years: accents, punctuation and format characters must be
    as old as Unicode 3.2, and all must be assigned."""
    now, then = unicodedata.category(character), unicodedata.ucd_3_2_0.category(character)
    return now == then != "Cn" or (then == "Cn" and now[0] in "LNSZ")


# --- the same as the library


def assert_the_same(texts):
    words = sorted({word for text in texts for word in text.split() if not SPECIAL.search(word)})
    assert len(words) > 500
    for word, encoding in zip(words, BERT.encode_batch(words, add_special_tokens=False), strict=True):
        assert tokenize(word, VOCABULARY) == encoding.tokens, word


@pytest.mark.parametrize(
    "texts",
    [
        lambda: load_sms().text,
        lambda: load_corpus(words=500_000).sentences,
        lambda: [" ".join(sentence) for sentence in suffix_language(20_000)],
        lambda: [" ".join(sentence).replace("-", "").upper() for sentence in suffix_language(20_000)],
    ],
    ids=["messages", "Wikipedia", "suffix language", "capitals"],
)
def test_every_word_at_hand_is_cut_as_the_library_cuts_it(texts):
    assert_the_same(texts())


@pytest.mark.parametrize("name", ["turkish", "finnish", "english-genesis"])
def test_every_word_of_real_languages_is_cut_as_the_library_cuts_it(name, mirror, monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "laptop")
    assert_the_same(load_language(name).sentences)


def test_the_real_messages_are_cut_as_the_library_cuts_them(mirror):
    for text in load_sms(profile="laptop").text:
        assert tokenize(text, VOCABULARY) == theirs(text)


def test_every_single_character_is_treated_as_in_the_library():
    """All of Unicode that both know, one after the other."""
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    characters = [character for character in characters if steady(character)]
    assert len(characters) > 130_000
    for start in range(0, len(characters), 2_000):
        some = characters[start : start + 2_000]
        text = " 7 ".join(f"a{character}B" for character in some)
        if basic_tokens(text) != their_words(text):
            wrong = [c for c in some if basic_tokens(f"a{c}B") != their_words(f"a{c}B")]
            pytest.fail(f"{len(wrong)} differ: {[hex(ord(c)) for c in wrong[:20]]}")


anything = st.text(st.characters(exclude_categories=["Cs"]).filter(steady), max_size=60)
tricky = st.text(st.sampled_from("aZéİıßſŉǆΣςe\u0301\u0307\u0323 \t\n\r\0\x0b\x85\u00a0\u200b\u200d\u2028\ufeff\ufffd日本ㄢかカ한😀👍🏽#[].,'’$^`|~¿0½²7"), max_size=40)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    anything
    | tricky
    | st.builds("".join, st.lists(anything | tricky | st.text("abcdefghij", min_size=90), max_size=4))
)
@example("ΑΣ ΣΑΣ")  # the final sigma, which str.lower() would write in its other form
@example("İstanbul")
@example("a\u0301" * 101)
@example("")
def test_random_unicode_is_cut_as_the_library_cuts_it(text):
    text = SPECIAL.sub("", text)
    assert basic_tokens(text) == their_words(text)
    assert tokenize(text, VOCABULARY) == theirs(text)


@settings(deadline=None)
@given(anything | tricky)
def test_a_cased_tokenizer_keeps_case_and_accents_like_the_library(text):
    text = SPECIAL.sub("", text)
    cased = Tokenizer.from_str(BERT.to_str().replace('"lowercase":true', '"lowercase":false'))
    assert cased.normalizer.lowercase is False
    words = [word for word, _ in cased.pre_tokenizer.pre_tokenize_str(cased.normalizer.normalize_str(text))]
    assert basic_tokens(text, lowercase=False) == words


@settings(deadline=None)
@given(st.text("abcç7", min_size=1, max_size=12), st.sets(st.text("abcç", min_size=1, max_size=3), max_size=12), st.sets(st.text("abcç", min_size=1, max_size=3), max_size=12))  # fmt: skip
def test_any_vocabulary_gives_what_the_library_gives(word, begin, go_on):
    pieces = sorted(begin | {f"##{piece}" for piece in go_on})
    vocabulary = {piece: i for i, piece in enumerate(["[UNK]", *pieces])}
    library = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    assert word_pieces(word, vocabulary) == library.encode(word).tokens


# --- what holds for any cut


def spelled(pieces: list[str]) -> str:
    return "".join(piece.removeprefix("##") if i else piece for i, piece in enumerate(pieces))


@settings(deadline=None)
@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=100))
def test_pieces_spell_the_word_stand_in_the_vocabulary_and_are_the_longest(word):
    pieces, start = word_pieces(word, VOCABULARY), 0
    assert spelled(pieces) == word
    for i, piece in enumerate(pieces):
        assert piece in VOCABULARY and piece.startswith("##") == bool(i)
        end = start + len(piece) - 2 * bool(i)
        assert not any(
            ("##" if i else "") + word[start:longer] in VOCABULARY for longer in range(end + 1, len(word) + 1)
        )
        start = end


def test_a_word_is_unknown_as_a_whole_or_not_at_all():
    assert word_pieces("ab😀", VOCABULARY) == ["[UNK]"]
    assert word_pieces("abc", {"a", "ab", "##bc"}) == ["[UNK]"]  # greedy does not go back
    assert word_pieces("a" * 100, VOCABULARY) != ["[UNK]"]
    assert word_pieces("a" * 101, VOCABULARY) == ["[UNK]"]
    assert word_pieces("", VOCABULARY) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't panic!", ["don", "'", "t", "panic", "!"]),
        ("Zoë's café", ["zoe", "'", "s", "cafe"]),
        ("日本語abc", ["日", "本", "語", "abc"]),
        ("zero\u200bwidth\tand\nnew", ["zerowidth", "and", "new"]),
        (" \n ", []),
    ],
)
def test_words_of_a_text(text, words):
    assert basic_tokens(text) == words


def test_signs_of_the_keyboard_are_punctuation():
    keyboard = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
    assert all(map(is_punctuation, keyboard + "—“”¿«")) and not any(map(is_punctuation, "aZ0é€£ \t日"))


@pytest.mark.parametrize("given", [None, 7, ["a", "b"], b"bytes"])
def test_what_is_no_string_is_refused_in_words(given):
    with pytest.raises(TypeError, match=f"must be a string, not {type(given).__name__}.*once for each"):
        basic_tokens(given)
    with pytest.raises(TypeError, match=f"must be a string, not {type(given).__name__}.*once for each"):
        word_pieces(given, VOCABULARY)


# --- learning


def words_with_counts(seed: int) -> dict[str, int]:
    """Words of few letters, and counts so different that hardly two pairs are equally frequent."""
    draw = random.Random(seed)
    words = sorted({"".join(draw.choices("abcd", k=draw.randint(1, 5))) for _ in range(120)})
    return {word: draw.randint(1, 3_000) for word in words}


def alphabet(counts: dict[str, int]) -> int:
    return len(set("".join(counts))) + len({letter for word in counts for letter in word[1:]})


@pytest.mark.parametrize("seed", range(5))
def test_pieces_are_learned_in_the_order_of_the_library(seed):
    counts = words_with_counts(seed)
    first, joined = alphabet(counts), 15
    library = Tokenizer(WordPiece(unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(vocab_size=first + joined, special_tokens=[], show_progress=False)
    library.train_from_iterator((f"{word} " * count for word, count in counts.items()), trainer)
    known = library.get_vocab()
    in_order = sorted(known, key=known.get)
    learned = learn_pieces(counts, first + joined)
    assert set(learned[:first]) == set(in_order[:first])
    assert learned[first:] == in_order[first:]


def test_learning_stops_when_every_word_is_one_piece():
    counts = words_with_counts(0)
    learned = learn_pieces(counts, 10_000)
    assert len(learned) == len(set(learned)) < 10_000
    assert all(word_pieces(word, learned) == [word] for word in counts)
    assert learn_pieces(counts, 0) == learned[: alphabet(counts)]  # characters are never left out


def test_a_larger_vocabulary_begins_with_the_smaller_and_cuts_into_fewer_pieces():
    counts = Counter(word.replace("-", "") for sentence in suffix_language(2_000) for word in sentence)
    sizes = [60, 100, 200, 400]
    learned = [learn_pieces(counts, size) for size in sizes]
    assert [len(pieces) for pieces in learned] == sizes
    totals = [
        sum(n * len(word_pieces(word, set(pieces))) for word, n in counts.items()) for pieces in learned
    ]
    for (small, large), (before, after) in zip(pairwise(learned), pairwise(totals), strict=True):
        assert large[: len(small)] == small and after < before


def test_the_library_s_training_cuts_with_its_own_pieces_as_we_do():
    texts = [" ".join(sentence).replace("-", "") for sentence in suffix_language(5_000)]
    trained = train_tokenizer(texts, 500, lowercase=False)
    known = trained.get_vocab()
    assert len(known) == 500
    for text in texts[:300]:
        assert tokenize(text, known, lowercase=False) == trained.encode(text, add_special_tokens=False).tokens
