"""load_sms: reading, repair, duplicates and splits, on small files and on the real collection."""

import csv

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_class_weight

from course_utils.assets import store
from course_utils.datasets import fold, load_sms, mark_duplicates, messages, repair_text

SPLITS = ["train", "validation", "test"]


@pytest.fixture
def standin(tmp_path, monkeypatch):
    """A function that writes rows to a stand-in of our own and makes the store find it."""

    def write(rows, header=("text", "label", "kind")):
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        with (folder / "sms_standin.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, *rows])
        monkeypatch.setattr(store, "data_folder", lambda: folder)

    return write


def rows(ham=70, spam=30):
    words = ["tea", "rain", "bus", "exam", "pub", "film", "lunch", "keys", "dog", "sister"]
    return [
        (
            f"{words[i % 10]} {words[i // 10 % 10]} {'WIN CASH' if i < spam else 'see you'} {i * 7919}",
            "spam" if i < spam else "ham",
            "x",
        )
        for i in range(ham + spam)
    ]


# The repair


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("it&lt;#&gt; pounds", "it<#> pounds"),
        ("T&amp;Cs", "T&Cs"),
        ("twice: &amp;lt;", "twice: &lt;"),
        ("I\x92m in\x85 \x80" + "5", "I’m in… €5"),
        ("a number: &#163;5, &#x20AC;5, &#146;", "a number: £5, €5, ’"),
        ("undefined in Windows-1252: \x81\x8d", "undefined in Windows-1252: \x81\x8d"),
        (
            "bed&breakfast R&Regards &pound50 &nosuch; Ã¼ £ é",
            "bed&breakfast R&Regards &pound50 &nosuch; Ã¼ £ é",
        ),
    ],
)
def test_repair(raw, text):
    assert repair_text(raw) == text


@given(st.text())
def test_repair_never_fails_and_leaves_no_windows_controls(text):
    repaired = repair_text(text)
    assert not {"\x80", "\x92", "\x96", "\x85"} & set(repaired)


@given(st.text(alphabet=st.characters(exclude_characters="&", exclude_categories=["Cs", "Cc"])))
def test_repair_leaves_plain_text_alone(text):
    assert repair_text(text) == text


@given(st.text(alphabet="ab &;#lt\x92gamp"))
def test_repair_is_idempotent_where_no_entity_is_left(text):
    repaired = repair_text(text)
    if not messages._ENTITY.search(repaired):
        assert repair_text(repaired) == repaired


def test_fold():
    assert fold(" See\u00a0YOU \t there\n") == fold("see you there")


# Duplicates


def test_duplicates_are_marked_from_the_second_on():
    long = "Call 09061234567 now to claim your prize of 1000 pounds cash, offer ends tonight"
    raw = pd.Series(
        [
            "Ok",
            "Ok",
            "ok ",
            long,
            long.replace("09061234567", "08000000000"),
            long + "!!",
            "Other text altogether",
            "No",
            "Ok",
        ]
    )
    assert mark_duplicates(raw, raw).tolist() == ["", "exact", "near", "", "near", "near", "", "", "exact"]


def test_near_duplicates_are_those_of_the_definition():
    """The sparse computation against the definition, pair by pair."""
    rng = np.random.default_rng(0)
    base = ["".join(rng.choice(list("abcde "), 60)) for _ in range(20)]
    texts = list(base)
    for text in base:
        for changes in (1, 2, 3, 4):
            letters = list(text)
            for place in rng.choice(60, changes, replace=False):
                letters[place] = "z"
            texts.append("".join(letters))
    folded = [fold(text) for text in texts]
    grams = [{text[i : i + 5] for i in range(len(text) - 4)} for text in folded]

    def is_near(i):
        return any(
            folded[i] == folded[j] or len(grams[i] & grams[j]) >= 0.8 * len(grams[i] | grams[j])
            for j in range(i)
        )

    expected = ["near" if is_near(i) else "" for i in range(len(texts))]
    series = pd.Series(texts)
    assert 10 < expected.count("near") < 80
    assert mark_duplicates(series, series).tolist() == expected


# The frame


def test_the_stand_in_has_the_same_columns_and_splits(standin):
    standin([*rows(), ("it&lt;#&gt;", "ham", "x"), ("IT<#>", "ham", "x")])
    seed, clean = load_sms("seed"), load_sms("clean")
    assert list(clean.columns) == ["text", "label", "split", "raw_text", "duplicate"]
    assert clean["label"].dtype == np.int64 and clean["label"].sum() == 30
    assert (clean.attrs["origin"], clean.attrs["real"]) == ("stand-in", False)
    assert (
        clean["text"].iloc[-2:].tolist() == ["it<#>", "IT<#>"] and clean["raw_text"].iloc[-2] == "it&lt;#&gt;"
    )
    assert clean["duplicate"].iloc[-1] == "near"
    assert clean["split"].eq("unused").sum() == 1 and clean["split"].iloc[-1] == "unused"
    assert seed["split"].value_counts().to_dict() == {"train": 71, "validation": 15, "test": 16}
    clean.loc[0, "text"] = "changed by a student"
    assert load_sms("clean")["text"].iloc[0] != "changed by a student"


def test_the_shipped_stand_in_loads():
    frame = load_sms()
    assert frame.attrs["origin"] == "stand-in" and len(frame) >= 1800
    assert set(frame["split"]) == set(SPLITS)  # no two alike, so nothing is unused


