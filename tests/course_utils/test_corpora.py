"""Running text, relations between words, senses: from files to lists and frames."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from course_utils import datasets
from course_utils.assets import AssetError, store
from course_utils.datasets import load_analogies, load_corpus, load_glove, load_senses, load_similarities


def test_the_wikipedia_sample_is_prose_without_mark_up():
    corpus = load_corpus()
    assert corpus.origin == "wheel" and corpus.name == "206 Wikipedia pages" and "CC BY-SA" in corpus.licence
    assert len(corpus.sentences) > 15_000
    text = "\n".join(corpus.sentences)
    for mark in ("[[", "]]", "{{", "}}", "'''", "<ref", "&lt;", "&nbsp;"):
        assert text.count(mark) < 20, mark
    assert sum(map(len, corpus.words)) > 350_000
    assert all(word == word.lower() for words in corpus.words[:100] for word in words)


def test_the_sample_is_parsed_once_and_then_read_back(monkeypatch):
    datasets._wikipedia_sentences.cache_clear()
    first = load_corpus().sentences
    datasets._wikipedia_sentences.cache_clear()
    monkeypatch.setattr(
        "gensim.corpora.wikicorpus.extract_pages", lambda *a, **k: pytest.fail("parsed again")
    )
    assert load_corpus().sentences == first


def test_a_cache_that_cannot_be_written_to_is_no_reason_to_stop(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("COURSE_CACHE", str(blocked))
    datasets._wikipedia_sentences.cache_clear()
    assert load_corpus().sentences
    datasets._wikipedia_sentences.cache_clear()


def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(path, *arguments, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    datasets._keep("a text", tmp_path / "corpora" / "kept.txt")
    assert not list((tmp_path / "corpora").iterdir())


def test_wikitext_is_read_by_whole_articles_and_its_marks_undone(tmp_path):
    lines = [
        " = One = \n", "", " A well @-@ known 1 @,@ 000 m hill . It is green . \n", " = = Use = = \n", " Sheep . \n",
        " = Two = \n", " Never read . \n",
    ]  # fmt: skip
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"text": lines}), path)
    assert list(datasets._wikitext_sentences(path, 3)) == [
        "A well-known 1,000 m hill .",
        "It is green .",
        "Sheep .",
    ]
    assert len(list(datasets._wikitext_sentences(path, 100))) == 4


def test_without_wikitext_the_sample_is_used_and_said_so(monkeypatch, capsys):
    monkeypatch.setattr(store, "_download", lambda asset, failures: None)
    assert load_corpus(profile="laptop").name == "206 Wikipedia pages"
    said = capsys.readouterr().out
    assert (
        said.startswith("WikiText-103")
        and "206 Wikipedia pages are used instead" in said
        and said.count("\n") == 1
    )


def test_a_corpus_of_no_words_is_refused():
    with pytest.raises(ValueError, match="words must be 1 or more"):
        load_corpus(words=0)


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
        assert datasets.split_words(row.sentence).count(row.word) == 1


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
    monkeypatch.setattr(datasets, "data_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"line 3: the sentence must hold \[stick\] once"):
        load_senses()


def test_a_missing_download_and_no_gensim_end_in_advice(monkeypatch):
    monkeypatch.setattr(store, "_wheel_folder", lambda wheel: None)
    with pytest.raises(AssetError, match="pip install --force-reinstall --no-deps gensim"):
        load_corpus()
