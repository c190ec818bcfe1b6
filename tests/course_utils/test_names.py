"""load_entities: messages with the names in them marked, from small files, the stand-in and the real data."""

from collections import defaultdict

import pandas as pd
import pytest

from course_utils.assets import store
from course_utils.datasets import NAME_TYPES, load_entities
from course_utils.datasets.names import _TAGS, _read_tagged

SPLITS = ["train", "validation", "test"]


@pytest.fixture
def messages(tmp_path, monkeypatch):
    """A function that makes a text the stand-in of the names, and returns its path."""

    def write(text):
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        (folder / "names_standin.conll").write_text(text, encoding="utf-8", newline="")
        monkeypatch.setattr(store, "data_folder", lambda: folder)
        return folder / "names_standin.conll"

    return write


def check_tags(frame):
    """What holds of every frame of tagged messages."""
    assert list(frame.columns) == ["tokens", "tags", "split"] and frame.index.equals(
        pd.RangeIndex(len(frame))
    )
    assert set(frame["split"]) == set(SPLITS)
    allowed = {"O"} | {f"{place}-{kind}" for place in "BI" for kind in NAME_TYPES}
    for tokens, tags in zip(frame["tokens"], frame["tags"], strict=True):
        assert len(tokens) == len(tags) > 0 and set(tags) <= allowed
        assert all(token == token.strip() != "" for token in tokens)
        for before, tag in zip(["O", *tags], tags, strict=False):
            assert not tag.startswith("I-") or before[1:] == tag[1:]
    texts = frame["tokens"].map(tuple)
    for split in ("validation", "test"):
        assert not texts[frame["split"] == "train"].isin(set(texts[frame["split"] == split])).any()


def test_the_shipped_names():
    frame = load_entities()
    check_tags(frame)
    assert (frame.attrs["origin"], frame.attrs["real"]) == ("stand-in", False)
    assert (
        len(frame) >= 400
        and not frame["tokens"].map(lambda tokens: " ".join(tokens).lower()).duplicated().any()
    )
    assert frame.equals(load_entities())
    shares = frame["split"].value_counts(normalize=True)
    for split, share in zip(SPLITS, (0.60, 0.15, 0.25), strict=True):
        assert abs(shares[split] - share) < 0.005
    assert 0.35 < frame["tags"].map(lambda tags: set(tags) == {"O"}).mean() < 0.45
    for split in SPLITS:  # every type can be learnt and is asked for
        types = {tag[2:] for tags in frame.loc[frame["split"] == split, "tags"] for tag in tags} - {""}
        assert types == set(NAME_TYPES)


def test_many_of_the_shipped_names_are_plain_words_elsewhere():
    """What the data set is for: the same string as a name in one message and as none in another."""
    named, plain = defaultdict(set), defaultdict(set)
    for row, (tokens, tags) in enumerate(
        zip(*(load_entities()[name] for name in ("tokens", "tags")), strict=True)
    ):
        for token, tag in zip(tokens, tags, strict=True):
            (plain if tag == "O" else named)[token].add(row)
    assert sum(len(named[token] | plain[token]) > 1 for token in set(named) & set(plain)) >= 60


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\t\n \n", "is empty"),
        ("Kim\tB-person\nsings O\n", "line 2"),
        ("ok\tO\n\nKim\tB-persona\n", "line 3"),
        ("ok\tO\nKim\tperson\n", "line 2"),
        ("ok\tO\nKim\t\n", "line 2"),
        ("ok\tO\n\tO\n", "line 2"),
        ("ok\tO\tO\n", "line 1"),
        ("ok\tO\nKim\tI-person\n", "line 2: I-person continues no name"),
        ("Kim\tB-person\n\nBo\tI-person\n", "line 3: I-person continues no name"),
        ("Kim\tB-person\nBo\tI-group\n", "line 2: I-group continues no name"),
    ],
)
def test_malformed_tags(text, message, messages):
    path = messages(text)
    with pytest.raises(ValueError, match=message) as error:
        load_entities()
    assert str(path) in str(error.value)


def test_tags_in_another_encoding_are_named(messages):
    path = messages("ok\tO\n")
    path.write_bytes("Käse\tO\n".encode("cp1252"))
    with pytest.raises(ValueError, match="is not in UTF-8") as error:
        load_entities()
    assert str(path) in str(error.value)


@pytest.mark.parametrize("blank", ["\n", "\t\n", " \t \n", "\n\n\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n", "\n\t\n"])
def test_messages_are_parted_by_lines_of_white_space(blank, end, messages):
    path = messages(f"Kim\tB-person\nBo\tI-person\n{blank}a\x85b\tO{end}")
    assert _read_tagged(path, _TAGS) == [
        (["Kim", "Bo"], ["B-person", "I-person"]),
        (["a\x85b"], ["O"]),
    ]


def test_the_real_names(mirror, monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "laptop")
    if not (mirror / "wnut17").is_dir():
        pytest.skip("needs wnut17 in COURSE_MIRROR")
    frame = load_entities()
    check_tags(frame)
    assert (frame.attrs["origin"], frame.attrs["real"]) == ("mirror", True)
    assert frame["split"].tolist() == ["train"] * 3394 + ["validation"] * 1009 + ["test"] * 1287
    names = frame.assign(names=frame["tags"].map(lambda tags: sum(tag[0] == "B" for tag in tags)))
    assert names.groupby("split")["names"].sum().to_dict() == {"train": 1975, "validation": 836, "test": 1079}
    assert frame["tokens"].map(len).groupby(frame["split"]).max().to_dict() == {
        "train": 41,
        "validation": 82,
        "test": 105,
    }


def test_the_traps_of_the_real_names(mirror, monkeypatch):
    """What is true of the training file."""
    monkeypatch.setenv("COURSE_PROFILE", "laptop")
    if not (mirror / "wnut17").is_dir():
        pytest.skip("needs wnut17 in COURSE_MIRROR")
    text = (mirror / "wnut17" / "wnut17train.conll").read_text(encoding="utf-8")
    assert text.count("\n\t\n") == 2394
    frame = load_entities().query("split == 'train'")
    texts = frame["tokens"].map(tuple)
    assert texts.duplicated().sum() == 103
    assert (frame["tags"].map(tuple).groupby(texts).nunique() > 1).sum() == 11
