"""One training loop for the whole course: on one CPU, a GPU, a TPU, or several processes, through Accelerate.

The loop keeps the weights with the lowest validation loss, writes a checkpoint after each epoch, and goes on from
there if it was interrupted: with the same seed it ends with the same weights, interrupted or not.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils.session import current_profile, show_progress


@dataclass
class Examples:
    """Inputs and labels in memory. ``inputs`` maps the names of ``forward``'s arguments to one row per example:
    a tensor (n, ...), or ``input_ids`` as lists of different lengths, padded batch by batch.

    Raises:
        ValueError: if there are no examples, or inputs and labels differ in number.
        TypeError: if the labels are not whole numbers; the loss reads them as positions, so 1.0 is not a label.
    """

    inputs: Mapping[str, Tensor | Sequence[Sequence[int]]]
    labels: Any  # (n,): a tensor, an array or a column of whole numbers

    def __post_init__(self) -> None:
        self.labels = _tensor(self.labels)
        if self.labels.is_floating_point() or self.labels.dtype == torch.bool:
            raise TypeError(
                f"Labels must be whole numbers (torch.long), and these are {self.labels.dtype}: each names a class "
                "by its position. Convert them with labels.long(), or labels.astype('int64') in pandas."
            )
        self.labels = self.labels.long()
        sizes = {name: len(rows) for name, rows in self.inputs.items()}
        if not len(self) or any(size != len(self) for size in sizes.values()):
            raise ValueError(
                f"There must be as many inputs as labels, and at least one: {len(self)} labels, {sizes}."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def from_texts(
        cls, texts: Sequence[str], labels: Any, tokenizer: Any, *, max_length: int, pad: bool = False
    ) -> Examples:
        """Tokenise messages: cut at ``max_length`` pieces, and with ``pad`` fill up each one to that length."""
        encoded = tokenizer(
            list(texts),
            max_length=max_length,
            truncation=True,
            padding="max_length" if pad else False,
            return_token_type_ids=False,
        )
        names = ("input_ids", "attention_mask")
        return cls(
            {name: torch.tensor(encoded[name]) if pad else encoded[name] for name in names},
            labels,
        )

    def lengths(self) -> np.ndarray | None:
        """Tokens per example where they differ, else None (all rows are as long)."""
        rows = self.inputs.get("input_ids")
        return None if rows is None or isinstance(rows, Tensor) else np.array([len(row) for row in rows])

    def batch(self, indices: Sequence[int], device: torch.device) -> tuple[dict[str, Tensor], Tensor]:
        """Some examples as tensors; lists are padded with 0 up to the longest of the batch, in the mask as well."""
        inputs = {}
        for name, rows in self.inputs.items():
            if isinstance(rows, Tensor):
                inputs[name] = rows[indices].to(device)
            else:
                some = [torch.tensor(rows[i]) for i in indices]
                inputs[name] = (
                    nn.utils.rnn.pad_sequence(some, batch_first=True).to(device)
                    if some
                    else (torch.zeros(0, 1, dtype=torch.long, device=device))
                )
        return inputs, self.labels[indices].to(device)


@dataclass
class History:
    """What happened in each epoch, and which epoch's weights were kept (counted from 0)."""

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def best_epoch(self) -> int:
        """The epoch with the lowest validation loss."""
        return int(np.argmin(self.validation_loss))


def _tensor(labels: Any) -> Tensor:
    """Labels as a tensor of their own: what pandas hands out may be read-only."""
    return labels if isinstance(labels, Tensor) else torch.from_numpy(np.array(labels))


def balanced_weights(labels: Any, classes: int | None = None) -> Tensor:
    """Class weights n / (classes x n_c), shape (classes,): every class counts as much as any other in the loss.

    Raises:
        ValueError: if a class has no example; its weight would be infinite.
    """
    counts = torch.bincount(_tensor(labels).long(), minlength=classes or 0)
    if (counts == 0).any():
        missing = torch.nonzero(counts == 0).flatten().tolist()
        raise ValueError(f"No example of class {missing}: a class without examples can have no weight.")
    return counts.sum() / (len(counts) * counts.float())


