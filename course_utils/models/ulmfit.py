"""ULMFiT: a language model is fine-tuned on the texts of a task, and then, layer by layer, as its classifier.

After Howard and Ruder (2018), *Universal Language Model Fine-tuning for Text Classification*, arXiv:1801.06146. The network is
the LSTM language model of :mod:`course_utils.models.language_model`; theirs has three layers of 1,150 units.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from course_utils.models.language_model import END, LanguageModel, text_batches, update
from course_utils.models.pooling import pool_states
from course_utils.text import Vocabulary, pad_rows
from course_utils.training.heads import ClassifierHead

BETAS = (0.7, 0.99)  # Adam's, as in the paper's section 4.1: a shorter memory than usual


def transfer_vocabulary(model: LanguageModel, old: Vocabulary, new: Vocabulary) -> LanguageModel:
    """The same language model with other words: known words keep their row and bias, new ones start from the mean.

    Raises:
        ValueError: if the model was not made for the old vocabulary.
    """
    table, bias = model.embedding.weight.detach(), model.output.bias.detach()
    if len(table) != len(old) + 2:
        raise ValueError(
            f"A model of {len(table)} rows does not go with {len(old)} words and the two special ids."
        )
    lstm, rows = model.lstm, [0, 1, *(old.index[word] + 2 if word in old else -1 for word in new.words)]
    fresh = LanguageModel(len(rows), lstm.input_size, lstm.num_layers, model.dropout.p).to(table.device)
    fresh.lstm.load_state_dict(lstm.state_dict())
    with torch.no_grad():  # -1 is the last row: the mean
        fresh.embedding.weight.copy_(torch.cat([table, table.mean(0, keepdim=True)])[rows])
        fresh.output.bias.copy_(torch.cat([bias, bias.mean(0, keepdim=True)])[rows])
    return fresh.train(model.training)


def concat_pool(states: Tensor, mask: Tensor) -> Tensor:
    """The last state, and each unit's largest and mean value, side by side (section 3.3); padding counts for nothing.

    (batch, tokens, units), and 1 for a token, 0 for padding at the end (batch, tokens) -> (batch, 3 x units).
    """
    return torch.cat([last_state(states, mask), pool_states(states, mask, "max+mean")], dim=-1)


def last_state(states: Tensor, mask: Tensor) -> Tensor:
    """The state after the last token that is no padding: (batch, tokens, units) -> (batch, units)."""
    return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]


class TextClassifier(nn.Module):
    """A language model that reads, under a head that judges.

    The language model is copied, so one can start many classifiers; ``pool`` makes one vector of a text's states.
    """

    def __init__(self, language_model: LanguageModel, pool: Callable[[Tensor, Tensor], Tensor] = concat_pool):
        super().__init__()
        self.reader, self.pool = copy.deepcopy(language_model), pool
        del self.reader.output  # the softmax has done its work; its table stays, as the embedding
        units = language_model.lstm.hidden_size
        width = pool(torch.zeros(1, 1, units), torch.ones(1, 1, dtype=torch.long)).shape[1]
        self.head = ClassifierHead(width, hidden=50)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(batch, tokens) twice -> log-probabilities (batch, 2)."""
        states, _ = self.reader.read(input_ids)
        return self.head(self.pool(states, attention_mask))


def layer_groups(model: Any) -> list[list[nn.Parameter]]:
    """The parameters by layer, from the input to the output; each is in exactly one group.

    A classifier: the embedding, each LSTM layer, the head. A language model: each LSTM layer, then the table, which is its
    first layer and, as the softmax, its last; the authors' code counts it as the last.
    """
    reader: LanguageModel = getattr(model, "reader", model)
    named, layers = list(reader.lstm.named_parameters()), range(reader.lstm.num_layers)
    lstm = [[parameter for name, parameter in named if name.endswith(f"_l{layer}")] for layer in layers]
    if reader is model:
        return [*lstm, [*reader.embedding.parameters(), reader.output.bias]]
    return [list(reader.embedding.parameters()), *lstm, list(model.head.parameters())]


def discriminative_rates(rate: float, groups: int, factor: float = 2.6) -> list[float]:
    """A learning rate for each group, the last one's being ``rate``, each one below divided by ``factor`` (section 3.2)."""
    return [rate / factor ** (groups - 1 - i) for i in range(groups)]


def slanted_triangular(step: float, steps: int, cut: float = 0.1, ratio: float = 32) -> float:
    """The share of the highest rate at a step from 0 to ``steps``: it rises for the share ``cut`` of them, then falls.

    Equation 3 of the paper, at both ends 1 / ``ratio``. There the peak is at a whole step, and divides by 0 or falls below 0
    where steps are few; here it is one step in at least, and the fall ends where the steps end.

    Raises:
        ValueError: if the step lies outside, or ``cut`` is not between 0 and 1, or ``ratio`` below 1.
    """
    if not 0 <= step <= steps or not 0 < cut < 1 or ratio < 1:
        raise ValueError(
            f"step={step} of {steps}, cut={cut}, ratio={ratio}: 0 <= step <= steps, 0 < cut < 1 <= ratio."
        )
    peak = max(1, int(steps * cut))
    up = step / peak if step < peak or peak >= steps else (steps - step) / (steps - peak)
    return (1 + up * (ratio - 1)) / ratio


