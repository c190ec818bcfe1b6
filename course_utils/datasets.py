"""The course's data sets: from verified files to tidy frames with labels, splits and marked duplicates."""

from __future__ import annotations

import bz2
import csv
import html
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from course_utils.assets import AssetError, resolve
from course_utils.session import cache_folder, current_profile, data_folder
from course_utils.text import split_sentences, split_words
from course_utils.word_vectors import WordVectors

SMS_SPLITS = ("clean", "seed")
LABELS = {"ham": 0, "spam": 1, "0": 0, "1": 1}
SEED = 2018  # the random_state of the widely copied tutorial
NEAR = 0.8  # Jaccard similarity of character 5-grams from which two messages count as near duplicates

# A text typed on Windows and declared as Latin-1 shows the bytes 0x80-0x9f as control characters; five have no meaning.
_WINDOWS = {
    code: text for code in range(0x80, 0xA0) if (text := bytes([code]).decode("cp1252", errors="ignore"))
}
# Only entities that end in a semicolon: "&pound50" or "R&Regards" are left as they were typed.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def repair_text(text: str) -> str:
    """Undo two accidents of transport, and nothing else.

    1. HTML entities are unescaped once: ``&lt;#&gt;`` becomes ``<#>``; ``&amp;lt;`` becomes ``&lt;`` and stays so.
    2. The control characters U+0080 to U+009F become what Windows-1252 means by them: U+0092 becomes ``’``. The five that
       Windows-1252 does not define, and all other characters, stay.
    """
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text).translate(_WINDOWS)


def fold(text: str) -> str:
    """A message without the differences that do not count: case, and the amount and kind of white space."""
    return " ".join(text.casefold().split())