def weighted_loss(log_probabilities: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the weighted negative log-likelihoods, and the sum of the weights it must be divided by."""
    loss = F.nll_loss(log_probabilities, labels, weight=weights, reduction="sum")
    return loss, weights[labels].sum()


def epoch_batches(examples: Examples, batch_size: int, seed: int) -> Iterator[list[int]]:
    """Batches in random order. Where lengths differ, a batch holds messages of like length, to pad little: draw
    fifty batches' worth at random, sort those by length, cut them into batches, shuffle the batches."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(examples))
    lengths = examples.lengths()
    if lengths is not None:
        pools = np.split(order, range(50 * batch_size, len(order), 50 * batch_size))
        order = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    batches = np.split(order, range(batch_size, len(order), batch_size))
    if lengths is not None:
        generator.shuffle(batches)
    yield from (batch.tolist() for batch in batches)


def train_epoch(
    model: nn.Module,
    examples: Examples,
    batches: Iterator[list[int]],
    optimizer: torch.optim.Optimizer,
    weights: Tensor,
    clip: float,
    accelerator: Accelerator,
) -> float:
    """One pass over the training data; returns the mean loss."""
    model.train()
    total, total_weight = 0.0, 0.0
    for indices in batches:
        mine = indices[accelerator.process_index :: accelerator.num_processes]
        inputs, labels = examples.batch(mine, accelerator.device)
        loss, weight = weighted_loss(model(**inputs), labels, weights)
        batch_weight = accelerator.reduce(weight)  # over all processes, so that several give what one gives
        optimizer.zero_grad()
        accelerator.backward(loss * accelerator.num_processes / batch_weight)
        accelerator.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        total += accelerator.reduce(loss.detach()).item()
        total_weight += batch_weight.item()
    return total / total_weight


@torch.no_grad()
def evaluate(
    model: nn.Module, examples: Examples, weights: Tensor, accelerator: Accelerator, batch_size: int = 256
) -> float:
    """The mean weighted loss over all examples, dropout off."""
    model.eval()
    totals = torch.zeros(2, device=accelerator.device)
    for start in range(0, len(examples), batch_size):
        indices = list(range(start, min(start + batch_size, len(examples))))
        mine = indices[accelerator.process_index :: accelerator.num_processes]
        inputs, labels = examples.batch(mine, accelerator.device)
        totals += torch.stack(weighted_loss(model(**inputs), labels, weights))
    loss, weight = accelerator.reduce(totals).tolist()
    return loss / weight


@torch.no_grad()
def predict(model: nn.Module, examples: Examples, batch_size: int = 256) -> np.ndarray:
    """Probabilities, shape (n, classes), dropout off."""
    model.eval()
    device = next(model.parameters()).device
    parts = []
    for start in range(0, len(examples), batch_size):
        inputs, _ = examples.batch(list(range(start, min(start + batch_size, len(examples)))), device)
        parts.append(model(**inputs).exp().float().cpu())
    return torch.cat(parts).numpy()


def fit(
    model: nn.Module,
    train: Examples,
    validation: Examples,
    *,
    epochs: int,
    learning_rate: float = 1e-3,
    batch_size: int = 32,
    class_weights: Tensor | None = None,
    clip: float = 1.0,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    accelerator: Accelerator | None = None,
) -> History:
    """Train what is not frozen with AdamW, and leave the model with the weights of its best epoch.

    Args:
        model: its ``forward`` takes the names in ``train.inputs`` and returns log-probabilities (batch, classes).
        class_weights: one weight per class, shape (classes,); by default all count the same.
        clip: largest norm of the gradient.
        seed: fixes the order of the batches and the dropout of each epoch.
        checkpoint: a folder; after each epoch the state is written there, and a later call goes on from it.
        accelerator: for mixed precision or several processes; by default one made for this machine and profile.

    Raises:
        ValueError: if nothing is trainable, the weights do not fit the classes, or the checkpoint is of another run.
        FloatingPointError: if the loss is no longer a number.
    """
    accelerator = accelerator or Accelerator(cpu=current_profile() != "gpu")
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise ValueError("Every parameter of this model is frozen, so there is nothing to train.")
    classes = int(max(train.labels.max(), validation.labels.max())) + 1
    weights = torch.ones(classes) if class_weights is None else class_weights.float()
    if len(weights) < classes:
        raise ValueError(f"{len(weights)} class weights for {classes} classes: give one weight per class.")
    weights = weights.to(accelerator.device)
    # On a CPU the fused update takes one pass over a weight instead of a dozen small ones.
    optimizer = torch.optim.AdamW(trained.values(), lr=learning_rate, fused=accelerator.device.type == "cpu")
    wrapped, prepared = accelerator.prepare(model, optimizer)

    # What must agree for a checkpoint to be this run's own.
    run = {
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "clip": clip,
        "seed": seed,
        "n": len(train),
    }
    history = History()
    best: dict[str, Tensor] = {}
    file = Path(checkpoint, "checkpoint.safetensors") if checkpoint else None
    if file and file.exists():
        history, best = _load_checkpoint(file, run, trained, optimizer)
    bar = tqdm(total=epochs, initial=len(history.train_loss), desc="epochs", delay=2, leave=False,
               disable=not (show_progress() and accelerator.is_main_process))  # fmt: skip
    with bar:
        for epoch in range(len(history.train_loss), epochs):
            start = time.perf_counter()
            # Each epoch draws from a seed of its own, so a run that goes on needs no stored generator.
            set_seed(seed + 1000 * epoch, device_specific=True)
            batches = epoch_batches(train, batch_size, seed + 1000 * epoch)
            history.train_loss.append(
                train_epoch(wrapped, train, batches, prepared, weights, clip, accelerator)
            )
            history.validation_loss.append(evaluate(wrapped, validation, weights, accelerator))
            history.seconds += time.perf_counter() - start
            if not np.isfinite([history.train_loss[-1], history.validation_loss[-1]]).all():
                raise FloatingPointError(
                    f"The loss of epoch {epoch + 1} is not a number. Try a smaller learning rate, and look for "
                    "missing values in the inputs."
                )
            if history.best_epoch == epoch:
                best = {name: p.detach().clone() for name, p in trained.items()}
            if file and accelerator.is_main_process:
                _save_checkpoint(file, run, history, trained, best, optimizer)
            bar.update()
    for name, parameter in trained.items():
        parameter.data.copy_(best[name])
    model.eval()
    return history


def _save_checkpoint(
    file: Path, run: dict, history: History, trained: dict, best: dict, optimizer: torch.optim.Optimizer
) -> None:
    """Write weights, best weights and optimiser state in one file, complete or not at all."""
    tensors = {f"model/{name}": p.detach() for name, p in trained.items()}
    tensors |= {f"best/{name}": p for name, p in best.items()}
    for name, parameter in trained.items():
        tensors |= {
            f"optimizer/{key}/{name}": torch.as_tensor(v) for key, v in optimizer.state[parameter].items()
        }
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    metadata = {"run": json.dumps(run), "history": json.dumps(asdict(history))}
    save_file({name: t.contiguous().cpu().clone() for name, t in tensors.items()}, part, metadata)
    os.replace(part, file)


def _load_checkpoint(
    file: Path, run: dict, trained: dict, optimizer: torch.optim.Optimizer
) -> tuple[History, dict]:
    """Put back what :func:`_save_checkpoint` wrote; returns the history and the best weights."""
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata()
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"The checkpoint {file} is damaged ({error}). Delete it to train from the start."
        ) from error
    stored_run = json.loads(metadata["run"])
    names = {name.removeprefix("model/") for name in tensors if name.startswith("model/")}
    if stored_run != run or names != set(trained):
        raise ValueError(
            f"The checkpoint {file} belongs to another run ({stored_run}; this one: {run}, {len(trained)} trained "
            "tensors). Delete it, or give this run a folder of its own."
        )
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors[f"model/{name}"])
            for key in ("step", "exp_avg", "exp_avg_sq"):
                optimizer.state[parameter][key] = tensors[f"optimizer/{key}/{name}"].to(
                    "cpu" if key == "step" else parameter.device
                )
    device = next(iter(trained.values())).device
    best = {name: tensors[f"best/{name}"].to(device) for name in trained}
    return History(**json.loads(metadata["history"])), best
