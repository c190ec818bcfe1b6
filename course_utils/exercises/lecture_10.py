"""Lecture 10: freezing, class weights, mean pooling and the decision threshold."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.exercises import CheckFailed, call, check, require


class _Toy(nn.Module):
    """An encoder with dropout and a head, small enough to count by hand."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        layers = [nn.Embedding(11, width), nn.Linear(width, width), nn.Dropout(0.5), nn.LayerNorm(width)]
        self.encoder = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(width, 5), nn.ReLU(), nn.Dropout(0.1), nn.Linear(5, classes))

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.encoder(ids).mean(dim=1))


@check("freeze: the encoder is frozen and in eval mode, the head learns, and the count is right")
def check_freeze(freeze: Callable[[nn.Module], int]) -> None:
    """Check a function that freezes ``model.encoder`` and returns the number of parameters that are still trained.

    ``model`` has the parts ``encoder`` and ``head``. After the call, no parameter of the encoder may have
    ``requires_grad``, all of the head must; the encoder must be in eval mode, the head still in train mode.
    """
    for width, classes in ((4, 2), (6, 3)):
        model = _Toy(width, classes).train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        count = call(freeze, model)
        encoder, head = list(model.encoder.named_parameters()), list(model.head.parameters())
        free = [name for name, parameter in encoder if parameter.requires_grad]
        require(
            any(parameter.requires_grad for parameter in head),
            "Nothing is left to train: the head is frozen. Loop over model.encoder.parameters() only."
            if not free
            else "You froze the head and left the encoder free; it should be the other way round.",
        )
        require(
            all(parameter.requires_grad for parameter in head),
            "A part of the head is frozen. All of it should learn.",
        )
        require(
            len(free) < len(encoder),
            "The encoder is not frozen: set requires_grad to False on each of its parameters.",
        )
        require(
            not free or not all(name.endswith("bias") for name in free),
            "You froze the weights, but not the biases of the encoder: they would go on learning.",
        )
        require(not free, f"These parameters of the encoder are still free: {', '.join(free)}.")
        require(
            not any(module.training for module in model.encoder.modules()),
            "The encoder is frozen but still in train mode: its dropout is active and gives another vector for the same "
            "message each time. requires_grad does not change that; call model.encoder.eval().",
        )
        require(
            all(module.training for module in model.head.modules()),
            "The head is in eval mode too, so its dropout is off while it learns. Call eval() on model.encoder only.",
        )
        after = model.state_dict()
        require(
            before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before),
            "The weights themselves have changed. Freezing only stops them from learning.",
        )
        wanted = sum(parameter.numel() for parameter in head)
        both = wanted + sum(parameter.numel() for _, parameter in encoder)
        said = f"The model is frozen rightly, but your function returns {count!r} where {wanted} parameters are trained"
        require(
            count != len(head),
            f"{said}: you counted tensors. Each holds many numbers: add up parameter.numel().",
        )
        require(
            count != both,
            f"{said}: that is all of them, the frozen ones too. Add up those with requires_grad.",
        )
        require(count != both - wanted, f"{said}: that is the number of frozen ones.")
        require(_is_number(count) and count == wanted, f"{said}.")


