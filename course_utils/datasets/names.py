"""Sentences in which every word has a tag: the names in posts (WNUT-17), and parts of speech in five languages (UD)."""

import re
from collections.abc import Collection
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from course_utils.assets import resolve
from course_utils.datasets.messages import SEED, read_lines, sourced

NAME_TYPES = ("person", "location", "corporation", "product", "creative-work", "group")
_TAGS = {"O", *(f"{place}-{kind}" for place in "BI" for kind in NAME_TYPES)}
PARTS_OF_SPEECH = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT"),
    *("SCONJ", "SYM", "VERB", "X"),
)
TREEBANKS = {
    "en": "ud-english-ewt", "de": "ud-german-gsd", "es": "ud-spanish-gsd", "fi": "ud-finnish-tdt", "tr": "ud-turkish-boun",
}  # fmt: skip


def load_entities() -> pd.DataFrame:
    """WNUT-17, posts with the names in them marked, or the stand-in where the real files cannot be had.

    A name's first token is tagged ``B-`` and its type, the others ``I-`` and the type, all else ``O``.
    103 training messages repeat an earlier one, 11 with other tags; they stay, as everybody's results have them.

    Returns:
        One row per message in the files' order, with ``tokens``, ``tags`` (two lists of equal length) and ``split``:
        ``train`` (3,394), ``validation`` (1,009) and ``test`` (1,287) of the shared task, or 60/15/25 % of the stand-in, in
        an order drawn once. No training message stands in validation or test, too. ``attrs`` holds ``origin``, ``real``
        (False for the stand-in), ``licence`` and ``citation``.

    Raises:
        ValueError: for a file that is empty or malformed (with the line).
        course_utils.assets.AssetError: if neither the files nor the stand-in can be found.
    """
    asset = resolve("wnut17")
    parts = [_read_tagged(asset.path(file), _TAGS) for file in asset.files]
    messages = [message for part in parts for message in part]
    if asset.real:
        splits = np.repeat(["train", "validation", "test"], [len(part) for part in parts])
    else:
        drawn = np.random.default_rng(SEED).permutation(len(messages)) / len(messages)
        splits = np.select([drawn < 0.60, drawn < 0.75], ["train", "validation"], "test")
    return sourced(pd.DataFrame(messages, columns=["tokens", "tags"]).assign(split=splits), asset)


def load_parts_of_speech(language: str = "en", *, profile: str | None = None) -> pd.DataFrame:
    """UD English-EWT (weblogs, mails, reviews, answers, newsgroups), another language's treebank, or the stand-in.

    Args:
        language: ``en``, ``de`` (German-GSD), ``es`` (Spanish-GSD), ``fi`` (Finnish-TDT) or ``tr`` (Turkish-BOUN).

    Returns:
        As :func:`load_entities`, the tags being :data:`PARTS_OF_SPEECH` (``don't`` is two tokens, ``do`` and
        ``n't``); ``train`` (1,700) and ``validation`` (301) are from the treebank's development part, in an
        order drawn once, and ``test`` (2,077) is its test part: 77 sentences like "Thanks" stand in both.
        Of another language ``test`` are 200 sentences, two fifths at most, in an order drawn once, and ``train`` is the rest.

    Raises:
        ValueError: for another language.
    """
    if language not in TREEBANKS:
        raise ValueError(f"language must be one of {', '.join(TREEBANKS)}, not {language!r}.")
    asset = resolve(TREEBANKS[language], profile=profile)
    parts = [_read_tagged(asset.path(file), PARTS_OF_SPEECH) for file in asset.files]
    if language != "en":
        frame = pd.DataFrame([*chain(*parts)], columns=["tokens", "tags"])
        place, test = np.random.default_rng(SEED).permutation(len(frame)), min(200, int(0.4 * len(frame)))
        return sourced(frame.assign(split=np.where(place < test, "test", "train")), asset)
    train, validation = (1700, 2001) if asset.real else (0.60 * len(parts[0]), 0.75 * len(parts[0]))
    drawn = np.random.default_rng(SEED).permutation(len(parts[0]))
    splits = np.select([drawn < train, drawn < validation], ["train", "validation"], "test").tolist()
    frame = pd.DataFrame([sentence for part in parts for sentence in part], columns=["tokens", "tags"])
    return sourced(frame.assign(split=splits + ["test"] * (len(frame) - len(splits))), asset)


def _read_tagged(path: Path, allowed: Collection[str]) -> list[tuple[list[str], list[str]]]:
    """The messages of a file of ``token TAB tag`` lines; between two is a line that is empty or holds a tab.

    In CoNLL-U, rows numbered by a range (``3-4``) or a decimal (``5.1``) are no tokens of their own.
    """
    rich, known = path.suffix == ".conllu", ", ".join(sorted(allowed))
    messages: list[tuple[list[str], list[str]]] = []
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*read_lines(path), ""], 1):
        if rich and re.match(r"#|\d+[-.]\d+\t", line):
            continue
        if line.strip():
            token, _, tag = "\t".join(line.split("\t")[1:4:2] if rich else [line]).partition("\t")
            tag = tag.strip()
            place = f"{path}, line {number}"
            if not token.strip() or tag not in allowed:
                raise ValueError(f"{place}: expected token, tab, and one of {known}, not {line[:40]!r}.")
            if tag[:2] == "I-" and (not tags or tags[-1][1:] != tag[1:]):
                raise ValueError(f"{place}: {tag} continues no name.")
            tokens.append(token)
            tags.append(tag)
        elif tokens:
            messages.append((tokens, tags))
            tokens, tags = [], []
    return messages
