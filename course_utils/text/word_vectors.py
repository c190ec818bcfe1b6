"""Static word vectors in use: neighbours, analogies, and the tests they are scored on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:  # half a second, which models and features do without
    import pandas as pd


class WordVectors:
    """One vector for every word, whatever sentence it stands in.

    Args:
        words: V different words; the order is kept, the first of several equally good answers wins.
        matrix: their vectors, (V, d), float32.

    Raises:
        ValueError: if the two do not fit together, a word occurs twice, or a vector has no finite length above 0.
    """

    def __init__(self, words: Sequence[str], matrix: np.ndarray):
        matrix = np.asarray(matrix, dtype=np.float32)
        if matrix.ndim != 2 or len(words) != len(matrix):
            raise ValueError(f"One row for each word, please: {len(words)} words, a matrix {matrix.shape}.")
        self.words, self.matrix = list(words), matrix
        self.index = {word: number for number, word in enumerate(self.words)}
        if len(self.index) < len(self.words):
            raise ValueError("A word occurs twice, so it would have two vectors.")
        length = np.linalg.norm(matrix, axis=1)
        if not (sound := (length > 0) & (length < np.inf)).all():
            word = words[int(sound.argmin())]
            raise ValueError(f"The vector of {word!r} is all 0, or not finite: leave it out, or train again.")

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def __getitem__(self, word: str) -> np.ndarray:
        """The vector of a word, (d,).

        Raises:
            KeyError: for a word that has none.
        """
        if word not in self.index:
            raise KeyError(f"{word!r} has no vector: it is not among the {len(self):,} words.")
        return self.matrix[self.index[word]]

    @cached_property
    def unit(self) -> np.ndarray:
        """The vectors brought to length 1, (V, d): then a dot product is a cosine."""
        return self.matrix / np.linalg.norm(self.matrix, axis=1, keepdims=True)

    def similarity(self, one: str, other: str) -> float:
        """The cosine of the angle between two words, -1 to 1."""
        self[one], self[other]  # a clear error for a word that has no vector
        return float(self.unit[self.index[one]] @ self.unit[self.index[other]])

    def neighbours(
        self, of: str | np.ndarray, count: int = 10, without: Iterable[str] = ()
    ) -> list[tuple[str, float]]:
        """The words whose vectors point most nearly the same way, each with its cosine.

        Args:
            of: a word, which is then left out itself, or a vector (d,).
            count: how many.
            without: words that must not be among the answers.
        """
        vector = self[of] if isinstance(of, str) else np.asarray(of, dtype=np.float32)
        scores = self.unit @ (vector / max(float(np.linalg.norm(vector)), 1e-12))
        unwanted = {*without, of} if isinstance(of, str) else set(without)
        hidden = [self.index[word] for word in unwanted if word in self]
        scores[hidden] = -np.inf
        best = np.argsort(-scores, kind="stable")[: min(count, len(self) - len(hidden))]
        return [(self.words[row], float(scores[row])) for row in best]

    def analogy(self, a: str, b: str, c: str, count: int = 5) -> list[tuple[str, float]]:
        """What is to ``c`` as ``b`` is to ``a``: the neighbours of b - a + c, the three words themselves left out.

        All three are brought to length 1 first (3CosAdd: Mikolov et al. 2013, arXiv:1301.3781).
        """
        self[a], self[b], self[c]
        one, two, three = (self.unit[self.index[word]] for word in (a, b, c))
        return self.neighbours(two - one + three, count, without=(a, b, c))


def score_analogies(vectors: WordVectors, questions: pd.DataFrame) -> pd.DataFrame:
    """How many analogy questions come out right, the answer being looked for among all words but the three asked with.

    Args:
        vectors: V words.
        questions: ``section``, ``kind``, ``a``, ``b``, ``c``, ``d``, as ``load_analogies`` returns them.

    Returns:
        A row for each section: ``kind``, ``asked``, ``covered`` (all four words have vectors) and ``right``.
    """
    columns = [questions[name].map(vectors.index) for name in "abcd"]
    covered = np.logical_and.reduce([column.notna() for column in columns])
    ids = np.stack([column[covered].to_numpy(np.int64) for column in columns], axis=1)
    right = np.zeros(len(questions), dtype=bool)
    right[covered] = _nearest_is_right(torch.from_numpy(vectors.unit), torch.from_numpy(ids)).numpy()
    frame = questions[["section", "kind"]].assign(asked=True, covered=covered, right=right)
    return frame.groupby(["section", "kind"], sort=False).sum().reset_index("kind")


@torch.inference_mode()
def _nearest_is_right(unit: Tensor, ids: Tensor, rows: int = 1024, columns: int = 1024) -> Tensor:
    """Whether the fourth word beats all others; (questions, 4) -> (questions,), in tiles that stay in the processor's cache."""
    right = []
    for part in ids.split(rows):
        a, b, c, d = unit[part].unbind(1)
        target = b - a + c
        score = (target * d).sum(1)
        best = torch.full_like(score, -torch.inf)
        for start in range(0, len(unit), columns):
            tile = target @ unit[start : start + columns].T
            row, which = torch.nonzero((part >= start) & (part < start + tile.shape[1]), as_tuple=True)
            tile[row, part[row, which] - start] = -torch.inf
            best = torch.maximum(best, tile.amax(1))
        # Rounding differs between the two ways to the score; a gap this small is no gap.
        asked = (part[:, :3] == part[:, 3:]).any(1)
        right.append((score > best - 1e-6) & ~asked)
    return torch.cat(right)


