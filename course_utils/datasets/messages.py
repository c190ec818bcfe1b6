"""The SMS Spam Collection: messages with labels, splits and marked duplicates."""

import csv
import html
import io
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course_utils.arguments import checked
from course_utils.assets import Resolved, resolve

SEED = 2018  # of the splits that are drawn: the random_state of the widely copied tutorial
SMS_SPLITS = ("clean", "seed")
LABELS = {"ham": 0, "spam": 1}
AGAIN = "Save it as CSV with commas, in UTF-8, or take the course's own again."
NEAR = 0.8  # Jaccard similarity of character 5-grams from which two messages count as near duplicates

# A text typed on Windows and declared as Latin-1 shows the bytes 0x80-0x9f as control characters; five have no meaning.
_WINDOWS = {code: text for code in range(0x80, 0xA0) if (text := bytes([code]).decode("cp1252", "ignore"))}
# Only entities that end in a semicolon: "&pound50" or "R&Regards" are left as they were typed.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, without the last line's end.

    Not splitlines(): it would also break a line at U+0085, which is an ellipsis in messages, and the like.

    Raises:
        ValueError: if it is in another encoding, or there is nothing but white space.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark of their own
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8. {AGAIN}") from error
    if not text.strip():
        raise ValueError(f"{path} is empty.")
    return text.removesuffix("\n").split("\n")


def read_json(path: Path) -> Any:
    """What a JSON file in UTF-8 holds.

    Raises:
        ValueError: if it is no JSON (with the line), and as :func:`read_lines`.
    """
    try:
        return json.loads("\n".join(read_lines(path)))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: this is no JSON ({error.msg}).") from error


def read_table(path: Path, *columns: str) -> pd.DataFrame:
    """A CSV file in UTF-8, its columns named in the first line; all values are text, "" where a row is too short.

    Raises:
        ValueError: if it cannot be read as such, is empty or lacks one of the columns.
    """
    try:
        frame = pd.read_csv(io.StringIO("\n".join(read_lines(path))), dtype=str, keep_default_na=False)
    except pd.errors.ParserError as error:
        raise ValueError(f"{path}: {error}. {AGAIN}") from error
    if not {*columns} <= {*frame}:
        raise ValueError(
            f"{path}: expected the columns {' and '.join(columns)}, found {list(frame)}. {AGAIN}"
        )
    return frame.fillna("")


def sourced(frame: pd.DataFrame, asset: Resolved) -> pd.DataFrame:
    """The frame with ``origin``, ``real`` (False for a stand-in), ``licence`` and ``citation`` in its ``attrs``."""
    frame.attrs.update(origin=asset.origin, real=asset.real, licence=asset.licence, citation=asset.citation)
    return frame


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
    asset = resolve("sms-spam", profile=profile)
    path = asset.path()
    facts = path.stat()
    frame, swallowed = _read_sms(path, facts.st_mtime_ns, facts.st_size)
    frame = frame.copy()
    used = ~swallowed if split == "seed" else ~frame["text"].map(fold).duplicated().to_numpy()
    frame.insert(2, "split", stratified(frame["label"].to_numpy(), used, seed))
    return sourced(frame, asset)


