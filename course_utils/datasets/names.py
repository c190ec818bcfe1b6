"""WNUT-17: posts in which every name is marked with its type."""

from pathlib import Path

import numpy as np
import pandas as pd

from course_utils.assets import resolve
from course_utils.datasets.messages import SEED, read_lines, sourced

NAME_TYPES = ("person", "location", "corporation", "product", "creative-work", "group")
_TAGS = {"O", *(f"{place}-{kind}" for place in "BI" for kind in NAME_TYPES)}


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
    parts = [_read_tagged(asset.path(file)) for file in asset.files]
    messages = [message for part in parts for message in part]
    if asset.real:
        splits = np.repeat(["train", "validation", "test"], [len(part) for part in parts])
    else:
        drawn = np.random.default_rng(SEED).permutation(len(messages)) / len(messages)
        splits = np.select([drawn < 0.60, drawn < 0.75], ["train", "validation"], "test")
    return sourced(pd.DataFrame(messages, columns=["tokens", "tags"]).assign(split=splits), asset)


def _read_tagged(path: Path) -> list[tuple[list[str], list[str]]]:
    """The messages of a file of ``token TAB tag`` lines; between two is a line that is empty or holds a tab."""
    messages: list[tuple[list[str], list[str]]] = []
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*read_lines(path), ""], 1):
        if line.strip():
            token, _, tag = line.partition("\t")
            tag = tag.strip()
            place = f"{path}, line {number}"
            if not token.strip() or tag not in _TAGS:
                raise ValueError(f"{place}: expected token, tab, and O, B-TYPE or I-TYPE, not {line[:40]!r}.")
            if tag[0] == "I" and (not tags or tags[-1][1:] != tag[1:]):
                raise ValueError(f"{place}: {tag} continues no name.")
            tokens.append(token)
            tags.append(tag)
        elif tokens:
            messages.append((tokens, tags))
            tokens, tags = [], []
    return messages
