"""ELMo: a bidirectional language model that reads characters, and what a task makes of its layers.

After Peters et al. (2018), *Deep contextualized word representations*, arXiv:1802.05365; the character encoder is that of
Kim et al. (2016), arXiv:1508.06615, and Jozefowicz et al. (2016), arXiv:1602.02410. Everything is smaller here, and named the same.

A sentence of n words is read as n + 2 tokens: a boundary, the words, a boundary.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.models.language_model import word_log_probabilities
from course_utils.text import Vocabulary, length_bucketed, pad_rows

BOUNDARY, UNKNOWN = 0, 1  # as targets; word i of the vocabulary is i + 2
LONGEST = 20  # characters that are read of a word
BEGIN, STOP, EDGE = 257, 258, 259  # a word's begin and end, a sentence's boundary; byte b is b + 1, padding 0


def spell(words: Sequence[str]) -> Tensor:
    """Words as the bytes of their UTF-8, (n, LONGEST + 2), between marks for begin and end; "" is a sentence boundary."""
    rows = torch.zeros(len(words), LONGEST + 2, dtype=torch.long)
    for row, word in zip(rows, words, strict=True):
        codes = [byte + 1 for byte in word.encode()[:LONGEST]] or [EDGE]
        row[: len(codes) + 2] = torch.tensor([BEGIN, *codes, STOP])
    return rows


def number_words(sentences: Sequence[Sequence[str]]) -> tuple[list[list[int]], list[str]]:
    """Sentences of n words as lists of n + 2 numbers, and the different words that these stand for, the boundary first.

    Raises:
        ValueError: if a sentence has no word, or one of its words no character.
    """
    if not all(len(sentence) and all(sentence) for sentence in sentences):
        raise ValueError("Every sentence needs at least one word, and every word at least one character.")
    index = {"": 0}
    rows = [[0, *(index.setdefault(word, len(index)) for word in sentence), 0] for sentence in sentences]
    return rows, list(index)


class Sentences(NamedTuple):
    """Sentences as numbers: every different word is spelled once, and a sentence is a list of row numbers."""

    rows: list[list[int]]  # per sentence n + 2 numbers, boundaries included
    spelled: Tensor  # (different words, LONGEST + 2)
    targets: np.ndarray  # (different words,): the id that each has in the softmax


def encode_words(sentences: Sequence[Sequence[str]], vocabulary: Vocabulary) -> Sentences:
    """Sentences for a :class:`BiLM`; a word that the vocabulary lacks can be read all the same, but not predicted."""
    rows, words = number_words(sentences)
    targets = [BOUNDARY, *(vocabulary.index.get(word, UNKNOWN - 2) + 2 for word in words[1:])]
    return Sentences(rows, spell(words), np.array(targets))


class CharacterEncoder(nn.Module):
    """A word's vector from its characters: convolutions, the maximum over all positions, a highway layer, a projection.

    ``filters`` are pairs (width, number): a filter of width 3 looks for a run of three characters, anywhere in the word.
    """

    def __init__(
        self, units: int, filters: Sequence[tuple[int, int]] = ((1, 32), (2, 64), (3, 96), (4, 128), (5, 128))
    ):
        super().__init__()
        self.embedding = nn.Embedding(EDGE + 1, 16, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(16, number, width) for width, number in filters)
        width = sum(number for _, number in filters)
        self.transform, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -1.0)  # at first, most of the input is carried past
        self.project = nn.Linear(width, units)

    def forward(self, spelled: Tensor) -> Tensor:
        """(words, LONGEST + 2) -> (words, units)."""
        x = self.embedding(spelled).transpose(1, 2)
        found = torch.cat([F.relu(convolve(x)).amax(2) for convolve in self.convolutions], dim=1)
        gate = torch.sigmoid(self.gate(found))  # highway: Srivastava et al. (2015)
        return self.project(gate * F.relu(self.transform(found)) + (1 - gate) * found)


class BiLM(nn.Module):
    """Two language models in one: one reads forwards, one backwards; they share the character encoder and the softmax.

    ``words`` is V, boundary and unknown included; ``units`` the size of a word's vector and of each direction's states.
    """

    def __init__(self, words: int, units: int = 256, layers: int = 2, dropout: float = 0.1):
        super().__init__()
        self.encoder = CharacterEncoder(units)
        self.forwards = nn.ModuleList(nn.LSTM(units, units, batch_first=True) for _ in range(layers))
        self.backwards = nn.ModuleList(nn.LSTM(units, units, batch_first=True) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.softmax = nn.Linear(units, words)
        nn.init.normal_(self.softmax.weight, std=units**-0.5)
        nn.init.zeros_(self.softmax.bias)

    def forward(self, ids: Tensor, mask: Tensor, spelled: Tensor) -> Tensor:
        """Sentences to the states of all layers, the word's own vector (twice) being the first.

        Args:
            ids: row numbers in ``spelled``, (batch, length).
            mask: 1 for a token, 0 for padding at the end of a row, (batch, length).
            spelled: (different words, LONGEST + 2).

        Returns:
            (layers + 1, batch, length, 2 x units): forwards in the first half, backwards in the second.
        """
        different, places = ids.unique(return_inverse=True)
        x = self.encoder(spelled[different])[places]
        turned = turn(mask).unsqueeze(2)
        ahead, back = x, x.take_along_dim(turned, 1)
        layers = [torch.cat([x, x], dim=2)]
        for depth, (forwards, backwards) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            a, b = forwards(self.dropout(ahead))[0], backwards(self.dropout(back))[0]
            ahead, back = (a + ahead, b + back) if depth else (a, b)  # a residual from the second layer on
            layers.append(torch.cat([ahead, back.take_along_dim(turned, 1)], dim=2))
        return torch.stack(layers)


def turn(mask: Tensor) -> Tensor:
    """Where each token stands when its row is read from the last token to the first; padding stays, (batch, length)."""
    place = torch.arange(mask.shape[1], device=mask.device)
    return torch.where(mask > 0, mask.sum(1, keepdim=True) - 1 - place, place)


def predictions(layers: Tensor, ids: Tensor, mask: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
    """Pair the last layer's states with the tokens they have to guess; padding is no token.

    Returns the states ahead (m, units), the tokens that follow them (m,), the states back, and the tokens that precede.
    """
    units, pair = layers.shape[3] // 2, mask[:, 1:] > 0  # of two neighbours, both are tokens
    tokens, top = targets[ids], layers[-1]
    return (top[:, :-1, :units][pair], tokens[:, 1:][pair], top[:, 1:, units:][pair], tokens[:, :-1][pair])


@torch.inference_mode()
def log_probabilities(model: BiLM, text: Sentences, tokens: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """The natural logarithms of the probabilities of all tokens, forwards and backwards, n each; dropout off.

    Each direction guesses the words of a sentence and the boundary after the last; sentences come in order of length.
    """
    model.eval()
    device = model.softmax.weight.device
    spelled, targets = text.spelled.to(device), torch.from_numpy(text.targets).to(device)
    parts: list[Tensor] = []
    for batch in length_bucketed([len(row) for row in text.rows], tokens):
        ids, mask = (part.to(device) for part in pad_rows([text.rows[i] for i in batch]))
        ahead, following, back, preceding = predictions(model(ids, mask, spelled), ids, mask, targets)
        for states, wanted in ((ahead, following), (back, preceding)):
            parts.append(word_log_probabilities(model.softmax(states), wanted))
    return torch.cat(parts[::2]).numpy(), torch.cat(parts[1::2]).numpy()


@torch.inference_mode()
def embed(model: BiLM, sentences: Sequence[Sequence[str]], tokens: int = 4096) -> list[np.ndarray]:
    """The vectors of all words of each sentence in all layers, (layers + 1, n, 2 x units) float32, dropout off.

    Raises:
        ValueError: if a sentence has no word, or one of its words no character.
    """
    model.eval()
    device = model.softmax.weight.device
    rows, words = number_words(sentences)
    spelled, found = spell(words).to(device), [np.empty(0, np.float32)] * len(rows)
    for batch in length_bucketed([len(row) for row in rows], tokens):
        ids, mask = (part.to(device) for part in pad_rows([rows[i] for i in batch]))
        states = model(ids, mask, spelled).cpu().numpy()
        for place, i in enumerate(batch):
            found[i] = states[:, place, 1 : len(rows[i]) - 1]
    return found


class ScalarMix(nn.Module):
    """A task's own mixture of the layers, gamma * sum of s_j h_j, the s_j from a softmax (equation 1 of the paper)."""

    def __init__(self, layers: int):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(()))

    def forward(self, states: Tensor) -> Tensor:
        """(layers, ..., d) -> (..., d)."""
        return self.gamma * torch.tensordot(self.weights.softmax(0), states, dims=1)
