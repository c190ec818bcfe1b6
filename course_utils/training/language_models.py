"""Language models learn by one loop: the losses of a text, or of sentences, come one by one, and each is followed by a step."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from course_utils.arguments import checked
from course_utils.models.elmo import BiLM, Sentences, predictions
from course_utils.models.language_model import LanguageModel, text_batches
from course_utils.text import length_bucketed, pad_rows
from course_utils.training.loop import Schedule, adamw, take_step
from course_utils.training.schedules import linear_fall, warm_up


def log_odds(counts: Tensor, tokens: int, negatives: int) -> Tensor:
    """The log-probability of each of V words, (V,), to be among ``tokens`` words of the text or ``negatives`` drawn evenly."""
    share = counts.double() / counts.sum()
    missed = (1 - share) ** tokens * (1 - 1 / len(counts)) ** negatives
    return torch.log1p(-missed).float()


def sampled_loss(output: nn.Linear, states: Tensor, wanted: Tensor, chosen: Tensor, odds: Tensor) -> Tensor:
    """Mean negative log-likelihood where only some words compete (Bengio and Senécal 2008; Jean et al. 2015).

    Args:
        output: weight (V, units) and bias (V,) of the softmax.
        states: (m, units).
        wanted: the words to be guessed, (m,); all are among the chosen.
        chosen: the competing words, (k,), sorted.
        odds: :func:`log_odds`. A frequent word competes more often, and subtracting its odds evens this out.
    """
    logits = states @ output.weight[chosen].T + (output.bias - odds)[chosen]
    return F.cross_entropy(logits, torch.searchsorted(chosen, wanted))


def guessing_loss(output: Any, states: Tensor, wanted: Tensor, odds: Tensor, negatives: int = 0) -> Tensor:
    """Mean negative log-likelihood of the words that states (m, units) have to guess, (m,); :func:`sampled_loss` with negatives."""
    if not negatives:
        return F.cross_entropy(output(states), wanted)
    drawn = torch.randint(len(odds), (negatives,), device=wanted.device)
    return sampled_loss(output, states, wanted, torch.cat([wanted, drawn]).unique(), odds)


def descend(
    model: nn.Module, losses: Iterable[Tensor], optimizer: Optimizer, rates: Sequence[float],
    after_step: Callable[[float], object] = lambda loss: None,
) -> list[float]:  # fmt: skip
    """A step down each loss as it comes, with a share of the highest rate; the next is worked out when the step is done."""
    numbers: list[float] = []
    model.train()
    try:
        for loss, rate in zip(losses, rates, strict=True):
            loss.backward()
            take_step(optimizer, rate)
            numbers.append(loss.item())
            after_step(numbers[-1])
    finally:
        model.eval()
    return numbers


def text_losses(
    model: LanguageModel, ids: np.ndarray, rows: int, length: int, negatives: int = 0
) -> Iterator[Tensor]:
    """The loss of each chunk of a text: the state goes on to the next chunk, the gradient does not."""
    device, words = model.embedding.weight.device, len(model.embedding.weight)
    counts = torch.bincount(torch.from_numpy(ids), minlength=words)
    odds = log_odds(counts, rows * length, negatives).to(device)
    state: Any = None
    for inputs, targets in text_batches(ids, rows, length):
        states, state = model.read(inputs.to(device), state)
        state = state and tuple(part.detach() for part in state)  # the gradient stops here
        yield guessing_loss(model.output, states.flatten(0, 1), targets.to(device).flatten(), odds, negatives)


def train_language_model(
    model: LanguageModel, ids: np.ndarray, *, epochs: int = 1, rows: int = 32, length: int = 32, rate: float = 5e-3,
    groups: Sequence[dict[str, Any]] | None = None, schedule: Schedule = linear_fall,
    betas: tuple[float, float] = (0.9, 0.999), decay: float = 0.0, negatives: int = 0, seed: int = 0,
    after_step: Callable[[float], object] = lambda loss: None,
) -> list[float]:  # fmt: skip
    """Learn to guess the next word, at all places of a chunk at once; returns each step's loss, a mean negative log-likelihood.

    Args:
        model: an LSTM, or anything with its ``read`` and ``output``, such as a GPT.
        ids: the text, (n,), which is read ``epochs`` times.
        rows, length: as in :func:`text_batches`; the gradient flows back through ``length`` tokens.
        rate, groups, schedule, betas, decay: as in :func:`course_utils.training.fit`.
        negatives: with a number, only the words of the chunk and so many others compete (:func:`sampled_loss`), which
            saves most of the time where V is large; 0: all words do.
        seed: of the dropout and the words drawn.
        after_step: is given each step's loss.
    """
    epochs, rows, length = checked(1, epochs=epochs, rows=rows, length=length)
    torch.manual_seed(seed)
    steps = epochs * sum(1 for _ in text_batches(ids, rows, length))
    optimizer = adamw(groups or [{"params": [*model.parameters()], "lr": rate}], decay=decay, betas=betas)
    losses = (loss for _ in range(epochs) for loss in text_losses(model, ids, rows, length, negatives))
    return descend(model, losses, optimizer, [schedule(step, steps) for step in range(steps)], after_step)


def sentence_losses(
    model: BiLM, text: Sentences, batches: Sequence[np.ndarray], odds: Tensor, negatives: int
) -> Iterator[Tensor]:
    """The loss of each batch of sentences, in random order: the mean of both directions."""
    device = odds.device
    spelled, targets = text.spelled.to(device), torch.from_numpy(text.targets).to(device)
    for batch in torch.randperm(len(batches)).tolist():
        ids, mask = (part.to(device) for part in pad_rows([text.rows[i] for i in batches[batch]]))
        ahead, following, back, preceding = predictions(model(ids, mask, spelled), ids, mask, targets)
        states, wanted = torch.cat([ahead, back]), torch.cat([following, preceding])
        yield guessing_loss(model.softmax, states, wanted, odds, negatives)


def train_bilm(
    model: BiLM, text: Sentences, *, epochs: int = 1, tokens: int = 2048, rate: float = 4e-3, negatives: int = 1024,
    seed: int = 0, after_step: Callable[[float], object] = lambda loss: None,
) -> list[float]:  # fmt: skip
    """Train both directions: the mean of their losses falls.

    Args:
        text: from :func:`course_utils.models.elmo.encode_words`.
        epochs: passes over it; the rate rises in the first tenth of all steps, then falls (:func:`warm_up`).
        tokens: per batch, padding included; sentences of like length share one.
        rate: the highest.
        negatives, seed, after_step: as in :func:`train_language_model`; all losses are returned.
    """
    epochs, tokens = checked(1, epochs=epochs, tokens=tokens)
    torch.manual_seed(seed)
    device, words = model.softmax.weight.device, len(model.softmax.bias)
    batches = length_bucketed([len(row) for row in text.rows], tokens)
    counts = np.bincount(text.targets[[i for row in text.rows for i in row]], minlength=words)
    odds = log_odds(torch.from_numpy(counts), tokens, negatives).to(device)
    optimizer = adamw([{"params": [*model.parameters()], "lr": rate}], decay=0.0)
    losses = (loss for _ in range(epochs) for loss in sentence_losses(model, text, batches, odds, negatives))
    steps = epochs * len(batches)
    return descend(model, losses, optimizer, [warm_up(step, steps) for step in range(steps)], after_step)
