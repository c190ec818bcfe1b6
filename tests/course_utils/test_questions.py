"""load_questions: reading, offsets and splits by passage, on small files, the stand-in and real data."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from course_utils.assets import AssetError, Resolved
from course_utils.datasets import load_questions, questions
from course_utils.datasets.messages import letters

DATA = Path(__file__).parents[2] / "data"
UNANSWERED = {"question": "Why?", "answers": [], "is_impossible": True}


def asked(question, *answers):
    entry = {"question": question, "answers": [{"text": t, "answer_start": s} for t, s in answers]}
    return entry if answers else entry | {"is_impossible": True}


def squad(*passages):
    """Passages, each with its questions, as the text of a file."""
    paragraphs = [{"context": text, "qas": entries} for text, entries in passages]
    return json.dumps({"data": [{"title": "T", "paragraphs": paragraphs}]})


def towns(first, last, note=""):
    return squad(
        *(
            (f"{note}Town {n} has mills.", [asked("Which?", (str(n), 5 + len(note)))])
            for n in range(first, last)
        )
    )


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A function that makes some files the asset's, real ones unless they are the stand-in's."""

    def write(real=True, **contents):
        for name, content in contents.items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        asked_for = []
        resolved = Resolved("toy", tmp_path, "mirror" if real else "stand-in", tuple(contents), "CC0", "N.")
        monkeypatch.setattr(questions, "resolve", lambda name, **_: asked_for.append(name) or resolved)
        return asked_for

    return write


def check(frame):
    """What holds of every frame: answers stand where they start, and no passage is in two splits."""
    assert list(frame.columns) == ["question", "context", "answers", "starts", "group", "split"]
    assert frame["group"].dtype == "int64" and frame["context"].nunique() == frame["group"].nunique()
    assert set(frame["split"]) == {"train", "validation", "test"}
    assert frame.groupby("context")["split"].nunique().max() == 1
    for row in frame.itertuples():
        assert isinstance(row.answers, tuple) and isinstance(row.starts, tuple)
        for text, start in zip(row.answers, row.starts, strict=True):
            assert row.context[start : start + len(text)] == text


# Splits


def test_the_shipped_stand_in():
    frame = load_questions()
    check(frame)
    assert frame.attrs["real"] is False and frame.attrs["licence"] == "CC BY 4.0"
    assert frame.equals(load_questions()) and not frame["split"].equals(load_questions(seed=1)["split"])
    assert frame.equals(load_questions(profile="ci"))


def test_of_the_passages_15_percent_are_for_validation_and_15_for_testing(files):
    files(**{"xquad.en.json": towns(0, 40)})
    for seed in range(3):
        frame = load_questions(profile="laptop", seed=seed)
        check(frame)
        assert frame["split"].value_counts().to_dict() == {"train": 28, "validation": 6, "test": 6}


def test_a_passage_that_stands_in_the_file_twice_is_one_group(files):
    double = [(f"Town {n % 20} has mills.", [asked("Which?", (str(n % 20), 5))]) for n in range(40)]
    files(**{"xquad.en.json": squad(*double)})
    frame = load_questions(profile="laptop")
    check(frame)
    assert frame["group"].tolist() == [*range(20)] * 2


def test_profile_gpu_reads_squad_and_keeps_its_development_file_for_testing(files):
    asked_for = files(**{"train-v1.1.json": towns(0, 100), "dev-v1.1.json": towns(100, 120)})
    frame = load_questions(profile="gpu")
    check(frame)
    assert frame["split"].tolist()[100:] == ["test"] * 20
    counts = frame["split"][:100].value_counts()
    assert counts["validation"] + counts["train"] == 100 and 8 <= counts["validation"] <= 22
    files(**{"xquad.tr.json": towns(0, 20)})
    load_questions(profile="gpu", language="tr")
    assert asked_for == ["squad"]


def test_the_language_says_which_file(files):
    asked_for = files(**{f"xquad.{name}.json": towns(0, 20, f"{name} ") for name in ("en", "es", "tr")})
    for language in ("en", "es", "tr"):
        frame = load_questions(language=language, profile="laptop")
        assert frame["context"].str.startswith(language).all()
    assert asked_for == ["xquad"] * 3


# Reading


def test_marks_white_space_and_emoji_are_left_where_they_are(files):
    context = "\ufeff  São  Tomé \U0001f35c café "
    more = [(f"Town {n}.", [asked("Which?", (str(n), 5))]) for n in range(10)]
    content = squad(
        (context, [asked("Where?", ("São  Tomé", 3), ("Tomé", 8)), asked("What?", ("café", 15))]), *more
    )
    files(**{"xquad.en.json": content})
    frame = load_questions(profile="laptop")
    assert frame["context"][0] == context and frame["context"][0][15:19] == "café"
    assert frame["answers"][0] == ("São  Tomé", "Tomé") and frame["starts"][0] == (3, 8)


