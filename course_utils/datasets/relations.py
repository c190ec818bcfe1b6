"""Words and their relations: analogies, ratings by people, senses, and published vectors."""

import numpy as np
import pandas as pd

from course_utils.assets import resolve
from course_utils.datasets.messages import read_table
from course_utils.session import data_folder
from course_utils.text import WordVectors


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
    frame = read_table(path, "word", "sense", "sentence")
    parts = frame["sentence"].str.extract(r"^([^\[\]]*)\[([^\[\]]*)\]([^\[\]]*)$")
    wrong = np.flatnonzero(parts[1] != frame["word"])
    if len(wrong):
        word = frame["word"].iloc[wrong[0]]
        raise ValueError(f"{path}, line {wrong[0] + 2}: the sentence must hold [{word}] once.")
    start, sentence = parts[0].str.len(), parts[0] + parts[1] + parts[2]
    return frame[["word", "sense"]].assign(sentence=sentence, start=start, end=start + parts[1].str.len())