def test_a_changed_file_is_read_again(standin):
    standin(rows())
    assert len(load_sms()) == 100
    standin(rows(ham=80))
    assert len(load_sms()) == 110


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "random"}, "clean, seed"),
        ({"seed": -1}, "whole number"),
        ({"seed": 1.5}, "whole number"),
        ({"seed": True}, "whole number"),
        ({"profile": "fast"}, "no profile"),
    ],
)
def test_wrong_arguments(arguments, message, standin):
    standin(rows())
    with pytest.raises(ValueError, match=message):
        load_sms(**arguments)


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        ([*rows(), ("hello", "maybe", "x")], ("text", "label", "kind"), "line 102.*ham or spam"),
        ([*rows(), ("  ", "ham", "x")], ("text", "label", "kind"), "line 102"),
        ([*rows(), ("hello",)], ("text", "label", "kind"), "line 102"),
        (rows(), ("message", "label", "kind"), "columns text and label"),
        ([], ("text", "label", "kind"), "0 ham and 0 spam"),
        (rows(spam=3), ("text", "label", "kind"), "at least ten"),
    ],
)
def test_malformed_stand_ins(lines, header, message, standin):
    standin(lines, header)
    with pytest.raises(ValueError, match=message):
        load_sms()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("ham\tfine\nspam no tab\n", "line 2"),
        ("ham\tfine\neggs\tno\n", "line 2"),
        ("ham\tfine\n\nham\tfine\n", "line 2"),
        ("ham\t \n", "line 1"),
    ],
)
def test_malformed_collections(content, message, tmp_path):
    path = tmp_path / "SMSSpamCollection"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        messages._read_sms(path, 0, len(content))


def test_a_quotation_mark_swallows_nothing(tmp_path):
    lines = ['ham\t"Keep smiling', "ham\tSee you\x85 later", 'spam\tWIN" now', "ham\tOk"]
    path = tmp_path / "SMSSpamCollection"
    path.write_text(
        "\n".join(lines + [f"{name}\tmore {i}" for name in ("ham", "spam") for i in range(10)]) + "\n"
    )
    frame, swallowed = messages._read_sms(path, 0, path.stat().st_size)
    assert frame["label"].tolist()[:4] == [0, 0, 1, 0] and len(frame) == 24
    assert frame["raw_text"].tolist()[:2] == ['"Keep smiling', "See you\x85 later"]
    assert swallowed.tolist() == [False, True, True, False] + [False] * 20


# The real collection


def test_the_real_collection(mirror):
    messages._read_sms.cache_clear()
    frame = load_sms(profile="laptop")
    assert len(frame) == 5574 and frame["label"].value_counts().to_dict() == {0: 4827, 1: 747}
    assert (frame.attrs["origin"], frame.attrs["real"]) == ("mirror", True)
    assert frame["raw_text"].nunique() == 5171
    assert frame["duplicate"].value_counts()["exact"] == 403
    assert (
        frame["raw_text"].str.contains("&lt;#&gt;").any()
        and not frame["text"].str.contains("&lt;|&amp;").any()
    )
    assert (
        frame["raw_text"].str.contains("\x92").any() and not frame["text"].str.contains("[\x80-\x9f]").any()
    )


def test_the_seed_split_is_the_tutorials(mirror):
    frame = load_sms("seed", profile="laptop")
    assert frame["split"].value_counts().to_dict() == {
        "train": 3900,
        "validation": 836,
        "test": 836,
        "unused": 2,
    }
    labels = frame.loc[frame["split"] == "train", "label"]
    weights = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    assert weights.round(3).tolist() == [0.577, 3.728]
    # The two are the ones that a CSV reader with quoting on loses.
    quoted = pd.read_csv(
        mirror / "sms-spam" / "SMSSpamCollection", sep="\t", header=None, names=["label", "text"]
    )
    assert len(quoted) == 5572
    lost = frame.index[frame["split"] == "unused"]
    kept = frame.drop(index=lost)
    assert (kept["label"].to_numpy() == (quoted["label"] == "spam").to_numpy()).all()
    # Quotation marks apart, which that reader drops, only the message that swallowed them differs.
    bare = [frame.str.replace('"', "").to_numpy() for frame in (kept["raw_text"], quoted["text"])]
    assert (bare[0] != bare[1]).sum() == 1
    # The tutorial's own two calls on that reader's frame choose the same rows.
    train, rest = train_test_split(quoted, random_state=2018, test_size=0.3, stratify=quoted["label"])
    validation, test = train_test_split(rest, random_state=2018, test_size=0.5, stratify=rest["label"])
    for name, rows in (("train", train), ("validation", validation), ("test", test)):
        ours = np.flatnonzero(kept["split"] == name)
        assert ours.tolist() == sorted(rows.index)


def test_the_clean_split_has_no_message_twice(mirror):
    frame = load_sms(profile="laptop")
    used = frame[frame["split"] != "unused"]
    assert not used["text"].map(fold).duplicated().any() and not (used["duplicate"] == "exact").any()
    assert set(used["split"]) == set(SPLITS)
    overall = used["label"].mean()
    for name, share in zip(SPLITS, (0.70, 0.15, 0.15), strict=True):
        part = used[used["split"] == name]
        assert abs(len(part) / len(used) - share) < 0.001
        assert abs(part["label"].mean() - overall) < 0.005


def test_seeds_give_other_splits_of_the_same_messages(mirror):
    frames = [load_sms(seed=seed, profile="laptop") for seed in (0, 0, 1)]
    assert frames[0].equals(frames[1])
    assert not frames[0]["split"].equals(frames[2]["split"])
    assert (frames[0]["split"] == "unused").equals(frames[2]["split"] == "unused")