def test_a_question_that_is_marked_as_unanswerable_has_no_answers(files):
    files(**{"xquad.en.json": squad(*((f"Town {n}.", [UNANSWERED]) for n in range(10)))})
    frame = load_questions(profile="laptop")
    assert set(frame["answers"]) == set(frame["starts"]) == {()}


@pytest.mark.parametrize(
    "entry",
    [
        asked("Which one?", ("town", 0)),
        asked("Which one?", ("Town", 1)),
        asked("Which one?", ("Town", 0), ("8", 99)),
        asked("Which one?", ("8", -2)),
        asked("Which one?", ("", 0)),
        asked("Which one?") | {"is_impossible": False},
        asked("Which one?", ("Town", 0)) | {"is_impossible": True},
    ],
)
def test_a_question_whose_answer_is_not_where_the_file_says_is_named(entry, files):
    files(**{"xquad.en.json": squad(("Town 8.", [asked("What?", ("Town", 0)), entry]))})
    with pytest.raises(ValueError, match=r"xquad\.en\.json, question 'Which one\?': (the answer|expected)"):
        load_questions(profile="laptop")


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"data": [{}]}',
        squad(("Town.", [{"answers": []}])),
        squad(("Town.", [{"question": "Why?"}])),
        squad(("Town.", [{"question": None, "answers": []}])),
        squad(("Town.", [asked("Which?", ("Town", "0"))])),
        squad((None, [asked("Which?", ("Town", 0))])),
    ],
)
def test_what_is_not_in_squads_form_is_refused(content, files):
    files(**{"xquad.en.json": content})
    with pytest.raises(ValueError, match=r"xquad\.en\.json, .*not in SQuAD's form"):
        load_questions(profile="laptop")


def test_what_is_no_json_and_what_is_too_short_is_refused(files):
    files(**{"xquad.en.json": '{"data":\n}'})
    with pytest.raises(ValueError, match=r"xquad\.en\.json, line 2: this is no JSON"):
        load_questions(profile="laptop")
    files(**{"xquad.en.json": towns(0, 9)})
    with pytest.raises(ValueError, match="9 passages; splits need at least ten"):
        load_questions(profile="laptop")


def test_a_wrong_language_or_seed_is_refused_and_the_stand_in_speaks_english():
    with pytest.raises(ValueError, match="one of en, es, tr, not 'fi'"):
        load_questions(language="fi")
    with pytest.raises(ValueError, match="seed must be a whole number"):
        load_questions(seed=-1)
    with pytest.raises(AssetError, match=r"stand-in is in English\. For 'es', use profile laptop"):
        load_questions(language="es")


# The stand-in's own words


def words_of(text):
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)?", text.casefold())


def runs(text, n):
    words = words_of(text)
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def kind_of(question):
    """The question's first question word, with the word after it if that is *many*, *much* or *long*."""
    found = re.search(
        r"\b(who[ms]?e?|when|where|what|which|why|how(?: many| much| long)?)\b", question.casefold()
    )
    return found[1] if found else "other"


def described(frame):
    """Figures by which a stand-in and the real questions can be compared."""
    answered = frame[frame["answers"].str.len() > 0]
    first = answered["answers"].str[0]
    starts, passages = answered["starts"].str[0], frame.drop_duplicates("group")["context"]
    lengths, passage_lengths = first.str.split().str.len(), passages.str.split().str.len()
    kinds = frame["question"].map(kind_of).value_counts(normalize=True)
    shared = [
        len({*words_of(q)} & {*words_of(c)}) / len({*words_of(q)})
        for q, c in zip(answered["question"], answered["context"], strict=True)
    ]
    return {
        "answer, words": lengths.mean(),
        "answer of one word": (lengths == 1).mean(),
        "answer of five words or fewer": (lengths <= 5).mean(),
        "question, words": frame["question"].str.split().str.len().mean(),
        "passage, words": passage_lengths.median(),
        "where in the passage": (starts / answered["context"].str.len()).mean(),
        "words of the question in the passage": sum(shared) / len(shared),
        **{kind: kinds.get(kind, 0) for kind in ("what", "who", "when", "where", "which", "how many", "why")},
    }


def test_the_card_has_the_right_numbers():
    card, frame = (DATA / "README.md").read_text(encoding="utf-8"), load_questions()
    unanswered = (frame["answers"].str.len() == 0).sum()
    lengths = frame.drop_duplicates("group")["context"].str.split().str.len()
    twice = sum(c.count(a[0]) > 1 for c, a in zip(frame["context"], frame["answers"], strict=True) if a)
    assert f"{frame['group'].nunique()} invented passages with {len(frame)} questions" in card
    assert f"{unanswered} of them unanswerable ({unanswered / len(frame):.0%})".replace("%", " %") in card
    assert f"passages of {lengths.min()} to {lengths.max()} words" in card
    assert f"{twice} answers stand more than once in their passage" in card
    assert f"{(frame['answers'].str.len() > 1).sum()} questions accept more than one span" in card


