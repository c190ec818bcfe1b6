"""Lecture 10: freezing, class weights, mean pooling and the decision threshold."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.exercises.engine import Part, exercise, require, show


# fmt: off
class _Toy(nn.Module):
    """An encoder with dropout and a head, small enough to count by hand."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.encoder = nn.Sequential(nn.Embedding(11, width), nn.Linear(width, width), nn.Dropout(0.5), nn.LayerNorm(width))
        self.head = nn.Sequential(nn.Linear(width, 5), nn.ReLU(), nn.Dropout(0.1), nn.Linear(5, classes))


def _freeze(model: nn.Module) -> int:
    """Check a function that freezes ``model.encoder`` and returns the number of parameters that are still trained.

    ``model`` has the parts ``encoder`` and ``head``. After the call, no parameter of the encoder may have
    ``requires_grad``, all of the head must; the encoder's dropout must be off (eval mode), the head's on (train mode).
    """
    model.encoder.requires_grad_(False).eval()
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _by(change: Callable[[_Toy], Any], count: Callable[[_Toy], int] = lambda model: 0) -> Callable[[_Toy], int]:
    return lambda model: (change(model), count(model))[1]


def _count(model: nn.Module) -> int:
    return sum(map(torch.numel, model.parameters()))


def _look(model: _Toy, count: int) -> tuple[list[str], list[str], dict[str, Tensor], int]:
    """What has become of the model: what learns, where dropout is active, and all numbers; the mode of other modules does nothing."""
    drops = [name for name, module in model.named_modules() if isinstance(module, nn.Dropout) and module.training and module.p]
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad], drops, model.state_dict(), count


def _still_free(learning: list[str], right: list[str], model: _Toy) -> str:
    if not set(right) <= set(learning):
        return "a part of the head is frozen. All of it should learn."
    return f"these parameters of the encoder are still free: {', '.join(name.removeprefix('encoder.') for name in learning if name not in right)}."


with torch.random.fork_rng():
    _TOYS = [(_Toy(4, 2),), (_Toy(6, 3),)]

check_freeze = exercise(
    "freeze: the encoder is frozen and in eval mode, the head learns, and the count is right",
    _freeze, inputs=("the model",), changed=("the model",), cases=_TOYS, observe=_look,
    describe=lambda model: "For a small model",
    parts=(
        Part("freezing", said=lambda learning, right, _: f"After the call {len(learning)} tensors learn, and {len(right)} should",
             otherwise=_still_free, mistakes=[
            (_by(lambda m: m.requires_grad_(False)), "nothing is left to train: the head is frozen. Loop over model.encoder.parameters() only."),
            (_by(lambda m: m.head.requires_grad_(False)), "you froze the head and left the encoder free; it should be the other way round."),
            (_by(lambda m: m.encoder.eval()), "the encoder is not frozen: set requires_grad to False on each of its parameters."),
            (_by(lambda m: [layer.weight.requires_grad_(False) for layer in m.encoder if hasattr(layer, "weight")]),
             "you froze the weights, but not the biases of the encoder: they would go on learning."),
        ]),
        Part("dropout", said=lambda on, right, _: f"The right parameters are frozen. Dropout is on in {', '.join(on) or 'no place'}, and should be in {right[0]}",
             mistakes=[
            (_by(lambda m: m.encoder.requires_grad_(False)), "the encoder's dropout is active and gives another vector for the same message each time. "
             "requires_grad does not change that; call model.encoder.eval()."),
            (_by(lambda m: m.eval().encoder.requires_grad_(False)),
             "the head is in eval mode too, so its dropout is off while it learns. Call eval() on model.encoder only."),
            (_by(lambda m: (m.encoder.requires_grad_(False), m.head.eval())), "that is the wrong way round: call eval() on model.encoder, not on the head."),
        ]),
        Part("weights", rtol=0, said=lambda *_: "The weights themselves have changed", otherwise="freezing only stops them from learning.", mistakes=[
            (_by(lambda m: m.encoder[1].weight.data.zero_(), _freeze), "freezing only stops them from learning."),
        ]),
        Part("count", said=lambda n, right, _: f"The model is frozen correctly, but your function returns {n} where {right} parameters are trained", mistakes=[
            (_by(_freeze, lambda m: sum(parameter.requires_grad for parameter in m.parameters())),
             "you counted tensors. Each holds many numbers: add up parameter.numel()."),
            (_by(_freeze, _count), "that is all of them, the frozen ones too. Add up those with requires_grad."),
            (_by(_freeze, lambda m: _count(m.encoder)), "that is the number of frozen ones."),
        ]),
    ),
)


