"""Word2vec: skip-gram with negative sampling.

After Mikolov et al. (2013), "Distributed representations of words and phrases and their compositionality",
arXiv:1310.4546, called "the paper" below. Two ways to the same vectors: :class:`SkipGram` is the model as one reads it there,
a loss over pairs whose gradient is left to autograd; :func:`train_word2vec` is what the lectures run, the same objective with
its gradient written out, for whole blocks of text at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils.session import show_progress
from course_utils.text import EncodedText

CENTRES = 32  # centres of a block; they share its negatives
SHARED = 24  # negatives of a block
BLOCKS = 64  # blocks of a step
PIECE = 50_000  # words that a thread takes at a time


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


@dataclass
class Word2Vec:
    """The vectors, and how much each of them has already been moved.

    Rows learn at their own pace: the rate is divided by the root of a row's summed squared gradients (AdaGrad, Duchi et al.
    2011, with one number per row). Plain gradient descent diverges where a frequent word collects hundreds of gradients in
    one step.
    """

    centre: Tensor  # (V, d)
    context: Tensor  # (V, d)
    centre_squares: Tensor  # (V,)
    context_squares: Tensor  # (V,)
    epochs: int = 0  # that the vectors have seen
    losses: list[float] = field(default_factory=list)  # of a pair, the mean over each epoch

    @classmethod
    def new(cls, words: int, dimensions: int, seed: int = 0) -> Word2Vec:
        """Vectors of V words as :class:`SkipGram` starts them."""
        start = torch.rand(words, dimensions, generator=torch.Generator().manual_seed(seed)) - 0.5
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
    window = (tokens - centres) // 2
    weights = torch.zeros(blocks, tokens + noise, centres)
    # Seen from its centre, a window is a row of 2 window + 1 places. Centre i has its row in column i, from line i on, so all
    # rows together are a diagonal band, and this is a view of the band.
    band = weights.as_strided(
        (blocks, centres, 2 * window + 1), ((tokens + noise) * centres, centres + 1, centres)
    )
    place = torch.arange(-window, window + 1, dtype=left.dtype)
    band.copy_((place >= -left.unsqueeze(2)) & (place <= right.unsqueeze(2)) & (place != 0))
    share = negatives / noise
    weights[:, tokens:] = share * (left + right).unsqueeze(1)
    same = ids.unsqueeze(1) == shared.unsqueeze(2)
    hits = torch.from_numpy(
        np.flatnonzero(same.numpy())
    )  # there are few; torch.nonzero takes several times as long
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
    adagrad_rows(
        model.centre, model.centre_squares, centre_ids, torch.bmm(slope.transpose(1, 2), other), rate
    )
    adagrad_rows(model.context, model.context_squares, other_ids, torch.bmm(slope, centre), rate)
    return loss, pairs


def adagrad_rows(matrix: Tensor, squares: Tensor, rows: Tensor, gradient: Tensor, rate: float) -> None:
    """AdaGrad on some rows; a row that occurs several times takes a step for each."""
    gradient = gradient.reshape(len(rows), -1)
    squares.index_add_(0, rows, torch.linalg.vector_norm(gradient, dim=1).square_().div_(gradient.shape[1]))
    step = rate / (squares.index_select(0, rows).sqrt_() + 1e-8)
    matrix.index_add_(0, rows, gradient.mul_(step.unsqueeze(1)), alpha=-1)


def train_word2vec(
    text: EncodedText,
    counts: np.ndarray,
    *,
    dimensions: int = 100,
    window: int = 5,
    negatives: int = 5,
    epochs: int = 5,
    subsample: float = 1e-3,
    rate: float = 0.1,
    seed: int = 0,
    threads: int = 1,
    model: Word2Vec | None = None,
    after_epoch: Callable[[Word2Vec], None] | None = None,
) -> Word2Vec:
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
        raise ValueError(
            "dimensions, window, negatives, epochs and threads must be 1 or more, and the rate above 0."
        )
    if len(text.ids) < 2 or not (text.sentences[1:] == text.sentences[:-1]).any():
        raise ValueError("The text has no sentence of two known words, so there is no pair to learn from.")
    if model is None:
        model = Word2Vec.new(len(counts), dimensions, seed)
    keep = keep_probability(counts, subsample)
    # Threads take turns at pieces of the text, each of whole sentences.
    begins = np.flatnonzero(np.diff(text.sentences, prepend=-1))
    cuts = np.unique(begins[np.searchsorted(begins, np.arange(0, begins[-1] + 1, PIECE))])
    pieces = [
        EncodedText(*parts)
        for parts in zip(np.split(text.ids, cuts[1:]), np.split(text.sentences, cuts[1:]), strict=True)
    ]
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
                if after_epoch is not None:
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
    tokens = np.lib.stride_tricks.sliding_window_view(
        np.pad(text.ids.astype(np.int32), (window, behind + window)), CENTRES + 2 * window
    )[::CENTRES]
    left, right = (
        np.pad(side, (0, behind)).reshape(blocks, CENTRES).astype(np.int8) for side in (left, right)
    )
    return torch.from_numpy(tokens.copy()), torch.from_numpy(left), torch.from_numpy(right)