@check("balanced_weights: n / (k · n_c) for any number of classes")
def check_class_weights(balanced_weights: Callable[[Tensor], Tensor]) -> None:
    """Check a function from labels, a LongTensor (n,) with classes 0 .. k-1, to balanced weights, a float32 tensor (k,).

    The weight of class c is n / (k · n_c), with n_c the number of its examples. A class between 0 and the highest
    label that has no example must raise ValueError.
    """
    for counts in ((8, 2), (6, 3, 1), (5, 5), (10, 4, 4, 2)):
        k, n = len(counts), sum(counts)
        labels = torch.repeat_interleave(torch.arange(k), torch.tensor(counts)).flip(0)
        weights = call(balanced_weights, labels)
        case = f"For {k} classes with {', '.join(map(str, counts))} examples"
        require(
            isinstance(weights, Tensor), f"Return a tensor, not {type(weights).__name__}: torch.tensor(...)."
        )
        require(
            weights.dtype.is_floating_point,
            f"The weights are {weights.dtype}: whole numbers cannot hold them.",
        )
        require(
            weights.dtype == torch.float32,
            f"The weights are {weights.dtype}, and the loss will meet float32 log-probabilities: add .float().",
        )
        require(
            weights.ndim == 1,
            f"The weights have shape {tuple(weights.shape)}; one row of {k} numbers is wanted.",
        )
        require(
            len(weights) == k,
            f"{case} you return {len(weights)} weights. Find the number of classes in the labels; do not write 2.",
        )
        share = torch.tensor(counts) / n
        right = 1 / (k * share)
        said = f"{case} you return {_short(weights)} and not {_short(right)}"
        if not torch.allclose(weights, right, rtol=1e-4):
            same = torch.allclose(weights / weights.sum(), right / right.sum(), rtol=1e-4)
            require(
                not torch.allclose(weights, 1 / share, rtol=1e-4),
                f"{said}: divide by the number of classes, too.",
            )
            require(
                not same or abs(float(weights.sum()) - 1) > 1e-4,
                f"{said}: yours add up to 1, which makes the loss smaller and the learning rate seem too low.",
            )
            require(not same, f"{said}: the proportions are right, the scale is not. It is n / (k · n_c).")
            require(
                not torch.allclose(weights / weights.sum(), share, rtol=1e-4),
                f"{said}: yours is upside down, the frequent class gets the large weight. The rare one should.",
            )
            raise CheckFailed(f"{said}.")
    try:
        result = call(balanced_weights, torch.tensor([0, 0, 2, 2, 2]), may_raise=(ValueError,))
    except ValueError:
        return
    raise CheckFailed(
        f"Class 1 has no example in [0, 0, 2, 2, 2], and you return {_short(result)}: an infinite or missing weight spoils "
        "the loss much later. Raise ValueError and name the class."
    )