@lru_cache(maxsize=4)
def _read_sms(path: Path, changed: int, size: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Read and mark the messages once per process and version of the file; callers copy. Also: :func:`_swallowed`."""
    lines, standin = read_lines(path), path.suffix == ".csv"
    rows = [line.partition("\t")[::2] for line in lines]
    frame = read_table(path, "text", "label") if standin else pd.DataFrame(rows, columns=["label", "text"])
    wrong = np.flatnonzero(~frame["label"].isin(LABELS) | (frame["text"].str.strip() == ""))
    if len(wrong):
        place, line = f"{path}, line {wrong[0] + standin + 1}", lines[wrong[0] + standin]
        raise ValueError(f"{place}: expected the label ham or spam, and a message, found {line[:40]!r}.")
    raw, labels = frame["text"], frame["label"].map(LABELS).astype(np.int64)
    spam, ham = labels.sum(), len(labels) - labels.sum()
    if min(spam, ham) < 10:
        raise ValueError(f"{path} has {ham} ham and {spam} spam messages; splits need at least ten of each.")
    frame = pd.DataFrame({"text": raw.map(repair_text), "label": labels, "raw_text": raw})
    frame["duplicate"] = mark_duplicates(raw, frame["text"])
    return frame, np.zeros(len(raw), bool) if standin else _swallowed(lines)


def _swallowed(lines: list[str]) -> np.ndarray:
    """Which lines of the collection a CSV reader with quoting on takes for the rest of the one before."""
    reader = csv.reader((line + "\n" for line in lines), delimiter="\t")
    last = [reader.line_num for _ in reader]  # of each row
    return ~np.isin(np.arange(len(lines)), [0, *last[:-1]])


def mark_duplicates(raw: pd.Series, text: pd.Series) -> np.ndarray:
    """Which messages repeat an earlier one, (n,): ``"exact"``, ``"near"`` or ``""``, as in :func:`load_sms`.

    ``raw`` and ``text``, both (n,), are the messages as they stand in the file, and repaired.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    folded = text.map(fold).str.replace(r"\d", "0", regex=True)
    near = folded.duplicated().to_numpy(copy=True)
    rows = np.flatnonzero(~near)
    shapes = folded.iloc[rows]
    if (shapes.str.len() >= 5).any():
        grams = {"analyzer": "char", "ngram_range": (5, 5), "binary": True, "lowercase": False}
        matrix = CountVectorizer(**grams, dtype=np.float32).fit_transform(shapes)
        sizes = matrix.getnnz(axis=1)
        for start in range(0, len(rows), 1000):  # all pairs at once would need several hundred megabytes
            shared = (matrix[start : start + 1000] @ matrix.T).tocoo()
            one, other = shared.row + start, shared.col
            union = sizes[one] + sizes[other] - shared.data
            near[rows[one[(other < one) & (shared.data >= NEAR * union)]]] = True
    return np.where(raw.duplicated(), "exact", np.where(near, "near", "")).astype(object)


def stratified(labels: np.ndarray, used: np.ndarray, seed: int) -> np.ndarray:
    """Name each row's split, (n,): 70/15/15 of the used rows, stratified, in the two steps of the tutorial.

    Raises:
        ValueError: for a seed that is no whole number from 0 on.
    """
    from sklearn.model_selection import train_test_split

    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        raise ValueError(f"seed must be a whole number from 0 on, not {seed!r}.")
    rows, random_state = np.flatnonzero(used), SEED + int(seed)
    train, rest = train_test_split(rows, test_size=0.3, random_state=random_state, stratify=labels[rows])
    validation, test = train_test_split(rest, test_size=0.5, random_state=random_state, stratify=labels[rest])
    names = np.full(len(labels), "unused", dtype=object)
    names[train], names[validation], names[test] = "train", "validation", "test"
    return names


def letters(texts: pd.Series) -> pd.Series:
    """Texts without case, white space and punctuation: what is equal then is a repetition."""
    return texts.str.casefold().str.replace(r"[\W_]+", "", regex=True)


def limit_training(frame: pd.DataFrame, train: int | None, seed: int) -> None:
    """Leave ``train`` rows of that split in the shares of the labels (a smaller draw lies within a larger one)."""
    if train is None:
        return
    (train,) = checked(4, train=train)
    mixed = frame[frame["split"] == "train"].sample(frac=1, random_state=SEED + seed)
    of_label = mixed.groupby("label")["label"]
    share = (of_label.cumcount() + 0.5) / of_label.transform("size")  # of its label's rows, up to this one
    frame.loc[share.sort_values(kind="stable").index[train:], "split"] = "unused"
