"""The loop for everything with labels: on one CPU, a GPU, a TPU, or several processes, through Accelerate.

Data, body and heads are three seams. Scores have the choice as last dimension, labels have the others, and IGNORED stands
where nothing is asked; so one cross-entropy serves classes, tags, the ends of an answer and pairs. The loop keeps the weights of
the best epoch, writes a checkpoint after each one, and goes on from there if it was interrupted: with the same seed (and on a
CPU, as many threads) it ends with the same weights, interrupted or not.
"""

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import broadcast, set_seed
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm.auto import tqdm

from course_utils.arguments import checked
from course_utils.files import replace_file
from course_utils.models.unpadded import draw_from
from course_utils.parallel import one_thread_each
from course_utils.session import accelerator as kernel_accelerator
from course_utils.session import show_progress
from course_utils.text import length_bucketed
from course_utils.training.examples import IGNORED, Examples, epoch_batches
from course_utils.training.schedules import constant

Schedule = Callable[[int, int], float]
TOKENS = {"cpu": 1024, "gpu": 32_768}  # in a batch that is only read


@dataclass
class Task:
    """What one head learns from: data, loss, and a name, which ``forward`` gets as ``task`` where there are several."""

    train: Examples
    validation: Examples | None = None
    name: str = ""
    class_weights: Tensor | None = None
    share: float = 1.0  # of the loss
    mean_weight: float | None = None  # of a label; with it, a batch counts by its examples (see `fit`)

    def batch_weight(self, labels: Tensor) -> Tensor:
        """What the loss of a batch is divided by: the sum of its labels' weights, or their number times the mean weight."""
        if self.mean_weight is None:
            return total_weight(labels, self.class_weights)
        return self.mean_weight * total_weight(labels)

    @property
    def arguments(self) -> dict[str, Any]:
        """What ``forward`` is told besides the inputs."""
        return {"task": self.name} if self.name else {}


Step = list[tuple[Task, list[int]]]  # for each task the examples that it learns from


@dataclass
class History:
    """What happened in each epoch, and which epoch's weights were kept (counted from 0)."""

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def best_epoch(self) -> int:
        """The epoch with the highest score; without one, with the lowest validation loss; without that, the last."""
        if self.score:
            return int(np.argmax(self.score))
        return int(np.argmin(self.validation_loss)) if self.validation_loss else len(self.train_loss) - 1