def score_similarities(vectors: WordVectors, pairs: pd.DataFrame) -> dict[str, float]:
    """Spearman's rank correlation between cosines and people's ratings.

    Args:
        vectors: V words.
        pairs: ``one``, ``other``, ``rating``, as ``load_similarities`` returns them.

    Returns:
        ``spearman`` over the covered pairs (nan for fewer than two), ``covered`` and ``pairs``.
    """
    from scipy.stats import spearmanr

    covered = pairs[pairs["one"].isin(vectors.index) & pairs["other"].isin(vectors.index)]
    cosines = [vectors.similarity(*words) for words in covered[["one", "other"]].to_numpy()]
    rank = float(spearmanr(cosines, covered["rating"]).statistic) if len(covered) > 1 else float("nan")
    return {"spearman": rank, "covered": len(covered), "pairs": len(pairs)}


def score_senses(vectors: np.ndarray, senses: pd.DataFrame) -> pd.Series:
    """How often the nearest other sentence with the same word uses it in the same sense.

    Every sentence looks for the one whose vector has the largest cosine with its own among the sentences of its word. Where
    several are equally near, it gets the share of them that has its sense: vectors that are all the same score chance.

    Args:
        vectors: one vector of the marked word (or of anything else) for every sentence, (n, d).
        senses: ``word`` and ``sense`` of the n sentences, as ``load_senses`` returns them.

    Returns:
        The accuracy for each word, 0 to 1.

    Raises:
        ValueError: if the two differ in number, or a word has one sentence only.
    """
    import pandas as pd

    vectors = np.asarray(vectors, dtype=np.float64)
    if len(vectors) != len(senses):
        raise ValueError(f"One vector for each sentence, please, not {len(vectors)} for {len(senses)}.")
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    scores = {}
    for word, rows in senses.reset_index(drop=True).groupby("word", sort=False):
        if len(rows) < 2:
            raise ValueError(f"{word!r} stands in one sentence only, so there is none to compare it with.")
        cosines = unit[rows.index] @ unit[rows.index].T
        np.fill_diagonal(cosines, -np.inf)
        nearest = cosines > cosines.max(axis=1, keepdims=True) - 1e-9
        same = rows["sense"].to_numpy()[:, None] == rows["sense"].to_numpy()
        scores[word] = float(((nearest & same).sum(1) / nearest.sum(1)).mean())
    return pd.Series(scores, name="accuracy")
