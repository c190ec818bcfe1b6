"""GloVe: word vectors from counts of which words occur near which.

After Pennington, Socher and Manning (2014), "GloVe: global vectors for word representation", called "the paper" below.
:class:`GloVe` is its model with the gradient left to autograd; :func:`course_utils.training.word_vectors.train_glove` descends the
same objective with the gradient written out.
"""

import numpy as np
import scipy.sparse
from torch import Tensor, nn

from course_utils.text import EncodedText


def count_cooccurrences(text: EncodedText, words: int, window: int = 10) -> scipy.sparse.csr_array:
    """How often words stand near each other: a pair at distance d adds 1/d (section 4.2), within one sentence.

    Args:
        text: n tokens and the sentences they stand in.
        words: V, the size of the vocabulary.
        window: the farthest pair that is counted, in tokens.

    Returns:
        X, (V, V), float32, symmetric; only cells above 0 are stored.

    Raises:
        ValueError: if ``window`` is below 1.
    """
    if window < 1:
        raise ValueError(f"window must be 1 or more, not {window!r}.")
    total = scipy.sparse.csr_array((words, words), dtype=np.float32)
    ids = text.ids.astype(np.int32)
    for distance in range(1, min(window, len(ids) - 1) + 1):
        pair = text.sentences[:-distance] == text.sentences[distance:]
        cells = (np.ones(pair.sum(), np.float32), (ids[:-distance][pair], ids[distance:][pair]))
        counts = scipy.sparse.coo_array(cells, shape=(words, words)).tocsr()  # sums what is in one cell
        total += counts * np.float32(1 / distance)
    total = (total + total.T).tocsr()
    total.sort_indices()
    return total


def glove_weight(counts: Tensor, x_max: float = 100.0, alpha: float = 0.75) -> Tensor:
    """What a cell counts in the loss (equation 9): rare ones little, from ``x_max`` on all the same."""
    return (counts / x_max).clamp(max=1.0) ** alpha


class GloVe(nn.Module):
    """Two vectors and two biases for every word, whose products shall give the logarithms of the counts."""

    def __init__(self, words: int, dimensions: int):
        super().__init__()
        self.word, self.context = nn.Embedding(words, dimensions), nn.Embedding(words, dimensions)
        self.word_bias, self.context_bias = nn.Embedding(words, 1), nn.Embedding(words, 1)
        for table in (self.word, self.context, self.word_bias, self.context_bias):
            nn.init.uniform_(table.weight, -0.5 / dimensions, 0.5 / dimensions)

    def forward(self, rows: Tensor, columns: Tensor, counts: Tensor, x_max: float = 100.0) -> Tensor:
        """Equation 8, the mean over the given cells; all three (batch,)."""
        product = (self.word(rows) * self.context(columns)).sum(-1)
        said = product + self.word_bias(rows).squeeze(-1) + self.context_bias(columns).squeeze(-1)
        return (glove_weight(counts, x_max) * (said - counts.log()) ** 2).mean()
