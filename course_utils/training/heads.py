"""What stands on a pre-trained encoder: heads for classes, tags, answers and pairs; the frozen encoder with its head.

Heads on states take (batch, tokens, units) and the attention mask (batch, tokens), and return scores, the choice last.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from course_utils.models.pooling import pool_states
from course_utils.models.unpadded import Dropout, can_read, read_unpadded


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


class TextHead(nn.Linear):
    """Classes of a text, or of a pair of texts that is read as one: a layer on the state at [CLS]."""

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """(batch, tokens, units) -> (batch, classes)."""
        return super().forward(states[:, 0])


class TagHead(nn.Linear):
    """A tag for every token: a layer on each state. What padding says is IGNORED by its labels."""

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """(batch, tokens, units) -> (batch, tokens, tags)."""
        return super().forward(states)


class RecurrentTagHead(nn.Module):
    """A tag for every token from an LSTM that reads the states in both directions, ``units`` numbers each way.

    What stands on BERT's frozen layers in Devlin et al. (2019), section 5.3: there two layers of 768.
    """

    def __init__(self, in_features: int, tags: int, units: int = 128):
        super().__init__()
        self.reader = nn.LSTM(in_features, units, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * units, tags)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(batch, tokens, units) -> (batch, tokens, tags)."""
        # Packed, so that the reader from the right begins at a row's last token, not in the padding after it.
        packed = pack_padded_sequence(states, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        read, _ = pad_packed_sequence(self.reader(packed)[0], batch_first=True, total_length=states.shape[1])
        return self.output(read)


class AnswerHead(nn.Linear):
    """Where an answer begins and where it ends: two scores for every token, none for padding. ``AnswerHead(units, 2)``."""

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """(batch, tokens, units) -> (batch, 2, tokens)."""
        return super().forward(states).transpose(1, 2).masked_fill(mask[:, None] == 0, -torch.inf)


class EncoderWithHeads(nn.Module):
    """One body, several heads: ``EncoderWithHeads(encoder, topic=TextHead(384, 4), names=TagHead(384, 3))``.

    The encoder returns states (batch, tokens, units), or what a model of transformers returns. On a CPU a BERT computes no
    padding, and under a :class:`TextHead` its last layer computes [CLS] alone: the same states but for rounding and dropout's
    draws, a step in a half to two thirds of the time. Once it is trained, that is so under a single head; several read the
    states of transformers, each the same as in one pass for all. Without padding, hooks on layers and attention are not called.
    """

    def __init__(self, encoder: nn.Module, **heads: nn.Module):
        super().__init__()
        self.encoder, self.heads = encoder, nn.ModuleDict(heads)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, task: str | None = None, **more: Tensor
    ) -> Tensor:
        """Ids and mask (batch, tokens), and the name of a head where there are several -> what it says.

        Raises ValueError if there is no such head, or none is named and there are several.
        """
        name = task or ("" if len(self.heads) > 1 else next(iter(self.heads)))
        if name not in self.heads:
            raise ValueError(f"Which head? There is none called {task!r}; there are {', '.join(self.heads)}.")
        inputs, head = {"input_ids": input_ids, "attention_mask": attention_mask, **more}, self.heads[name]
        first = type(head).forward is TextHead.forward  # it reads the first column, and nothing else
        known = more.keys() <= {"token_type_ids"} and (not first or bool(attention_mask[:, 0].all()))
        if known and (self.training or len(self.heads) == 1) and can_read(self.encoder):
            return head(read_unpadded(self.encoder, **inputs, first=first), attention_mask)
        output = self.encoder(**inputs)
        return head(getattr(output, "last_hidden_state", output), attention_mask)

    @property
    def divisible(self) -> bool:
        """Whether threads may learn from parts of a batch at the same time and draw the same numbers, whichever is first."""
        again = any(getattr(part, "gradient_checkpointing", False) for part in self.modules())
        shared = [
            d for d in self.modules() if isinstance(d, nn.Dropout) and not isinstance(d, Dropout) and d.p
        ]
        return can_read(self.encoder) and not again and not shared


def pool(encoder: nn.Module, pooling: str, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """One vector per text from a BERT encoder's last layer, shape (batch, hidden).

    ``pooling`` is one of :func:`pool_states`, or ``pooler``: BERT's own, a tanh layer over [CLS] that was trained with
    next-sentence prediction (Devlin et al. 2019, section 3.1). An encoder without one raises ValueError.
    """
    output = encoder(input_ids=input_ids, attention_mask=attention_mask)
    if pooling == "pooler":
        if output.pooler_output is None:
            raise ValueError("This encoder has no pooler that was trained. Read cls or mean instead.")
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

    def train(self, mode: bool = True) -> Self:
        """Training mode for the head; the encoder stays as it is used, without dropout."""
        super().train(mode)
        # requires_grad stops the weights, not the dropout: a frozen encoder has to be put in eval mode as well.
        self.encoder.train(mode and self.encoder_dropout)
        return self


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Numbers of single weights: ``trained``, ``frozen`` and ``all`` of them."""
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    every = sum(parameter.numel() for parameter in model.parameters())
    return {"trained": trained, "frozen": every - trained, "all": every}
