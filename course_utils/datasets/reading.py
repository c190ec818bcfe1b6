"""What the data sets share: how their files are read, and what a frame says of its source."""

from pathlib import Path

import pandas as pd

from course_utils.assets import Resolved

SEED = 2018  # of the splits that are drawn here: the random_state of the widely copied tutorial


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, without the last line's end.

    Not splitlines(): it would also break a line at U+0085, which is an ellipsis in messages, and the like.

    Raises:
        ValueError: if there is nothing but white space.
    """
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        raise ValueError(f"{path} is empty.")
    return text.removesuffix("\n").split("\n")


def sourced(frame: pd.DataFrame, asset: Resolved) -> pd.DataFrame:
    """The frame with where it is from in its ``attrs``: ``origin``, ``real`` (False for a stand-in), ``licence``, ``citation``."""
    frame.attrs.update(origin=asset.origin, real=asset.real, licence=asset.licence, citation=asset.citation)
    return frame
