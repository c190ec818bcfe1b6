"""BERT with the heads of its pre-training, hidden pieces and "does it follow?", and with the head of a classifier.

After Devlin et al. (2019), *BERT: pre-training of deep bidirectional transformers*, arXiv:1810.04805, section 3.1 and appendix A.
How it is trained: :mod:`course_utils.training.pretraining`.
"""

import copy

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from course_utils.models.transformer import Encoder, initialise

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNKNOWN, CLS, SEP, MASK = range(5)


class BertForPreTraining(nn.Module):
    """The encoder with two heads: a softmax over the vocabulary at chosen places, and two classes for the pair."""

    def __init__(
        self, words: int, units: int = 192, layers: int = 4, heads: int = 4, positions: int = 128, dropout: float = 0.1,
    ):  # fmt: skip
        super().__init__()
        self.encoder = Encoder(words, units, layers, heads, 4 * units, positions, dropout)
        self.transform, self.norm = nn.Linear(units, units), nn.LayerNorm(units, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(words))
        self.pooler, self.follows = nn.Linear(units, units), nn.Linear(units, 2)
        for layer in (self.transform, self.pooler, self.follows):
            initialise(layer)

    def fill_in(self, states: Tensor) -> Tensor:
        """States at the places to be guessed, (m, units) -> logits, (m, V); the weight is the embedding's (tied)."""
        return self.norm(F.gelu(self.transform(states))) @ self.encoder.words.weight.T + self.bias

    def judge(self, states: Tensor) -> Tensor:
        """The states at [CLS], (batch, units) -> logits of "does not follow" and "follows", (batch, 2)."""
        return self.follows(torch.tanh(self.pooler(states)))

    def forward(
        self, ids: Tensor, segments: Tensor, chosen: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(batch, n) each -> logits at the chosen places *only*, (m, V), and for each pair, (batch, 2)."""
        first = torch.zeros_like(chosen)
        first[:, 0] = True  # [CLS]
        asked = chosen | first
        last = self.encoder(ids, mask, segments, only=asked)[-1]
        return self.fill_in(last[chosen[asked]]), self.judge(last[first[asked]])


class BertClassifier(nn.Module):
    """A pre-trained BERT under a new head: one layer on what the pooler makes of [CLS] (section 3.2, figure 4).

    Encoder and pooler are copied, so one pre-training can start many classifiers.
    """

    def __init__(self, pretrained: BertForPreTraining, classes: int = 2, dropout: float = 0.1):
        super().__init__()
        self.encoder, self.pooler = copy.deepcopy(pretrained.encoder), copy.deepcopy(pretrained.pooler)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(self.pooler.out_features, classes)
        initialise(self.head)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(batch, n) twice -> log-probabilities (batch, classes)."""
        at_cls = torch.zeros_like(attention_mask, dtype=torch.bool)
        at_cls[:, 0] = True
        first = self.encoder(input_ids, attention_mask, only=at_cls)[-1]
        return self.head(self.dropout(torch.tanh(self.pooler(first)))).log_softmax(-1)


@torch.inference_mode()
def fill_in_the_blank(
    model: BertForPreTraining, tokenizer: Tokenizer, text: str, count: int = 5
) -> list[list[tuple[str, float]]]:
    """The likeliest pieces for every [MASK] in a text, each with its probability.

    Raises:
        ValueError: if the text has no [MASK], or more pieces than the model has positions.
    """
    ids = torch.tensor([tokenizer.encode(text).ids], device=model.bias.device)
    blank = ids == MASK
    if not blank.any():
        raise ValueError("Put [MASK], in capitals and brackets, where a word is to be guessed.")
    model.eval()
    guesses = model.fill_in(model.encoder(ids)[-1][blank]).softmax(-1).topk(count)
    return [
        [(tokenizer.id_to_token(int(i)) or "", float(p)) for p, i in zip(*both, strict=True)]
        for both in zip(guesses.values, guesses.indices, strict=True)
    ]
