"""load_sms: reading, repair, duplicates and splits, on small files and on the real collection."""

import csv
import time
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_class_weight

from course_utils import datasets
from course_utils.assets import AssetError, Resolved, store
from course_utils.datasets import (
    NAME_TYPES,
    fold,
    load_entities,
    load_language,
    load_sms,
    mark_duplicates,
    repair_text,
)

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
    if not datasets._ENTITY.search(repaired):
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
        datasets._read_sms(path, 0, len(content))


def test_a_quotation_mark_swallows_nothing(tmp_path):
    lines = ['ham\t"Keep smiling', "ham\tSee you\x85 later", 'spam\tWIN" now', "ham\tOk"]
    path = tmp_path / "SMSSpamCollection"
    labels, raw, swallowed = datasets._parse_lines(path, "\n".join(lines) + "\n")
    assert labels == [0, 0, 1, 0] and raw[0] == '"Keep smiling' and raw[1] == "See you\x85 later"
    assert swallowed.tolist() == [False, True, True, False]


# The real collection


def test_the_real_collection(mirror):
    datasets._read_sms.cache_clear()
    begin = time.perf_counter()
    frame = load_sms(profile="laptop")
    assert time.perf_counter() - begin < 10  # about 1.5 s; room for a busy machine
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


# Names in messages


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
        found = {tag[2:] for tags in frame.loc[frame["split"] == split, "tags"] for tag in tags} - {""}
        assert found == set(NAME_TYPES)


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


@pytest.mark.parametrize("blank", ["\n", "\t\n", " \t \n", "\n\n\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n", "\n\t\n"])
def test_messages_are_parted_by_lines_of_white_space(blank, end, messages):
    path = messages(f"Kim\tB-person\nBo\tI-person\n{blank}a\x85b\tO{end}")
    assert datasets._read_tagged(path) == [
        (["Kim", "Bo"], ["B-person", "I-person"]),
        (["a\x85b"], ["O"]),
    ]


def test_a_training_message_that_is_asked_for_again_is_left_out(messages):
    messages("".join(f"word{i % 50}\tO\n\n" for i in range(100)))
    frame = load_entities()
    check_tags(frame)
    asked = frame["split"] != "train"
    assert asked.sum() == 40 and len(frame) < 100
    assert set(frame["tokens"].map(tuple)) == {
        (f"word{i}",) for i in range(50)
    }  # dropped, but never both copies


def test_the_real_names(mirror):
    if not (mirror / "wnut17").is_dir():
        pytest.skip("needs wnut17 in COURSE_MIRROR")
    frame = load_entities("laptop")
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


def test_the_traps_of_the_real_names(mirror):
    """What the docstring says of the training file."""
    if not (mirror / "wnut17").is_dir():
        pytest.skip("needs wnut17 in COURSE_MIRROR")
    text = (mirror / "wnut17" / "wnut17train.conll").read_text(encoding="utf-8")
    assert text.count("\n\t\n") == 2394
    frame = load_entities("laptop").query("split == 'train'")
    texts = frame["tokens"].map(tuple)
    assert texts.duplicated().sum() == 103
    assert (frame["tags"].map(tuple).groupby(texts).nunique() > 1).sum() == 11


# Languages of long suffixes


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A function that makes some files those of every asset."""

    def write(**contents):
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
        found = Resolved("toy", tmp_path, "mirror", tuple(contents), "CC0", "Nobody.")
        monkeypatch.setattr(datasets, "resolve", lambda name, profile=None: found)

    return write


def test_turkish_has_two_letters_i(files):
    first = "# text = IŞIK İstanbul’da, ılık!\n1\tIşık\t_\n\n# text = 1990\n1\t1990\t_\n\n"
    files(dev=first.encode(), test="# sent_id = 1\n# text = Iğdır İzmir\n".encode())
    assert load_language("turkish").words == [["ışık", "istanbul'da", "ılık"], ["ığdır", "izmir"]]


def test_a_treebank_without_sentences_is_refused(files):
    files(dev=b"1\tword\t_\n", test=b"# text =\n")
    with pytest.raises(ValueError, match="no line begins with"):
        load_language("turkish")


def test_finnish_is_read_as_latin_1_and_across_its_lines(files):
    files(**{"finnish.txt": "Maa oli\nautio ja tyhjä.  Jumala\nsanoi: Ääni!\n".encode("latin-1")})
    corpus = load_language("finnish")
    assert corpus.sentences == ["Maa oli autio ja tyhjä.", "Jumala sanoi: Ääni!"]
    assert corpus.words[1] == ["jumala", "sanoi", "ääni"]


def test_a_language_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="finnish, english-genesis or turkish, not 'swahili'"):
        load_language("swahili")
    for name in ("finnish", "turkish"):  # profile ci
        with pytest.raises(AssetError, match="COURSE_PROFILE=laptop"):
            load_language(name)


@pytest.mark.parametrize(
    ("name", "sentences", "words", "different", "some"),
    [
        ("finnish", 2121, 26_554, 6385, ["alussa", "jumala", "loi", "taivaan", "ja", "maan"]),
        ("english-genesis", 2212, 36_041, 2500, ["in", "the", "beginning", "god", "created", "the"]),
        ("turkish", 1958, 19_730, 10_300, ["fakülteyi", "bitirenler", "en", "uçtan", "göreve"]),
    ],
)
def test_the_real_languages(mirror, name, sentences, words, different, some):
    if not {"genesis", "ud-turkish-boun"} <= {path.name for path in mirror.iterdir()}:
        pytest.skip("needs genesis and ud-turkish-boun in COURSE_MIRROR")
    corpus = load_language(name, profile="laptop")
    flat = [word for sentence in corpus.words for word in sentence]
    assert (len(corpus.sentences), len(flat), len(set(flat))) == (sentences, words, different)
    assert corpus.words[0][: len(some)] == some and corpus.origin == "mirror"
    assert "i\u0307" not in "".join(flat) and max(map(len, corpus.words)) < 120
