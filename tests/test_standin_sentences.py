"""The stand-ins of pairs, claims and parts of speech: what their card says, and, on the real data, how real they are."""

import re
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from course_utils.datasets import load_claims, load_pairs, load_parts_of_speech

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import sentence_standins as measure  # noqa: E402

QUANTILES = [0.1, 0.25, 0.5, 0.75, 0.9]
words_of = measure.words_of


@pytest.fixture(scope="module")
def pairs():
    return load_pairs(profile="ci")


@pytest.fixture(scope="module")
def claims():
    return load_claims(profile="ci")


@pytest.fixture(scope="module")
def tags():
    return load_parts_of_speech(profile="ci")


@pytest.fixture
def real(mirror, request):
    """The real rows of the task that the test names by ``indirect``."""
    folders = {"pairs": "msr-paraphrase", "claims": "claimbuster", "tags": "ud-english-ewt"}
    if not (mirror / folders[request.param]).is_dir():
        pytest.skip(f"needs {folders[request.param]} in COURSE_MIRROR")
    return measure.load(request.param)[1]


def against(task):
    return pytest.mark.parametrize("real", [task], indirect=True)


def kinds():
    rows = (ROOT / "data" / "pairs_standin.tsv").read_text(encoding="utf-8").splitlines()
    return pd.DataFrame([row.split("\t")[:3] for row in rows[1:]], columns=rows[0].split("\t")[:3])


def texts(pairs):
    return [*pairs["first"], *pairs["second"]]


def alike(one, other, room=0.2, least=2):
    """Quantiles of two series of lengths that differ by at most a share, or by a few words."""
    for share in QUANTILES:
        ours, theirs = one.quantile(share), other.quantile(share)
        assert abs(ours - theirs) <= max(least, room * theirs), (share, ours, theirs)


def count_words(sentences):
    return pd.Series(sentences).str.split().str.len()


def runs(sentences, n):
    """How many of the sentences have each run of n words."""
    words = map(words_of, sentences)
    return Counter(run for w in words for run in {tuple(w[i : i + n]) for i in range(len(w) - n + 1)})


# The card


def test_the_card_has_the_right_numbers(pairs, claims, tags):
    card = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert f"{len(pairs)} pairs of sentences from invented news, {pairs['label'].sum()} of which say" in card
    assert f"{len(claims)} sentences of invented debates, {claims['label'].sum()} worth" in card
    tokens = tags["tokens"].map(len).sum()
    assert f"{len(tags)} sentences with their parts of speech, {tokens:,} tokens" in card
    assert not any(frame.attrs["real"] for frame in (pairs, claims, tags))


def test_no_sentence_stands_twice(pairs, claims, tags):
    for sentences in (texts(pairs), claims["text"], tags["tokens"].map(" ".join)):
        letters = pd.Series(sentences).str.casefold().str.replace(r"[\W_]", "", regex=True)
        # Two mails may both end in "Thanks", but not two longer sentences.
        assert not letters[letters.duplicated(keep=False) & (letters.str.len() > 6)].tolist()


@pytest.mark.parametrize("name", ["pairs", "claims", "tags"])
def test_none_is_from_a_template(name, pairs, claims, tags):
    sentences = {
        "pairs": pairs["first"],
        "claims": claims["text"],
        "tags": tags["tokens"].map(" ".join),
    }[name]
    run, count = runs(sentences, 5).most_common(1)[0]
    assert count <= 3, f"{count} times {' '.join(run)}"


# Pairs


def test_pairs_are_of_seven_kinds_and_each_kind_has_one_label(pairs):
    table = kinds()
    counts = table.groupby("kind")["label"].agg(["size", "nunique"])
    assert len(counts) == 7 and counts["nunique"].max() == 1 and counts["size"].min() >= 15
    assert table["number"].tolist() == [str(number) for number in range(1, len(table) + 1)]


def test_hard_pairs_are_on_both_sides(pairs):
    """Many shared words and another meaning; few shared words and the same."""
    shared = pd.Series(map(measure.jaccard, pairs["first"], pairs["second"]))
    same = pairs["label"] == 1
    assert (shared[~same] >= 0.6).sum() >= 20
    assert (shared[same] <= 0.25).sum() >= 20


@against("pairs")
def test_pairs_are_as_long_and_share_as_many_words_as_the_real_ones(pairs, real):
    alike(count_words(texts(pairs)), count_words(texts(real)))
    for label in (0, 1):
        ours, theirs = (
            pd.Series(map(measure.jaccard, rows["first"], rows["second"])).mean()
            for rows in (frame[frame["label"] == label] for frame in (pairs, real))
        )
        assert abs(ours - theirs) <= 0.05, label


@against("pairs")
def test_pairs_are_as_hard_as_the_real_ones(pairs, real):
    found = measure.of_pairs(pairs, real)
    assert abs(found["constant"] - found["constant_real"]) <= 0.02
    assert found["constant"] + 0.02 <= found["score"] <= 0.82
    assert abs(found["score"] - found["score_real"]) <= 0.08
    assert found["transfer"] >= 0.62
    assert 0.5 <= found["told_apart"] <= 0.80


@against("pairs")
def test_no_pair_was_taken_from_the_real_ones(pairs, real):
    assert set() == runs(texts(pairs), 8).keys() & runs(texts(real), 8).keys()


# Claims


