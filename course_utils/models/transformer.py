"""The Transformer: attention, the encoder that looks both ways, the decoder that looks back; a small GPT.

After Vaswani et al. (2017), *Attention is all you need*, arXiv:1706.03762. The encoder is BERT's (Devlin et al. 2019), so that
weights published for BERT fit; the decoder-only model is built like GPT (Radford et al. 2018).
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.models.language_model import END, word_log_probabilities
from course_utils.models.pooling import last_state


def attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention (equation 1): every query takes a weighted mean of the values.

    Args:
        queries: (..., n, d).
        keys: (..., m, d).
        values: (..., m, e).
        mask: 1 where a query may look, 0 where not; anything that broadcasts to (..., n, m).

    Returns:
        (..., n, e), and the weights, (..., n, m), which sum to one over m.
    """
    scores = queries @ keys.transpose(-2, -1) / queries.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -torch.inf)
    weights = scores.softmax(-1)
    return weights @ values, weights


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each on its own share of the units (section 3.2.2)."""

    def __init__(self, units: int, heads: int, dropout: float = 0.0):
        super().__init__()
        if units % heads:
            raise ValueError(f"{units} units cannot be shared out evenly among {heads} heads.")
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value = (nn.Linear(units, units) for _ in range(3))
        self.output = nn.Linear(units, units)

    def split(self, x: Tensor) -> Tensor:
        """(batch, n, units) -> (batch, heads, n, units / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, n, units) -> the same; mask (batch or 1, 1, n or 1, n)."""
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        # What `attention` computes, in one fused step.
        allowed = None if mask is None else mask.bool()
        mixed = F.scaled_dot_product_attention(q, k, v, allowed, self.dropout if self.training else 0.0)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The attention weights, (batch, heads, n, n): who looks at whom."""
        q, k = self.split(self.query(x)), self.split(self.key(x))
        return attention(q, k, k, mask)[1]


class EncoderBlock(nn.Module):
    """Attention, then a small network for each position; each adds to its input, and is normalised after (post-norm)."""

    def __init__(self, units: int, heads: int, hidden: int, dropout: float = 0.1):
        super().__init__()
        self.attention = MultiHeadAttention(units, heads, dropout)
        self.attention_norm = nn.LayerNorm(units, eps=1e-12)
        self.inner, self.outer = nn.Linear(units, hidden), nn.Linear(hidden, units)
        self.feed_forward_norm = nn.LayerNorm(units, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def attend(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, n, units) -> the same: places take from each other."""
        return self.attention_norm(x + self.dropout(self.attention(x, mask)))

    def feed_forward(self, x: Tensor) -> Tensor:
        """(..., units) -> the same: each place by itself."""
        return self.feed_forward_norm(x + self.dropout(self.outer(F.gelu(self.inner(x)))))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, n, units) -> the same."""
        return self.feed_forward(self.attend(x, mask))


class Encoder(nn.Module):
    """BERT's encoder: words, positions and segments are added up, then ``layers`` blocks that look both ways."""

    def __init__(
        self, words: int, units: int, layers: int, heads: int, hidden: int, positions: int = 512, dropout: float = 0.1,
    ):  # fmt: skip
        super().__init__()
        self.words, self.positions = nn.Embedding(words, units), nn.Embedding(positions, units)
        self.segments = nn.Embedding(2, units)
        self.norm, self.dropout = nn.LayerNorm(units, eps=1e-12), nn.Dropout(dropout)
        self.blocks = nn.ModuleList(EncoderBlock(units, heads, hidden, dropout) for _ in range(layers))
        self.apply(initialise)

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, segments: Tensor | None = None, only: Tensor | None = None,
    ) -> list[Tensor]:  # fmt: skip
        """All hidden states, from the embeddings to the last layer: layers + 1 tensors (batch, n, units).

        Args:
            ids: (batch, n).
            mask: 1 for a token, 0 for padding, (batch, n).
            segments: 0 for the first text, 1 for the second, (batch, n); by default all 0.
            only: true at the k places whose last state is wanted, (batch, n); the last tensor is then (k, units), row by row.
        """
        check_length(ids, self.positions.num_embeddings)
        places = torch.arange(ids.shape[1], device=ids.device)
        if segments is None:
            segments = torch.zeros_like(ids)
        x = self.dropout(self.norm(self.words(ids) + self.positions(places) + self.segments(segments)))
        states, allowed = [x], None if mask is None else mask[:, None, None, :]
        for block in self.blocks if only is None else self.blocks[:-1]:
            states.append(block(states[-1], allowed))
        if only is not None:  # places have looked at each other: those that nobody asks about may rest
            final: Any = self.blocks[-1]
            states.append(final.feed_forward(final.attend(states[-1], allowed)[only]))
        return states


def sinusoids(positions: int, units: int) -> Tensor:
    """The paper's position vectors, (positions, units): unit 2i is sin(t / 10000^(2i / units)), unit 2i + 1 its cosine."""
    if units % 2:
        raise ValueError(f"Sines and cosines come in pairs: {units} units is an odd number.")
    rates = 10_000 ** (-torch.arange(0, units, 2) / units)
    angles = torch.arange(positions)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