def load_sms(split: str = "clean", *, seed: int = 0, profile: str | None = None) -> pd.DataFrame:
    """The SMS Spam Collection (5,574 messages, 747 of them spam), or the stand-in where the real file cannot be had.

    The file is read with quoting off (``csv.QUOTE_NONE``): with the quoting that CSV readers switch on by default, a message
    that opens with a quotation mark swallows the two after it.

    Args:
        split: ``clean`` keeps every message out of all splits but one: of messages that are equal after :func:`fold`, all
            after the first are ``unused``. ``seed`` is the split of the widely copied tutorial, duplicates included; the two
            messages that its CSV reader swallowed are ``unused``. Both are 70/15/15, stratified by label.
        seed: another split of the same kind; 0 gives the tutorial's ``random_state``, 2018.
        profile: ``ci``, ``laptop`` or ``gpu``; by default the one in force. ``ci`` reads the stand-in.

    Returns:
        One row per message in the file's order, with ``text`` (repaired, see :func:`repair_text`), ``label`` (int64, 1 is
        spam), ``split`` (``train``, ``validation``, ``test``, ``unused``), ``raw_text`` and ``duplicate``: ``exact`` if an
        earlier row has the same raw text; ``near`` if an earlier row is equal once case, white space and the values of digits
        are ignored, or shares at least 80 % of its character 5-grams (Jaccard); else "". ``attrs`` holds ``origin``,
        ``real`` (False for the stand-in), ``licence`` and ``citation``.

    Raises:
        ValueError: for an unknown split or seed, or a file that is empty or malformed (with the line).
        course_utils.assets.AssetError: if neither the file nor the stand-in can be found.
    """
    if split not in SMS_SPLITS:
        raise ValueError(f"split must be one of {', '.join(SMS_SPLITS)}, not {split!r}.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        raise ValueError(f"seed must be a whole number from 0 on, not {seed!r}.")
    asset = resolve("sms-spam", profile=profile)
    path = asset.path()
    facts = path.stat()
    frame, swallowed = _read_sms(path, facts.st_mtime_ns, facts.st_size)
    frame = frame.copy()
    used = ~swallowed if split == "seed" else ~frame["text"].map(fold).duplicated().to_numpy()
    frame.insert(2, "split", _stratified(frame["label"].to_numpy(), used, SEED + int(seed)))
    frame.attrs.update(origin=asset.origin, real=asset.real, licence=asset.licence, citation=asset.citation)
    return frame


@lru_cache(maxsize=4)
def _read_sms(path: Path, changed: int, size: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Read and mark the messages once per process and version of the file; callers copy."""
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        raise ValueError(f"{path} is empty.")
    labels, raw, swallowed = _parse_csv(path) if path.suffix == ".csv" else _parse_lines(path, text)
    frame = pd.DataFrame(
        {"text": [repair_text(message) for message in raw], "label": np.array(labels, np.int64)}
    )
    counts = np.bincount(frame["label"], minlength=2)
    if counts.min() < 10:
        raise ValueError(
            f"{path} has {counts[0]} ham and {counts[1]} spam messages; splits need at least ten of each."
        )
    frame["raw_text"] = raw
    frame["duplicate"] = mark_duplicates(frame["raw_text"], frame["text"])
    return frame, swallowed


def _parse_lines(path: Path, text: str) -> tuple[list[int], list[str], np.ndarray]:
    """The collection's own format, ``label TAB text``; also which rows a quoting CSV reader swallows."""
    # Not splitlines(): it would also break a message at U+0085, which is an ellipsis here.
    lines = text.removesuffix("\n").split("\n")
    labels, raw = [], []
    for number, line in enumerate(lines, 1):
        name, tab, message = line.partition("\t")
        if name not in LABELS or not tab or not message.strip():
            raise ValueError(
                f"{path}, line {number}: expected `ham` or `spam`, a tab and a message, found {line[:40]!r}."
            )
        labels.append(LABELS[name])
        raw.append(message)
    swallowed = np.ones(len(lines), bool)
    reader = csv.reader((line + "\n" for line in lines), delimiter="\t")
    first = 0
    for _ in reader:
        swallowed[first] = False
        first = reader.line_num
    return labels, raw, swallowed


def _parse_csv(path: Path) -> tuple[list[int], list[str], np.ndarray]:
    """The stand-in's format: a CSV file with the columns text, label (ham or spam) and kind."""
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        if not {"text", "label"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path}: expected the columns text and label, found {reader.fieldnames}.")
        labels, raw = [], []
        for row in reader:
            if row["label"] not in LABELS or not (row["text"] or "").strip():
                raise ValueError(
                    f"{path}, line {reader.line_num}: expected a message and the label ham or spam."
                )
            labels.append(LABELS[row["label"]])
            raw.append(row["text"])
    return labels, raw, np.zeros(len(raw), bool)


def mark_duplicates(raw: pd.Series, text: pd.Series) -> np.ndarray:
    """Mark rows that repeat an earlier one.

    Args:
        raw: (n,) the messages as they stand in the file.
        text: (n,) the same, repaired.

    Returns:
        (n,) array of ``"exact"``, ``"near"`` and ``""``, as described in :func:`load_sms`.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    folded = text.map(fold).str.replace(r"\d", "0", regex=True)
    near = folded.duplicated().to_numpy(copy=True)
    rows = np.flatnonzero(~near)
    shapes = folded.iloc[rows]
    if (shapes.str.len() >= 5).any():
        grams = CountVectorizer(
            analyzer="char", ngram_range=(5, 5), binary=True, lowercase=False, dtype=np.float32
        )
        matrix = grams.fit_transform(shapes)
        sizes = matrix.getnnz(axis=1)
        for start in range(
            0, len(rows), 1000
        ):  # in blocks: all pairs at once would need several hundred megabytes
            shared = (matrix[start : start + 1000] @ matrix.T).tocoo()
            one, other = shared.row + start, shared.col
            union = sizes[one] + sizes[other] - shared.data
            near[rows[one[(other < one) & (shared.data >= NEAR * union)]]] = True
    return np.where(raw.duplicated(), "exact", np.where(near, "near", "")).astype(object)


def _stratified(labels: np.ndarray, used: np.ndarray, random_state: int) -> np.ndarray:
    """Name each row's split: 70/15/15 of the used rows, stratified, in the two steps of the tutorial."""
    from sklearn.model_selection import train_test_split

    rows = np.flatnonzero(used)
    train, rest = train_test_split(rows, test_size=0.3, random_state=random_state, stratify=labels[rows])
    validation, test = train_test_split(rest, test_size=0.5, random_state=random_state, stratify=labels[rest])
    names = np.full(len(labels), "unused", dtype=object)
    for name, members in (("train", train), ("validation", validation), ("test", test)):
        names[members] = name
    return names


# ---- names in messages

NAME_TYPES = ("person", "location", "corporation", "product", "creative-work", "group")
_TAGS = {"O", *(f"{place}-{kind}" for place in "BI" for kind in NAME_TYPES)}


def load_entities(profile: str | None = None) -> pd.DataFrame:
    """WNUT-17, posts with the names in them marked, or the stand-in where the real files cannot be had.

    A name's first token is tagged ``B-`` and its type, the others ``I-`` and the type, all else ``O``. In the training file
    2,394 of the 3,394 messages end in a line that holds a tab, the others in an empty one: who splits at empty lines alone
    gets giants of several messages. 103 training messages repeat an earlier one (retweets), 11 of the texts with other tags;
    they stay, as everybody's results include them.

    Args:
        profile: ``ci``, ``laptop`` or ``gpu``; by default the one in force. ``ci`` reads the stand-in.

    Returns:
        One row per message in the files' order, with ``tokens``, ``tags`` (two lists of equal length) and ``split``:
        ``train`` (3,394), ``validation`` (1,009) and ``test`` (1,287) of the shared task, or 60/15/25 % of the stand-in, in
        an order drawn once. A training message whose tokens stand in validation or test too is left out; in these files
        there is none. ``attrs`` holds ``origin``, ``real`` (False for the stand-in), ``licence`` and ``citation``.

    Raises:
        ValueError: for a file that is empty or malformed (with the line).
        course_utils.assets.AssetError: if neither the files nor the stand-in can be found.
    """
    asset = resolve("wnut17", profile=profile)
    parts = [_read_tagged(asset.path(file)) for file in asset.files]
    messages = [message for part in parts for message in part]
    if asset.real:
        names = ("train", "validation", "test")
        splits = np.repeat(names, [len(part) for part in parts])
    else:
        drawn = np.random.default_rng(SEED).permutation(len(messages)) / len(messages)
        splits = np.select([drawn < 0.60, drawn < 0.75], ["train", "validation"], "test")
    frame = pd.DataFrame(messages, columns=["tokens", "tags"]).assign(split=splits)
    texts, train = frame["tokens"].map(tuple), frame["split"] == "train"
    frame = frame[~(train & texts.isin(set(texts[~train])))].reset_index(drop=True)
    frame.attrs.update(origin=asset.origin, real=asset.real, licence=asset.licence, citation=asset.citation)
    return frame


def _read_tagged(path: Path) -> list[tuple[list[str], list[str]]]:
    """The messages of a file of ``token TAB tag`` lines, an empty line (or one of white space) between two messages."""
    messages: list[tuple[list[str], list[str]]] = []
    tokens: list[str] = []
    tags: list[str] = []
    # Not splitlines(): it would also break a line inside a token, at U+0085 and the like.
    for number, line in enumerate([*path.read_text(encoding="utf-8").split("\n"), ""], 1):
        if line.strip():
            token, _, tag = line.partition("\t")
            tag = tag.strip()
            if not token.strip() or tag not in _TAGS:
                raise ValueError(
                    f"{path}, line {number}: expected a token, a tab and O, B-TYPE or I-TYPE, found {line[:40]!r}."
                )
            if tag[0] == "I" and (not tags or tags[-1][1:] != tag[1:]):
                raise ValueError(f"{path}, line {number}: {tag} continues no name.")
            tokens.append(token)
            tags.append(tag)
        elif tokens:
            messages.append((tokens, tags))
            tokens, tags = [], []
    if not messages:
        raise ValueError(f"{path} is empty.")
    return messages


# ---- running text


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
            reason = str(error).splitlines()[0]
            print(
                f"{reason} 206 Wikipedia pages are used instead, a hundredth of it; results will be poorer."
            )
    asset = resolve("wikipedia-sample", profile=profile)
    sentences = _wikipedia_sentences(asset.path())
    return Corpus("206 Wikipedia pages", sentences, asset.origin, asset.licence, asset.citation)


def load_language(name: str, *, profile: str | None = None) -> Corpus:
    """A small text in a language whose words have many forms, or in English for comparison.

    Args:
        name: ``finnish`` or ``english-genesis``, the same book in both (26,554 and 36,041 words), or ``turkish``, the 1,958
            sentences of a treebank's development and test parts, which do not belong together (19,730 words).
        profile: ``ci``, ``laptop`` or ``gpu``; by default the one in force. None of them can be had in ``ci``.

    Raises:
        ValueError: if the name is another one, or the treebank holds no sentence.
        course_utils.assets.AssetError: if the files cannot be had; the message says what to do.
    """
    files = {"finnish": "finnish.txt", "english-genesis": "english-web.txt"}
    if name in files:
        asset = resolve("genesis", profile=profile)
        # The lines end within sentences; the Finnish file is in Latin-1, the English one in ASCII.
        text = " ".join(asset.path(files[name]).read_text(encoding="latin-1").split())
        return Corpus(name, split_sentences(text), asset.origin, asset.licence, asset.citation)
    if name != "turkish":
        raise ValueError(f"name must be finnish, english-genesis or turkish, not {name!r}.")
    asset = resolve("ud-turkish-boun", profile=profile)
    lines = "\n".join(asset.path(file).read_text(encoding="utf-8") for file in asset.files)
    # The sentence as it was written: the treebank's own rows split some words in two.
    sentences = re.findall(r"^# text = (.+)$", lines, flags=re.MULTILINE)
    if not sentences:
        raise ValueError(f"{asset.folder}: no line begins with `# text = `.")
    # Turkish has two letters i, and Python's lower() knows one: it would give i for I and a broken i for İ.
    sentences = [sentence.replace("İ", "i").replace("I", "ı") for sentence in sentences]
    return Corpus(name, sentences, asset.origin, asset.licence, asset.citation)


_TABLE_ROW = re.compile(r"^\s*(?:[|!*#:;=]|\{\||File:|Image:|Category:)")


@lru_cache(maxsize=1)
def _wikipedia_sentences(path: Path) -> list[str]:
    """Sentences of a Wikipedia dump; its mark-up takes seconds to strip, so the text is kept in the course cache."""
    facts = path.stat()
    kept = cache_folder() / "corpora" / f"{path.name}-{facts.st_size}-1.txt"
    try:
        return kept.read_text(encoding="utf-8").splitlines()
    except OSError:
        pass
    from gensim.corpora.wikicorpus import extract_pages, filter_wiki

    sentences = []
    with bz2.open(path) as stream:
        for _title, text, _number in extract_pages(stream, filter_namespaces=("0",)):
            lines = [line for line in filter_wiki(text).splitlines() if not _TABLE_ROW.match(line)]
            found = (
                " ".join(s.replace("'''", "").replace("''", "").split())
                for s in split_sentences("\n".join(lines))
            )
            # What has fewer than four words is a heading or a cell of a table.
            sentences += [sentence for sentence in found if len(split_words(sentence)) > 3]
    _keep("\n".join(sentences), kept)
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


def _keep(text: str, path: Path) -> None:
    """Write a file of the cache whole or not at all; a cache that cannot be written to is no reason to stop."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The folder goes, and with it what a full disk has left of the file.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder) / path.name
            part.write_text(text, encoding="utf-8")
            os.replace(part, path)
    except OSError:
        pass


# ---- words and their relations


def load_analogies() -> pd.DataFrame:
    """Google's analogy questions: ``section``, ``kind`` (semantic or syntactic) and the lower-case words ``a``, ``b``, ``c``,
    ``d``, to be read "a is to b as c is to d"; 19,544 rows."""
    rows, section = [], ""
    for line in resolve("google-analogies").path().read_text(encoding="utf-8").splitlines():
        if line.startswith(":"):
            section = line[1:].strip()
        elif line.strip():
            kind = "syntactic" if section.startswith("gram") else "semantic"
            rows.append((section, kind, *line.lower().split()))
    return pd.DataFrame(rows, columns=["section", "kind", "a", "b", "c", "d"])


def load_similarities(name: str) -> pd.DataFrame:
    """Pairs of words as people rated them: the lower-case ``one`` and ``other``, and their mean ``rating``.

    Args:
        name: ``wordsim-353`` (how related, 0 to 10) or ``simlex-999`` (how similar, 0 to 10).
    """
    if name not in ("wordsim-353", "simlex-999"):
        raise ValueError(f"name must be wordsim-353 or simlex-999, not {name!r}.")
    frame = pd.read_csv(resolve(name).path(), sep="\t", comment="#", names=["one", "other", "rating"])
    return frame.assign(one=frame["one"].str.lower(), other=frame["other"].str.lower())


def load_glove() -> WordVectors:
    """Stanford's GloVe 6B: 400,000 words, the most frequent first, 50 dimensions."""
    asset = resolve("glove-6b-50d")
    words = pd.read_parquet(asset.path("glove_6B_index.parquet"))["index"].tolist()
    return WordVectors(words, np.load(asset.path("glove_6B_50d_emb.npy"), allow_pickle=False))


def load_senses() -> pd.DataFrame:
    """Ambiguous words in sentences, written for the course (``data/senses.csv``).

    Returns:
        ``word``, ``sense``, ``sentence``, and where the word stands in it: characters ``start`` to ``end``. In the file
        brackets mark the place: ``The dog brought the [stick] back.``

    Raises:
        ValueError: for a row whose brackets do not hold its word once, naming the line.
    """
    path = data_folder() / "senses.csv"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    parts = frame["sentence"].str.extract(r"^([^\[\]]*)\[([^\[\]]*)\]([^\[\]]*)$")
    wrong = np.flatnonzero(parts[1].fillna("") != frame["word"])
    if len(wrong):
        raise ValueError(
            f"{path}, line {wrong[0] + 2}: the sentence must hold [{frame['word'].iloc[wrong[0]]}] once."
        )
    start = parts[0].str.len()
    return frame[["word", "sense"]].assign(
        sentence=parts[0] + parts[1] + parts[2], start=start, end=start + parts[1].str.len()
    )
