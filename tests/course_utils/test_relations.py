"""Relations between words, ratings, senses: from files to frames."""

import pytest

from course_utils.assets import store
from course_utils.datasets import (
    load_analogies,
    load_glove,
    load_senses,
    load_similarities,
    load_sms,
    relations,
)
from course_utils.text import split_words


def test_the_analogies_are_googles():
    questions = load_analogies()
    assert questions["kind"].value_counts().to_dict() == {"syntactic": 10_675, "semantic": 8_869}
    assert questions.iloc[0].to_list() == [
        "capital-common-countries", "semantic", "athens", "greece", "baghdad", "iraq",
    ]  # fmt: skip
    assert questions["section"].nunique() == 14


@pytest.mark.parametrize(("name", "pairs"), [("wordsim-353", 353), ("simlex-999", 999)])
def test_the_ratings_are_complete(name, pairs):
    frame = load_similarities(name)
    assert len(frame) == pairs and frame["rating"].between(0, 10).all()
    assert not frame.isna().any(axis=None) and (frame["one"] == frame["one"].str.lower()).all()


def test_only_the_two_tests_are_known():
    with pytest.raises(ValueError, match="wordsim-353 or simlex-999"):
        load_similarities("men")


def test_glove_is_whole_and_in_order_of_frequency():
    vectors = load_glove()
    assert len(vectors) == 400_000 and vectors.matrix.shape[1] == 50 and vectors.words[0] == "the"
    assert vectors.neighbours("frog", 3)[0][0] in {"toad", "snake", "ape", "frogs"}


def test_senses_are_marked_balanced_and_all_different():
    senses = load_senses()
    counts = senses.groupby(["word", "sense"]).size()
    assert counts.index.get_level_values("word").nunique() >= 24
    assert counts.groupby("word").size().between(2, 3).all() and (counts >= 15).all()
    assert {"stick", "bank"} <= set(senses["word"])
    assert not senses["sentence"].str.lower().duplicated().any()
    for row in senses.itertuples():
        assert row.sentence[row.start : row.end] == row.word
        assert split_words(row.sentence).count(row.word) == 1


def test_static_vectors_cannot_tell_senses_apart_by_construction():
    """The word stands in the same form in all its sentences, so its static vector is the same in all of them."""
    senses = load_senses()
    forms = senses.apply(lambda row: row.sentence[row.start : row.end], axis=1)
    assert (forms.groupby(senses["word"]).nunique() == 1).all()


@pytest.mark.parametrize("sentence", ["no mark", "the [sticks] fell", "a [stick] and a [stick]", "a [stick"])
def test_a_sentence_that_does_not_mark_its_word_is_refused_by_line(tmp_path, monkeypatch, sentence):
    (tmp_path / "senses.csv").write_text(
        f'word,sense,sentence\nstick,wood,a [stick]\nstick,wood,"{sentence}"\n', encoding="utf-8"
    )
    monkeypatch.setattr(relations, "data_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"line 3: the sentence must hold \[stick\] once"):
        load_senses()


# What a spreadsheet makes of a file


SAVED = {
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "Windows-1252": lambda text: text.encode("cp1252"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "other headings": lambda text: text.replace("word", "Spalte1").replace("text", "Spalte1").encode(),
    "a column too many": lambda text: (text + 'a,b,c,d,"e, f"\n').encode(),
    "empty": lambda text: b"",
}
HARMLESS = {
    "a byte order mark": lambda text: text.encode("utf-8-sig"),
    "line ends of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "line ends of an old Mac": lambda text: text.replace("\n", "\r").encode(),
    "quoted": lambda text: "\n".join(
        ",".join(f'"{cell}"' for cell in row.split(",")) for row in text.split("\n")[:-1]
    ).encode(),
}
FILES = {
    "senses.csv": (load_senses, "word,sense,sentence\nbank,river,the bänk [bank]\nbank,money,a [bank]\n"),
    "sms_standin.csv": (
        load_sms,
        "text,label\n" + "".join(f"drüben {i},ham\nwin {i},spam\n" for i in range(12)),
    ),
}


@pytest.fixture(params=FILES)
def csv_file(request, tmp_path, monkeypatch):
    """The path of a CSV file of the course, how it is read, and its text."""
    load, text = FILES[request.param]
    monkeypatch.setattr(store if load is load_sms else relations, "data_folder", lambda: tmp_path)
    return tmp_path / request.param, load, text


@pytest.mark.parametrize("saved", SAVED)
def test_a_file_that_a_spreadsheet_saved_is_named_with_what_to_do(csv_file, saved):
    path, load, text = csv_file
    path.write_bytes(SAVED[saved](text))
    with pytest.raises(ValueError) as error:
        load()
    assert str(path) in str(error.value)
    assert "UTF-8, or take the course's own again" in str(error.value) or saved == "empty"


@pytest.mark.parametrize("saved", HARMLESS)
def test_what_changes_nothing_is_read_as_before(csv_file, saved):
    path, load, text = csv_file
    path.write_bytes(text.encode())
    before = load()
    path.write_bytes(HARMLESS[saved](text))
    assert load().equals(before)


def test_an_empty_row_at_the_end_is_refused_by_line(tmp_path, monkeypatch):
    (tmp_path / "senses.csv").write_text("word,sense,sentence\nstick,wood,a [stick]\n,,\n", encoding="utf-8")
    monkeypatch.setattr(relations, "data_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match="line 3"):
        load_senses()
