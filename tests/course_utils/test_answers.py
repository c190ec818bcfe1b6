"""Questions beside their texts: windows, labels, and answers by the rules."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from course_utils.assets import resolve
from course_utils.datasets import load_questions
from course_utils.results import answer_scores
from course_utils.training import Examples, fit
from course_utils.training.answers import (
    answer_labels,
    findable,
    question_windows,
    read_answers,
    window_scores,
)  # fmt: skip
from course_utils.training.heads import AnswerHead, EncoderWithHeads

# Marks of byte order, accents in one character and in two, signs that BERT does not know, spaces of several kinds.
STRANGE = "\ufeffÉcole  e\u0301t 東京\u3000塔 🙂👍🏽 İstanbul ığdır\u200b\u00a0x—y\r\n z\t"
TOKENIZER = AutoTokenizer.from_pretrained(resolve("minilm", profile="ci").folder, local_files_only=True)
WORDS = [
    "mill",
    "mills",
    "water",
    "unbelievable",
    "Ünlü",
    "🙂",
    "東京",
    "1,000",
    "antidisestablishmentarianism",
]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join)


def windows_of(text, question="Who?", **sizes):
    return question_windows([question], [text], TOKENIZER, **sizes)


def pointing(windows, labels, height=9.0):
    """Scores of a network that is sure of these tokens."""
    rows = [np.zeros((2, len(pieces))) for pieces in windows.pieces]
    for row, (first, last) in zip(rows, labels, strict=True):
        row[0, first], row[1, last] = height, height
    return rows


def test_a_window_is_a_question_and_a_part_of_its_text_as_the_tokenizer_writes_pairs():
    windows = windows_of("It has mills.", "What has it?")
    pair = TOKENIZER("What has it?", "It has mills.")
    assert windows.inputs == {name: [row] for name, row in pair.items()}
    assert [*windows.pieces[0]] == [-1] * 6 + [0, 1, 2, 3, -1]
    assert [*windows.question] == [0] and windows.texts == ["It has mills."]


@given(TEXTS, st.integers(9, 20), st.integers(0, 3))
def test_windows_overlap_by_so_many_pieces_and_leave_none_out(text, max_length, overlap):
    windows = windows_of(text, max_length=max_length, overlap=overlap)
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    parts = [pieces[pieces >= 0] for pieces in windows.pieces]
    assert sorted({*np.concatenate(parts).tolist()}) == [*range(len(ids))]
    for row, pieces in zip(windows.inputs["input_ids"], windows.pieces, strict=True):
        assert len(row) == len(pieces) <= max_length
        assert np.array_equal(np.array(row)[pieces >= 0], np.array(ids)[pieces[pieces >= 0]])
    for one, other in itertools.pairwise(parts):
        assert len({*one} & {*other}) == overlap and len(one) == max_length - 2 - 3


@given(TEXTS, st.integers(9, 20), st.integers(0, 3), st.data())
def test_an_answer_is_learned_where_it_is_whole_and_nowhere_else(text, max_length, overlap, data):
    """And one of up to overlap + 1 pieces is whole somewhere: no question teaches "not here" alone."""
    windows = windows_of(text, max_length=max_length, overlap=overlap)
    offsets = windows.offsets[0]
    first = data.draw(st.integers(0, len(offsets) - 1))
    last = data.draw(st.integers(first, min(len(offsets) - 1, first + 6)))
    answer = text[offsets[first, 0] : offsets[last, 1]]
    labels = answer_labels(windows, [[answer]], [[offsets[first, 0]]])
    same = np.flatnonzero((offsets == offsets[first]).all(1))  # pieces of one sign may share its characters
    for pieces, (begin, end) in zip(windows.pieces, labels.tolist(), strict=True):
        if {*range(first, last + 1)} <= {*pieces.tolist()}:
            assert pieces[begin] in same and pieces[end] >= last
        else:
            assert (begin, end) == (0, 0)
    if last - first <= overlap:
        assert findable(windows, labels).all()


def test_an_answer_that_a_window_cuts_is_not_in_it():
    text = "one two three four five six seven eight"
    windows = windows_of(text, max_length=9, overlap=2)  # four pieces of the text in each
    labels = answer_labels(windows, [["three four five"]], [[8]])
    assert [[*p[p >= 0]] for p in windows.pieces] == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
    assert labels.tolist() == [[0, 0], [4, 6], [0, 0]]
    labels = answer_labels(windows, [["two three four five"]], [[4]])
    assert not labels.any() and not findable(windows, labels).any()


def test_labels_of_the_first_answer_of_none_and_of_halves_of_words():
    texts = ["Mills of 1990s and mills."] * 4
    windows = question_windows(["Which?"] * 4, texts, TOKENIZER)
    labels = answer_labels(
        windows, [("Mills", "mills"), (), ("1990",), ("mills",)], [(0, 19), (), (9,), (19,)]
    )
    words = [TOKENIZER.convert_ids_to_tokens(windows.inputs["input_ids"][0])[a : b + 1] for a, b in labels]
    assert words == [["mills"], ["[CLS]"], ["1990s"], ["mills"]]
    assert labels[0, 0] < labels[3, 0] and [*findable(windows, labels)] == [True, False, True, True]


def test_white_space_after_an_answer_is_no_part_of_it():
    windows = question_windows(["Who?"] * 2, ["The  mills , here"] * 2, TOKENIZER)
    labels = answer_labels(windows, [["mills"], ["  mills "]], [[5], [3]])
    assert torch.equal(labels[0], labels[1])
    assert {answers[0].text for answers in read_answers(pointing(windows, labels), windows)} == {"mills"}


def test_the_first_piece_of_a_text_may_answer_and_the_last():
    text = "Mills stand here"
    windows = question_windows(["What?"] * 3, [text] * 3, TOKENIZER)
    labels = answer_labels(windows, [["Mills"], ["here"], [text]], [[0], [12], [0]])
    found = read_answers(pointing(windows, labels), windows)
    assert [answers[0][:3] for answers in found] == [("Mills", 0, 5), ("here", 12, 16), (text, 0, 16)]


@given(st.data())
def test_what_is_cut_out_of_a_text_is_the_text_as_it_was(data):
    windows = windows_of(STRANGE)
    offsets = windows.offsets[0]
    first = data.draw(st.integers(0, len(offsets) - 1))
    last = data.draw(st.integers(first, len(offsets) - 1))
    answer = STRANGE[offsets[first, 0] : offsets[last, 1]]
    start = int(offsets[first, 0])
    labels = answer_labels(windows, [[answer]], [[start]])
    found = read_answers(pointing(windows, labels), windows)[0][0]
    assert (found.text, found.start, found.end) == (answer, start, start + len(answer))
    assert STRANGE[found.start : found.end] == found.text


@pytest.mark.parametrize(
    "answer", ["東京", "塔", "🙂👍🏽", "İstanbul", "ığdır", "e\u0301t", "École", "x—y", "z"]
)
def test_no_sign_is_lost_in_any_script(answer):
    windows = windows_of(STRANGE)
    labels = answer_labels(windows, [[answer]], [[STRANGE.index(answer)]])
    found = read_answers(pointing(windows, labels), windows)[0][0]
    assert found.text == answer and answer_scores(found.text, [answer]) == (1, 1)


def by_hand(scores, windows, longest):
    """The score of every answer to the one question, and of none, by two loops."""
    found = {}
    for row, pieces in zip(scores, windows.pieces, strict=True):
        inside = [place for place, piece in enumerate(pieces) if piece >= 0]
        for a, b in itertools.product(inside, inside):
            if a <= b < a + longest:
                key = (int(pieces[a]), int(pieces[b]))
                found[key] = max(found.get(key, -np.inf), row[0, a] + row[1, b])
    return found, min(row[0, 0] + row[1, 0] for row in scores)


@settings(max_examples=40)
@given(
    st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 5), st.sampled_from(["left", "right", "none"])
)
def test_the_best_answers_are_those_that_two_loops_find(seed, longest, n, padding):
    random = np.random.default_rng(seed)
    text = " ".join(random.choice(WORDS, random.integers(1, 12)))
    windows = windows_of(text, max_length=random.integers(9, 16), overlap=int(random.integers(0, 3)))
    scores = [random.normal(size=(2, len(pieces))) * 3 for pieces in windows.pieces]
    wanted, nothing = by_hand(scores, windows, longest)
    total = np.logaddexp.reduce([*wanted.values(), nothing])
    width = max(map(len, windows.pieces)) + 3
    sides = {"none": lambda gap: (0, 0), "left": lambda gap: (gap, 0), "right": lambda gap: (0, gap)}
    given = [
        np.pad(row, [(0, 0), sides[padding](width - row.shape[1])], constant_values=-np.inf) for row in scores
    ]
    found = read_answers(given, windows, n=n, longest=longest)[0]
    assert [answer.score for answer in found] == pytest.approx(sorted(wanted.values(), reverse=True)[:n])
    offsets = windows.offsets[0]
    for answer in found:
        same = [
            score
            for (a, b), score in wanted.items()
            if (offsets[a, 0], offsets[b, 1]) == (answer.start, answer.end)
        ]
        assert any(math.isclose(answer.score, score) for score in same)
        assert answer.text == text[answer.start : answer.end] and answer.text == answer.text.strip()
        assert answer.probability == pytest.approx(math.exp(answer.score - total))
    everything = read_answers(given, windows, n=10**4, longest=longest, threshold=0)[0]
    assert len(everything) == len(wanted) + 1
    assert sum(answer.probability for answer in everything) == pytest.approx(1)


def test_equal_scores_rank_the_earlier_and_shorter_first():
    windows = windows_of("one two three")
    found = read_answers([np.zeros((2, len(windows.pieces[0])))], windows, n=4)[0]
    assert [answer.text for answer in found] == ["one", "one two", "one two three", "two"]


def test_the_text_does_not_say_by_a_threshold():
    windows = windows_of("one two three")
    scores = np.zeros((2, len(windows.pieces[0])))
    scores[:, 0], scores[:, 5] = 2.5, 2  # [CLS] has 5 in all, "three" 4
    (best,) = read_answers([scores], windows)[0]
    assert best.text == "two" and best.score == 4  # by default something of the text
    for threshold, first in ((0.5, ""), (0.99, ""), (1.0, "two"), (2, "two"), (-math.inf, "")):
        assert read_answers([scores], windows, threshold=threshold)[0][0].text == first, threshold
    none, two = read_answers([scores], windows, threshold=0, n=2)[0]
    assert none[:4] == ("", 0, 0, 5) and none.probability / two.probability == pytest.approx(math.e)


def test_a_window_without_the_answer_does_not_outvote_the_one_that_has_it():
    """[CLS] is sure in the first and the last window, and rightly: what counts is where it is least sure."""
    windows = windows_of("one two three four five six", max_length=7, overlap=0)
    assert len(windows.pieces) == 3
    scores = pointing(windows, [(0, 0), (5, 5), (0, 0)])
    scores[1] *= 0.9
    for threshold in (math.inf, 0):
        assert read_answers(scores, windows, threshold=threshold)[0][0].text == "four"
    everywhere = pointing(windows, [(0, 0)] * 3)
    assert read_answers(everywhere, windows, threshold=0)[0][0].text == ""


def test_questions_on_one_text_keep_their_answers_apart():
    text = "one two three four five six"
    windows = question_windows(["First?", "Second?", "Last?"], [text] * 3, TOKENIZER, max_length=9, overlap=1)
    labels = answer_labels(windows, [["one"], ["two three"], ["six"]], [[0], [4], [24]])
    found = read_answers(pointing(windows, labels), windows)
    assert [answers[0].text for answers in found] == ["one", "two three", "six"]
    assert windows.question.tolist() == [0, 0, 1, 1, 2, 2]


def test_a_hundred_thousand_characters_are_read_to_the_end(capfd):
    text = "The mills stood by the water. " * 3_400 + "Anna owned them."
    windows = windows_of(text, "Who owned them?", max_length=128, overlap=32)
    labels = answer_labels(windows, [["Anna"]], [[text.index("Anna")]])
    (found,) = read_answers(pointing(windows, labels), windows)
    assert len(text) > 100_000 and found[0].text == "Anna" and found[0].start == text.index("Anna")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("questions", "texts", "sizes", "said"),
    [
        (["Who?", "Why?"], ["Anna."], {}, "Every question needs its text: 2 questions, 1 texts"),
        ([], [], {}, "0 questions"),
        (["Who?", " \n"], ["Anna."] * 2, {}, r"no word in question 1, ' \\n'. Leave that row out"),
        (["Who?"], ["\ufeff"], {}, r"no word in text 0, '\\ufeff'"),
        (["Who?"], [""], {}, "no word in text 0"),
        (["Who?"], ["Anna."], {"max_length": 513}, "max_length=513: this encoder reads 512 at most"),
        (["Who?"], ["Anna."], {"max_length": 64}, "room for 59 of the text; overlap=128 must be less"),
        (["who " * 400], ["Anna."], {}, "beside its 400 pieces a window has room for 0"),
        (["Who?"], ["Anna."], {"overlap": -1}, "overlap=-1"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_a_sentence(questions, texts, sizes, said):
    with pytest.raises(ValueError, match=said):
        question_windows(questions, texts, TOKENIZER, **sizes)


@pytest.mark.parametrize(("questions", "texts"), [("Who?", ["Anna."]), (["Who?"], [None])])
def test_what_is_no_text_is_refused(questions, texts):
    with pytest.raises(TypeError):
        question_windows(questions, texts, TOKENIZER)


@pytest.mark.parametrize(("answer", "start"), [("Anna", 1), ("Anna", -5), ("Bert", 0), ("Anna.", 0)])
def test_an_answer_that_is_not_where_it_starts_is_refused(answer, start):
    windows = question_windows(["Who?"] * 2, ["Anna is", "Anna"], TOKENIZER)
    with pytest.raises(ValueError, match=f"Question 1: at character {start} there is no '{answer}'. Count"):
        answer_labels(windows, [["Anna"], [answer]], [[0], [start]])


def test_scores_that_do_not_go_with_the_windows_are_refused():
    windows = windows_of("Anna is here")
    tokens = len(windows.pieces[0])
    with pytest.raises(ValueError, match=f"A window of {tokens} tokens needs two numbers for each"):
        read_answers([np.zeros((2, tokens - 1))], windows)
    with pytest.raises(ValueError, match="needs two numbers"):
        read_answers([np.full((2, tokens), np.nan)], windows)
    with pytest.raises(ValueError):
        read_answers([np.zeros((2, tokens))] * 2, windows)
    with pytest.raises(ValueError, match="longest=0"):
        read_answers([np.zeros((2, tokens))], windows, longest=0)


class Body(torch.nn.Module):
    """States that depend on a token and its type alone, so that padding has nothing to change."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.pieces = torch.nn.Embedding(TOKENIZER.vocab_size, 16)
        self.types, self.dropout = torch.nn.Embedding(2, 16), torch.nn.Dropout(0.5)

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.dropout(self.pieces(input_ids) + self.types(token_type_ids))