def weighted_loss(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sum of the weighted negative log-likelihoods, and the sum of the weights it must be divided by.

    (B, C) and (B,) for classes, (B, n, C) and (B, n) for tags, (B, 2, n) and (B, 2) for the ends of an answer. Scores may
    be logits or log-probabilities: the softmax of both is the same.
    """
    rows = scores.flatten(0, -2).float()
    loss = F.cross_entropy(rows, labels.flatten(), weights, ignore_index=IGNORED, reduction="sum")
    return loss, total_weight(labels, weights)


def total_weight(labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """The sum of the weights of all labels but those that are IGNORED."""
    asked = labels[labels != IGNORED]
    return weights[asked].sum() if weights is not None else torch.ones_like(asked, dtype=torch.float).sum()


def epoch_steps(tasks: Sequence[Task], batch_size: int, seed: int, by_length: bool = True) -> list[Step]:
    """The steps of an epoch: each takes a batch of every task, and the batches of a smaller one are spread over the epoch."""
    batches = [list(epoch_batches(task.train, batch_size, seed, by_length)) for task in tasks]
    steps: list[Step] = [[] for _ in range(max(map(len, batches)))]
    for task, mine in zip(tasks, batches, strict=True):
        for number, batch in enumerate(mine):
            steps[number * len(steps) // len(mine)].append((task, batch))
    return steps


def sampled_steps(
    tasks: Sequence[Task], batch_size: int, seed: int, count: int, power: float, by_length: bool = True
) -> list[Step]:
    """``count`` steps of a batch each, of a task drawn with a chance of its size to the ``power``.

    1 is by size, 0 evenly; between them a small task comes up more often than its size says (Stickland &
    Murray 2019, *Sampling tasks*). A task whose batches are used up begins again, in another order.
    """
    chances = np.array([len(task.train) for task in tasks], dtype=float) ** power
    drawn = np.random.default_rng(seed).choice(len(tasks), count, p=chances / chances.sum())

    def endless(task: Task) -> Iterator[list[int]]:
        for again in itertools.count():
            yield from epoch_batches(task.train, batch_size, seed + 7919 * again, by_length)

    batches = [endless(task) for task in tasks]
    steps = [[(tasks[place], next(batches[place]))] for place in drawn]
    steps[0] += [(task, []) for task in tasks if task is not steps[0][0][0]]  # the first names all tasks
    return steps


def train_epoch(
    model: nn.Module, steps: list[Step], rates: list[float], optimizer: Optimizer, accelerator: Accelerator,
    clip: float = 1.0, accumulate: int = 1,
) -> float:  # fmt: skip
    """One pass over the training data; returns the mean loss. ``rates`` has the share of the highest rate for each step.

    A batch is read in ``accumulate`` pieces, each divided by the weight of the *whole* batch: the step stays the same.
    """
    model.train()
    totals = {task.name: torch.zeros(2, device=accelerator.device) for task, _ in steps[0]}
    for step, rate in zip(steps, rates, strict=True):
        for task, indices in step:
            labels = task.train.labels[indices].to(accelerator.device)
            weight = task.batch_weight(labels).clamp(min=1e-9)
            mine = indices[accelerator.process_index :: accelerator.num_processes]
            pieces = [mine[i::accumulate] for i in range(accumulate)]
            for piece in filter(None, pieces):
                inputs, labels = task.train.batch(piece, accelerator.device)
                with accelerator.autocast():
                    scores = model(**inputs, **task.arguments)
                sums = torch.stack(weighted_loss(scores, labels, task.class_weights))
                accelerator.backward(task.share * sums[0] / weight)
                totals[task.name] += sums.detach()
        take_step(optimizer, rate, clip, accelerator)
    loss = 0.0
    for task, _ in steps[0]:
        sums = accelerator.reduce(totals[task.name])
        loss += task.share * float(sums[0] / sums[1].clamp(min=1e-9))
    return loss


def dealt(rows: Sequence[int], sizes: Sequence[int], hands: int) -> list[list[int]]:
    """Rows in as many parts as there are hands, each with about as much to do: the largest first, to whoever has least."""
    parts: list[list[int]] = [[] for _ in range(hands)]
    loads = [0] * hands
    for size, row in sorted(zip(sizes, rows, strict=True), reverse=True):
        least = loads.index(min(loads))
        parts[least].append(row)
        loads[least] += size
    return [part for part in parts if part]


def train_epoch_on_cores(
    model: nn.Module, steps: list[Step], rates: list[float], optimizer: Optimizer, accelerator: Accelerator,
    clip: float = 1.0, accumulate: int = 1,
) -> float:  # fmt: skip
    """As :func:`train_epoch`, for a model that is ``divisible``: each core of a CPU learns from a part of every piece.

    The matrices of a step are too small to be shared out among cores, its texts are not. Each core draws its dropout from a
    generator of its own, and gradients are added in the order of the cores: for a number of cores all is the same every time.
    """
    model.train()
    # Far apart, so that runs with neighbouring seeds share no generator.
    seeds = [torch.initial_seed() + 1_000_003 * core for core in range(1, torch.get_num_threads() + 1)]
    cores = [torch.Generator().manual_seed(seed) for seed in seeds]
    learned = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    totals = {task.name: torch.zeros(2) for task, _ in steps[0]}

    def learn(task: Task, weight: Tensor, part: list[int], core: torch.Generator) -> tuple[Tensor, Any]:
        inputs, labels = task.train.batch(part, accelerator.device)
        draw_from(core)
        try:
            with accelerator.autocast():
                said = model(**inputs, **task.arguments)
        finally:  # with one thread this is the caller's own
            draw_from(None)
        sums = torch.stack(weighted_loss(said, labels, task.class_weights))
        return sums.detach(), torch.autograd.grad(task.share * sums[0] / weight, learned, allow_unused=True)

    with one_thread_each(len(cores)) as spread:
        for step, rate in zip(steps, rates, strict=True):
            for task, indices in step:
                weight = task.batch_weight(task.train.labels[indices]).clamp(min=1e-9)
                for piece in filter(None, (indices[i::accumulate] for i in range(accumulate))):
                    parts = dealt(
                        piece, [len(task.train.inputs["input_ids"][row]) for row in piece], len(cores)
                    )
                    done = spread(learn, repeat(task), repeat(weight), parts, cores)
                    sums, gradients = zip(*done, strict=True)
                    totals[task.name] += sum(sums)
                    for parameter, *given in zip(learned, *gradients, strict=True):
                        there = [one for one in (parameter.grad, *given) if one is not None]
                        if there:  # never in place: two parameters may be handed the same tensor
                            parameter.grad = reduce(torch.add, there) if len(there) > 1 else there[0].clone()
            take_step(optimizer, rate, clip, accelerator)
    means = {name: float(sums[0] / sums[1].clamp(min=1e-9)) for name, sums in totals.items()}
    return sum(task.share * means[task.name] for task, _ in steps[0])


def take_step(
    optimizer: Optimizer, rate: float = 1.0, clip: float = 1.0, accelerator: Accelerator | None = None
) -> None:
    """One step down the gradient, clipped at a norm, with a share of each group's highest rate; then the gradient is gone."""
    weights = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if accelerator and accelerator.num_processes > 1:
        add_gradients(weights, accelerator)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["highest"]
    (accelerator or nn.utils).clip_grad_norm_([p for p in weights if p.grad is not None], clip)
    optimizer.step()
    optimizer.zero_grad()


def add_gradients(weights: Sequence[nn.Parameter], accelerator: Accelerator) -> None:
    """Give each process the sum of all processes' gradients; a weight that no process has used keeps none."""
    used = torch.tensor([float(weight.grad is not None) for weight in weights], device=accelerator.device)
    for weight, users in zip(weights, accelerator.reduce(used).tolist(), strict=True):
        if users:
            weight.grad = accelerator.reduce(torch.zeros_like(weight) if weight.grad is None else weight.grad)


def adamw(
    groups: Sequence[dict[str, Any]], *, decay: float = 0.01, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.AdamW:
    """AdamW for groups of ``params``, each with its highest rate ``lr``; norms and biases, which are vectors, do not decay."""
    parts = []
    decay, *both = checked(0.0, decay=decay, beta1=betas[0], beta2=betas[1])
    for group in groups:
        (rate,) = checked(0.0, learning_rate=group["lr"])
        for decays in (True, False):
            some = [p for p in group["params"] if (p.dim() > 1) == decays]
            part = {"params": some, "lr": rate, "highest": rate, "weight_decay": decays * decay}
            parts += [part] if some else []
    # On a CPU the fused update takes one pass over a weight instead of a dozen small ones.
    fused = all(p.device.type in ("cpu", "cuda") for part in parts for p in part["params"])
    return torch.optim.AdamW(parts, betas=(both[0], both[1]), fused=fused)


@torch.no_grad()
def evaluate(
    model: nn.Module, examples: Examples, weights: Tensor | None, accelerator: Accelerator, batch_size: int = 256,
    **arguments: Any,
) -> float:  # fmt: skip
    """The mean weighted loss over all examples, dropout off; ``arguments`` go to ``forward``, such as the task."""
    model.eval()
    totals = torch.zeros(2, device=accelerator.device)
    for indices in torch.arange(len(examples)).split(batch_size):
        mine = indices[accelerator.process_index :: accelerator.num_processes].tolist()
        if mine:
            inputs, labels = examples.batch(mine, accelerator.device)
            with accelerator.autocast():
                scores = model(**inputs, **arguments)
            totals += torch.stack(weighted_loss(scores, labels, weights))
    loss, weight = accelerator.reduce(totals).tolist()
    return loss / max(weight, 1e-9)


def score_batches(
    model: nn.Module, examples: Examples, batch_size: int = 256, **arguments: Any
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Batch by batch, the numbers of its examples and what the model says of them, dropout off; ``arguments`` go to ``forward``.

    Texts of like length share a batch, small enough for a core's cache; on a CPU, each core reads batches of its own.
    """
    model.eval()
    device = next(model.parameters()).device
    lengths, on_cpu, cores = examples.lengths(), device.type == "cpu", 1
    batches = [np.arange(len(examples))]
    if lengths is not None:
        batches, cores = length_bucketed(lengths, TOKENS["cpu" if on_cpu else "gpu"]), torch.get_num_threads()
    pieces = [np.split(batch, range(batch_size, len(batch), batch_size)) for batch in batches]

    def read(batch: np.ndarray) -> tuple[np.ndarray, Tensor]:
        with torch.no_grad():  # each thread has a switch of its own
            inputs, _ = examples.batch(batch.tolist(), device)
            scores = model(**inputs, **arguments).float().cpu()
        if device.type == "xla" and lengths is not None and scores.dim() == 3:
            # What `batch` has filled up goes again; scores of three dimensions that are not of tags are of the ends of spans.
            longest = int(lengths[batch].max())
            scores = scores[:, :longest] if examples.tags else scores[..., :longest]
        return batch, scores

    with one_thread_each(min(cores, len(batches)) if on_cpu else 1) as spread:
        yield from spread(read, chain(*pieces))


def predict(model: nn.Module, examples: Examples, batch_size: int = 256, **arguments: Any) -> np.ndarray:
    """Probabilities in the order of the examples, dropout off: (n, classes), (n, tokens, classes) or (n, 2, tokens).

    Where batches differ in tokens, 0 stands past their end.
    """
    parts = [
        (rows, scores.softmax(-1).numpy())
        for rows, scores in score_batches(model, examples, batch_size, **arguments)
    ]
    widths = np.max([part.shape[1:] for _, part in parts], axis=0)
    answers = np.zeros((len(examples), *widths), np.float32)
    for rows, part in parts:
        answers[(rows, *map(slice, part.shape[1:]))] = part  # type: ignore[index]
    return answers


def fit(
    model: nn.Module, train: Examples | Sequence[Task], validation: Examples | None = None, *, epochs: int,
    learning_rate: float = 1e-3, groups: Sequence[dict[str, Any]] | None = None, schedule: Schedule = constant,
    batch_size: int = 32, by_length: bool = True, steps: int | None = None, power: float = 0.0, accumulate: int = 1,
    class_weights: Tensor | None = None, per_example: bool = False,
    clip: float = 1.0, decay: float = 0.01, betas: tuple[float, float] = (0.9, 0.999), seed: int = 0,
    score: Callable[[nn.Module], float] | None = None, before_epoch: Callable[[int], object] = lambda epoch: None,
    checkpoint: str | Path | None = None, precision: str | None = None,
) -> History:  # fmt: skip
    """Train what is not frozen with AdamW, and leave the model in eval mode, with the weights of its best epoch.

    Args:
        model: its ``forward`` takes the names in ``inputs`` and returns scores, the choice as last dimension; where there are
            several tasks it takes ``task`` as well, the name of the one that is meant.
        train: examples, or tasks, whose losses are added up by their shares; a task brings its own validation and weights.
        validation: decides which epoch is the best; without it the last one is.
        learning_rate: the highest of all steps; ``schedule`` says which share of it a step gets.
        groups: parameters with rates of their own, as :func:`layer_rates` makes them; they replace ``learning_rate``.
        by_length: as in :func:`epoch_batches`; where the model computes no padding (`EncoderWithHeads` on a CPU), False costs little.
        steps: of an epoch, each of one task, as :func:`sampled_steps` draws it with ``power``; by default :func:`epoch_steps`.
        accumulate: pieces that a batch is read in, where memory is short.
        class_weights: one weight per class, shape (classes,); by default all count the same.
        per_example: divide the loss of a batch by its number of examples, not by their weights. With few labels it matters: a
            batch that happens to hold none of the rare class must not count for more.
        clip: largest norm of the gradient.
        decay, betas: AdamW's.
        seed: fixes the order of the batches and the dropout of each epoch.
        score: is given the model after each epoch; the highest score decides instead of the validation loss.
        before_epoch: is given the epoch's number, to unfreeze layers for instance.
        checkpoint: a folder; after each epoch the state is written there, and a later call goes on from it.
        precision: ``fp32``, ``bf16`` or ``fp16``; by default fp32, or what ``accelerate launch`` says.

    Raises:
        ValueError: if nothing is trainable, the sizes make no sense, labels, weights and scores do not fit together, or the
            checkpoint is of another run.
        FloatingPointError: if the loss is no longer a number.
    """
    epochs, batch_size, accumulate = checked(1, epochs=epochs, batch_size=batch_size, accumulate=accumulate)
    (seed,), (clip, power) = checked(0, seed=seed), checked(0.0, clip=clip, power=power)
    (steps,) = checked(1, steps=steps) if steps is not None else (None,)
    accelerator = kernel_accelerator(precision)
    tasks = [Task(train, validation, "", class_weights)] if isinstance(train, Examples) else [*train]
    trained, groups = trainable(model, groups, learning_rate)
    model.to(accelerator.device)
    for place, task in enumerate(tasks):
        if task.class_weights is not None:
            if isinstance(task.class_weights, str | dict):
                raise TypeError("Class weights must be a list of numbers: training.balanced_weights(labels).")
            weights = torch.as_tensor(task.class_weights).float().to(accelerator.device)
            tasks[place] = task = replace(task, class_weights=weights)
        check_task(model, task, accelerator.device)
        if per_example and task.class_weights is not None:
            asked = task.train.labels[task.train.labels != IGNORED].to(accelerator.device)
            tasks[place] = replace(task, mean_weight=float(task.class_weights[asked].mean()))
    if accelerator.num_processes > 1:  # all begin from the same weights
        for parameter in trained.values():
            parameter.data.copy_(broadcast(parameter.data))
    optimizer = adamw(groups, decay=decay, betas=betas)
    prepared = accelerator.prepare(optimizer)
    optimizer.zero_grad()

    def draw(epoch: int) -> list[Step]:
        if steps is None:
            return epoch_steps(tasks, batch_size, seed + 1000 * epoch, by_length)
        return sampled_steps(tasks, batch_size, seed + 1000 * epoch, steps, power, by_length)

    alone = accelerator.num_processes == 1 and torch.get_num_threads() > 1
    run_epoch = train_epoch_on_cores if alone and getattr(model, "divisible", False) else train_epoch
    count = len(draw(0))
    shares = [schedule(step, epochs * count) for step in range(epochs * count)]

    history, best = History(), dict[str, Tensor]()
    file = Path(checkpoint, "checkpoint.safetensors") if checkpoint else None
    run = file and describe(model, trained, tasks, optimizer, shares, epochs=epochs, batch_size=batch_size,
                            by_length=by_length, steps=steps, power=power, per_example=per_example, clip=clip, seed=seed, betas=betas)  # fmt: skip
    if file and run and file.exists():
        history, best = load_checkpoint(file, run, trained, optimizer)
    bar = tqdm(total=epochs, initial=len(history.train_loss), desc="epochs", delay=2, leave=False,
               disable=not (show_progress() and accelerator.is_main_process))  # fmt: skip
    try:
        for epoch in range(len(history.train_loss), epochs):
            start = time.perf_counter()
            # Each epoch draws from a seed of its own, so a run that goes on needs no stored generator.
            set_seed(seed + 1000 * epoch, device_specific=True)
            before_epoch(epoch)
            rates = shares[epoch * count : (epoch + 1) * count]
            loss = run_epoch(model, draw(epoch), rates, prepared, accelerator, clip, accumulate)
            history.train_loss.append(loss)
            judged = [(task, task.validation) for task in tasks if task.validation]
            if len(judged) == len(tasks):
                history.validation_loss.append(0.0)
                for task, part in judged:
                    loss = evaluate(model, part, task.class_weights, accelerator, **task.arguments)
                    history.validation_loss[-1] += task.share * loss
            history.seconds += time.perf_counter() - start
            if not np.isfinite([history.train_loss[-1], *history.validation_loss[-1:]]).all():
                advice = "Try a smaller learning rate, and look for missing values in the inputs."
                raise FloatingPointError(f"The loss of epoch {epoch + 1} is not a number. {advice}")
            if score:
                history.score.append(float(score(model.eval())))
            if history.best_epoch == epoch:
                best = {name: p.detach().clone() for name, p in trained.items()}
            if file and run and accelerator.is_main_process:
                save_checkpoint(file, run, history, trained, best, optimizer)
            bar.update()
        for name, parameter in trained.items():
            parameter.data.copy_(best[name])
    except KeyboardInterrupt:
        goes_on = "; the same call goes on from there" * bool(file)
        print(f"Interrupted after {len(history.train_loss)} of {epochs} epochs{goes_on}.")
        raise
    finally:  # also where somebody stops it: a frozen encoder must not be left with its dropout on
        bar.close()
        model.eval()
    return history


def trainable(
    model: nn.Module, groups: Sequence[dict[str, Any]] | None, rate: float
) -> tuple[dict[str, nn.Parameter], Sequence[dict[str, Any]]]:
    """The parameters that learn, by name, and their groups: those given, or one of all that are not frozen."""
    chosen = None if groups is None else {id(p) for group in groups for p in group["params"]}
    named = model.named_parameters()
    trained = {name: p for name, p in named if (p.requires_grad if chosen is None else id(p) in chosen)}
    if not trained:
        raise ValueError("Every parameter of this model is frozen, so there is nothing to train.")
    return trained, groups or [{"params": [*trained.values()], "lr": rate}]


@torch.no_grad()
def check_task(model: nn.Module, task: Task, device: torch.device) -> None:
    """Raise a ValueError unless labels, weights, and what the model says about two examples fit together."""
    both = [part.labels for part in (task.train, task.validation) if part is not None]
    labels = torch.cat([part[part != IGNORED] for part in both])
    if not len(labels):
        raise ValueError(f"All labels are {IGNORED}: nothing is asked, so there is nothing to learn.")
    if task.train.labels.dim() == 1 and len(task.train.labels.unique()) == 1:
        raise ValueError(f"All examples are of one class, {int(labels[0])}: there is nothing to tell apart.")
    classes, weights = int(labels.max()) + 1, task.class_weights
    if weights is not None and len(weights) < classes:
        raise ValueError(f"{len(weights)} class weights for {classes} classes: give one weight per class.")
    if weights is not None and not (torch.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"Class weights must be above 0, and these are {weights.tolist()}.")
    inputs, asked = task.train.batch([0, len(task.train) - 1], device)
    scores = model.eval()(**inputs, **task.arguments)
    if not isinstance(scores, Tensor):
        advice = "let forward return that alone, such as output.logits"
        raise TypeError(f"The loss needs a tensor of scores, not {type(scores).__name__}: {advice}.")
    if scores.shape[:-1] != asked.shape:
        rule = "the choice must be the last dimension of the scores, and the labels have the others"
        raise ValueError(f"Scores {tuple(scores.shape)} do not go with labels {tuple(asked.shape)}: {rule}.")
    choices = scores.shape[-1]
    span = inputs.get("input_ids", scores).shape[-1] == choices and asked.dim() > 1 and not task.train.tags
    if not span and classes > choices:
        advice = " These begin at 1: subtract 1." if labels.min() == 1 and classes - 1 == choices else ""
        raise ValueError(
            f"There is a label {classes - 1}, and the model's {choices} classes count from 0.{advice}"
        )
    if weights is not None and len(weights) != choices:
        raise ValueError(f"{len(weights)} class weights for {choices} classes: give one weight per class.")
    sums = scores.float().sum(-1)
    if choices > 1 and (scores >= 0).all() and torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        advice = "The loss needs scores: leave the softmax out, or take log_softmax."
        raise ValueError(f"The model returns probabilities. {advice}")


def describe(
    model: nn.Module, trained: dict, tasks: list[Task], optimizer: Optimizer, shares: list[float], **settings: Any,
) -> dict[str, Any]:  # fmt: skip
    """What must agree for a checkpoint to be this run's own."""
    frozen = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if name not in trained:
            frozen.update(parameter.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    told = {
        task.name or "data": [task.train.digest(), task.validation and task.validation.digest(), task.share,
                              None if task.class_weights is None else task.class_weights.tolist()]
        for task in tasks
    }  # fmt: skip
    run = settings | {
        "learning rates": [[g["highest"], g["weight_decay"], len(g["params"])] for g in optimizer.param_groups],
        "schedule": hashlib.sha256(np.array(shares, np.float64).round(9).tobytes()).hexdigest()[:16],
        "frozen weights": frozen.hexdigest()[:16], "examples, shares and class weights": told, "trained": [*trained],
    }  # fmt: skip
    return json.loads(json.dumps(run, default=float))  # as it will be read back


def save_checkpoint(
    file: Path, run: dict, history: History, trained: dict, best: dict, optimizer: Optimizer
) -> None:
    """Write weights, best weights and optimiser state in one file, complete or not at all."""
    tensors = {f"model/{name}": p.detach() for name, p in trained.items()}
    tensors |= {f"best/{name}": p for name, p in best.items()}
    for name, parameter in trained.items():
        state = optimizer.state.get(parameter, {})  # empty for a layer that has not been thawed yet
        tensors |= {f"optimizer/{key}/{name}": torch.as_tensor(value) for key, value in state.items()}
    metadata = {"run": json.dumps(run), "history": json.dumps(asdict(history), default=float)}
    with replace_file(file) as part:
        save_file({name: t.contiguous().cpu().clone() for name, t in tensors.items()}, part, metadata)


def load_checkpoint(
    file: Path, run: dict, trained: dict, optimizer: Optimizer
) -> tuple[History, dict[str, Tensor]]:
    """Put back what :func:`save_checkpoint` wrote; returns the history and the best weights."""
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except SafetensorError as error:
        why = f"is damaged ({error}). Delete it to train from the start."
        raise ValueError(f"The checkpoint {file} {why}") from error
    if not {"run", "history"} <= metadata.keys():
        raise ValueError(f"{file} was not written by this loop. Give this run a folder of its own.")
    other = json.loads(metadata["run"])
    differs = [key for key in {**other, **run} if other.get(key) != run.get(key)]
    if differs:
        why = f"{', '.join(differs)} differ. Delete it, or give this run a folder of its own."
        raise ValueError(f"The checkpoint {file} belongs to another run: {why}")
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors[f"model/{name}"])
            for key in ("step", "exp_avg", "exp_avg_sq"):
                if (value := tensors.get(f"optimizer/{key}/{name}")) is not None:
                    place = "cpu" if key == "step" and parameter.device.type == "cpu" else parameter.device
                    optimizer.state[parameter][key] = value.to(place)
    device = next(iter(trained.values())).device
    best = {name: tensors[f"best/{name}"].to(device) for name in trained}
    return History(**json.loads(metadata["history"])), best
