"""Language models: a smoothed n-gram, an LSTM by hand, and an LSTM language model.

All of them give the probability of the next word of a text, and are scored by :func:`perplexity`. A text is what
:func:`encode_sentences` makes of it: id 0 ends a sentence (and stands before the next), id 1 is any unknown word.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.session import compute
from course_utils.text import EncodedText, Vocabulary

END, UNKNOWN = 0, 1
SPECIAL = ["<eos>", "<unk>"]  # the names of the two; the words of the vocabulary follow
State = tuple[Tensor, Tensor]  # h and c of an LSTM
Reader = TypeVar("Reader", bound=nn.Module)


def encode_sentences(sentences: Iterable[Sequence[str]], vocabulary: Vocabulary) -> EncodedText:
    """Ids for a language model: word i of the vocabulary is i + 2, others are UNKNOWN, and END closes each sentence."""
    index = vocabulary.index
    rows = [[*(index.get(word, UNKNOWN - 2) + 2 for word in sentence), END] for sentence in sentences]
    ids = np.array([number for row in rows for number in row], dtype=np.int64)
    return EncodedText(ids, np.repeat(np.arange(len(rows), dtype=np.int32), [len(row) for row in rows]))


def perplexity(log_probabilities: np.ndarray) -> float:
    """Natural log-probabilities of n words, (n,), as a perplexity: among how many equally likely words one guesses.

    Raises:
        ValueError: for an empty array, or one with a value above 0, which is no logarithm of a probability.
    """
    values = np.asarray(log_probabilities, np.float64)
    if not values.size or not (values <= 1e-6).all():
        raise ValueError("Perplexity needs natural logarithms of probabilities: at least one, none above 0.")
    return float(np.exp(-values.mean()))


def perplexity_ratio(
    one: np.ndarray, other: np.ndarray, sentences: np.ndarray, draws: int = 1000
) -> tuple[float, float, float]:
    """One model's perplexity over another's on the same text, and the ends of its 95 % interval: sentences drawn anew.

    Args:
        one, other: natural log-probabilities of the same n words, (n,).
        sentences: the sentence of each word, (n,), as :func:`encode_sentences` numbers them.
        draws: how often as many sentences are drawn.
    """
    gaps, sizes = np.bincount(sentences, other - one), np.bincount(sentences)
    drawn = np.random.default_rng(0).integers(len(gaps), size=(draws, len(gaps)))
    ends = np.quantile(gaps[drawn].sum(1) / sizes[drawn].sum(1), [0.025, 0.975])
    middle, low, high = np.exp([gaps.sum() / sizes.sum(), *ends]).tolist()
    return middle, low, high


class Counts(NamedTuple):
    """What :func:`count_grams` found for one length n; a key is ids, read as the digits of one number."""

    grams: np.ndarray  # sorted keys of the n-grams
    counts: np.ndarray  # c of each
    contexts: np.ndarray  # sorted keys of their first n - 1 words
    totals: np.ndarray  # the sum of c over the words that follow each
    types: np.ndarray  # how many different words follow each
    discount: float


def n_grams(text: EncodedText, order: int) -> np.ndarray:
    """Every token after its order - 1 predecessors, (n, order); before the beginning of a sentence stands END."""
    columns = [text.ids]
    for back in range(1, order):
        same = text.sentences[back:] == text.sentences[:-back]
        columns.insert(0, np.full_like(text.ids, END))
        columns[0][back:] = np.where(same, text.ids[:-back], END)
    return np.stack(columns, axis=1)


def to_keys(grams: np.ndarray, words: int) -> np.ndarray:
    """Each row of ids, (m, n), as the digits of one number to the base ``words``, (m,)."""
    if not len(grams) or grams.min() < 0 or grams.max() >= words:
        raise ValueError(f"A text of ids from 0 to {words - 1}, please, with at least one token.")
    return grams @ (words ** np.arange(grams.shape[1] - 1, -1, -1, dtype=np.int64))


def look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The value of each wanted key, 0 for one that is not among the sorted keys."""
    at = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def count_grams(keys: np.ndarray, words: int, order: int) -> list[Counts]:
    """The counts of Kneser and Ney (1995) for every length n, the unigrams first, from the keys of all n-grams, (m,).

    The longest are counted as they occur; for a shorter one it counts how many different words stand before it.
    """
    levels: list[Counts] = []
    longer = keys
    for n in range(order, 0, -1):
        grams, counts = np.unique(keys % words**n, return_counts=True)
        if n < order:
            before = np.unique(longer % words**n, return_counts=True)[1]
            opens = (n > 1) & (grams // words ** (n - 1) == END)  # nothing can stand before a sentence
            counts = np.where(opens, counts, before)
        contexts, first, types = np.unique(grams // words, return_index=True, return_counts=True)
        ones, twos = (counts == 1).sum(), (counts == 2).sum()
        discount = float(np.clip(ones / max(1, ones + 2 * twos), 0.1, 0.9))  # Ney, Essen, Kneser (1994)
        levels.insert(0, Counts(grams, counts, contexts, np.add.reduceat(counts, first), types, discount))
        longer = grams
    return levels


def interpolate(keys: np.ndarray, levels: Sequence[Counts], words: int) -> np.ndarray:
    """P(last word | the words before it) for the keys of n-grams, (m,) -> (m,); from the shortest context to the longest."""
    p = np.full(len(keys), 1 / words)
    for n, level in enumerate(levels, start=1):
        gram = keys % words**n
        count = look_up(level.grams, level.counts, gram)
        total = look_up(level.contexts, level.totals, gram // words)
        types = look_up(level.contexts, level.types, gram // words)
        mixed = np.maximum(count - level.discount, 0) + level.discount * types * p
        p = np.where(total > 0, mixed / np.maximum(total, 1), p)  # a context never seen has nothing to say
    return p


class KneserNey:
    """An n-gram model with interpolated Kneser-Ney smoothing (Kneser and Ney 1995; Chen and Goodman 1999).

    ``words`` is V. Contexts do not reach into the sentence before.
    """

    def __init__(self, words: int, order: int = 3):
        if words < 2 or order < 1 or words**order >= 2**63:
            raise ValueError(f"order={order}, words={words}: 1 and 2 at least, words**order below 2**63.")
        self.words, self.order = words, order
        self.levels: list[Counts] = []  # by n, the unigrams first

    def fit(self, text: EncodedText) -> Self:
        """Count a text."""
        self.levels = count_grams(to_keys(n_grams(text, self.order), self.words), self.words, self.order)
        return self

    def probability(self, grams: np.ndarray) -> np.ndarray:
        """P(last word | the words before it); ids (m, order) -> (m,)."""
        return interpolate(to_keys(grams, self.words), self.levels, self.words)

    def log_probabilities(self, text: EncodedText) -> np.ndarray:
        """The natural logarithm of the probability of every token of a text, (n,)."""
        return np.log(self.probability(n_grams(text, self.order)))

    def next_word(self, context: Sequence[int]) -> np.ndarray:
        """The distribution of the next word, (V,), after the words of a sentence so far."""
        known = [END] * self.order + [int(word) for word in context]
        grams = np.tile(np.array([*known[len(known) - self.order + 1 :], 0]), (self.words, 1))
        grams[:, -1] = np.arange(self.words)
        return self.probability(grams)


class LSTMCell(nn.Module):
    """One step of an LSTM (Hochreiter and Schmidhuber 1997), with the forget gate of Gers et al. (2000)."""

    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.W = nn.Parameter(torch.randn(4 * units, inputs) * inputs**-0.5)
        self.U = nn.Parameter(torch.randn(4 * units, units) * units**-0.5)
        self.b = nn.Parameter(torch.zeros(4 * units))

    def forward(self, x: Tensor, state: State) -> State:
        """(batch, inputs) and h, c (batch, units) each -> the new h and c."""
        h, c = state
        i, f, g, o = (x @ self.W.T + h @ self.U.T + self.b).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, c


class LanguageModel(nn.Module):
    """Embedding, LSTM, softmax; the embedding is the softmax's weight as well (tied: Press and Wolf 2017).

    ``words`` is V, ``units`` the size of embeddings and states; ``dropout`` works on the LSTM's inputs and outputs.
    """

    def __init__(self, words: int, units: int = 128, layers: int = 1, dropout: float = 0.1):
        super().__init__()
        self.embedding = nn.Embedding(words, units)
        nn.init.normal_(self.embedding.weight, std=units**-0.5)
        self.lstm = nn.LSTM(units, units, layers, batch_first=True, dropout=dropout if layers > 1 else 0)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(units, words)
        nn.init.zeros_(self.output.bias)
        self.output.weight = self.embedding.weight

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(batch, length) -> logits of the next word (batch, length, V), and the state to go on from."""
        h, state = self.read(ids, state)
        return self.output(h), state

    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(batch, length) -> what the last layer says after each token (batch, length, units), and the state."""
        if ids.dim() != 2 or not ids.numel():
            raise ValueError(f"Ids must be (batch, length), one token or more; these are {tuple(ids.shape)}.")
        x = self.embedding(ids) * self.embedding.embedding_dim**0.5  # unit variance in, small logits out
        h, state = self.lstm(self.dropout(x), state)
        return self.dropout(h), state


def transfer_vocabulary(model: Reader, old: Sequence[str], new: Sequence[str], more: int = 0) -> Reader:
    """The same language model with other words: known words keep row and bias, new ones start from the mean.

    Args:
        model: an LSTM or a GPT, which stays as it is.
        old, new: words by their ids, the special ones included.
        more: so many random rows follow, for ids beyond the words.

    Raises:
        ValueError: if the model was not made for the old words.
    """
    result: Any = copy.deepcopy(model)
    if (words := result.embedding.num_embeddings) != len(old):
        raise ValueError(f"The model has {words} words, and the list of old ones {len(old)}.")
    row = {word: number for number, word in enumerate(old)}
    rows = [row.get(word, len(old)) for word in new]  # past the end stands the mean

    def moved(table: Tensor) -> nn.Parameter:
        table = table.detach()
        beyond = torch.randn(more, *table.shape[1:]).to(table) * table.std()
        return nn.Parameter(torch.cat([torch.cat([table, table.mean(0, keepdim=True)])[rows], beyond]))

    result.embedding = nn.Embedding.from_pretrained(moved(result.embedding.weight), freeze=False)
    if isinstance(result.output, nn.Linear):  # a bias for each word; the weight is the embedding
        result.output.weight, result.output.bias = result.embedding.weight, moved(result.output.bias)
        result.output.out_features = len(rows) + more
    return result


def text_batches(ids: np.ndarray, rows: int, length: int) -> Iterator[tuple[Tensor, Tensor]]:
    """A text in long lines, read side by side, ``length`` tokens at a time: inputs (rows, length) and the words that follow.

    Each row goes on where it stopped in the chunk before, so a state can be carried over. What fills no line is left out.
    """
    columns = (len(ids) - 1) // rows if rows > 0 else 0
    if columns < 1 or length < 1:
        raise ValueError(f"{len(ids)} tokens do not make {rows} rows with chunks of {length}.")
    text = torch.tensor(ids[: rows * columns + 1], dtype=torch.long)
    inputs, targets = text[:-1].view(rows, columns), text[1:].view(rows, columns)
    yield from zip(inputs.split(length, dim=1), targets.split(length, dim=1), strict=True)


def word_log_probabilities(logits: Tensor, words: Tensor) -> Tensor:
    """From logits (..., V) to the log-probabilities of the given words (...), in float64 on the CPU."""
    return logits.log_softmax(-1).gather(-1, words.unsqueeze(-1)).squeeze(-1).double().cpu()


@torch.inference_mode()
def log_probabilities(model: LanguageModel, ids: np.ndarray, rows: int = 16, length: int = 64) -> np.ndarray:
    """The natural logarithm of the probability of every token of a text, (n,), dropout off.

    The text is read in ``rows`` lines, so the first token of a line is predicted from the one before it alone.
    """
    model.eval()
    device, n, state = model.embedding.weight.device, len(ids), None
    padded = np.concatenate([[END], ids, np.full(-n % rows, END)])
    parts: list[Tensor] = []
    for inputs, targets in text_batches(padded, rows, length):
        logits, state = model(inputs.to(device), state)
        parts.append(word_log_probabilities(logits, targets.to(device)))
        compute(device)  # the state
    return torch.cat(parts, dim=1).flatten().numpy()[:n]
