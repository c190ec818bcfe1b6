"""Running text to train on: English Wikipedia, a sentence a line."""

import bz2
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from course_utils.assets import MADE, AssetError, resolve
from course_utils.files import read_sealed, write_sealed
from course_utils.session import cache_folder, current_profile
from course_utils.text import split_sentences, split_words


@dataclass(frozen=True)
class Corpus:
    """Running text, a sentence a line; ``name`` and ``origin`` say which and from where."""

    name: str
    sentences: list[str]
    origin: str
    licence: str
    citation: str

    @cached_property
    def words(self) -> list[list[str]]:
        """The sentences as lists of words (:func:`course_utils.text.split_words`), those without a word left out."""
        return [words for sentence in self.sentences if (words := split_words(sentence))]


def load_corpus(*, words: int = 5_000_000, profile: str | None = None) -> Corpus:
    """English Wikipedia: 206 pages (profile ``ci``), or the beginning of WikiText-103 (``laptop`` and ``gpu``).

    Where WikiText-103 cannot be had, one line says so, and the 206 pages are used.

    Args:
        words: of WikiText-103, whole articles until so many words have been read.
        profile: ``ci``, ``laptop`` or ``gpu``; by default the one in force.

    Raises:
        ValueError: if ``words`` is below 1.
        course_utils.assets.AssetError: if neither is there; the message says what to do.
    """
    if words < 1:
        raise ValueError(f"words must be 1 or more, not {words!r}.")
    profile = current_profile(profile)
    if profile != "ci":
        try:
            asset = resolve("wikitext-103", profile=profile)
            sentences = list(_wikitext_sentences(asset.path(), words))
            return Corpus("WikiText-103", sentences, asset.origin, asset.licence, asset.citation)
        except AssetError as error:
            print(f"WikiText-103 could not be had ({error.short}). 206 Wikipedia pages are used instead,")
            print("a hundredth of it; results will be poorer.")
    asset = resolve("wikipedia-sample", profile=profile)
    sentences = _wikipedia_sentences(asset.path())
    return Corpus("206 Wikipedia pages", sentences, asset.origin, asset.licence, asset.citation)


_TABLE_ROW = re.compile(r"^\s*(?:[|!*#:;=]|\{\||File:|Image:|Category:)")


@lru_cache(maxsize=1)
def _wikipedia_sentences(path: Path) -> list[str]:
    """Sentences of a Wikipedia dump; its mark-up takes seconds to strip, so the text is kept in the course cache."""
    kept = cache_folder() / "assets" / "wikipedia-sample" / MADE
    if text := read_sealed(kept):
        return text.splitlines()
    from gensim.corpora.wikicorpus import extract_pages, filter_wiki

    sentences = []
    with bz2.open(path) as stream:
        for _title, text, _number in extract_pages(stream, filter_namespaces=("0",)):
            lines = [line for line in filter_wiki(text).splitlines() if not _TABLE_ROW.match(line)]
            for sentence in split_sentences("\n".join(lines)):
                plain = " ".join(sentence.replace("'''", "").replace("''", "").split())
                # What has fewer than four words is a heading or a cell of a table.
                if len(split_words(plain)) > 3:
                    sentences.append(plain)
    # A cache that cannot be written to is no reason to stop.
    with suppress(OSError):
        write_sealed(kept, "\n".join(sentences))
    return sentences


def _wikitext_sentences(path: Path, words: int) -> Iterator[str]:
    """Sentences of WikiText's articles, its marks for hyphens and commas undone, headings left out."""
    import pyarrow.parquet

    seen = 0
    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=2048, columns=["text"]):
        for line in batch.column("text").to_pylist():
            if line.startswith(" = ") and not line.startswith(" = =") and seen >= words:
                return
            if not line.strip() or line.startswith(" ="):
                continue
            line = re.sub(r" @(.)@ ", r"\1", line)
            for sentence in split_sentences(line.strip()):
                yield sentence
                seen += sentence.count(" ") + 1
