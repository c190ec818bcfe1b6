"""The stand-ins of messages and reviews: what their cards say, and, on the real data, how real they are."""

import re
import sys
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest

from course_utils.datasets import fold, load_reviews, load_sms

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import review_recipes  # noqa: E402
import spam_recipes  # noqa: E402
import standin_realism  # noqa: E402

# Ofcom's ranges for drama: mobile, premium rate, freephone, London.
DRAMA = re.compile(r"07700900\d{3}|09098790\d{3}|08081570\d{3}|02079460\d{3}")


@pytest.fixture
def standin():
    return load_sms(profile="ci")


@pytest.fixture
def real(mirror):
    return load_sms(profile="laptop")


def kinds():
    import pandas as pd

    return pd.read_csv(ROOT / "data" / "sms_standin.csv", keep_default_na=False)


def words_of(text):
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.casefold())


def lengths(frame, label):
    return frame.loc[frame["label"] == label, "text"].str.split().str.len()


def runs(words, n):
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


# The card


def test_size_and_share_of_spam(standin):
    assert not standin.attrs["real"]
    assert len(standin) >= 1800
    assert 0.125 <= standin["label"].mean() <= 0.145


def test_the_card_has_the_right_numbers(standin):
    card = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    rows, table = kinds(), standin
    spam = int(table["label"].sum())
    assert f"{len(table):,} invented text messages" in card
    assert f"{spam} of them spam ({spam / len(table):.1%})".replace("%", " %") in card
    by_label = rows.groupby("label")["kind"].nunique()
    assert f"{by_label['ham']} kinds of ham, {by_label['spam']} of spam" in card
    assert f"ham {lengths(table, 0).mean():.1f} words on average (longest {lengths(table, 0).max()})" in card
    assert f"spam {lengths(table, 1).mean():.1f}" in card


def test_lengths_have_the_mean_and_the_tail_of_text_messages(standin):
    ham, spam = lengths(standin, 0), lengths(standin, 1)
    assert 13 <= ham.mean() <= 15.5
    assert 23 <= spam.mean() <= 25.5
    assert ham.max() >= 60
    assert (ham <= 3).sum() >= 50, "friends also write three words"
    assert standin.loc[standin["label"] == 1, "text"].str.len().quantile(0.9) <= 165, (
        "one message of 160 characters"
    )


@pytest.mark.parametrize("label", [0, 1], ids=["ham", "spam"])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 0.9, 0.95])
def test_lengths_are_distributed_as_in_the_real_collection(standin, real, label, share):
    ours, theirs = (lengths(frame, label).quantile(share) for frame in (standin, real))
    assert abs(ours - theirs) <= max(2, 0.2 * theirs)


def test_no_two_messages_are_alike(standin):
    letters = standin["text"].str.casefold().str.replace(r"[\W_]", "", regex=True)
    assert not letters[letters.duplicated(keep=False)].tolist()
    assert not standin.loc[standin["duplicate"] != "", "text"].tolist(), "near duplicates"


def test_many_kinds_and_none_that_is_only_a_few(standin):
    table = kinds()
    assert set(table["label"]) == {"ham", "spam"}
    for label, kinds_of in table.groupby("label")["kind"]:
        counts = kinds_of.value_counts()
        assert len(counts) >= 8, label
        assert counts.min() >= 10 and counts.max() <= 0.2 * counts.sum(), label
    assert table.groupby("kind")["label"].nunique().max() == 1


@pytest.mark.parametrize("label", [0, 1], ids=["ham", "spam"])
def test_it_is_written_and_not_filled_from_templates(standin, label):
    """No five words in a row, with names of numbers masked, in more than 1 % of a label's messages."""
    texts = standin.loc[standin["label"] == label, "text"].str.replace(r"\d+", "0", regex=True)
    counts = Counter(run for text in texts for run in runs(words_of(text), 5))
    run, count = counts.most_common(1)[0]
    assert count <= 0.01 * len(texts) + 1, f"{count} of {len(texts)}: {' '.join(run)}"


def test_the_template_test_would_see_a_template(standin):
    spam = standin.loc[standin["label"] == 1, "text"]
    filled = [f"Congratulations! You have won a £{n} prize. Call 0{n}" for n in range(5)] + list(spam[5:])
    counts = Counter(run for text in filled for run in runs(words_of(re.sub(r"\d+", "0", text)), 5))
    assert counts.most_common(1)[0][1] > 0.01 * len(filled) + 1


