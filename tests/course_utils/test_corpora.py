"""Running text: from the files of Wikipedia to sentences."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from course_utils.assets import AssetError, remove, status, store
from course_utils.datasets import corpora, load_corpus


@pytest.fixture(autouse=True)
def nothing_left_in_memory():
    """What a test here puts in the place of Wikipedia stays with it: no later test of the process reads it."""
    yield
    corpora._wikipedia_sentences.cache_clear()


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
    corpora._wikipedia_sentences.cache_clear()
    first = load_corpus().sentences
    corpora._wikipedia_sentences.cache_clear()
    monkeypatch.setattr(
        "gensim.corpora.wikicorpus.extract_pages", lambda *a, **k: pytest.fail("parsed again")
    )
    assert load_corpus().sentences == first


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.partition("\n")[0],
        lambda text: text.replace("drink", "brink", 1),
        lambda text: text + "\nOne more sentence.",
        lambda text: "\ud800",  # no text at all
    ],
    ids=["cut off", "empty", "the seal alone", "changed", "added to", "bytes"],
)
def test_a_damaged_cache_is_noticed_and_made_again(tmp_path, monkeypatch, damage):
    pages = [("Tea", "Tea is a drink that is made of leaves. It is drunk hot in most places.", 1)]
    monkeypatch.setattr("gensim.corpora.wikicorpus.extract_pages", lambda *a, **k: pages)
    (kept,) = (tmp_path / "course-cache" / "assets" / "wikipedia-sample" / name for name in ["made-1.txt"])

    def sentences():
        corpora._wikipedia_sentences.cache_clear()
        return load_corpus().sentences

    assert sentences() == ["Tea is a drink that is made of leaves.", "It is drunk hot in most places."]
    whole = kept.read_bytes()
    assert status("wikipedia-sample") == ("wheel", [])
    kept.write_bytes(damage(whole.decode()).encode(errors="surrogatepass"))
    (line,) = status("wikipedia-sample")[1]
    assert str(kept) in line and "course assets remove wikipedia-sample" in line
    assert sentences() == ["Tea is a drink that is made of leaves.", "It is drunk hot in most places."]
    assert kept.read_bytes() == whole and status("wikipedia-sample") == ("wheel", [])
    assert remove("wikipedia-sample") == len(whole) and not kept.exists()


def test_a_cache_that_cannot_be_written_to_is_no_reason_to_stop(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("COURSE_CACHE", str(blocked))
    corpora._wikipedia_sentences.cache_clear()
    assert load_corpus().sentences


def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(path, *arguments, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    corpora._wikipedia_sentences.cache_clear()
    monkeypatch.setattr("pathlib.Path.write_text", full)
    assert load_corpus().sentences
    assert not list((tmp_path / "course-cache" / "assets" / "wikipedia-sample").iterdir())


def test_wikitext_is_read_by_whole_articles_and_its_marks_undone(tmp_path):
    lines = [
        " = One = \n", "", " A well @-@ known 1 @,@ 000 m hill . It is green . \n", " = = Use = = \n", " Sheep . \n",
        " = Two = \n", " Never read . \n",
    ]  # fmt: skip
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"text": lines}), path)
    assert list(corpora._wikitext_sentences(path, 3)) == [
        "A well-known 1,000 m hill .",
        "It is green .",
        "Sheep .",
    ]
    assert len(list(corpora._wikitext_sentences(path, 100))) == 4


def test_without_wikitext_the_sample_is_used_and_said_so(monkeypatch, capsys):
    monkeypatch.setattr(store, "_download", lambda asset, failures: None)
    assert load_corpus(profile="laptop").name == "206 Wikipedia pages"
    said = capsys.readouterr().out
    assert (
        said.startswith("WikiText-103")
        and "206 Wikipedia pages are used instead" in said
        and "results will be poorer" in said
        and said.count("\n") == 2
    )


def test_a_corpus_of_no_words_is_refused():
    with pytest.raises(ValueError, match="words must be 1 or more"):
        load_corpus(words=0)


def test_a_missing_download_and_no_gensim_end_in_advice(monkeypatch):
    monkeypatch.setattr(store, "_wheel_folder", lambda wheel: None)
    with pytest.raises(AssetError, match="pip install --force-reinstall --no-deps gensim"):
        load_corpus()
