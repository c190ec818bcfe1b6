"""GloVe: word vectors from counts of which words occur near which.

After Pennington, Socher and Manning (2014), "GloVe: global vectors for word representation", called "the paper" below.
:class:`GloVe` is its model with the gradient left to autograd; :func:`train_glove` descends the same objective with the
gradient written out.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils.models.word2vec import adagrad_rows
from course_utils.session import show_progress
from course_utils.text import EncodedText

CHUNK = 1 << 18  # tokens that are counted at a time
BATCH = 4096  # cells of a step


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
    for start in range(0, len(text), CHUNK):
        # A chunk counts the pairs whose first word it holds, and so looks `window` tokens into the next one.
        ids = text.ids[start : start + CHUNK + window].astype(np.int32)
        sentences = text.sentences[start : start + CHUNK + window]
        first, second, weight = [], [], []
        for distance in range(1, min(window, len(ids) - 1) + 1):
            until = min(CHUNK, len(ids) - distance)
            pair = sentences[:until] == sentences[distance : until + distance]
            first.append(ids[:until][pair])
            second.append(ids[distance : until + distance][pair])
            weight.append(np.full(len(first[-1]), 1 / distance, dtype=np.float32))
        if first:
            cells = (np.concatenate(weight), (np.concatenate(first), np.concatenate(second)))
            total += scipy.sparse.coo_array(cells, shape=(words, words)).tocsr()  # sums what is in one cell
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


@dataclass
class GloveVectors:
    """What training has reached. The bias is a column of its own at the end of each row.

    ``word`` and ``context`` are (V, d + 1); ``word_squares`` and ``context_squares``, (V,), sum up each row's squared
    gradients for AdaGrad.
    """

    word: Tensor
    context: Tensor
    word_squares: Tensor
    context_squares: Tensor
    epochs: int = 0  # that the vectors have seen
    losses: list[float] = field(default_factory=list)  # of a cell, the mean over each epoch

    @classmethod
    def new(cls, words: int, dimensions: int, seed: int = 0) -> GloveVectors:
        """Vectors of V words as :class:`GloVe` starts them."""
        generator = torch.Generator().manual_seed(seed)
        word, context = (
            (torch.rand(words, dimensions + 1, generator=generator) - 0.5) / dimensions for _ in range(2)
        )
        return cls(word, context, torch.zeros(words), torch.zeros(words))

    @property
    def vectors(self) -> np.ndarray:
        """The sum of both vectors of each word, (V, d): they mean the same, and two noisy ones make a better one
        (section 4.2)."""
        return (self.word[:, :-1] + self.context[:, :-1]).numpy()


def cell_step(
    model: GloveVectors, rows: Tensor, columns: Tensor, logs: Tensor, weights: Tensor, rate: float
) -> float:
    """One step of gradient descent on some cells, all (batch,); returns the sum of their losses before it."""
    word, context = model.word.index_select(0, rows), model.context.index_select(0, columns)
    product = (word[:, :-1] * context[:, :-1]).sum(1)
    error = product + word[:, -1] + context[:, -1] - logs
    slope = weights * error
    loss = float((slope * error).sum())
    # The derivative of the product by one factor is the other one; that of the sum by a bias is 1.
    word[:, -1] = context[:, -1] = 1.0
    slope = slope.unsqueeze(1)
    adagrad_rows(model.word, model.word_squares, rows, context.mul_(slope), rate)
    adagrad_rows(model.context, model.context_squares, columns, word.mul_(slope), rate)
    return loss


def train_glove(
    counts: scipy.sparse.csr_array,
    *,
    dimensions: int = 100,
    epochs: int = 15,
    rate: float = 0.1,
    x_max: float = 100.0,
    seed: int = 0,
    threads: int = 1,
    model: GloveVectors | None = None,
    after_epoch: Callable[[GloveVectors], None] | None = None,
) -> GloveVectors:
    """Train word vectors on co-occurrence counts.

    Args:
        counts: X, (V, V), as :func:`count_cooccurrences` returns it.
        dimensions: d.
        epochs: passes over the cells, in an order drawn anew each time.
        rate: AdaGrad's learning rate.
        x_max: the count from which on all cells weigh the same; 100 in the paper, for billions of words.
        seed: of all draws.
        threads: with one, a run can be repeated to the bit; several write into the same vectors without waiting for each other.
        model: go on training these vectors, in place; ``dimensions`` is then ignored.
        after_epoch: is given the model after every pass.

    Returns:
        The model; ``model.vectors`` are the word vectors.

    Raises:
        ValueError: for counts without a cell above 0, or a setting below its least value.
    """
    if min(dimensions, epochs, threads) < 1 or min(rate, x_max) <= 0:
        raise ValueError("dimensions, epochs and threads must be 1 or more, rate and x_max above 0.")
    cells = counts.tocoo()
    if not len(cells.data) or not (cells.data > 0).all():
        raise ValueError(
            "The counts hold no cell, or one that is not above 0: its logarithm would not exist."
        )
    if model is None:
        model = GloveVectors.new(counts.shape[0], dimensions, seed)
    rows, columns = (torch.from_numpy(part.astype(np.int64)) for part in (cells.row, cells.col))
    data = torch.from_numpy(cells.data.astype(np.float32))
    logs, weights = data.log(), glove_weight(data, x_max)
    before = torch.get_num_threads()
    bar = tqdm(total=epochs * len(data), desc="GloVe", unit="cell", unit_scale=True, delay=2, leave=False,
               disable=not show_progress())  # fmt: skip
    try:
        torch.set_num_threads(1)
        with bar, ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for _ in range(epochs):
                order = torch.from_numpy(np.random.default_rng([seed, model.epochs]).permutation(len(data)))
                # Put into order once, not picked cell by cell: that would miss the processor's cache each time.
                shuffled = [part[order] for part in (rows, columns, logs, weights)]

                def work(part: int, shuffled: list[Tensor] = shuffled) -> float:
                    """Every ``threads``-th step of the epoch."""
                    total = 0.0
                    for start in range(part * BATCH, len(data), threads * BATCH):
                        i, j, log, weight = (column[start : start + BATCH] for column in shuffled)
                        total += cell_step(model, i, j, log, weight, rate)
                        bar.update(len(i))
                    return total

                model.losses.append(sum(pool.map(work, range(threads))) / len(data))
                model.epochs += 1
                if after_epoch is not None:
                    after_epoch(model)
    finally:
        torch.set_num_threads(before)
    return model
