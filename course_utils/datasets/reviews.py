"""Movie-review sentence polarity: critics' sentences, for or against a film, with splits."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from course_utils.assets import resolve
from course_utils.datasets.messages import (
    SEED,
    letters,
    read_lines,
    read_table,
    repair_text,
    sourced,
    stratified,
)
from course_utils.session import data_folder

POLARITIES = {"negative": 0, "positive": 1}
_OF_FILE = {".neg": "negative", ".pos": "positive"}  # the real files hold one label each


def load_reviews(*, seed: int = 0, train: int | None = None, profile: str | None = None) -> pd.DataFrame:
    """Critics' sentences, half of them positive: 10,662 real ones, or the stand-in where they cannot be had.

    Args:
        seed: another split of the same kind, 70/15/15, stratified by label.
        train: so many sentences for training, half of them positive, drawn by the seed; the rest of that
            split is ``unused``. By default, and where it has no more, all of it.
        profile: ``ci``, ``laptop`` or ``gpu``; by default the one in force. ``ci`` reads the stand-in.

    Returns:
        One row per sentence, in an order drawn once (each of the real files holds one label), with ``text``
        (lower case, punctuation spaced, repaired as by :func:`repair_text`), ``label`` (int64, 1 is
        positive) and ``split``: ``train``, ``validation``, ``test``, or ``unused`` where it repeats an
        earlier one but for case, white space and punctuation. ``attrs`` holds ``origin``, ``real`` (False
        for the stand-in), ``licence`` and ``citation``.

    Raises:
        ValueError: for a wrong seed, a ``train`` that is no even number from 2 on, or a file that is empty or malformed (with the line).
        course_utils.assets.AssetError: if neither the files nor the stand-in can be found.
    """
    asset = resolve("sentence-polarity", profile=profile)
    rows = [row for file in asset.files for row in _read(asset.path(file))]
    frame = pd.DataFrame(rows, columns=["text", "label"]).astype({"label": np.int64})
    frame = frame.sample(frac=1, random_state=SEED, ignore_index=True)
    labels = frame["label"].to_numpy()
    if (counts := np.bincount(labels, minlength=2)).min() < 10:
        raise ValueError(
            f"{asset.folder} has {counts[1]} positive and {counts[0]} negative sentences; "
            "splits need at least ten of each."
        )
    frame["split"] = stratified(labels, ~letters(frame["text"]).duplicated().to_numpy(), seed)
    if train is not None:
        if train != max(2, train // 2 * 2):
            raise ValueError(f"train must be an even number from 2 on, half for each label, not {train!r}.")
        mixed = frame[frame["split"] == "train"].sample(frac=1, random_state=SEED + seed)
        frame.loc[mixed.index[mixed.groupby("label").cumcount() >= train // 2], "split"] = "unused"
    return sourced(frame, asset)


def load_minimal_pairs() -> pd.DataFrame:
    """Sentences about films, two by two, that differ in one word and in their verdict (``data/minimal_pairs.csv``).

    Returns:
        48 rows of ``kind`` (a word exchanged: ``plain``; ``praise negated``, ``blame negated``; a half sentence that misleads:
        ``contrast``), ``positive`` and ``negative``. Written for this course, in the manner of :func:`load_reviews`.
    """
    return read_table(data_folder() / "minimal_pairs.csv", "kind", "positive", "negative")


def _read(path: Path) -> Iterator[tuple[str, int]]:
    """The sentences of one file, each with its label."""
    lines, polarity = read_lines(path), _OF_FILE.get(path.suffix)
    table = None if polarity else read_table(path, "text", "label")
    rows = (
        ((polarity, line) for line in lines)
        if table is None
        else zip(table["label"], table["text"], strict=True)
    )
    for number, (label, text) in enumerate(rows, 1 if table is None else 2):
        if label not in POLARITIES or not re.search(r"\w", text or ""):
            expected = "a sentence" if polarity else "a sentence and the label negative or positive"
            raise ValueError(f"{path}, line {number}: expected {expected}, found {lines[number - 1][:40]!r}.")
        yield repair_text(text).strip(), POLARITIES[label]
