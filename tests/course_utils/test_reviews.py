"""load_reviews: reading, splits and what is kept out of them, on small files, stand-in and real data."""

import csv
import re
from difflib import SequenceMatcher

import numpy as np
import pandas as pd
import pytest

from course_utils.assets import store
from course_utils.datasets import load_minimal_pairs, load_reviews, reviews
from course_utils.datasets.messages import letters

SPLITS = {"train": 0.70, "validation": 0.15, "test": 0.15}


@pytest.fixture
def standin(tmp_path, monkeypatch):
    """A function that writes rows to a stand-in of our own and makes the store find it."""

    def write(rows, header=("text", "label", "kind")):
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        with (folder / "reviews_standin.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, *rows])
        monkeypatch.setattr(store, "data_folder", lambda: folder)

    return write


def rows(positive=50, negative=50):
    return [(f"film {i} is a joy .", "positive", "x") for i in range(positive)] + [
        (f"film {i} , sadly , is not .", "negative", "x") for i in range(negative)
    ]


def check(frame):
    """What holds of every frame of reviews."""
    assert list(frame.columns) == ["text", "label", "split"]
    assert frame.index.equals(pd.RangeIndex(len(frame)))
    assert frame["label"].dtype == np.int64 and set(frame["label"]) == {0, 1}
    used = frame[frame["split"] != "unused"]
    letters = used["text"].map(lambda text: re.sub(r"[\W_]", "", text.casefold()))
    assert not letters.duplicated().any()
    assert letters.str.len().gt(0).all() and (used["text"] == used["text"].str.strip()).all()
    assert set(used["split"]) == set(SPLITS)
    for name, share in SPLITS.items():
        part = used[used["split"] == name]
        assert abs(len(part) - share * len(used)) <= 1
        assert abs(part["label"].sum() - used["label"].mean() * len(part)) <= 1
    # The rows are mixed: a sample from the top is not of one label.
    assert 0.3 < frame["label"].head(50).mean() < 0.7
    assert {"origin", "real", "licence", "citation"} <= set(frame.attrs)


def test_the_shipped_stand_in():
    frame = load_reviews()
    check(frame)
    assert (frame.attrs["origin"], frame.attrs["real"]) == ("stand-in", False)
    assert len(frame) >= 640 and frame["label"].mean() == 0.5
    assert not (frame["split"] == "unused").any()


def test_seeds_give_other_splits_of_the_same_sentences():
    one, again, other = (load_reviews(seed=seed) for seed in (0, 0, np.int64(1)))
    assert one.equals(again)
    assert one["text"].equals(other["text"]) and not one["split"].equals(other["split"])


def test_a_sentence_that_comes_back_in_another_dress_is_unused(standin):
    standin([*rows(), ("Film 3 is a JOY!", "positive", "x"), ('"film 7" sadly is not', "negative", "x")])
    for seed in range(3):
        frame = load_reviews(seed=seed)
        check(frame)
        assert len(frame) == 102 and (frame["split"] == "unused").sum() == 2


def test_the_frame_belongs_to_the_caller(standin):
    standin(rows())
    frame = load_reviews()
    frame.loc[0, "text"] = "changed by a student"
    assert load_reviews()["text"].iloc[0] != "changed by a student"
    standin(rows(positive=60))
    assert len(load_reviews()) == 110  # a changed file is read again


@pytest.mark.parametrize("seed", [-1, 1.5, True, "0", None])
def test_wrong_seeds(seed, standin):
    standin(rows())
    with pytest.raises(ValueError, match="whole number"):
        load_reviews(seed=seed)


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        ([*rows(), ("fine .", "good", "x")], ("text", "label", "kind"), "line 102.*negative or positive"),
        ([*rows(), ("  ", "positive", "x")], ("text", "label", "kind"), "line 102"),
        ([*rows(), (" . . . ", "positive", "x")], ("text", "label", "kind"), "line 102"),
        ([*rows(), ("fine .",)], ("text", "label", "kind"), "line 102"),
        (rows(), ("sentence", "label", "kind"), "columns text and label"),
        ([], ("text", "label", "kind"), "0 positive and 0 negative"),
        (rows(negative=9), ("text", "label", "kind"), "50 positive and 9 negative.*at least ten"),
    ],
)
def test_malformed_stand_ins(lines, header, message, standin):
    standin(lines, header)
    with pytest.raises(ValueError, match=message):
        load_reviews()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("good .\n\nfine .\n", "line 2: expected a sentence, found ''"),
    ],
)
def test_malformed_files(content, message, tmp_path):
    (tmp_path / "rt-polarity.pos").write_text(content)
    with pytest.raises(ValueError, match=message):
        list(reviews._read(tmp_path / "rt-polarity.pos"))