def test_hard_cases_are_on_both_sides(standin):
    text, spam = standin["text"], standin["label"] == 1
    assert (text[~spam].str.contains(r"\bfree\b|\bwon\b|\bprize\b", case=False)).sum() >= 40
    assert (text[~spam].str.contains(r"\d{5}|£")).sum() >= 40
    assert (~text[spam].str.contains(r"\d{5}|£")).sum() >= 10
    assert (kinds()["kind"] == "sounds-personal").sum() >= 10


# What must not be in it


def test_only_plain_characters(standin):
    strange = Counter(re.sub(r"[ -~£]", "", "".join(standin["raw_text"])))
    assert not strange
    assert (standin["raw_text"] == standin["text"]).all(), "nothing to repair"


def test_telephone_numbers_are_from_the_ranges_for_drama(standin):
    wrong = []
    for text in standin["text"]:
        found = re.findall(r"(?<!\d)\d{9,}", text)
        found += re.findall(r"(?<!\d)(?:\+44|0)\d{1,4}[ -]\d{3,4}[ -]?\d{3,4}(?!\d)", text)
        wrong += [text for number in found if not DRAMA.fullmatch(re.sub(r"\D", "", number))]
    assert not wrong


def test_web_addresses_end_in_example(standin):
    address = re.compile(
        r"(?:https?://|www\.)[\w.-]+|\b[\w-]+(?:\.[\w-]+)*\.(?:com|co\.uk|net|org|info|biz|tv)\b", re.I
    )
    found = [match.rstrip(".") for text in standin["text"] for match in address.findall(text)]
    assert not [a for a in found if not re.search(r"\.example$", a, re.I)]


def test_no_message_was_taken_from_the_real_collection(standin, real):
    theirs = {" ".join(words_of(text)) for text in real["text"]}
    taken = [t for t in standin["text"] if len(words_of(t)) > 3 and " ".join(words_of(t)) in theirs]
    assert not taken
    sequences = set().union(*(runs(words_of(text), 8) for text in real["text"]))
    assert not [t for t in standin["text"] if runs(words_of(t), 8) & sequences]
    assert not set(standin["text"].map(fold)[standin["label"] == 1]) & set(real["text"].map(fold))


# Realism: the bounds lie below what was measured (benchmarks/standin_realism.py)


@lru_cache(maxsize=1)
def measured():
    return standin_realism.realism()


@pytest.mark.slow
def test_what_is_learned_from_the_stand_in_holds_on_the_real_collection(mirror):
    found = measured()["transfer"]
    print("\ntrained on the stand-in, scored on the real collection:")
    for name, scores in found.items():
        print(f"{name:20}", {key: round(value, 3) for key, value in scores.items()})
    assert found["frozen encoder"]["f1"] >= 0.86
    assert found["TF-IDF words"]["f1"] >= 0.80
    assert found["TF-IDF characters"]["f1"] >= 0.85


@pytest.mark.slow
def test_telling_the_stand_in_from_the_real_collection_is_not_easy(mirror):
    found = measured()["telling_apart"]
    print("\nreal or stand-in:", {key: round(value, 3) for key, value in found.items()})
    assert found["accuracy"] <= 0.84
    assert found["accuracy"] >= 0.5, "below chance: the folds or the labels are broken"


def test_the_classifier_that_tells_apart_can_do_it_and_can_fail(standin):
    """Against itself it is at chance; against shouting copies with a word of their own it is not."""
    halves = standin.sample(frac=1, random_state=0)
    one, other = halves[::2], halves[1::2]
    assert 0.4 <= standin_realism.telling_apart(one, other, range(1))["accuracy"] <= 0.6
    marked = other.assign(text="ok lah " + other["text"])
    assert standin_realism.telling_apart(one, marked, range(1))["accuracy"] >= 0.95


def test_the_sample_is_balanced_and_numbers_do_not_give_it_away(standin):
    spam_heavy = standin[(standin["label"] == 1) | (standin.index % 3 == 0)]
    sample = standin_realism.balanced_sample(standin, spam_heavy, 0)
    assert sample["real"].mean() == 0.5
    assert sample.groupby("real")["label"].mean().nunique() == 1
    assert not sample["text"].str.contains(r"[1-9]").any()


def test_the_benchmarks_refuse_the_stand_in_in_place_of_the_real_data(standin, monkeypatch):
    monkeypatch.setattr(spam_recipes, "load_sms", lambda **_: standin)
    with pytest.raises(SystemExit, match="COURSE_MIRROR"):
        spam_recipes.load("clean")


# The reviews


@pytest.fixture
def reviews():
    return load_reviews(profile="ci")


@pytest.fixture
def real_reviews(mirror):
    if not (mirror / "sentence-polarity").is_dir():
        pytest.skip("needs sentence-polarity in COURSE_MIRROR")
    return review_recipes.load("laptop")


