"""BERT, as transformers builds it, read without its padding: a step costs the tokens of its texts, not places in a rectangle.

A batch is as wide as its longest text, and in a random one half of the places, or more, are padding. Embeddings, norms and all
matrices treat a token by itself, so the tokens of all texts can stand in one column; only in attention does each text stay alone.
Such *unpadding* is older than ModernBERT (Warner et al. 2024, arXiv:2412.13663, section 2.1.2), which made it widely known.
"""

import threading
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

_thread = threading.local()


class Dropout(nn.Dropout):
    """PyTorch's dropout, but a thread may draw from a generator of its own: :func:`draw_from`."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape; in training a share ``p`` is 0 and the rest 1 / (1 - p) times as large."""
        if not self.training or self.p == 0:
            return input
        kept = torch.empty_like(input).bernoulli_(1 - self.p, generator=getattr(_thread, "generator", None))
        return input * kept.div_(1 - self.p)


def draw_from(generator: torch.Generator | None) -> None:
    """What :class:`Dropout` draws from in this thread; None is PyTorch's own, which all threads share."""
    _thread.generator = generator


def can_read(body: Any) -> bool:
    """Whether :func:`read_unpadded` knows this body, and it stands on a CPU: elsewhere shapes that differ each time cost more.

    Hooks on its layers and on their attention are not called there; those on its matrices are.
    """
    config = getattr(body, "config", None)
    bert = getattr(config, "model_type", None) == "bert" and not getattr(config, "is_decoder", False)
    return bert and isinstance(body, nn.Module) and next(body.parameters()).device.type == "cpu"


def read_unpadded(
    body: Any, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None, *, first: bool = False,
) -> Tensor:  # fmt: skip
    """The states that ``body(...).last_hidden_state`` has, (batch, tokens, units), and 0 at padding.

    With ``first`` only the state in the first column, (batch, 1, units), where [CLS] stands: the last layer then computes no other.

    Raises:
        ValueError: if with ``first`` a text has padding there.
    """
    real = attention_mask.bool()
    if first and not real[:, 0].all():
        raise ValueError("A text has padding where its first token should stand: pad on the right.")
    lengths = real.sum(1).tolist()
    places = torch.arange(real.shape[1]).expand_as(real)[real]
    kinds = None if token_type_ids is None else token_type_ids[real][None]
    states = body.embeddings(
        input_ids=input_ids[real][None], token_type_ids=kinds, position_ids=places[None]
    )[0]
    *lower, top = body.encoder.layer
    for layer in lower:
        states = _run(layer, states, lengths)
    states = _run(top, states, lengths, first)
    if first:
        return states[:, None]
    padded = states.new_zeros(*real.shape, states.shape[-1])
    padded[real] = states
    return padded


def _run(layer: Any, states: Tensor, lengths: list[int], first: bool = False) -> Tensor:
    """A layer, or where it is checkpointed, a layer that will be computed once more on the way back."""
    if layer.training and getattr(layer, "gradient_checkpointing", False):
        return layer._gradient_checkpointing_func(
            partial(_layer, layer, lengths=lengths, first=first), states
        )
    return _layer(layer, states, lengths, first)


def _layer(layer: Any, states: Tensor, lengths: list[int], first: bool) -> Tensor:
    """States of all texts, (tokens of all, units) -> the same, or with ``first`` of each text's first token, (texts, units)."""
    attention = layer.attention.self
    split = (-1, attention.num_attention_heads, attention.attention_head_size)
    keys, values = (part(states).view(split).split(lengths) for part in (attention.key, attention.value))
    if first:
        states = torch.stack([text[0] for text in states.split(lengths)])
    queries = attention.query(states).view(split).split([1] * len(lengths) if first else lengths)
    read = torch.cat([_attend(attention, *text) for text in zip(queries, keys, values, strict=True)])
    states = layer.attention.output(read, states)
    return layer.output(layer.intermediate(states), states)


def _attend(attention: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """One text, (tokens, heads, units of a head) each -> (tokens, units). Without padding there is nothing to hide."""
    scores = query.transpose(0, 1) @ key.permute(1, 2, 0) * attention.attention_head_size**-0.5
    weights = attention.dropout(scores.softmax(-1))
    return (weights @ value.transpose(0, 1)).transpose(0, 1).flatten(1)