def test_claims_have_speakers_who_debate_in_one_year(claims):
    assert 0.23 <= claims["label"].mean() <= 0.29
    people = claims[~claims["speaker"].isin(["Moderator", "Panelist", "Interviewer", "Audience member"])]
    assert people.groupby("speaker")["year"].nunique().max() == 1
    assert claims["year"].nunique() >= 5 and people["speaker"].nunique() >= 10
    assert claims.loc[~claims.index.isin(people.index), "label"].sum() == 0, "who asks claims nothing"
    claimed = people.groupby("speaker")["label"].mean()
    assert claimed.between(0.1, 0.6).all(), "nobody only claims, nobody never does"


def test_neither_a_number_nor_its_absence_gives_a_claim_away(claims):
    digits = claims["text"].str.contains(r"\d")
    claim = claims["label"] == 1
    assert 0.25 <= digits[claim].mean() <= 0.5 and 0 < digits[~claim].mean() <= 0.06
    words = claims["text"].str.contains(r"\b(?:two|three|four|five|ten|half|third)\b")
    assert words[~claim].sum() >= 20


@against("claims")
@pytest.mark.parametrize("label", [0, 1])
def test_claims_are_as_long_as_the_real_ones(claims, real, label):
    ours, theirs = (count_words(rows.loc[rows["label"] == label, "text"]) for rows in (claims, real))
    alike(ours, theirs, room=0.3, least=4)
    assert abs(ours.mean() - theirs.mean()) <= 4


@against("claims")
def test_claims_are_harder_than_chance_and_easier_than_perfect(claims, real):
    found = measure.of_claims(claims, real)
    assert found["constant"] + 0.1 <= found["score"] <= 0.85
    assert found["transfer"] >= found["constant_real"] + 0.05
    assert 0.5 <= found["told_apart"] <= 0.78


@against("claims")
def test_no_sentence_was_taken_from_the_real_debates(claims, real):
    assert set() == runs(claims["text"], 8).keys() & runs(real["text"], 8).keys()


# Parts of speech


def test_contractions_are_split_as_in_the_treebank(tags):
    tokens = [token for sentence in tags["tokens"] for token in sentence]
    assert not [token for token in tokens if re.search(r"\w(?:n't|'(?:s|re|ve|ll|d|m))$", token)]
    assert not [token for token in tokens if re.search(r"\s", token)]
    assert not [token for token in tokens if re.search(r"[a-z][,;:!?]$", token)]


def test_words_with_one_tag_have_that_tag(tags):
    by_word = measure.tags_by_word(tags)
    rules = {
        "n't not": "PART",
        "the a an every": "DET",
        "and or": "CCONJ",
        "i you he it we they my your his their who": "PRON",
        "would could should 'll wo": "AUX",
        "if because although": "SCONJ ADP",
        ". , ? !": "PUNCT",
        "to": "PART ADP",
        "'s": "PART AUX PRON",
        "that": "SCONJ PRON DET ADV",
    }
    for words, allowed in rules.items():
        for word in words.split():
            assert by_word[word].keys() <= set(allowed.split()), (word, by_word[word])


def test_many_words_have_two_tags_within_the_stand_in(tags):
    by_word = measure.tags_by_word(tags)
    both = {word for word, counts in by_word.items() if len(counts) > 1}
    assert len(both) >= 100
    assert sum(by_word[word].total() for word in both) / sum(c.total() for c in by_word.values()) >= 0.18


@against("tags")
def test_tags_are_given_as_in_the_treebank(tags, real):
    """Of words that the treebank has ten times or more, hardly any stands here with a tag that it never has there."""
    known = measure.tags_by_word(real)
    checked, strange = 0, []
    for tokens, given in zip(tags["tokens"], tags["tags"], strict=True):
        for token, tag in zip(tokens, given, strict=True):
            counts = known.get(token.casefold(), Counter())
            if counts.total() >= 10:
                checked += 1
                strange += [(token, tag)] if not counts[tag] else []
    assert checked >= 1500
    assert len(strange) <= 0.015 * checked, strange


@against("tags")
def test_tags_are_as_frequent_and_sentences_as_long_as_in_the_treebank(tags, real):
    ours, theirs = measure.tag_shares(tags), measure.tag_shares(real)
    assert {tag: ours[tag] - share for tag, share in theirs.items() if abs(ours[tag] - share) > 0.025} == {}
    alike(tags["tokens"].map(len), real["tokens"].map(len), room=0.25, least=3)


@against("tags")
def test_tags_are_as_hard_as_in_the_treebank(tags, real):
    found = measure.of_tags(tags, real)
    assert abs(found["score"] - found["score_real"]) <= 0.06
    assert 0.65 <= found["transfer"] <= 0.85


@against("tags")
def test_no_sentence_was_taken_from_the_treebank(tags, real):
    ours, theirs = (runs(frame["tokens"].map(" ".join), 7) for frame in (tags, real))
    assert set() == ours.keys() & theirs.keys()


def test_the_measurement_refuses_the_stand_in_in_place_of_the_real_data(pairs, monkeypatch):
    monkeypatch.setattr(measure, "load_pairs", lambda **_: pairs)
    with pytest.raises(SystemExit, match="COURSE_MIRROR"):
        measure.load("pairs")


def test_shared_words_by_hand():
    assert measure.jaccard("A dog barks.", "A dog, a cat!") == 2 / 4
    row = pd.DataFrame({"first": ["Sold 3 cars on Monday."], "second": ["Sold 4 cars."]})
    assert measure.overlaps(row).tolist() == [[2 / 6, 2 / 3, 2, 3, 0]]