def _balanced(labels: Tensor) -> Tensor:
    """Check a function from labels, a LongTensor (n,) with classes 0 .. k-1, to balanced weights, a float32 tensor (k,).

    The weight of class c is n / (k · n_c), with n_c the number of its examples. A class between 0 and the highest
    label that has no example must raise ValueError.
    """
    counts = torch.bincount(labels).float()
    if not counts.all():
        raise ValueError("a class has no example")
    return len(labels) / (len(counts) * counts)


def _proportions(weights: Tensor, right: Tensor, labels: Tensor) -> str:
    factors = {"the proportions are right, the scale is not. It is n / (k · n_c).": weights / right, _TURNED: weights * right}
    return next((why for why, factor in factors.items() if torch.allclose(factor, factor[0], rtol=1e-4)), "")


_TURNED = "yours is upside down, the frequent class gets the large weight. The rare one should."
_ABSENT = "has no example: an infinite or missing weight spoils the loss much later. Raise ValueError and name the class."

check_class_weights = exercise(
    "balanced_weights: n / (k · n_c) for any number of classes",
    _balanced, called="check_class_weights", inputs=("the labels",),
    cases=[(torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).flip(0),) for counts in ((8, 2), (6, 3, 1), (5, 5), (10, 4, 4, 2))],
    refused=[((torch.tensor(labels),), f"Class {absent} {_ABSENT}") for absent, labels in ((1, [0, 0, 2, 2, 2]), (0, [1, 1, 2]), (2, [0, 3, 3, 1]), (0, [1, 1]))],
    describe=lambda labels: f"For {labels.max() + 1} classes with {', '.join(map(str, torch.bincount(labels).tolist()))} examples",
    kinds={dtype: f"The weights are {dtype}, and the loss will meet float32 log-probabilities: add .float()." for dtype in ("float64", "float16", "bfloat16")}
    | {"i": "The weights are whole numbers, which cannot hold shares: divide with `/`."},
    shapes=[(lambda labels: (2,), "Find the number of classes in the labels; do not write 2."),
            (lambda labels: None, lambda labels: f"one row of {labels.max() + 1} numbers is wanted, one for each class.")],
    otherwise=_proportions,
    of=lambda labels: (torch.bincount(labels), len(labels), int(labels.max()) + 1),
    mistakes=[
        (lambda counts, n, k: n / counts, "divide by the number of classes, too."),
        (lambda counts, n, k: (1 / counts) / (1 / counts).sum(), "yours add up to 1, which makes the loss smaller and the learning rate seem too low."),
        ((lambda counts, n, k: counts / n, lambda counts, n, k: counts * k / n), _TURNED),
        (lambda counts, n, k: (n / (k * counts)).sqrt(), "that is the root of the balanced weights. They go in as they are."),
        (lambda counts, n, k: 1 - counts / n, "that is 1 - share. The weight is the share's inverse, over k."),
        (lambda counts, n, k: torch.ones(k), "all weights are 1, and the rare class counts for as little as before."),
    ],
)


