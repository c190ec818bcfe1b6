"""Word vectors learn by loops of their own: millions of words a minute on a CPU, the gradient written out by hand.

:func:`train_word2vec` descends the objective of :class:`~course_utils.models.word2vec.SkipGram`, for whole blocks of text at a
time, :func:`train_glove` that of :class:`~course_utils.models.glove.GloVe`. Both share AdaGrad by rows, and threads.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from course_utils.models.glove import glove_weight
from course_utils.models.word2vec import draw_noise, keep_probability
from course_utils.session import show_progress
from course_utils.text import EncodedText

CENTRES = 32  # centres of a block; they share its negatives
SHARED = 24  # negatives of a block
BLOCKS = 64  # blocks of a step
PIECE = 50_000  # words that a thread takes at a time
BATCH = 4096  # cells of a step


@dataclass
class Vectors:
    """Two vectors of each word, and how much each of them has already been moved.

    Rows learn at their own pace: the rate is divided by the root of a row's summed squared gradients (AdaGrad, Duchi et al.
    2011, with one number per row). Plain gradient descent diverges where a frequent word collects hundreds of gradients in
    one step.
    """

    centre: Tensor  # (V, d)
    context: Tensor  # (V, d)
    centre_squares: Tensor  # (V,)
    context_squares: Tensor  # (V,)
    epochs: int = 0  # that the vectors have seen
    losses: list[float] = field(default_factory=list)  # of a pair or a cell, the mean over each epoch


class Word2Vec(Vectors):
    """The vectors of skip-gram; ``centre`` are those one uses."""

    @classmethod
    def new(cls, words: int, dimensions: int, seed: int = 0) -> Self:
        """Vectors of V words as :class:`SkipGram` starts them."""
        start = torch.rand(words, dimensions, generator=torch.Generator().manual_seed(int(seed))) - 0.5
        return cls(start / dimensions, torch.zeros(words, dimensions), torch.zeros(words), torch.zeros(words))


def block_weights(ids: Tensor, left: Tensor, right: Tensor, shared: Tensor, negatives: int) -> Tensor:
    """What every (other word, centre) of some blocks counts in the loss, (blocks, tokens + noise words, centres).

    In sum this weighs as :class:`SkipGram` does. There, each pair brings k noise terms of its own; here, a block's noise words
    serve all its pairs, and each of them counts k / (number of noise words) for every pair but those whose context it is.

    Args:
        ids: token ids of the blocks, (blocks, tokens); the centres are the tokens in their middle.
        left: how many tokens before each centre are its context, (blocks, centres).
        right: how many after it.
        shared: noise words of the blocks, (blocks, noise words).
        negatives: noise words per pair in the objective, the paper's k.
    """
    (blocks, tokens), centres, noise = ids.shape, left.shape[1], shared.shape[1]
    window, others = (tokens - centres) // 2, tokens + noise
    weights = torch.zeros(blocks, others, centres)
    # Seen from its centre, a window is a row of 2 window + 1 places. Centre i has its row in column i, from line i on, so all
    # rows together are a diagonal band, and this is a view of the band.
    band = weights.as_strided((blocks, centres, 2 * window + 1), (others * centres, centres + 1, centres))
    place = torch.arange(-window, window + 1, dtype=left.dtype)
    band.copy_((place >= -left.unsqueeze(2)) & (place <= right.unsqueeze(2)) & (place != 0))
    share = negatives / noise
    weights[:, tokens:] = share * (left + right).unsqueeze(1)
    same = ids.unsqueeze(1) == shared.unsqueeze(2)
    # There are few; torch.nonzero takes several times as long.
    hits = torch.from_numpy(np.flatnonzero(same.numpy()))
    if len(hits):
        block, word, token = hits // (noise * tokens), hits // tokens % noise, hits % tokens
        weights.index_put_((block, tokens + word), -share * weights[block, token], accumulate=True)
    return weights


def block_step(
    model: Word2Vec, ids: Tensor, weights: Tensor, shared: Tensor, rate: float, measure: bool = False
) -> tuple[float, float]:
    """One step of gradient descent on the blocks; the loss and the number of pairs, if it is to ``measure`` them."""
    (blocks, tokens), (_, others, centres), width = ids.shape, weights.shape, model.centre.shape[1]
    window = (tokens - centres) // 2
    centre_ids = ids[:, window : window + centres].flatten().long()
    other_ids = torch.cat([ids, shared], dim=1).flatten().long()
    centre = model.centre.index_select(0, centre_ids).view(blocks, centres, width)
    other = model.context.index_select(0, other_ids).view(blocks, others, width)
    scores = torch.bmm(other, centre.transpose(1, 2))
    loss = pairs = 0.0
    if measure:
        signs = torch.where(torch.arange(others, device=ids.device) < tokens, 1.0, -1.0)[:, None]
        loss = -float((weights * F.logsigmoid(signs * scores)).sum())
        pairs = float(weights[:, :tokens].sum())
    # d/ds of -log sigmoid(s) is sigmoid(s) - 1; of -log sigmoid(-s) it is sigmoid(s).
    slope = scores.sigmoid_()
    slope[:, :tokens] -= 1
    slope *= weights
    adagrad_rows(model.centre, model.centre_squares, centre_ids, torch.bmm(slope.mT, other), rate)
    adagrad_rows(model.context, model.context_squares, other_ids, torch.bmm(slope, centre), rate)
    return loss, pairs


def adagrad_rows(matrix: Tensor, squares: Tensor, rows: Tensor, gradient: Tensor, rate: float) -> None:
    """AdaGrad on some rows; a row that occurs several times takes a step for each."""
    gradient = gradient.reshape(len(rows), -1)
    squares.index_add_(0, rows, torch.linalg.vector_norm(gradient, dim=1).square_().div_(gradient.shape[1]))
    step = rate / (squares.index_select(0, rows).sqrt_() + 1e-8)
    matrix.index_add_(0, rows, gradient.mul_(step.unsqueeze(1)), alpha=-1)


def train_word2vec(
    text: EncodedText, counts: np.ndarray, *, dimensions: int = 100, window: int = 5, negatives: int = 5, epochs: int = 5,
    subsample: float = 1e-3, rate: float = 0.1, seed: int = 0, threads: int = 1, model: Word2Vec | None = None,
    after_epoch: Callable[[Word2Vec], object] = lambda model: None,
) -> Word2Vec:  # fmt: skip
    """Train word vectors with skip-gram and negative sampling.

    As in the published program, frequent words are thinned out before windows are laid, and the window of each centre
    reaches as far as a draw from 1 to ``window`` says.

    Args:
        text: the corpus, as ``Vocabulary.encode`` returns it.
        counts: how often each word of the vocabulary occurs, (V,).
        dimensions: d.
        window: the farthest context word, in tokens.
        negatives: noise words per pair, the paper's k.
        epochs: passes over the text.
        subsample: threshold of :func:`keep_probability`.
        rate: AdaGrad's learning rate.
        seed: of all draws.
        threads: with one, a run can be repeated to the bit. Several write into the same vectors without waiting for each other
            (Hogwild, Recht et al. 2011): faster, and different each time.
        model: go on training these vectors, in place; ``dimensions`` is then ignored.
        after_epoch: is given the model after every pass, to draw a curve for instance.

    Returns:
        The model; ``model.centre`` holds the word vectors.

    Raises:
        ValueError: for a text without two words in one sentence, or a setting below its least value.
    """
    if min(dimensions, window, negatives, epochs, threads) < 1 or subsample < 0 or rate <= 0:
        raise ValueError("dimensions, window, negatives, epochs, threads must be 1 or more; rate above 0.")
    if len(text.ids) < 2 or not (text.sentences[1:] == text.sentences[:-1]).any():
        raise ValueError("The text has no sentence of two known words, so there is no pair to learn from.")
    if model is None:
        model = Word2Vec.new(len(counts), dimensions, seed)
    keep = keep_probability(counts, subsample)
    # Threads take turns at pieces of the text, each of whole sentences.
    begins = np.flatnonzero(np.diff(text.sentences, prepend=-1))
    cuts = np.unique(begins[np.searchsorted(begins, np.arange(0, begins[-1] + 1, PIECE))])
    columns = (np.split(column, cuts[1:]) for column in (text.ids, text.sentences))
    pieces = [EncodedText(*parts) for parts in zip(*columns, strict=True)]
    before = torch.get_num_threads()
    bar = tqdm(total=epochs * len(text), desc="word2vec", unit="word", unit_scale=True, delay=2, leave=False,
               disable=not show_progress())  # fmt: skip

    def work(number: int) -> tuple[float, float]:
        """Train on one piece; returns the loss and the number of pairs in a sample of its steps."""
        piece, random = pieces[number], np.random.default_rng([seed, model.epochs, number])
        some = random.random(len(piece)) < keep[piece.ids]
        thinned = EncodedText(piece.ids[some], piece.sentences[some])
        ids, left, right = cut_blocks(thinned, window, random)
        noise = torch.from_numpy(draw_noise(counts, len(ids) * SHARED, random)).view(-1, SHARED)
        order = torch.from_numpy(random.permutation(len(ids)))
        loss = pairs = 0.0
        for start in range(0, len(order), BLOCKS):
            chosen, shared = order[start : start + BLOCKS], noise[start : start + BLOCKS]
            weights = block_weights(ids[chosen], left[chosen], right[chosen], shared, negatives)
            more = block_step(model, ids[chosen], weights, shared, rate, measure=start == 0)
            loss, pairs = loss + more[0], pairs + more[1]
        bar.update(len(piece))
        return loss, pairs

    try:
        torch.set_num_threads(1)  # a block's matrices are too small to share; pieces are shared out instead
        with bar, ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for _ in range(epochs):
                order = np.random.default_rng([seed, model.epochs]).permutation(len(pieces))
                losses, pairs = np.sum(list(pool.map(work, order.tolist())), axis=0)
                model.epochs += 1
                model.losses.append(float(losses / max(pairs, 1.0)))
                after_epoch(model)
    finally:
        torch.set_num_threads(before)
    return model


def cut_blocks(text: EncodedText, window: int, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A text as blocks of centres with the tokens around them.

    Returns:
        Ids (blocks, CENTRES + 2 window), int32, and how far the window of each centre extends to the left and to the right,
        (blocks, CENTRES), int8: a draw from 1 to ``window``, cut off where the sentence ends. Past the end of the text, 0.
    """
    n = len(text)
    reach = random.integers(1, window + 1, size=n)
    places = np.arange(n)
    new = np.flatnonzero(np.diff(text.sentences, prepend=-1))  # where sentences begin
    lengths = np.diff(new, append=n)
    left = np.minimum(reach, places - np.repeat(new, lengths))
    right = np.minimum(reach, np.repeat(new + lengths, lengths) - 1 - places)
    blocks = max(1, -(-n // CENTRES))
    behind = blocks * CENTRES - n
    padded = torch.from_numpy(np.pad(text.ids.astype(np.int32), (window, behind + window)))
    sides = (np.pad(side, (0, behind)).reshape(blocks, CENTRES) for side in (left, right))
    before, after = (torch.from_numpy(side.astype(np.int8)) for side in sides)
    return padded.unfold(0, CENTRES + 2 * window, CENTRES), before, after


class GloveVectors(Vectors):
    """The vectors of GloVe, (V, d + 1) each: the bias is a column of its own at the end of a row."""

    @classmethod
    def new(cls, words: int, dimensions: int, seed: int = 0) -> Self:
        """Vectors of V words as :class:`GloVe` starts them."""
        start = torch.rand(2, words, dimensions + 1, generator=torch.Generator().manual_seed(int(seed))) - 0.5
        centre, context = start.div_(dimensions).unbind()
        return cls(centre, context, torch.zeros(words), torch.zeros(words))

    @property
    def vectors(self) -> np.ndarray:
        """The sum of both, (V, d): they mean the same, and two noisy ones make a better one (section 4.2)."""
        return (self.centre[:, :-1] + self.context[:, :-1]).numpy()


def cell_step(
    model: GloveVectors, rows: Tensor, columns: Tensor, logs: Tensor, weights: Tensor, rate: float
) -> float:
    """One step of gradient descent on some cells, all (batch,); returns the sum of their losses before it."""
    word, context = model.centre.index_select(0, rows), model.context.index_select(0, columns)
    product = (word[:, :-1] * context[:, :-1]).sum(1)
    error = product + word[:, -1] + context[:, -1] - logs
    slope = weights * error
    loss = float((slope * error).sum())
    # The derivative of the product by one factor is the other one; that of the sum by a bias is 1.
    word[:, -1] = context[:, -1] = 1.0
    slope = slope.unsqueeze(1)
    adagrad_rows(model.centre, model.centre_squares, rows, context.mul_(slope), rate)
    adagrad_rows(model.context, model.context_squares, columns, word.mul_(slope), rate)
    return loss


def train_glove(
    counts: scipy.sparse.csr_array, *, dimensions: int = 100, epochs: int = 15, rate: float = 0.1, x_max: float = 100.0,
    seed: int = 0, threads: int = 1, model: GloveVectors | None = None,
    after_epoch: Callable[[GloveVectors], object] = lambda model: None,
) -> GloveVectors:  # fmt: skip
    """Train word vectors on co-occurrence counts.

    Args:
        counts: X, (V, V), as :func:`count_cooccurrences` returns it.
        epochs: passes over the cells, in an order drawn anew each time.
        x_max: the count from which on all cells weigh the same; 100 in the paper, for billions of words.
        dimensions, rate, seed, threads, model, after_epoch: as in :func:`train_word2vec`.

    Returns:
        The model; ``model.vectors`` are the word vectors.

    Raises:
        ValueError: for counts without a cell above 0, or a setting below its least value.
    """
    if min(dimensions, epochs, threads) < 1 or min(rate, x_max) <= 0:
        raise ValueError("dimensions, epochs and threads must be 1 or more, rate and x_max above 0.")
    cells = counts.tocoo()
    if not len(cells.data) or not (cells.data > 0).all():
        raise ValueError("The counts hold no cell, or one not above 0: its logarithm would not exist.")
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
                after_epoch(model)
    finally:
        torch.set_num_threads(before)
    return model