@torch.inference_mode()
def attention_maps(model: Encoder, ids: Tensor, mask: Tensor | None = None) -> Tensor:
    """Who looks at whom, in each layer and head: (layers, batch, heads, n, n); each row sums to one."""
    allowed = None if mask is None else mask[:, None, None, :]
    blocks: Any = model.blocks
    states = model(ids, mask)[:-1]  # what goes into each block
    return torch.stack([block.attention.weights(x, allowed) for block, x in zip(blocks, states, strict=True)])


def check_length(ids: Tensor, longest: int) -> None:
    """Raise a ValueError unless ids are (batch, n) with n from 1 to ``longest``."""
    if ids.dim() != 2 or not ids.numel():
        raise ValueError(f"Ids must be (batch, n), one token or more; these are {tuple(ids.shape)}.")
    if (n := ids.shape[1]) > longest:
        raise ValueError(f"{n} tokens, and the model has vectors for {longest} positions only: cut the text.")


def initialise(module: nn.Module) -> None:
    """Small random weights, as BERT and GPT start from."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


# BERT's names for what our encoder has.
NAMES = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "segments",
    "embeddings.LayerNorm": "norm",
    "encoder.layer.": "blocks.",
    "attention.self.": "attention.",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "inner",
    "output.LayerNorm": "feed_forward_norm",
    "output.dense": "outer",
}


def load_bert(config: Mapping[str, int], weights: Mapping[str, Tensor]) -> Encoder:
    """An encoder with weights that were published for BERT (its pooler and heads are left out); dropout off.

    Args:
        config: what the model's config.json says.
        weights: by their published names, as safetensors.torch.load_file reads them.

    Raises:
        ValueError: if a weight is missing, or its shape is not what the config says.
    """
    model = Encoder(
        config["vocab_size"], config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"],
        config["intermediate_size"], config["max_position_embeddings"],
    )  # fmt: skip
    state = {}
    for name, value in weights.items():
        ours = name.removeprefix("bert.")
        for theirs, replacement in NAMES.items():
            ours = ours.replace(theirs, replacement)
        state[ours] = value
    expected = model.state_dict()
    if wrong := [n for n, value in expected.items() if n not in state or state[n].shape != value.shape]:
        first = f"{len(wrong)} of {len(expected)} are missing or of another shape, the first {wrong[0]!r}"
        raise ValueError(f"These are no weights of BERT, or the config is of another one: {first}.")
    model.load_state_dict({name: state[name] for name in expected})
    return model.eval()


class DecoderBlock(nn.Module):
    """As the encoder's, but a position sees itself and those before it only; normalised before each step (pre-norm: GPT-2)."""

    def __init__(self, units: int, heads: int, dropout: float = 0.1):
        super().__init__()
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(units), nn.LayerNorm(units)
        self.attention = MultiHeadAttention(units, heads, dropout)
        self.inner, self.outer = nn.Linear(units, 4 * units), nn.Linear(4 * units, units)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n, units) -> the same."""
        back = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        x = x + self.dropout(self.attention(self.attention_norm(x), back))
        return x + self.dropout(self.outer(F.gelu(self.inner(self.feed_forward_norm(x)))))


class GPT(nn.Module):
    """A decoder-only language model: embeddings, ``layers`` decoder blocks, a softmax that shares the embedding's weight."""

    def __init__(
        self, words: int, units: int = 128, layers: int = 2, heads: int = 4, positions: int = 128, dropout: float = 0.1,
    ):  # fmt: skip
        super().__init__()
        self.embedding, self.positions = nn.Embedding(words, units), nn.Embedding(positions, units)
        self.blocks = nn.ModuleList(DecoderBlock(units, heads, dropout) for _ in range(layers))
        self.norm, self.dropout = nn.LayerNorm(units), nn.Dropout(dropout)
        self.apply(initialise)
        # As in lecture 03; from 0.02 it starts far more slowly.
        nn.init.normal_(self.embedding.weight, std=units**-0.5)

    def read(self, ids: Tensor, state: None = None) -> tuple[Tensor, None]:
        """(batch, n) -> what the last layer says after each token (batch, n, units), and no state: nothing is carried over."""
        check_length(ids, self.positions.num_embeddings)
        x = self.dropout(self.embedding(ids) + self.positions.weight[: ids.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.norm(x), None

    def output(self, states: Tensor) -> Tensor:
        """(..., units) -> logits of the next token, (..., words); the weight is the embedding's (tied)."""
        return states @ self.embedding.weight.T

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, n) -> logits of the next token after each, (batch, n, words)."""
        return self.output(self.read(ids)[0])


@torch.inference_mode()
def log_probabilities(model: GPT, ids: np.ndarray, length: int = 64, rows: int = 16) -> np.ndarray:
    """The natural logarithm of the probability of every token of a text, (n,), dropout off.

    Windows of ``length`` tokens overlap by half, and only the new half counts: so each token, but for the first ones, is
    guessed from half a window at least.
    """
    model.eval()
    device, half, n = model.embedding.weight.device, length // 2, len(ids)
    text = torch.tensor(np.concatenate([np.full(half + 1, END), ids, np.full(-n % half, END)]))
    windows = text.unfold(0, 2 * half + 1, half)
    parts: list[Tensor] = []
    for some in windows.split(rows):
        logits = model(some[:, :-1].to(device))[:, half:]
        parts.append(word_log_probabilities(logits, some[:, half + 1 :].to(device)))
    return torch.cat(parts).flatten().numpy()[:n]


@torch.inference_mode()
def sample(
    model: GPT, ids: Sequence[int], length: int, *, temperature: float = 1.0, never: Sequence[int] = (), seed: int = 0,
    cut: Callable[[Tensor], Tensor] | None = None,
) -> list[int]:  # fmt: skip
    """Go on with a text, token by token, until END comes or it has ``length`` tokens.

    ``never`` are not drawn; ``cut`` makes other probabilities of those of the next token, such as :func:`top_p`.
    """
    model.eval()
    generator = torch.Generator().manual_seed(int(seed))
    written, longest = list(ids), model.positions.num_embeddings
    while len(written) < length:
        seen = torch.tensor([written[-longest:]], device=model.embedding.weight.device)
        scores = model(seen)[0, -1].double().cpu() / temperature
        scores[list(never)] = -torch.inf
        chances = cut(scores.softmax(0)) if cut else scores.softmax(0)
        written.append(int(torch.multinomial(chances, 1, generator=generator)))
        if written[-1] == END:
            break
    return written


def top_k(chances: Tensor, k: int) -> Tensor:
    """The k likeliest tokens alone, their probabilities scaled up to sum to one; (V,) -> (V,)."""
    likeliest = chances.topk(min(k, len(chances))).indices
    kept = torch.zeros_like(chances)
    kept[likeliest] = chances[likeliest]
    return kept / kept.sum()


def top_p(chances: Tensor, p: float) -> Tensor:
    """The *nucleus*: the fewest tokens, likeliest first, that hold a share of p together; (V,) -> (V,)."""
    ordered = chances.sort(descending=True).values
    likelier = ordered.cumsum(0) - ordered  # what those before each hold
    return top_k(chances, int((likelier < p).sum()))


@torch.inference_mode()
def read_next(
    model: GPT, token: int, kept: Sequence[tuple[Tensor, Tensor]] = ()
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Read one more token: the logits of the next, (V,), and each block's keys and values so far.

    ``kept`` is what the call before has returned: nothing before the token is read again. Dropout is off.
    """
    place = kept[0][0].shape[2] if kept else 0
    x = (model.embedding.weight[token] + model.positions.weight[place])[None, None]
    blocks: Any = model.blocks
    grown = []
    for number, block in enumerate(blocks):
        heads, inside = block.attention, block.attention_norm(x)
        q, k, v = (heads.split(role(inside)) for role in (heads.query, heads.key, heads.value))
        if kept:
            k, v = (torch.cat([old, new], dim=2) for old, new in zip(kept[number], (k, v), strict=True))
        grown.append((k, v))
        x = x + heads.output(attention(q, k, v)[0].transpose(1, 2).flatten(2))
        x = x + block.outer(F.gelu(block.inner(block.feed_forward_norm(x))))
    return model.output(model.norm(x))[0, 0], grown


# What a task's input is made of besides words (Radford et al. 2018, section 3.3): ids counted from the end of the vocabulary.
TASK_TOKENS = ["<start>", "<delimiter>", "<extract>"]


def task_input(words: int, *texts: Sequence[int]) -> list[int]:
    """One text, or several in order, as the ids that a fine-tuned GPT reads: start, text, delimiter, text ..., extract.

    Args:
        words: V without the three tokens of :data:`TASK_TOKENS`, whose ids follow: V, V + 1, V + 2.
        texts: ids of words.
    """
    if not texts:
        raise ValueError("There is no text to read.")
    start, delimiter, extract = range(words, words + len(TASK_TOKENS))
    ids = [start]
    for number, text in enumerate(texts):
        ids += [delimiter] * (number > 0) + list(text)
    return [*ids, extract]


class GPTClassifier(nn.Module):
    """A GPT that judges: a linear layer on the state at the last token, which has read everything before it."""

    def __init__(self, gpt: GPT, classes: int = 2):
        super().__init__()
        self.gpt, self.head = copy.deepcopy(gpt), nn.Linear(gpt.embedding.embedding_dim, classes)
        initialise(self.head)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, task: str = "classes") -> Tensor:
        """(batch, n) twice -> scores of the classes, (batch, classes); for the task "words" those of the next word at each place.

        Padding stands after the text, and nothing looks ahead: the mask only says where the last token is.
        """
        states, _ = self.gpt.read(input_ids)
        if task == "words":
            return self.gpt.output(states)
        return self.head(self.gpt.dropout(last_state(states, attention_mask)))