@check("mean_pool: the mean over the real tokens, padding left out")
def check_mean_pool(mean_pool: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Check a function from hidden states (B, T, H) and an attention mask (B, T) of 0 and 1 to means (B, H)."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 5, 4, generator=generator) + 2
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    right = torch.stack([hidden[b, : int(mask[b].sum())].mean(dim=0) for b in range(3)])
    given, given_mask = hidden.clone().requires_grad_(), mask.clone()
    result = call(mean_pool, given, given_mask)
    require(isinstance(result, Tensor), f"Return a tensor, not {type(result).__name__}.")
    require(
        result.shape != (3, 1, 4),
        "The shape is (B, 1, H): a length-one dimension is left over. Sum without keepdim.",
    )
    require(
        result.shape != (3, 5),
        "The shape is (B, T): you averaged over the numbers of a vector. Average over dim=1, tokens.",
    )
    require(result.shape == (3, 4), f"The shape is {tuple(result.shape)}, and should be (B, H), here (3, 4).")
    value, masked = result.detach(), (hidden * mask.unsqueeze(-1)).sum(dim=1)
    lengths = mask.sum(dim=1, keepdim=True)
    wrong = (
        (hidden[:, 0], "You took the first token, [CLS]. The mean goes over all real tokens."),
        (hidden.mean(dim=1), "The padding is in your mean: multiply by the mask before you sum."),
        (
            masked / 5,
            "The padding is left out of the sum, but you divide by T: divide by the number of real tokens.",
        ),
        (hidden.sum(dim=1) / lengths, "You divide by the real tokens, but the padding is still in the sum."),
        (masked, "That is the sum. Divide it by the number of real tokens of each message."),
        (masked // lengths, "`//` drops what comes after the decimal point. Divide with `/`."),
    )
    for answer, diagnosis in wrong:
        require(not torch.allclose(value, answer, atol=1e-5), diagnosis)
    require(
        torch.allclose(value, right, atol=1e-5),
        f"For the second message you return {_short(value[1])} and not {_short(right[1])}.",
    )
    unchanged = torch.equal(given.detach(), hidden) and torch.equal(given_mask, mask)
    require(unchanged, "Your function changes its inputs; a mean should leave them as they are.")
    require(
        result.requires_grad,
        "No gradient flows through your mean: stay in torch, without .detach(), .item() or no_grad.",
    )
    result.sum().backward()
    flows = given.grad is not None and torch.allclose(
        given.grad, (mask / lengths).unsqueeze(-1).expand_as(hidden)
    )
    require(
        flows, "The gradient does not reach the real tokens as 1 / their number, and the padding not at all."
    )


@check("lowest_threshold: as much spam as the wanted precision allows")
def check_threshold(lowest_threshold: Callable[[np.ndarray, np.ndarray, float], float]) -> None:
    """Check a function (labels, scores, least_precision) -> the lowest threshold with at least that precision.

    Labels are 0/1 and scores spam probabilities, both arrays (n,); a message is blocked where score >= threshold. Any
    threshold that blocks the same messages is as good. If none will do, block nothing: return ``math.inf``.
    """
    for labels, scores, least in _threshold_cases():
        result = call(lowest_threshold, labels.copy(), scores.copy(), least)
        require(
            _is_number(result), f"Return one number, the threshold, not {type(result).__name__}: {result!r}."
        )
        cuts = [cut for cut in np.unique(scores) if _precision(labels, scores, cut) >= least]
        best = min(cuts, default=math.inf)
        if np.array_equal(scores >= result, scores >= best):
            continue
        said = f"For labels {labels.tolist()}, scores {scores.tolist()} and a precision of {least:g} you return {result:g}"
        precision, recall = _precision(labels, scores, result), labels[scores >= result].sum() / labels.sum()
        require(cuts, f"{said}. No threshold reaches that precision, so block nothing: return math.inf.")
        if precision < least:
            after = scores > result
            require(
                not after.any() or labels[after].mean() < least,
                f"{said}: right for “score > threshold”, but a message is blocked at score >= threshold already.",
            )
            raise CheckFailed(
                f"{said}, with a precision of only {precision:.3f}: ham would be blocked wrongly."
            )
        require((scores >= result).any(), f"{said}, which blocks nothing at all; {best:g} would do.")
        raise CheckFailed(
            f"{said}: the precision holds, but the recall is {recall:.2f}; threshold {best:g} finds more. Precision goes up "
            "and down along the thresholds: look at all of them, not only down to the first failure."
        )


def _threshold_cases() -> list[tuple[np.ndarray, np.ndarray, float]]:
    cases = [
        ([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9], 0.99),  # separable
        ([0, 1, 0, 1, 1], [0.2, 0.4, 0.6, 0.8, 0.9], 0.99),  # one ham high up
        ([0, 1, 1, 0, 1], [0.1, 0.5, 0.6, 0.7, 0.9], 0.75),  # precision drops, then rises again
        ([0, 1, 0, 1, 1], [0.3, 0.6, 0.6, 0.8, 0.9], 0.99),  # a tie between ham and spam
        ([1, 0, 1, 0], [0.4, 0.8, 0.6, 0.1], 0.99),  # the surest message is ham: no threshold will do
    ]
    fixed = [(np.array(labels), np.array(scores), least) for labels, scores, least in cases]
    # Many messages, of which one in a hundred may be ham: the first ham does not end the search.
    labels = np.ones(260, dtype=int)
    labels[[40, 90, 95]] = 0
    return [*fixed, (labels, np.linspace(0.3, 0.99, 260).round(4), 0.99)]


def _precision(labels: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    blocked = scores >= threshold
    return float(labels[blocked].mean()) if blocked.any() else 1.0


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float | np.number) and not isinstance(value, bool) and not math.isnan(value)
    )


def _short(values: Tensor) -> str:
    return "[" + ", ".join(f"{value:.3g}" for value in values.flatten().tolist()) + "]"
