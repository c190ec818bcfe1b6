"""Word2vec: skip-gram with negative sampling.

After Mikolov et al. (2013), "Distributed representations of words and phrases and their compositionality",
arXiv:1310.4546, called "the paper" below. :class:`SkipGram` is the model as one reads it there, a loss over pairs whose gradient
is left to autograd; what the lectures run, the same objective faster, is :func:`course_utils.training.word_vectors.train_word2vec`.
"""

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.text import EncodedText


def keep_probability(counts: np.ndarray, threshold: float = 1e-3) -> np.ndarray:
    """Subsampling: the probability with which each occurrence of a word is kept.

    The paper's equation 5 keeps a word of share f with probability sqrt(t / f). Its published program, and gensim, keep it
    with sqrt(t / f) + t / f, a little more; so do we.

    Args:
        counts: how often each word occurs, (V,).
        threshold: t, as a share of all words; what is rarer is always kept. 0 switches subsampling off.

    Returns:
        Probabilities, (V,), float64.
    """
    if threshold == 0:
        return np.ones(len(counts))
    ratio = threshold * np.sum(counts) / np.asarray(counts, dtype=np.float64)
    return np.minimum(1.0, np.sqrt(ratio) + ratio)


def noise_distribution(counts: np.ndarray, power: float = 0.75) -> np.ndarray:
    """Where negatives are drawn from: counts to the power of 3/4, with sum 1 (section 2.2); (V,), float64."""
    weights = np.asarray(counts, dtype=np.float64) ** power
    return weights / weights.sum()


def draw_noise(counts: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Words from the noise distribution, (size,), int32, in random order.

    Drawn systematically, at equal steps from a random start: each word comes as often as its probability says, rounded up or
    down, which is the expectation of independent draws without their luck.
    """
    edges = np.cumsum(noise_distribution(counts))
    points = (np.arange(size) + random.random()) / size * edges[-1]
    words = np.searchsorted(edges, points, side="right").clip(max=len(counts) - 1)
    return random.permutation(words.astype(np.int32))


def skip_gram_pairs(text: EncodedText, reach: np.ndarray) -> np.ndarray:
    """All (centre, context) pairs of a text, (pairs, 2), those of distance 1 first; no window leaves its sentence.

    Args:
        text: n tokens and the sentences they stand in.
        reach: how far the window of each token extends to either side, (n,).
    """
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for distance in range(1, min(int(reach.max(initial=0)), len(text.ids) - 1) + 1):
        left, right = text.ids[:-distance], text.ids[distance:]
        together = text.sentences[:-distance] == text.sentences[distance:]
        sees_right = together & (reach[:-distance] >= distance)
        sees_left = together & (reach[distance:] >= distance)
        pairs.append(np.stack([left[sees_right], right[sees_right]], axis=1))
        pairs.append(np.stack([right[sees_left], left[sees_left]], axis=1))
    return np.concatenate(pairs)


class SkipGram(nn.Module):
    """Two vectors for every word: one for when it is the centre, one for when it stands in the context of another."""

    def __init__(self, words: int, dimensions: int):
        super().__init__()
        self.centre = nn.Embedding(words, dimensions)
        self.context = nn.Embedding(words, dimensions)
        nn.init.uniform_(self.centre.weight, -0.5 / dimensions, 0.5 / dimensions)
        nn.init.zeros_(self.context.weight)

    def softmax_loss(self, centres: Tensor, contexts: Tensor) -> Tensor:
        """Equations 1 and 2: for every pair, all words of the vocabulary are scored. (batch,), (batch,) -> ()."""
        scores = self.centre(centres) @ self.context.weight.T
        return F.cross_entropy(scores, contexts)

    def forward(self, centres: Tensor, contexts: Tensor, negatives: Tensor) -> Tensor:
        """Equation 4, negated: the true pair is pulled together, k noise words are pushed away.

        (batch,), (batch,), (batch, k) -> (), the mean over the pairs. A negative that happens to be the true context word
        is left out, as in the published program.
        """
        centre = self.centre(centres)
        true = (centre * self.context(contexts)).sum(-1)
        noise = (self.context(negatives) @ centre.unsqueeze(-1)).squeeze(-1)
        counts = negatives != contexts.unsqueeze(-1)
        return -(F.logsigmoid(true) + (F.logsigmoid(-noise) * counts).sum(-1)).mean()