def test_scores_are_those_of_each_window_alone_with_dropout_off():
    network = EncoderWithHeads(Body(), answers=AnswerHead(16, 2)).train()
    texts = ["one two three", "four " * 60, "five six"]
    windows = question_windows(["Which?", "How many?", "And?"], texts, TOKENIZER, max_length=20, overlap=4)
    found = window_scores(network, windows, task="answers")
    assert not network.training and len(found) == len(windows.pieces) > 3
    for window, row in enumerate(found):
        inputs, _ = Examples(windows.inputs, [[0, 0]] * len(found)).batch([window], torch.device("cpu"))
        with torch.no_grad():
            alone = network(**inputs)[0].numpy()
        assert row.shape == alone.shape and np.allclose(row, alone, atol=1e-6)


def test_a_network_learns_to_point_at_its_answers_and_at_cls_where_there_is_none():
    colours, texts = ["red", "green", "blue", "grey"], []
    random = np.random.default_rng(0)
    for number in range(64):
        words = random.choice(["mill", "water", "town", "road"], 12).tolist()
        if number % 4:
            words[random.integers(12)] = colours[number % 3]
        texts.append(" ".join(words))
    answers = [[c for c in colours if c in text.split()] for text in texts]
    starts = [[text.index(a) for a in said] for text, said in zip(texts, answers, strict=True)]
    windows = question_windows(["Which colour?"] * 64, texts, TOKENIZER, max_length=16, overlap=3)
    labels = answer_labels(windows, answers, starts)
    network = EncoderWithHeads(Body(), answers=AnswerHead(16, 2))
    fit(network, Examples(windows.inputs, labels), epochs=30, learning_rate=0.05, batch_size=32)
    found = read_answers(window_scores(network, windows), windows, threshold=0)
    assert np.mean([f[0].text == "".join(a) for f, a in zip(found, answers, strict=True)]) > 0.95


@pytest.mark.parametrize("language", ["en", "es", "tr"])
def test_real_answers_come_back_to_the_letter(mirror, language):
    """From a network that is sure of the right tokens: accents, Turkish letters, marks of byte order inside texts and all."""
    frame = load_questions(language=language, profile="laptop").iloc[::3]
    windows = question_windows(frame["question"], frame["context"], TOKENIZER, max_length=192, overlap=64)
    labels = answer_labels(windows, frame["answers"], frame["starts"])
    found = read_answers(pointing(windows, labels), windows, longest=100)
    missed = [
        (right[0], said[0].text)
        for right, said in zip(frame["answers"], found, strict=True)
        if said[0].text != right[0]
    ]
    assert findable(windows, labels).all()
    # Where an annotator cut a word in two, the whole word comes back.
    assert len(missed) <= 0.03 * len(frame) and all(right.strip() in said for right, said in missed), missed