def _mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Check a function from hidden states (B, T, H) and an attention mask (B, T) of 0 and 1 to means (B, H)."""
    return (hidden * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)


def _rows(places: Callable[[Tensor], slice]) -> Callable[..., Tensor]:
    return lambda hidden, mask, *_: torch.stack([row[places(real)].mean(dim=0) for row, real in zip(hidden, mask, strict=True)])


_generator = torch.Generator().manual_seed(0)
_MASKS = ([1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]), ([0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1]), ([1, 1, 0, 0], [0, 1, 0, 1], [0, 1, 1, 0])

check_mean_pool = exercise(
    "mean_pool: the mean over the real tokens, padding left out",
    _mean_pool, inputs=("the hidden states", "the mask"), gradients=("the hidden states",),
    cases=[(torch.randn(len(mask), len(mask[0]), 3 + i, generator=_generator) + 2, torch.tensor(mask)) for i, mask in enumerate(_MASKS)],
    describe=lambda hidden, mask: f"For the mask {show(mask)}",
    uphill="The gradient does not reach the real tokens as 1 / their number, and the padding not at all.",
    shapes=[(lambda hidden, mask: (len(hidden), 1, hidden.shape[2]), "(B, 1, H): a length-one dimension is left over. Sum without keepdim."),
            (lambda hidden, mask: tuple(mask.shape), "(B, T): you averaged over the numbers of a vector. Average over dim=1, tokens."),
            (lambda hidden, mask: None, "it should be (B, H).")],
    of=lambda hidden, mask: (hidden, mask, (hidden * mask.unsqueeze(-1)).sum(dim=1), mask.sum(dim=1, keepdim=True)),
    mistakes=[
        (lambda h, mask, total, n: h[:, 0], "you took the first token, [CLS]. The mean goes over all real tokens."),
        (lambda h, mask, total, n: h.mean(dim=1), "the padding is in your mean: multiply by the mask before you sum."),
        (lambda h, mask, total, n: total / mask.shape[1], "the padding is left out of the sum, but you divide by T: divide by the number of real tokens."),
        (lambda h, mask, total, n: h.sum(dim=1) / n, "you divide by the real tokens, but the padding is still in the sum."),
        (lambda h, mask, total, n: total, "that is the sum. Divide it by the number of real tokens of each message."),
        (lambda h, mask, total, n: total // n, "`//` drops what comes after the decimal point. Divide with `/`."),
        (lambda h, mask, total, n: total / n.sum(),
         "you divide by the real tokens of all messages together. Each has its own number: mask.sum(dim=1, keepdim=True)."),
        (_rows(lambda real: slice(int(real.sum()))),
         "you take the first places, as many as there are real tokens. Padding may stand on the left: go by the mask."),
        (_rows(lambda real: slice(-int(real.sum()), None)),
         "you take the last places, as many as there are real tokens. Padding may stand on the right: go by the mask."),
        (_rows(lambda real: slice(int(real.nonzero().max()) + 1)), "you take all up to the last real token. Padding may stand on the left: go by the mask."),
    ],
)


def _threshold(labels: np.ndarray, scores: np.ndarray, least: float) -> float:
    """Check a function (labels, scores, least_precision) -> the lowest threshold with at least that precision.

    Labels are 0/1 and scores spam probabilities, both arrays (n,); a message is blocked where score >= threshold. Any
    threshold that blocks the same messages is as good. If none will do, block nothing: return ``math.inf``.
    """
    return min(_good(labels, scores, least), default=math.inf)


def _good(labels: np.ndarray, scores: np.ndarray, least: float) -> list[float]:
    return [cut for cut in np.unique(scores) if labels[scores >= cut].mean() >= least]


def _to_first_failure(labels: np.ndarray, scores: np.ndarray, least: float) -> float:
    failures = [cut for cut in np.unique(scores) if cut not in _good(labels, scores, least)]
    return min(scores[scores > max(failures, default=-math.inf)], default=math.inf)


def _ties_apart(direction: int) -> Callable[..., float]:
    """One message after the other, whatever equal scores there are; of these, the first or the last goes first."""
    def threshold(labels: np.ndarray, scores: np.ndarray, least: float) -> float:
        order = np.argsort(-scores[::direction], kind="stable")
        precision = np.cumsum(labels[::direction][order]) / np.arange(1, len(labels) + 1)
        return scores[::direction][order][precision >= least].min(initial=math.inf)

    return threshold


def _messages(labels: np.ndarray, scores: np.ndarray, least: float) -> str:
    few = f"labels {show(labels)}, scores {show(scores)}" if len(labels) < 9 else f"{len(labels)} messages, {sum(labels == 0)} of them ham,"
    return f"For {few} and a precision of {least:g}"


def _no_nan(cut: Any, *_: Any) -> Any:
    require(not isinstance(cut, float) or cut == cut, "Return one number, the threshold, not nan.")
    return cut


def _why_not(blocked: np.ndarray, right: np.ndarray, labels: np.ndarray, scores: np.ndarray, least: float) -> str:
    if blocked.any() and not right.any():
        return "no threshold reaches that precision, so block nothing: return math.inf."
    if blocked.any() and labels[blocked].mean() < least:
        return f"the precision is only {labels[blocked].mean():.3f}: ham would be blocked wrongly."
    if not blocked.any():
        return f"that blocks nothing at all; {scores[right].min():g} would do."
    return f"the precision holds, but the recall is {labels[blocked].sum() / labels.sum():.2f}; threshold {scores[right].min():g} finds more."


_ALL = "Precision goes up and down along the thresholds: look at all of them, not only down to the first failure."
_TIES = "messages of equal score are blocked together, and you count them one by one. Look at each score once, np.unique(scores), and at all that is >= it."
_draw = np.random.default_rng(10)
_MANY = np.ones(260, dtype=int)
_MANY[[40, 90, 95]] = 0  # one in a hundred may be ham: the first ham does not end the search

check_threshold = exercise(
    "lowest_threshold: as much spam as the wanted precision allows",
    _threshold, called="check_threshold", inputs=("the labels", "the scores", "the precision"),
    cases=[(np.array(labels), np.array(scores), least) for labels, scores, least in [
        ([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9], 0.99),  # separable
        ([0, 1, 0, 1, 1], [0.2, 0.4, 0.6, 0.8, 0.9], 0.99),  # one ham high up
        ([0, 1, 1, 0, 1], [0.1, 0.5, 0.6, 0.7, 0.9], 0.75),  # precision drops, then rises again
        ([0, 1, 0, 1, 1], [0.3, 0.6, 0.6, 0.8, 0.9], 0.99),  # a tie between ham and spam
        ([0, 0, 1, 1, 1], [0.3, 0.6, 0.6, 0.8, 0.9], 0.99),  # and the other way round
        ([0, 1, 1, 0, 1, 1], [0.2, 0.5, 0.5, 0.5, 0.5, 0.9], 0.8),  # a tie that is worth it
        ([1, 0, 1, 0], [0.4, 0.8, 0.6, 0.1], 0.99),  # the surest message is ham: no threshold will do
        ([0, 0], [0.3, 0.6], 0.5),  # no spam at all
        ([1, 0, 1, 1, 1], [0.2, 0.4, 0.6, 0.6, 0.8], 0.8),  # so little ham that all may be blocked
        (_MANY, np.linspace(0.3, 0.99, 260).round(4), 0.99),
        ((_draw.random(60) < np.repeat(np.linspace(0.1, 1, 6), 10)).astype(int), np.repeat(np.linspace(0.4, 0.9, 6), 10), 0.8),
    ]],
    describe=_messages, observe=lambda labels, scores, least, cut: scores >= cut - 1e-7, infinite="", read=_no_nan,
    said=lambda blocked, right, labels, scores, least:
    f"{_messages(labels, scores, least)} you block {f'what scores {scores[blocked].min():g} or more' if blocked.any() else 'nothing'}",
    otherwise=_why_not,
    mistakes=[
        ((_ties_apart(1), _ties_apart(-1)), _TIES),
        (lambda labels, scores, least: _threshold(labels, scores, least + 1e-9), "a precision of exactly the one that is asked for will do: >=, not >."),
        (_to_first_failure, _ALL),
        (lambda labels, scores, least: next((cut for cut in [-1.0, *np.unique(scores)[:-1]] if labels[scores > cut].mean() >= least), math.inf),
         "right for “score > threshold”, but a message is blocked at score >= threshold already."),
        (lambda *given: max(_good(*given), default=math.inf), "that is the highest such threshold, and it finds the least spam. A lower one finds more."),
        (lambda labels, scores, least: min(_threshold(labels, scores, least), scores.max()),
         "no threshold reaches that precision, so block nothing: return math.inf."),
    ],
)
# fmt: on