def test_no_two_questions_or_passages_are_alike_and_none_is_from_a_template():
    frame = load_questions()
    passages = frame.drop_duplicates("group")["context"]
    assert not letters(passages).duplicated().any() and not letters(frame["question"]).duplicated().any()
    counts = Counter(run for text in passages for run in runs(text, 5))
    assert counts.most_common(1)[0][1] <= 3, counts.most_common(3)
    counts = Counter(run for text in frame["question"] for run in runs(text, 5))
    assert counts.most_common(1)[0][1] <= 6, counts.most_common(3)
    assert frame.groupby("group").size().between(5, 12).all()


def test_answers_are_whole_words_and_end_before_the_punctuation():
    for row in load_questions().itertuples():
        assert row.question.endswith("?") and row.question == row.question.strip()
        assert row.context == row.context.strip() and 60 <= len(row.context.split()) <= 160
        for text, start in zip(row.answers, row.starts, strict=True):
            around = row.context[start - 1 : start] + row.context[start + len(text) :][:1]
            assert not re.search(r"[^\W_]", around), (row.question, text)
            assert text == text.strip(" ,.;:!?"), (row.question, text)


def test_unanswerable_questions_cannot_be_told_by_their_length_or_first_word():
    frame = load_questions()
    unanswered = frame["answers"].str.len() == 0
    assert 0.14 <= unanswered.mean() <= 0.2 and frame[unanswered]["group"].nunique() >= 50
    lengths = frame["question"].str.split().str.len().groupby(unanswered).mean()
    assert abs(lengths[True] - lengths[False]) <= 1.5
    openings = frame["question"].map(kind_of)[unanswered].value_counts(normalize=True)
    assert openings.max() <= 0.45 and len(openings) >= 7


# Real data


@pytest.fixture
def xquad(mirror):
    if not (mirror / "xquad").is_dir():
        pytest.skip("needs xquad in COURSE_MIRROR")
    return {name: load_questions(language=name, profile="laptop") for name in ("en", "es", "tr")}


def test_the_real_questions(xquad):
    for frame in xquad.values():
        check(frame)
        assert frame["split"].value_counts().to_dict() == {"train": 827, "test": 191, "validation": 172}
        assert frame["group"].nunique() == 240 and (frame["answers"].str.len() == 1).all()
        assert frame.attrs["origin"] == "mirror" and frame.attrs["licence"] == "CC BY-SA 4.0"
    marked = {name: frame["context"].str.contains("\ufeff").sum() for name, frame in xquad.items()}
    assert xquad["en"]["question"][0] == "How many points did the Panthers defense surrender?"
    assert xquad["en"]["answers"][0] == ("308",) and xquad["en"]["starts"][0] == (34,)
    assert marked["en"] == 0 and marked["es"] == 19 and marked["tr"] == 32


def test_the_languages_are_parallel(xquad):
    for name in ("es", "tr"):
        assert xquad[name][["group", "split"]].equals(xquad["en"][["group", "split"]])
    same = [
        sum(a == b for a, b in zip(xquad["en"]["answers"], xquad[name]["answers"], strict=True))
        for name in ("es", "tr")
    ]
    assert min(same) >= 100, "names and numbers are the same in each language"


# How far the stand-in's figure may be from the real one's.
ROOM = {
    "answer, words": 0.4,
    "answer of one word": 0.1,
    "answer of five words or fewer": 0.06,
    "question, words": 1.6,
    "passage, words": 20,
    "where in the passage": 0.05,
    "words of the question in the passage": 0.06,
    "what": 0.18,
    "who": 0.05,
    "when": 0.06,
    "where": 0.05,
    "which": 0.06,
    "how many": 0.07,
    "why": 0.06,
}


def test_the_stand_in_is_like_the_real_questions(xquad):
    ours, theirs = described(load_questions(profile="ci")), described(xquad["en"])
    print("\nstand-in and real:", {key: (round(ours[key], 3), round(theirs[key], 3)) for key in ours})
    assert {*ROOM} == {*ours}
    apart = {key: (ours[key], theirs[key]) for key in ROOM if abs(ours[key] - theirs[key]) > ROOM[key]}
    assert not apart


def test_no_run_of_seven_words_is_in_the_real_passages_or_questions(xquad):
    ours, theirs = (
        {run for text in {*frame["context"], *frame["question"]} for run in runs(text, 7)}
        for frame in (load_questions(profile="ci"), xquad["en"])
    )
    assert not ours & theirs
