"""Lecture 12: a bottleneck that starts as the identity, merging LoRA, counting what is trained."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.exercises.engine import Part, exercise, require, show


# fmt: off
class _Bottleneck(nn.Module):
    """Right as it is; ``start`` is what its matrices start from, ``say`` what it makes of states, down and up."""

    def __init__(self, units: int, size: int, start: Callable[[Any], Any] = lambda my: nn.init.zeros_(my.up.weight),
                 say: Callable[[Tensor, nn.Module, nn.Module], Tensor] = lambda x, down, up: x + up(F.gelu(down(x))), bias: bool = True):
        super().__init__()
        self.down, self.up, self.say = nn.Linear(units, size, bias), nn.Linear(size, units, bias), say
        for vector in (self.down.bias, self.up.bias) if bias else ():
            nn.init.zeros_(vector)
        start(self)

    def forward(self, states: Tensor) -> Tensor:
        return self.say(states, self.down, self.up)


class _Answer:
    """The module that a student returns, whatever its class."""

    def __init__(self, module: nn.Module):
        self.module = module


def _new_bottleneck(units: int, size: int) -> _Answer:
    """Check a function (units, size) -> nn.Module, Houlsby's bottleneck (2019, section 2.1): x + up(gelu(down(x))), both with biases.

    At the start it is the identity to the last bit, and it can learn: the gradient reaches one of its matrices.
    """
    return _Answer(_Bottleneck(units, size))


def _by(**changes: Any) -> Callable[[int, int], _Answer]:
    return lambda units, size: _Answer(_Bottleneck(units, size, **changes))


def _asked(raw: Any, units: int, size: int) -> _Answer:
    raw = raw.module if isinstance(raw, _Answer) else raw
    require(isinstance(raw, nn.Module), f"Return a module, an nn.Module with a forward of its own, not {type(raw).__name__}.")
    return _Answer(raw)


def _look(units: int, size: int, answer: _Answer) -> tuple[Tensor, int, int, Tensor]:
    """What it adds at the start, how many numbers learn, how many matrices the first gradient reaches, what it says with set weights."""
    module, x = answer.module, torch.linspace(-2, 3, 2 * 4 * units).sin().view(2, 4, units)
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    said = module(x)
    require(isinstance(said, Tensor) and said.shape == x.shape, "What comes out should have the shape of what goes in.")
    if said.requires_grad:
        (said * torch.linspace(1, 2, said.numel()).view(said.shape)).sum().backward()
    reached = sum(p.dim() > 1 and p.grad is not None and bool(p.grad.any()) for p in learning)
    start = (said - x).detach()
    with torch.no_grad():
        for parameter in learning:  # by their shape: they may have any name, and stand in any order
            values = torch.arange(parameter.numel()).view(parameter.shape) + parameter.shape[0]
            parameter.copy_(torch.cos(values.float()))
        return start, sum(map(torch.numel, learning)), reached, module(x) + 10  # beside which an approximate GELU is none the worse


_BOTH = "The gradient of each matrix is a product with the other one: where both are 0, both stay 0 for ever. Set the last one alone to 0."
check_new_bottleneck = exercise(
    "new_bottleneck: down, GELU, up, and around it; the identity at the start, and it learns",
    _new_bottleneck, inputs=("units", "size"), cases=[(6, 2), (5, 3)], read=_asked, observe=_look,
    describe=lambda units, size: f"With {units} units and a bottleneck of {size}",
    mistakes=[(lambda units, size: _Answer(nn.Identity()), "nothing in it can learn. Make the two layers in __init__ and keep them, self.down = ...")],
    parts=(
        Part("shift", said=lambda mine, right, *_: f"At the start states are moved by up to {show(abs(mine).max())}, and should not be moved at all", rtol=0,
             otherwise="The states go around the bottleneck and come back to what it adds; what it adds is 0 at first, if its last matrix and that one's bias are 0.", mistakes=[
            (_by(say=lambda x, down, up: up(F.gelu(down(x)))), "the way around the bottleneck is missing: return the states plus what the bottleneck says."),
        ]),
        Part("count", said=lambda mine, right, *_: f"{mine} numbers learn, and {right} should", mistakes=[
            (_by(bias=False), "the biases are missing. Houlsby's count is 2·units·size + units + size."),
        ]),
        Part("learns", said=lambda mine, right, *_: f"The first gradient reaches {mine} of the two matrices, and should reach the last one", mistakes=[
            (_by(start=lambda my: (nn.init.zeros_(my.up.weight), nn.init.zeros_(my.down.weight))), _BOTH),
        ]),
        Part("value", rtol=1e-3, said=lambda mine, right, *_: "It starts as the identity. With other weights it does not say what it should",
             otherwise="In this order: down, GELU, up; then add the states.", mistakes=[
            (_by(say=lambda x, down, up: x + up(down(x))), "there is no GELU between down and up: two matrices in a row are one of low rank."),
            (_by(say=lambda x, down, up: x + F.gelu(up(down(x)))), "the GELU stands behind up. It belongs between the two, where the states are narrow."),
            (_by(say=lambda x, down, up: x + up(torch.relu(down(x)))), "that is a ReLU. BERT's own networks have a GELU, and so has ours."),
        ]),
    ),
)


def _merged(weight: Tensor, a: Tensor, b: Tensor, alpha: float) -> Tensor:
    """Check a function (weight (out, in), A (r, in), B (out, r), alpha) -> (out, in): W + (alpha / r) B A (Hu et al. 2022, section 4.1)."""
    return weight + alpha / len(a) * (b @ a)


_draw = torch.Generator().manual_seed(0)


def _lora(out: int, units: int, rank: int, alpha: float) -> tuple[Tensor, Tensor, Tensor, float]:
    return *(torch.randn(shape, generator=_draw) for shape in ((out, units), (rank, units), (out, rank))), alpha  # type: ignore[return-value]


check_merged = exercise(
    "merged: the frozen weight and what LoRA has learned, in one matrix",
    _merged, inputs=("the weight", "A", "B", "alpha"), cases=[_lora(4, 4, 2, 6.0), _lora(5, 3, 2, 16.0), _lora(3, 6, 1, 0.5), _lora(2, 3, 4, 4.0)],
    describe=lambda w, a, b, alpha: f"For a weight {tuple(w.shape)}, rank {len(a)} and alpha {alpha:g}",
    stops={RuntimeError: "B is (out, r) and A is (r, in): B @ A is as large as the weight, whatever the rank."},
    only_read="which it should only read: another task may want the weight as it was. Write weight + ..., not weight += ...",
    mistakes=[
        (lambda w, a, b, alpha: w + b @ a, "the scale is missing: LoRA adds (alpha / r) B A."),
        (lambda w, a, b, alpha: w + alpha * (b @ a), "you multiply by alpha. It is alpha / r, so that another rank does not want another rate; at r = 16 that is sixteen-fold."),
        (lambda w, a, b, alpha: w + len(a) / alpha * (b @ a), "the scale is upside down: alpha / r."),
        (lambda w, a, b, alpha: w + alpha / a.shape[1] * (b @ a), "you divide by the number of units that come in. r is the number of rows of A."),
        (lambda w, a, b, alpha: w + alpha / len(b) * (b @ a), "you divide by the number of units that go out. r is the number of rows of A."),
        (lambda w, a, b, alpha: w + alpha / len(a) ** 0.5 * (b @ a), "you divide by the root of r. Some later papers do; Hu et al. divide by r."),
        (lambda w, a, b, alpha: alpha / len(a) * (b @ a), "that is the change alone. Add the frozen weight."),
        (lambda w, a, b, alpha: w - alpha / len(a) * (b @ a), "that takes the change out again. Merging adds it."),
        (lambda w, a, b, alpha: w + 2 * alpha / len(a) * (b @ a), "the change is merged twice."),
        (lambda w, a, b, alpha: w + alpha / len(a) * (a.T @ b.T), "that is B A turned on its side, Aᵀ Bᵀ. A weight has a row for each unit that goes out."),
    ],
)


class _Toy(nn.Module):
    """A body and a head as in EncoderWithHeads: frozen and trained parts, a tensor under two names, a buffer."""

    def __init__(self, units: int, size: int, classes: int, tied: bool):
        super().__init__()
        self.encoder = nn.ModuleDict({"embedding": nn.Embedding(9, units), "frozen": nn.Linear(units, units), "adapter": _Bottleneck(units, size),
                                      "out": nn.Linear(units, 9, bias=False)})
        self.encoder["out"].weight = self.encoder["embedding"].weight
        self.encoder["embedding"].requires_grad_(tied)
        self.encoder["frozen"].requires_grad_(False)
        self.encoder.register_buffer("positions", torch.arange(7.0))
        self.heads = nn.ModuleDict({"text": nn.Linear(units, classes)})


def _count_trained(model: Any) -> tuple[int, int]:
    """Check a function from a model with ``encoder`` and ``heads`` to how many numbers are trained in each; a shared tensor counts once."""
    return _sum(model.encoder.parameters()), _sum(model.heads.parameters())


def _sum(parameters: Any, of: Callable[[nn.Parameter], int] = lambda p: p.numel() * p.requires_grad) -> int:
    return sum(of(parameter) for parameter in parameters)


def _twice(module: nn.Module) -> int:
    return _sum(parameter for _, parameter in module.named_parameters(remove_duplicate=False))


with torch.random.fork_rng():
    _TOYS = [(_Toy(4, 2, 3, tied=True),), (_Toy(5, 3, 2, tied=False),)]

_TENSORS = "you counted tensors. Each holds many numbers: add up parameter.numel()."
check_count_trained = exercise(
    "count_trained: what learns in the encoder and in the head, each number once",
    _count_trained, inputs=("the model",), cases=_TOYS, describe=lambda model: "For a small model",
    mistakes=[
        (lambda model: _count_trained(model)[::-1], "the two have changed places: the encoder's count comes first."),
        (lambda model: (_sum(model.encoder.parameters(), lambda p: int(p.requires_grad)), _sum(model.heads.parameters(), lambda p: int(p.requires_grad))), _TENSORS),
    ],
    parts=(
        Part("count in the encoder", mistakes=[
            (lambda model: _sum(model.encoder.parameters(), torch.numel), "that is all of them, the frozen ones too. Add up those with requires_grad."),
            (lambda model: _sum(model.encoder.parameters(), lambda p: p.numel() * (not p.requires_grad)), "that is what is frozen."),
            (lambda model: _sum(model.parameters()), "that is the whole model. The head is the second number; papers leave it out and do not always say so."),
            (lambda model: _twice(model.encoder), "a tensor that two layers share is counted twice. parameters() gives it once; a walk over the modules does not."),
            (lambda model: sum(map(torch.numel, model.encoder.state_dict().values())), "state_dict() has frozen weights and buffers in it as well, and shared ones twice. Go through parameters()."),
        ]),
        Part("count in the heads", mistakes=[
            (lambda model: 0, "the head was left out. It learns as well, and may be larger than what was added to the encoder."),
            (lambda model: _sum(model.parameters()), "that is the whole model. Count model.heads alone."),
        ]),
    ),
)
# fmt: on