def review_kinds():
    import pandas as pd

    return pd.read_csv(ROOT / "data" / "reviews_standin.csv", keep_default_na=False)


def test_the_card_of_the_reviews_has_the_right_numbers(reviews):
    card = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert not reviews.attrs["real"]
    assert f"{len(reviews):,} invented sentences" in card and reviews["label"].mean() == 0.5
    assert f"{review_kinds()['kind'].nunique()} kinds" in card
    tokens = reviews["text"].str.split().str.len()
    assert f"{tokens.mean():.1f} words and marks on average (longest {tokens.max()})" in card
    share = reviews["text"].str.contains(r"\bbut\b").mean()
    assert f"{share:.0%}".replace("%", " %") + " have a *but*" in card


def test_no_two_reviews_are_alike_and_none_is_from_a_template(reviews):
    letters = reviews["text"].str.replace(r"[\W_]", "", regex=True)
    assert not letters[letters.duplicated(keep=False)].tolist()
    assert (reviews["split"] != "unused").all()
    counts = Counter(run for text in reviews["text"] for run in runs(words_of(text), 5))
    assert counts.most_common(1)[0][1] <= 3, counts.most_common(3)


def test_reviews_are_of_many_kinds_and_each_kind_has_both_labels():
    table = review_kinds()
    counts = table.groupby(["kind", "label"]).size()
    assert len(counts) == 2 * table["kind"].nunique() and table["kind"].nunique() >= 10
    assert counts.min() >= 15 and counts.max() <= 75


def test_no_word_gives_the_label_of_a_review_away(reviews):
    """Guessing by any one word is hardly better than chance; *and* tells most, as in the real ones."""
    words = [set(words_of(text)) for text in reviews["text"]]
    count, lean = Counter(), Counter()
    for label, found in zip(reviews["label"], words, strict=True):
        count.update(found)
        lean.update(dict.fromkeys(found, 2 * label - 1))
    gain = {word: abs(lean[word]) / len(words) for word in count}
    assert max(gain.values()) <= 0.08
    rare = {word: gain[word] for word in count if count[word] < 0.1 * len(words)}
    assert max(rare.values()) <= 0.03, max(rare, key=rare.get)


def test_reviews_are_in_lower_case_with_spaced_punctuation(reviews):
    text = reviews["text"]
    assert (text == text.str.lower()).all() and not text.str.contains("  ").any()
    assert not text.str.contains(r"\w[,;:!?]|[,;!?]\w|\w\.(?:\s|$)").any()
    assert set("".join(text)) <= set("abcdefghijklmnopqrstuvwxyzé ,.;:!?'\"-()")


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("label", [0, 1], ids=["negative", "positive"])
def test_reviews_are_as_long_as_the_real_ones(reviews, real_reviews, label, share):
    ours, theirs = (lengths(frame, label).quantile(share) for frame in (reviews, real_reviews))
    assert abs(ours - theirs) <= max(2, 0.2 * theirs)


def test_no_review_was_taken_from_the_real_ones(reviews, real_reviews):
    theirs = {" ".join(words_of(text)) for text in real_reviews["text"]}
    assert not [text for text in reviews["text"] if " ".join(words_of(text)) in theirs]
    sequences = set().union(*(runs(words_of(text), 7) for text in real_reviews["text"]))
    assert not [text for text in reviews["text"] if runs(words_of(text), 7) & sequences]


@pytest.mark.slow
def test_what_is_learned_from_the_reviews_holds_on_the_real_ones(reviews, real_reviews):
    test = real_reviews[real_reviews["split"] == "test"]
    vectors = review_recipes.Vectors(
        review_recipes.load_encoder("minilm", device="cpu"), [*reviews["text"], *test["text"]]
    )
    found = review_recipes.transfer(reviews, test, vectors)
    print("\ntrained on the stand-in, scored on real sentences:", found)
    assert found[review_recipes.WORDS] >= 0.58
    assert found[review_recipes.CHARACTERS] >= 0.58
    assert found[review_recipes.ENCODER] >= 0.60


def test_telling_the_reviews_from_the_real_ones_is_not_easy(reviews, real_reviews):
    accuracy = standin_realism.telling_apart(reviews, real_reviews, range(2))["accuracy"]
    assert 0.5 <= accuracy <= 0.75


def test_the_benchmark_of_the_reviews_refuses_the_stand_in_in_place_of_the_real_data(reviews, monkeypatch):
    monkeypatch.setattr(review_recipes, "load_reviews", lambda **_: reviews)
    with pytest.raises(SystemExit, match="COURSE_MIRROR"):
        review_recipes.load("laptop")
