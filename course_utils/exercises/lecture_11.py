"""Lecture 11: rates by layer as parameter groups, the schedule, and which runs failed."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from course_utils.exercises.engine import exercise, require

# fmt: off
Group = dict[str, Any]
Layers = Sequence[Sequence[nn.Parameter]]


def _layer_groups(layers: Layers, rate: float, factor: float) -> list[Group]:
    """Check a function (layers, rate, factor) -> a list of dicts with ``params`` and ``lr``, from the lowest layer to the head.

    Layers are lists of parameters, the head's last; frozen parameters are left out, and so is a layer that has no others.
    """
    return _grouped()(layers, rate, factor)


def _grouped(
    lr: Callable[[float, float, int, int], float] = lambda rate, factor, below, n: rate / factor**below,
    learns: Callable[[nn.Parameter], bool] = lambda p: p.requires_grad, empty: bool = False,
) -> Callable[..., list[Group]]:
    """Groups by what the rate of a layer is, so many below the head of n layers, and by what is left out."""
    def groups(layers: Layers, rate: float, factor: float) -> list[Group]:
        n = len(layers)
        made = [{"params": [p for p in layer if learns(p)], "lr": lr(rate, factor, n - 1 - i, n)} for i, layer in enumerate(layers)]
        return [group for group in made if group["params"] or empty]
    return groups


def _counted_from_groups(layers: Layers, rate: float, factor: float) -> list[Group]:
    made = _layer_groups(layers, rate, factor)
    return [group | {"lr": rate / factor ** (len(made) - 1 - i)} for i, group in enumerate(made)]


def _groups(groups: Any, *_: Any) -> list[Group]:
    """Groups as AdamW takes them, or what is wrong with them."""
    require(isinstance(groups, list | tuple), f"Return a list of groups, one for each layer, not {type(groups).__name__}.")
    for group in groups:
        require(isinstance(group, dict), f"A group is a dict with \"params\" and \"lr\", and one of yours is a {type(group).__name__}.")
        missing = [key for key in ("params", "lr") if key not in group]
        require(not missing, f"A group needs \"params\" and \"lr\": {missing[:1]} is missing in one of yours, which has {[*group]}.")
        require(isinstance(group["params"], list | tuple), f"\"params\" is a list of parameters, and in yours a {type(group['params']).__name__}.")
        odd = [type(p).__name__ for p in group["params"] if not isinstance(p, nn.Parameter)]
        require(not odd, f"\"params\" holds parameters, and in yours a {odd[:1]}: give them as they are, flat in one list.")
    return list(groups)


def _rows(layers: Layers, rate: float, factor: float, groups: Sequence[Group]) -> list[list[float]]:
    """A row for each group: its rate, then the numbers that its parameters hold, by which they are told apart."""
    return [[round(float(group["lr"]), 12), *sorted(float(p.detach().flatten()[0]) for p in group["params"])] for group in groups]


def _layers(*shape: int, frozen: Sequence[int] = ()) -> list[list[nn.Parameter]]:
    """So many parameters in each layer, numbered through; those that are frozen are named."""
    numbers = iter(range(1, sum(shape) + 1))
    return [[nn.Parameter(torch.full((2,), float(i)), requires_grad=i not in frozen) for i in (next(numbers) for _ in range(size))] for size in shape]


check_layer_groups = exercise(
    "layer_groups: the head at the full rate, each layer below divided once more, frozen parameters left out",
    _layer_groups, inputs=("the layers", "the rate", "the factor"),
    cases=[
        (_layers(2, 1, 3), 0.1, 2.0), (_layers(1, 2, 2, 1), 0.01, 5.0), (_layers(3), 0.5, 4.0),
        (_layers(2, 2, 1, frozen=(1,)), 0.1, 4.0), (_layers(1, 2, 1, frozen=(2, 3)), 0.1, 4.0), (_layers(2, 1, 1, 1, frozen=(5,)), 0.1, 2.0),
    ],
    describe=lambda layers, rate, factor: f"For {len(layers)} layers of {[len(layer) for layer in layers]} parameters, of which {sum(not p.requires_grad for layer in layers for p in layer)} are frozen, rate {rate:g} and factor {factor:g}, [rate, first numbers of the parameters]:",
    read=_groups,
    observe=_rows,
    mistakes=[
        (_grouped(lambda rate, factor, below, n: rate / factor ** (n - 1 - below)), "the rates stand on their head: the lowest layer has the full one. The head, which is last, has it."),
        (_grouped(lambda rate, factor, below, n: rate * factor**below), "lower layers learn faster in yours. Divide by the factor."),
        (_grouped(lambda rate, factor, below, n: rate / factor ** (below + 1)), "the head's rate is divided too. It learns at the full rate."),
        (_grouped(lambda rate, factor, below, n: rate), "all have the same rate."),
        (_grouped(lambda rate, factor, below, n: rate / (factor * below or 1)), "you divide by factor times the distance. Each layer's rate is that of the one above divided by the factor: factor ** distance."),
        (_grouped(lambda rate, factor, below, n: rate * (n - below) / n), "your rates fall in equal steps. Each is that of the layer above, divided by the factor."),
        (_grouped(learns=lambda p: True), "a frozen parameter is in a group. The optimiser would let it decay, and keep moments for it: ask for requires_grad."),
        (_grouped(empty=True), "a layer that is frozen altogether has an empty group: leave it out, AdamW refuses it."),
        (_counted_from_groups, "the rates are counted by groups, and a frozen layer has none, so those below it learn too fast. Count the layers."),
        (lambda *case: _layer_groups(*case)[::-1], "the groups stand in the wrong order: the lowest layer comes first."),
        (lambda layers, rate, factor: [{"params": [p for layer in layers for p in layer if p.requires_grad], "lr": rate}], "all parameters are in one group, so they have one rate. Make a group for each layer."),
    ],
)

def _rate_at(step: int, steps: int, highest: float, rise: float) -> float:
    """Check a function (step, steps, highest, rise) -> the learning rate: up in a line for int(rise * steps) steps, then down."""
    return _lines()(step, steps, highest, rise)


def _lines(
    up: Callable[[int, int], float] = lambda step, top: (step + 1) / top,
    down: Callable[[int, int, int], float] = lambda step, steps, top: (steps - step) / max(1, steps - top),
    top: Callable[[int, float], int] = lambda steps, rise: max(1, int(rise * steps)),
) -> Callable[..., float]:
    """A schedule by its line up, its line down, and where the top is."""
    def rate(step: int, steps: int, highest: float, rise: float) -> float:
        summit = top(steps, rise)
        return highest * min(up(step, summit), down(step, steps, summit))
    return rate


check_rate_at = exercise(
    "rate_at: a line up from the first step on, a line down to 0 after the last",
    _rate_at, inputs=("the step", "the steps", "the highest rate", "the rise"),
    cases=[(step, steps, highest, rise) for steps, highest, rise in ((20, 2.0, 0.2), (37, 3e-4, 0.1), (10, 1.0, 0.5)) for step in range(steps + 1)],
    edges=[((step, steps, 1.0, rise), f"with {steps} steps and a rise of {rise:g}, int(rise * steps) is {int(rise * steps)}: the climb takes one step at least, and where nothing is left to fall for, nothing may be divided by 0.")
           for steps, rise in ((5, 0.1), (1, 0.1), (4, 0.0)) for step in range(steps)],
    describe=lambda step, steps, highest, rise: f"At step {step} of {steps}, with highest = {highest:g} and rise = {rise:g},",
    mistakes=[
        (_lines(up=lambda step, top: step / top), "the rate at step 0 is 0, so the first batch teaches nothing. The line up is (step + 1) / top."),
        (_lines(up=lambda step, top: 1.0), "there is no climb: it starts at the top."),
        (lambda step, steps, highest, rise: highest * min(1, (step + 1) / max(1, int(rise * steps))), "it stays at the top. After the climb it falls to 0."),
        (lambda step, steps, highest, rise: highest, "that is the highest rate at every step."),
        (lambda step, steps, highest, rise: _rate_at(step, steps, 1.0, rise), "that is the share. Multiply it by the highest rate."),
        (_lines(down=lambda step, steps, top: (steps - 1 - step) / max(1, steps - 1 - top)), "the rate is 0 in the last step already, and that batch teaches nothing. It would be 0 one step later."),
        (_lines(down=lambda step, steps, top: (steps - step) / steps), "the line down starts at step 0, so the highest rate is never reached. It is 1 at step top: divide by steps - top."),
        (_lines(top=lambda steps, rise: max(1, int(0.1 * steps))), "the rise is taken as 0.1, whatever is asked for."),
        (_lines(top=lambda steps, rise: max(1, int((1 - rise) * steps))), "it climbs for most of the run. The climb takes the share rise, the fall the rest."),
        (_lines(top=lambda steps, rise: int(rise * steps) + 1), "the climb is one step too long: the top is reached in the last of int(rise * steps) steps."),
    ],
)


def _failed_runs(verdicts: np.ndarray, labels: np.ndarray) -> list[int]:
    """Check a function from verdicts (runs, n) and labels (n,), 0 or 1, to the numbers of the failed runs, a list.

    A run has failed if its accuracy is not above that of always giving the labels' most frequent answer.
    """
    return _those()(verdicts, labels)


def _those(
    bound: Callable[[np.ndarray, np.ndarray], Any] = lambda verdicts, labels: max(labels.mean(), 1 - labels.mean()),
    failed: Callable[[Any, Any], Any] = lambda accuracy, bound: accuracy <= bound,
) -> Callable[..., list[int]]:
    """Runs by what their accuracy is compared with, and how."""
    def those(verdicts: np.ndarray, labels: np.ndarray) -> list[int]:
        return np.flatnonzero(failed((verdicts == labels).mean(1), bound(verdicts, labels))).tolist()
    return those


def _numbers(answer: Any, verdicts: np.ndarray, labels: np.ndarray) -> list[int]:
    """The run numbers as a list; a mask is told apart."""
    require(isinstance(answer, list | tuple | np.ndarray | torch.Tensor), f"Return a list of numbers, not a {type(answer).__name__}.")
    runs = answer.tolist() if isinstance(answer, np.ndarray | torch.Tensor) else list(answer)
    require(isinstance(runs, list), "Return a list, also where one run has failed.")
    runs = [run.item() if isinstance(run, np.generic) else run for run in runs]
    require(not any(isinstance(run, bool) for run in runs), "Return the numbers of the failed runs, such as [0, 3], and not a true or false for each run.")
    odd = [run for run in runs if not isinstance(run, int)]
    require(not odd, f"The numbers of runs are whole numbers, flat in one list, and {odd[:1]} is none.")
    return runs


_UP, _DOWN = np.array([1, 1, 1, 0, 1, 0, 1, 1]), np.array([0, 0, 1, 0, 1, 0, 0, 0, 0])


def _runs(labels: np.ndarray, *wrong: Sequence[int]) -> np.ndarray:
    """A run for each list of places at which it is wrong, after one that always says 0 and one that always says 1."""
    rows = [np.zeros_like(labels), np.ones_like(labels)]
    for places in wrong:
        row = labels.copy()
        row[list(places)] ^= 1
        rows.append(row)
    return np.stack(rows)


check_failed_runs = exercise(
    "failed_runs: no better than the majority, which may be either answer",
    _failed_runs, inputs=("the verdicts", "the labels"),
    cases=[(_runs(_UP, [0], [0, 1], [0, 1, 2]), _UP), (_runs(_DOWN, [], [2, 3], [4], [0, 1, 2, 3, 4]), _DOWN), (_runs(_DOWN, [0])[2:], _DOWN)],
    describe=lambda verdicts, labels: f"For labels {labels.tolist()} and runs with accuracies {(verdicts == labels).mean(1).round(3).tolist()}",
    read=_numbers,
    mistakes=[
        (_those(failed=lambda accuracy, bound: accuracy < bound), "a run that always gives the majority's answer has exactly its accuracy, and has failed: at or below."),
        (_those(bound=lambda verdicts, labels: 0.5), "you compare with one half. Who always gives the more frequent answer is right more often than that."),
        (_those(bound=lambda verdicts, labels: labels.mean()), "you compare with the share of ones. Where zeros are more frequent, the majority is right as often as there are zeros."),
        (_those(bound=lambda verdicts, labels: 1 - labels.mean()), "you compare with the share of zeros. Where ones are more frequent, the majority is right as often as there are ones."),
        (_those(bound=lambda verdicts, labels: np.maximum(verdicts.mean(1), 1 - verdicts.mean(1))), "you take the majority of each run's own verdicts. It is that of the labels."),
        (_those(failed=lambda accuracy, bound: accuracy > bound), "these are the runs that did not fail."),
        (lambda verdicts, labels: [run for run, row in enumerate(verdicts) if len({*row.tolist()}) == 1], "these are the runs that always give the same answer. A run can fail in other ways too: compare accuracies."),
        (lambda verdicts, labels: [run + 1 for run in _failed_runs(verdicts, labels)], "the numbers of runs count from 0."),
    ],
)
# fmt: on
