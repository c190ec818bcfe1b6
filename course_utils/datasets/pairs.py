"""Microsoft's paraphrase corpus: two sentences from the news, and whether they say the same."""

import numpy as np
import pandas as pd

from course_utils.assets import resolve
from course_utils.datasets.messages import limit_training, read_lines, sourced, stratified


def load_pairs(*, seed: int = 0, train: int | None = None, profile: str | None = None) -> pd.DataFrame:
    """The Microsoft Research Paraphrase Corpus (5,801 pairs), or the stand-in where it cannot be had.

    Two thirds say the same: always answering so scores an F1 of .799 on the real test pairs. 240 sentences of
    the real training pairs stand in a test pair, too. Arguments and errors are those of :func:`load_claims`;
    the real splits are the corpus's own, so there the seed only draws the ``train`` pairs.

    Returns:
        One row per pair, in the files' order, with ``first``, ``second``, ``label`` (int64, 1 says the same)
        and ``split``: ``train`` (3,576), ``validation`` (500) and ``test`` (1,725), or 70/15/15 % of the
        stand-in, stratified by label; ``unused`` what ``train`` leaves. ``attrs`` as for :func:`load_claims`;
        the real pairs' ``licence`` allows nothing commercial.
    """
    asset = resolve("msr-paraphrase", profile=profile)
    rows, official = [], []
    for file, split in zip(asset.files, ("train", "validation", "test"), strict=False):
        for number, line in enumerate(read_lines(asset.path(file))[1:], 2):
            # Split at tabs: a CSV reader would join lines at quotation marks that stand alone.
            label, _, _, *texts = line.split("\t") if line.count("\t") == 4 else [""] * 3
            if label not in ("0", "1") or not all(text.strip() for text in texts):
                place = f"{asset.path(file)}, line {number}"
                raise ValueError(
                    f"{place}: expected a label, two ids and two sentences, found {line[:40]!r}."
                )
            rows.append((*(text.strip() for text in texts), int(label)))
            official.append(split)
    frame = pd.DataFrame(rows, columns=["first", "second", "label"])
    drawn = stratified(frame["label"].to_numpy(), np.ones(len(frame), bool), seed)
    frame["split"] = official if asset.real else drawn
    limit_training(frame, train, seed)
    return sourced(frame, asset)
