"""The text from which the course's checkpoints are trained: sentences of free sources, with a held-out part of each."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from course_utils.datasets import load_corpus
from course_utils.text import split_sentences

SOURCES = {
    "wikipedia": "206 English Wikipedia pages out of the package gensim (CC BY-SA 3.0)",
    "union": "State of the Union addresses 1945-2006, NLTK's state_union (public domain)",
    "austen": "six novels by Jane Austen, Debian package r-cran-janeaustenr (public domain)",
    "wordnet": "glosses and examples of WordNet 3.0, Debian package wordnet-base (WordNet licence: any use, without fee)",
}


def paragraphs(lines: list[str]) -> str:
    """Lines of a printed page as paragraphs, a line each."""
    return "\n".join(" ".join(part.split()) for part in "\n".join(lines).split("\n\n"))


def union(folder: Path) -> list[str]:
    """The addresses, a file each, in the order of the years."""
    files = sorted(folder.glob("*.txt"))
    text = (file.read_text(encoding="latin-1") for file in files)
    return [sentence for one in text for sentence in split_sentences(one)]


def austen(package: Path) -> list[str]:
    """The novels, which the R package keeps in a database of compressed objects."""
    import rdata

    def parse(data: bytes) -> object:
        return rdata.conversion.convert(rdata.parser.parse_data(data))

    folder = package / "usr/lib/R/site-library/janeaustenr/data"
    index = parse(gzip.decompress((folder / "Rdata.rdx").read_bytes()))
    database, sentences = (folder / "Rdata.rdb").read_bytes(), []
    for start, size in index["variables"].values():
        # Four bytes tell the size of what follows them.
        lines = parse(zlib.decompress(database[start + 4 : start + size]))
        text = paragraphs([str(line) for line in lines]).replace("_", "")
        sentences += [
            s for s in split_sentences(text) if not re.match(r"(?:CHAPTER|VOLUME|FINIS)\b", s, re.I)
        ]
    return sentences


def wordnet(package: Path) -> list[str]:
    """An entry as a dictionary prints it, ``breathe, respire: draw air into the lungs``; the examples as sentences."""
    sentences = []
    for part in ("noun", "verb", "adj", "adv"):
        file = package / f"usr/share/wordnet/data.{part}"
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith("  "):  # the licence
                continue
            facts, _, gloss = line.partition(" | ")
            fields = facts.split()
            words = [re.sub(r"\(\w+\)", "", fields[4 + 2 * i]) for i in range(int(fields[3], 16))]
            meaning = re.split(r'[;:]?\s*"', gloss, maxsplit=1)[0].strip(" ;")
            sentences.append(f"{', '.join(words[:3]).replace('_', ' ')}: {meaning}")
            sentences += [example for example in re.findall(r'"([^"]+)"', gloss) if " " in example]
    return sentences


def read(texts: Path, union_folder: Path) -> dict[str, list[str]]:
    """All sources; ``texts`` is where the two Debian packages were unpacked."""
    return {
        "wikipedia": load_corpus(profile="ci").sentences,
        "union": union(union_folder),
        "austen": austen(texts),
        "wordnet": wordnet(texts),
    }


def split(sources: dict[str, list[str]], share: float = 0.03) -> dict[str, dict[str, list[str]]]:
    """Train, validation and test: the last sentences of running text (so from other pages), but every 33rd of a dictionary."""
    parts: dict[str, dict[str, list[str]]] = {"train": {}, "validation": {}, "test": {}}
    for name, sentences in sources.items():
        sentences = list(
            dict.fromkeys(sentences)
        )  # a sentence that comes twice must not be held out and learned
        n, every = len(sentences), round(1 / share)
        if name == "wordnet":
            parts["test"][name] = sentences[::every]
            parts["validation"][name] = sentences[1::every]
            parts["train"][name] = [s for i, s in enumerate(sentences) if i % every > 1]
        else:
            first, second = int(n * (1 - 2 * share)), int(n * (1 - share))
            parts["train"][name] = sentences[:first]
            parts["validation"][name] = sentences[first:second]
            parts["test"][name] = sentences[second:]
    return parts
