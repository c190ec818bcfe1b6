"""ClaimBuster: sentences of debates, and whether they are worth a fact check."""

from pathlib import Path

import numpy as np
import pandas as pd

from course_utils.assets import resolve
from course_utils.datasets.messages import letters, limit_training, read_json, sourced, stratified


def load_claims(*, seed: int = 0, train: int | None = None, profile: str | None = None) -> pd.DataFrame:
    """ClaimBuster: 8,678 sentences of presidential debates in the USA, or the stand-in where it cannot be had.

    The real files name no debate, year, speaker or topic: the splits are random, so a test sentence may be of
    the same speech as a training sentence, and how a model does on a new topic cannot be learned from them.

    Args:
        seed: another split of the same kind, 70/15/15, stratified by label.
        train: so many rows for training (4 or more), in the shares of the labels; the rest is ``unused``.
        profile: ``ci``, ``laptop`` or ``gpu``; by default the one in force. ``ci`` reads the stand-in.

    Returns:
        One row per sentence in the files' order, with ``text``, ``label`` (int64, 1 is worth a fact check) and
        ``split``: ``train``, ``validation``, ``test``; ``expert``, the 702 that experts labelled, half and half;
        ``unused`` where it repeats another but for case, white space and punctuation. The stand-in has no
        ``expert``, but ``speaker`` and ``year``, invented. ``attrs`` and errors: :func:`load_reviews`.
    """
    asset = resolve("claimbuster", profile=profile)
    parts = [_read(asset.path(file)) for file in asset.files]
    frame = pd.concat(parts, ignore_index=True)
    said = letters(frame["text"])
    expert = frame.index >= len(parts[0])
    used = ~(expert | said.duplicated() | said.isin(said[expert]))
    splits = stratified(frame["label"].to_numpy(), used.to_numpy(), seed)
    frame.insert(2, "split", np.where(expert, "expert", splits))
    limit_training(frame, train, seed)
    return sourced(frame, asset)


def _read(path: Path) -> pd.DataFrame:
    """The sentences of a JSON list: ``text``, ``label``, and ``speaker`` and ``year`` where it has them."""
    frame = pd.DataFrame(read_json(path), columns=["text", "label", "speaker", "year"])
    frame = frame.drop(columns=[name for name in ("speaker", "year") if frame[name].isna().all()])
    wrong = ~frame["label"].isin([0, 1]) | ~frame["text"].str.contains(r"\w", na=False)
    if wrong.any():
        raise ValueError(f"{path}, entry {wrong.argmax() + 1}: expected a text, and the label 0 or 1.")
    return frame.assign(text=frame["text"].str.strip(), label=frame["label"].astype(np.int64))