def grouped_adam(
    groups: Sequence[list[nn.Parameter]], rate: float, factor: float, steps: int, triangular: bool
) -> tuple[torch.optim.AdamW, LambdaLR]:
    """Adam with a rate for each group; with ``triangular`` all of them rise and fall together, else they are constant."""
    rates = discriminative_rates(rate, len(groups), factor)
    parts = [{"params": group, "lr": lr} for group, lr in zip(groups, rates, strict=True)]
    fused = groups[0][0].device.type != "mps"
    optimizer = torch.optim.AdamW(parts, betas=BETAS, weight_decay=0.0, fused=fused)
    return optimizer, LambdaLR(optimizer, lambda step: slanted_triangular(step, steps) if triangular else 1.0)


def fine_tune_language_model(
    model: LanguageModel,
    ids: np.ndarray,
    *,
    epochs: int = 1,
    rate: float = 1.6e-2,
    factor: float = 2.6,
    triangular: bool = True,
    rows: int = 32,
    length: int = 16,
    seed: int = 0,
) -> list[float]:
    """Stage 2: go on reading, in the texts of the task; no label is needed.

    Args:
        ids: the texts, (n,), each closed by END.
        epochs: passes over them.
        rate: the highest rate of the last layer; ``factor`` and ``triangular`` are those of :func:`grouped_adam`.
        rows, length: as in :func:`text_batches`.
        seed: of the dropout.

    Returns:
        Each step's loss, the mean negative log-likelihood.
    """
    torch.manual_seed(seed)
    device, steps = model.embedding.weight.device, epochs * sum(1 for _ in text_batches(ids, rows, length))
    optimizer, schedule = grouped_adam(layer_groups(model), rate, factor, steps, triangular)
    losses: list[float] = []
    model.train()
    for _ in range(epochs):
        state = None
        for inputs, targets in text_batches(ids, rows, length):
            logits, (h, c) = model(inputs.to(device), state)
            state = h.detach(), c.detach()
            loss = F.cross_entropy(logits.flatten(0, 1), targets.to(device).flatten())
            losses.append(update(model, loss, optimizer, schedule))
    model.eval()
    return losses


def fine_tune_classifier(
    model: TextClassifier,
    texts: Sequence[Sequence[int]],
    labels: Tensor,
    *,
    epochs: int = 3,
    rate: float = 2e-2,
    factor: float = 2.6,
    triangular: bool = True,
    gradual: bool = True,
    batch_size: int = 16,
    class_weights: Tensor | None = None,
    seed: int = 0,
) -> list[float]:
    """Stage 3: learn to judge, first the head alone, then layers below it as well (:func:`thawed`).

    Args:
        texts: ids of the texts, lists of different lengths.
        labels: (n,), 0 or 1.
        rate: the highest rate of the head; ``factor`` and ``triangular`` are those of :func:`grouped_adam`.
        gradual: False: all layers learn from the start.
        class_weights: one for each class, (2,).
        seed: of the order and the dropout.

    Returns:
        Each step's loss.

    Raises:
        TypeError, ValueError: from :func:`check_examples`.
    """
    check_examples(texts, labels)
    torch.manual_seed(seed)
    groups, steps = layer_groups(model), epochs * -(-len(texts) // batch_size)
    optimizer, schedule = grouped_adam(groups, rate, factor, steps, triangular)
    losses: list[float] = []
    model.train()
    for epoch in range(epochs):
        unfreeze(groups, thawed(epoch, len(groups)) if gradual else len(groups))
        for batch in torch.randperm(len(texts)).split(batch_size):
            found, wanted = read_by_length(model, [texts[i] for i in batch]), labels[batch]
            # Divided by the texts, not by their weights: a batch with little spam must not count as much as another.
            loss = F.nll_loss(found, wanted, weight=class_weights, reduction="sum") / len(batch)
            losses.append(update(model, loss, optimizer, schedule))
    model.eval()
    return losses


def thawed(epoch: int, groups: int) -> int:
    """How many groups learn in an epoch, from the head down: 1, then 2, from the third epoch on all of them.

    So the authors' scripts have it; section 3.3 of the paper adds one layer in each epoch.
    """
    return groups if epoch > 1 else min(epoch + 1, groups)


def unfreeze(groups: Sequence[list[nn.Parameter]], number: int) -> None:
    """Let the last ``number`` of the groups learn, and none of the others."""
    for place, group in enumerate(reversed(groups)):
        for parameter in group:
            parameter.requires_grad_(place < number)


def read_by_length(model: TextClassifier, texts: Sequence[Sequence[int]], size: int = 16) -> Tensor:
    """Log-probabilities of the texts, (n, 2), in their order; those of like length are read together, to pad little."""
    lengths = torch.tensor([len(text) for text in texts])
    order, device = lengths.argsort(stable=True), next(model.parameters()).device
    parts = [pad_rows([texts[i] for i in part], END) for part in order.split(size)]
    return torch.cat([model(ids.to(device), mask.to(device)) for ids, mask in parts])[
        order.argsort().to(device)
    ].cpu()


def check_examples(texts: Sequence[Sequence[int]], labels: Tensor) -> None:
    """Refuse texts and labels from which nothing can be learned.

    Raises:
        TypeError: if the labels are not whole numbers.
        ValueError: if a text is empty, texts and labels differ in number, or a class has no example.
    """
    if labels.dtype != torch.long:
        raise TypeError(f"Labels must be whole numbers (torch.long), and these are {labels.dtype}.")
    if len(texts) != len(labels):
        raise ValueError(f"There must be a label for each text: {len(texts)} texts, {len(labels)} labels.")
    if not all(len(text) for text in texts):
        raise ValueError("A text has no token. Put END at its beginning, as the language model has it.")
    if labels.tolist().count(0) in (0, len(labels)) or not 0 <= int(labels.min()) <= int(labels.max()) <= 1:
        raise ValueError(
            f"Both classes, 0 and 1, need an example; the labels are {sorted(set(labels.tolist()))}."
        )