def test_a_file_of_the_real_kind_is_labelled_by_its_name_and_repaired(tmp_path):
    for name in ("pos", "neg"):
        lines = 'dull \x96 or " is it\x85 ? \nfine , fine . \n'
        (tmp_path / f"rt-polarity.{name}").write_text(lines, encoding="utf-8")
    texts = ['dull – or " is it… ?', "fine , fine ."]
    assert list(reviews._read(tmp_path / "rt-polarity.pos")) == [(text, 1) for text in texts]
    assert list(reviews._read(tmp_path / "rt-polarity.neg")) == [(text, 0) for text in texts]


def test_the_real_sentences(mirror):
    if not (mirror / "sentence-polarity").is_dir():
        pytest.skip("needs sentence-polarity in COURSE_MIRROR")
    frame = load_reviews(profile="laptop")
    check(frame)
    assert (frame.attrs["origin"], frame.attrs["real"]) == ("mirror", True)
    assert frame["label"].value_counts().to_dict() == {0: 5331, 1: 5331}
    assert (frame["split"] == "unused").sum() == 2
    assert not frame["text"].str.contains("[\x80-\x9f]").any()
    # Lecture 13a: how often a sentence with such a word is against its film.
    against = {
        word: 1 - frame["label"][frame["text"].str.contains(rf"(?i)\b{word}\b")].mean()
        for word in ("not", "never", "no")
    }
    assert {word: round(100 * share) for word, share in against.items()} == {"not": 54, "never": 57, "no": 67}


def test_fewer_sentences_for_training_are_drawn_evenly_and_the_test_stays():
    whole, few, others = load_reviews(), load_reviews(train=100), load_reviews(train=100, seed=1)
    drawn = few[few["split"] == "train"]
    assert drawn["label"].value_counts().to_dict() == {0: 50, 1: 50}
    assert (whole.loc[drawn.index, "split"] == "train").all()
    rest = whole["split"] != "train"
    assert few.loc[rest, "split"].equals(whole.loc[rest, "split"])
    assert set(others.index[others["split"] == "train"]) != set(drawn.index)
    assert load_reviews(train=10**6).equals(whole)


@pytest.mark.parametrize("train", [0, -2, 3, 2.5])
def test_a_number_of_sentences_that_cannot_be_halved(train):
    with pytest.raises(ValueError, match="even number"):
        load_reviews(train=train)


def test_minimal_pairs_differ_in_one_word_and_nowhere_else():
    pairs = load_minimal_pairs()
    assert list(pairs.columns) == ["kind", "positive", "negative"] and len(pairs) == 48
    assert set(pairs["kind"].value_counts()) == {12}
    assert not pd.concat([pairs["positive"], pairs["negative"]]).duplicated().any()
    for one, other in zip(pairs["positive"].str.split(), pairs["negative"].str.split(), strict=True):
        changes = [op for op in SequenceMatcher(None, one, other, False).get_opcodes() if op[0] != "equal"]
        ((_, a, b, c, d),) = changes
        assert max(b - a, d - c) == 1, f"{one} | {other}"


def test_minimal_pairs_are_in_no_review():
    ours = load_minimal_pairs()
    said = letters(pd.concat([ours["positive"], ours["negative"]]))
    assert not said.isin(letters(load_reviews()["text"])).any()
