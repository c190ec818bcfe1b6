"""Tags of words as labels of pieces, and back to words."""

import numpy as np
import pytest

from course_utils.features import load_encoder
from course_utils.results import kind_f1, span_f1, token_f1
from course_utils.text import spans
from course_utils.training.examples import IGNORED
from course_utils.training.tagging import tag_examples, word_tags

KINDS = ["O", "B-person", "I-person", "B-group", "I-group"]
WORDS = ["Gabriella", "Ng", "likes", "smoothies", "\ufe0f", "!"]
TAGS = ["B-person", "I-person", "O", "O", "O", "O"]


@pytest.fixture(scope="module")
def tokenizer():
    return load_encoder().tokenizer


def labelled(tokenizer, words=WORDS, tags=TAGS, **how):
    examples, places = tag_examples([words], [tags], tokenizer, KINDS, **how)
    return examples.inputs["input_ids"], examples.labels.tolist(), places


def sure(examples, labels):
    """Probabilities of a tagger that says the labels where it is asked, and B-group elsewhere."""
    answers = np.full((*labels.shape, len(KINDS)), 0.0)
    np.put_along_axis(answers, np.where(labels == IGNORED, 3, labels)[..., None], 1.0, -1)
    return answers


def test_the_first_piece_has_the_tag_and_the_others_are_not_asked(tokenizer):
    (ids,), (labels,), (places,) = labelled(tokenizer)
    pieces = tokenizer.convert_ids_to_tokens(ids)
    assert pieces[0] == "[CLS]" and pieces[-1] == "[SEP]" and len(pieces) > len(WORDS) + 3
    assert len(places) == len(WORDS) and [pieces[place] for _, place in places[2:3]] == ["likes"]
    assert [labels[place] for _, place in places] == [1, 2, 0, 0, 0, 0]
    asked = [label for label in labels if label != IGNORED]
    assert len(asked) == len(WORDS) and labels[0] == labels[-1] == IGNORED
    assert all(label == IGNORED for piece, label in zip(pieces, labels, strict=True) if piece[:2] == "##")
    assert pieces[places[4][1]] == "[UNK]"  # a word without pieces keeps its place


def test_every_piece_may_be_asked_and_a_name_stays_one(tokenizer):
    _, (labels,), _ = labelled(tokenizer, every_piece=True)
    assert IGNORED not in labels[1:-1]
    tags = [KINDS[label] for label in labels[1:-1]]
    assert tags.count("B-person") == 1 and len(spans(tags)) == 1
    copied = ["B-person" if tag == "I-person" else tag for tag in tags]
    assert len(spans(copied)) == tags.count("I-person") + 1  # what copying the B makes of it


def test_tags_come_back_whole_or_in_windows(tokenizer):
    words, tags = WORDS * 5, TAGS * 5
    for length in (128, 32, 11, 9):
        examples, places = tag_examples([words, WORDS], [tags, TAGS], tokenizer, KINDS, max_length=length)
        assert max(map(len, examples.inputs["input_ids"])) <= length
        assert (examples.labels != IGNORED).sum() == len(words) + len(WORDS)  # each word is asked once
        found = word_tags(sure(examples, examples.labels.numpy()), places, KINDS, [len(words), len(WORDS)])
        assert found == [tags, TAGS]


def test_what_was_cut_off_counts_as_missed(tokenizer):
    words, tags = WORDS * 2, TAGS * 2
    examples, places = tag_examples([words], [tags], tokenizer, KINDS, max_length=10, cut=True)
    (found,) = word_tags(sure(examples, examples.labels.numpy()), places, KINDS, [len(words)])
    assert len(examples) == 1 and len(places[0]) < len(words) == len(found)
    assert found == [*tags[: len(places[0])], *["O"] * (len(words) - len(places[0]))]
    assert span_f1([tags], [found]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (["O"] * 5, "Sentence 0 has 6 words and 5 tags: each word needs one"),
        (["B-animal", *TAGS[1:]], "Sentence 0 has the tag 'B-animal', and the tags are O, B-person"),
        ([1, 2, 0, 0, 0, 5], "Sentence 0 has the tag 1, .* numbered here, from 0 on"),
    ],
)
def test_tags_that_do_not_fit_are_named(tokenizer, tags, said):
    with pytest.raises(ValueError, match=said):
        labelled(tokenizer, tags=tags)


def test_strict_names_begin_with_b():
    tags = ["I-person", "O", "B-group", "I-group", "I-person", "O", "B-person", "I-person"]
    assert spans(tags) == {(0, 1, "person"), (2, 4, "group"), (4, 5, "person"), (6, 8, "person")}
    assert spans(tags, strict=True) == {(2, 4, "group"), (6, 8, "person")}
    with pytest.raises(ValueError, match="There is no tag 'person'"):
        spans(["O", "person"])
    with pytest.raises(ValueError, match="There is no tag 0: a name is tagged B-person"):
        spans([0, 1])


def test_one_prediction_has_five_scores():
    truth = [["B-person", "I-person", "O", "B-group"], ["B-group", "O", "O", "O"]]
    answers = [["B-person", "I-person", "O", "I-group"], ["B-person", "O", "B-group", "O"]]
    # Lenient: of three names two are found (the second by a tag I), and four are given.
    assert span_f1(truth, answers) == pytest.approx(2 * 2 / (3 + 4))
    assert span_f1(truth, answers, strict=True) == pytest.approx(2 * 1 / (3 + 3))
    # Single tokens: four are part of a name, five are said to be, two of them right.
    assert token_f1(truth, answers) == pytest.approx(2 * 2 / (4 + 5))
    # Persons: one of one, and one invented. Groups: one (by a tag I) of two, and one invented.
    assert kind_f1(truth, answers) == pytest.approx({"group": 2 * 1 / (2 + 2), "person": 2 * 1 / (1 + 2)})
    assert kind_f1(truth, answers, strict=True) == pytest.approx({"group": 0, "person": 2 / 3})
    assert kind_f1(truth, [["O"] * 4] * 2) == {"group": 0, "person": 0} and kind_f1([["O"]], [["O"]]) == {}
    with pytest.raises(ValueError):
        token_f1(truth, [answers[0][:2], answers[1]])
