"""Classifiers that stand on a pre-trained encoder: the head, and the frozen encoder with its head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class ClassifierHead(nn.Module):
    """From one vector per message to log-probabilities: a hidden layer, dropout, a log-softmax."""

    def __init__(self, in_features: int, hidden: int = 512, classes: int = 2, dropout: float = 0.1):
        super().__init__()
        self.hidden = nn.Linear(in_features, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, classes)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_features) -> (batch, classes)."""
        hidden = self.dropout(torch.relu(self.hidden(features)))
        return torch.log_softmax(self.output(hidden), dim=-1)


def pool_states(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """From states (batch, tokens, hidden) and the attention mask (batch, tokens) to one vector per text.

    Args:
        states: what a layer of the encoder gives for each token.
        mask: 1 for a token, 0 for padding.
        pooling: ``cls`` (the state of [CLS]), ``mean`` or ``max`` (over the real tokens), or several, as in ``mean+max``.
    """
    real = mask.unsqueeze(-1).bool()
    ways = {
        "cls": lambda: states[:, 0],
        "mean": lambda: states.masked_fill(~real, 0).sum(dim=1) / real.sum(dim=1),
        "max": lambda: states.masked_fill(~real, -torch.inf).amax(dim=1),
    }
    return torch.cat([ways[way]() for way in pooling.split("+")], dim=-1)


def pool(encoder: nn.Module, pooling: str, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """One vector per text from a BERT encoder's last layer, shape (batch, hidden).

    ``pooling`` is one of :func:`pool_states`, or ``pooler``: BERT's own, a tanh layer over [CLS] that was trained with
    next-sentence prediction (Devlin et al. 2019, section 3.1).
    """
    output = encoder(input_ids=input_ids, attention_mask=attention_mask)
    if pooling == "pooler":
        return output.pooler_output
    return pool_states(output.last_hidden_state, attention_mask, pooling)


class FrozenEncoderClassifier(nn.Module):
    """A pre-trained encoder that does not learn, under a head that does."""

    def __init__(
        self, encoder: nn.Module, head: nn.Module, pooling: str = "cls", encoder_dropout: bool = False
    ):
        super().__init__()
        self.encoder, self.head = encoder.requires_grad_(False), head
        self.pooling, self.encoder_dropout = pooling, encoder_dropout

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Two tensors (batch, tokens) -> log-probabilities (batch, classes)."""
        return self.head(pool(self.encoder, self.pooling, input_ids, attention_mask))

    def train(self, mode: bool = True) -> FrozenEncoderClassifier:
        """Training mode for the head; the encoder stays as it is used, without dropout."""
        super().train(mode)
        # requires_grad stops the weights, not the dropout: a frozen encoder has to be put in eval mode as well.
        self.encoder.train(mode and self.encoder_dropout)
        return self


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Numbers of single weights: ``trained``, ``frozen`` and ``all`` of them."""
    sizes: dict[str, Any] = {"trained": 0, "frozen": 0}
    for parameter in model.parameters():
        sizes["trained" if parameter.requires_grad else "frozen"] += parameter.numel()
    return {**sizes, "all": sum(sizes.values())}
