"""Exercises: stubs fail kindly, solutions pass, wrong answers get the right diagnosis."""

import math
import re
from fractions import Fraction

import nbformat
import numpy as np
import pytest
import torch
from exercise_contract import ExerciseContract, name_of

from course_tools import notebooks
from course_utils.exercises import CheckFailed, check, lecture_00, lecture_10
from course_utils.exercises.engine import call

NOTEBOOKS = notebooks.find()


# --- answers: the first of each list is right; the others come with a piece of their diagnosis


def freeze(model):
    model.encoder.requires_grad_(False).eval()
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def freeze_by_loop(model):
    for parameter in model.encoder.parameters():
        parameter.requires_grad = False
    model.encoder.eval()
    return sum(p.numel() for p in model.head.parameters())


def freeze_dropout_modules_only(model):
    """The other modules do the same in both modes."""
    model.encoder.requires_grad_(False)
    for module in model.encoder:
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    return np.int64(sum(p.numel() for p in model.parameters() if p.requires_grad))


def freeze_the_flag_of_the_encoder_only(model):
    model.encoder.requires_grad_(False)
    model.encoder.training = False  # of the container, not of the dropout in it
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def freeze_a_part_of_the_head(model):
    freeze(model)
    model.head[0].requires_grad_(False)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def freeze_everything(model):
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.encoder.eval()
    return 0


def freeze_weights_only(model):
    for name, parameter in model.encoder.named_parameters():
        if "weight" in name:
            parameter.requires_grad = False
    model.encoder.eval()
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def freeze_without_eval(model):
    model.encoder.requires_grad_(False)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def freeze_with_model_eval(model):
    model.encoder.requires_grad_(False)
    model.eval()
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def freeze_counting_tensors(model):
    freeze(model)
    return len([p for p in model.parameters() if p.requires_grad])


def freeze_counting_all(model):
    freeze(model)
    return sum(p.numel() for p in model.parameters())


def freeze_counting_frozen(model):
    freeze(model)
    return sum(p.numel() for p in model.parameters() if not p.requires_grad)


def freeze_the_head(model):
    model.head.requires_grad_(False)
    model.encoder.eval()
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def freeze_a_child_only(model):
    model.encoder[1].requires_grad_(False)
    model.encoder.eval()
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def freeze_by_wrong_name(model):
    model.encoder.require_grad = False
    model.encoder.eval()
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def freeze_to_zero(model):
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.zero_()
    return freeze(model)


def freeze_a_constant(model):
    freeze(model)
    return 42


def weights(labels):
    counts = torch.bincount(labels)
    if (counts == 0).any():
        raise ValueError("a class has no example")
    return len(labels) / (len(counts) * counts.float())


def weights_by_sklearn(labels):
    from sklearn.utils.class_weight import compute_class_weight

    labels = labels.numpy()
    classes = np.arange(labels.max() + 1)
    return torch.tensor(compute_class_weight("balanced", classes=classes, y=labels), dtype=torch.float)


def weights_of_classes_seen(labels):
    _, counts = labels.unique(return_counts=True)
    return len(labels) / (len(counts) * counts.float())


def weights_refusing_gaps_only(labels):
    if (torch.bincount(labels)[labels.min() :] == 0).any():
        raise ValueError("a class has no example")
    return len(labels) / (labels.max() + 1) / torch.bincount(labels).clamp(min=1).float()


def weights_stopping_by_chance(labels):
    for c in range(int(labels.max()) + 1):
        if c not in labels:
            raise KeyError(c)
    return weights(labels)


def mean_pool(hidden, attention_mask):
    mask = attention_mask.unsqueeze(-1)
    return (hidden * mask).sum(dim=1) / mask.sum(dim=1)


def mean_pool_einsum(hidden, attention_mask):
    share = attention_mask / attention_mask.sum(dim=1, keepdim=True)
    return torch.einsum("bth,bt->bh", hidden, share)


def mean_pool_by_selection(hidden, attention_mask):
    return torch.stack(
        [states[mask.bool()].mean(dim=0) for states, mask in zip(hidden, attention_mask, strict=True)]
    )


def mean_pool_first_k(hidden, attention_mask):
    k = attention_mask.sum(dim=1)
    places = torch.arange(hidden.shape[1]) < k[:, None]
    return (hidden * places[..., None]).sum(dim=1) / k[:, None]


def mean_pool_half_detached(hidden, attention_mask):
    mask = attention_mask.unsqueeze(-1) / attention_mask.sum(dim=1)[:, None, None]
    return (hidden * mask)[:, :2].sum(dim=1) + (hidden.detach() * mask)[:, 2:].sum(dim=1)


def mean_pool_in_place(hidden, attention_mask):
    with torch.no_grad():
        hidden *= attention_mask.unsqueeze(-1)
    return hidden.sum(dim=1) / attention_mask.sum(dim=1, keepdim=True)


def threshold(labels, scores, least_precision):
    good = [cut for cut in np.unique(scores) if labels[scores >= cut].mean() >= least_precision]
    return min(good, default=math.inf)


def threshold_by_sklearn(labels, scores, least_precision):
    from sklearn.metrics import precision_recall_curve

    precision, _, thresholds = precision_recall_curve(labels, scores)
    good = thresholds[precision[:-1] >= least_precision]
    return float(good.min()) if len(good) else math.inf


def threshold_minus_infinity(labels, scores, least_precision):
    return -math.inf if labels.mean() >= least_precision else threshold(labels, scores, least_precision)


def threshold_one_by_one(order):
    """The usual lines with cumsum, as if no two messages had the same score."""

    def one_by_one(labels, scores, least_precision):
        places = order(scores)
        precision = np.cumsum(labels[places]) / np.arange(1, len(labels) + 1)
        good = np.flatnonzero(precision >= least_precision)
        return scores[places][good[-1]] if len(good) else math.inf

    return one_by_one


def threshold_from_above(labels, scores, least_precision):
    best = math.inf
    for cut in np.unique(scores)[::-1]:
        if labels[scores >= cut].mean() < least_precision:
            break
        best = cut
    return best


def threshold_strict(labels, scores, least_precision):
    for cut in [-1.0, *np.unique(scores)]:
        chosen = scores > cut
        if chosen.any() and labels[chosen].mean() >= least_precision:
            return cut
    return math.inf


def threshold_highest(labels, scores, least_precision):
    good = [cut for cut in np.unique(scores) if labels[scores >= cut].mean() >= least_precision]
    return max(good, default=math.inf)


def threshold_by_recall(labels, scores, least_precision):
    good = [cut for cut in np.unique(scores) if labels[scores >= cut].sum() / labels.sum() >= least_precision]
    return max(good)


def share(labels):
    return sum(labels) / len(labels)


def share_emptying(labels):
    n, spam = len(labels), 0
    while labels:
        spam += labels.pop()
    return spam / n


# fmt: off
EXERCISES = {
    lecture_00.check_first_contact: (
        [share, lambda labels: float(np.mean(labels)), lambda labels: labels.count(1) / len(labels),
         lambda labels: np.float32(np.mean(labels)), lambda labels: Fraction(sum(labels), len(labels)),
         lambda labels: torch.tensor(labels).float().mean(), lambda labels: np.array(share(labels))],
        [
            (share_emptying, "changes the labels"),
            (lambda labels: round(share(labels), 1), "you return 0.2 and not 0.25"),
            (lambda labels: (sum(labels), len(labels)), "you return several things: 2"),
            (lambda labels: [share(labels)], "should be one number"),
            (lambda labels: share(labels) > 0, "should be a number, not bool"),
            (sum, "that counts the spam"),
            (lambda labels: 1 - share(labels), "share of ham"),
            (lambda labels: 100 * share(labels), "in percent"),
            (lambda labels: sum(labels) // len(labels), "//"),
            (lambda labels: "0.25", "should be a number"),
        ],
    ),
    lecture_10.check_freeze: (
        [freeze, freeze_by_loop, freeze_dropout_modules_only],
        [
            (freeze_the_flag_of_the_encoder_only, "dropout is active"),
            (freeze_a_part_of_the_head, "a part of the head is frozen"),
            (lambda model: (freeze(model), model), "several things: 2"),
            (freeze_everything, "nothing is left to train"),
            (freeze_weights_only, "not the biases"),
            (freeze_without_eval, "dropout is active"),
            (freeze_with_model_eval, "head is in eval mode"),
            (freeze_counting_tensors, "you counted tensors"),
            (freeze_counting_all, "the frozen ones too"),
            (freeze_counting_frozen, "number of frozen ones"),
            (freeze_the_head, "the other way round"),
            (freeze_a_child_only, "still free: 0.weight"),
            (freeze_by_wrong_name, "encoder is not frozen"),
            (freeze_to_zero, "weights themselves have changed"),
            (freeze_a_constant, "returns 42"),
        ],
    ),
    lecture_10.check_class_weights: (
        [weights, weights_by_sklearn],
        [
            (weights_of_classes_seen, "you return [1.25, 0.833]. Class 1 has no example"),
            (weights_refusing_gaps_only, "Class 0 has no example"),
            (weights_stopping_by_chance, "stops with KeyError: 1. Class 1 has no example"),
            (lambda labels: weights(labels).half(), "float16"),
            (lambda labels: weights(labels).double(), "float64"),
            (lambda labels: weights(labels).long(), "whole numbers"),
            (lambda labels: weights(labels).tolist(), "Return a tensor"),
            (lambda labels: weights(labels)[None], "one row of 2"),
            (lambda labels: len(labels) / (2 * torch.bincount(labels, minlength=2)[:2].float()), "do not write 2"),
            (lambda labels: torch.bincount(labels) / len(labels), "upside down"),
            (lambda labels: len(labels) / torch.bincount(labels).float(), "divide by the number of classes"),
            (lambda labels: weights(labels) / weights(labels).sum(), "add up to 1"),
            (lambda labels: 1 / torch.bincount(labels).float(), "scale is not"),
            (lambda labels: len(labels) / (2 * torch.bincount(labels).float()), "scale is not"),
            (lambda labels: len(labels) / (len(torch.bincount(labels)) * torch.bincount(labels).float()), "Class 1 has no example"),
            (lambda labels: torch.ones(len(torch.bincount(labels))), "you return"),
        ],
    ),
    lecture_10.check_mean_pool: (
        [mean_pool, mean_pool_einsum, mean_pool_by_selection, lambda hidden, mask: mean_pool(hidden, mask.bool())],
        [
            (mean_pool_first_k, "you take the first places"),
            (lambda hidden, mask: mean_pool_first_k(hidden.flip(1), mask.flip(1)), "you take the last places"),
            (mean_pool_half_detached, "does not reach the real tokens"),
            (lambda hidden, mask: hidden.mean(dim=1), "padding is in your mean"),
            (lambda hidden, mask: (hidden * mask.unsqueeze(-1)).mean(dim=1), "you divide by T"),
            (lambda hidden, mask: hidden[:, 0], "[CLS]"),
            (lambda hidden, mask: (hidden * mask.unsqueeze(-1)).sum(1, keepdim=True) / mask.sum(1)[:, None, None], "left over"),
            (lambda hidden, mask: (hidden * mask.unsqueeze(-1)).sum(1) // mask.sum(1, keepdim=True), "drops what comes after"),
            (lambda hidden, mask: hidden.sum(dim=1) / mask.sum(dim=1, keepdim=True), "still in the sum"),
            (lambda hidden, mask: (hidden * mask.unsqueeze(-1)).sum(dim=1), "that is the sum"),
            (lambda hidden, mask: hidden.mean(dim=-1), "Average over dim=1"),
            (lambda hidden, mask: mean_pool(hidden, mask).detach(), "No gradient"),
            (lambda hidden, mask: mean_pool(hidden, mask).tolist(), "Return a tensor"),
            (mean_pool_in_place, "changes the hidden states"),
            (lambda hidden, mask: (hidden * mask).sum(dim=1), "stopped"),
        ],
    ),
    lecture_10.check_threshold: (
        [threshold, threshold_by_sklearn, lambda *given: threshold(*given) - 1e-9, threshold_minus_infinity,
         lambda *given: torch.tensor(threshold(*given), dtype=torch.float64)],
        [
            (threshold_one_by_one(lambda scores: np.argsort(scores)[::-1]), "messages of equal score are blocked together"),
            (threshold_one_by_one(lambda scores: np.argsort(scores, kind="stable")[::-1]), "messages of equal score are blocked together"),
            (threshold_one_by_one(lambda scores: np.argsort(-scores, kind="stable")), "messages of equal score are blocked together"),
            (threshold_from_above, "down to the first failure"),
            (threshold_strict, "score >= threshold already"),
            (threshold_highest, "finds more"),
            (threshold_by_recall, "ham would be blocked wrongly"),
            (lambda labels, scores, least: 0.5, "ham would be blocked wrongly"),
            (lambda labels, scores, least: math.inf, "blocks nothing at all"),
            (lambda labels, scores, least: np.unique(scores), "Return one number"),
            (lambda labels, scores, least: float("nan"), "Return one number"),
            (lambda labels, scores, least: min(threshold(labels, scores, least), scores.max()), "return math.inf"),
        ],
    ),
}
# fmt: on


class TestLectures00And10(ExerciseContract):
    exercises = EXERCISES


def test_an_error_inside_is_shown_with_its_line():
    def unlucky(labels):
        return labels / 0

    with pytest.raises(CheckFailed, match=r"unlucky stopped at `return labels / 0` with ZeroDivisionError"):
        call(unlucky, 1)


def test_a_notebook_shows_the_diagnosis_and_no_traceback():
    assert CheckFailed("divide by T")._render_traceback_() == ["✗ divide by T"]
    assert issubclass(CheckFailed, AssertionError)


def test_the_line_of_success_is_printed_once(capsys):
    check("done")(lambda function: None)(len)
    assert capsys.readouterr().out == "✓ done\n"


# --- the exercises as they stand in the lectures


def exercise_cells():
    """(lecture, stub, solution, check): the sources of the cells of every exercise."""
    for path in NOTEBOOKS:
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        tags = [set(cell.metadata.get("tags", [])) for cell in cells]
        for i, tag in enumerate(tags):
            if "exercise" in tag:
                solution = next((j for j in range(i + 1, len(cells)) if "solution" in tags[j]), None)
                following = [cell.source for cell in cells[(solution or i) + 1 :]]
                yield path.stem, cells[i].source, cells[solution].source if solution else "", following[:1]


FOUND = list(exercise_cells())
needs_lectures = pytest.mark.skipif(not FOUND, reason="no lecture with an exercise in notebooks/ yet")
BEFORE = "import math, numpy as np, torch\nfrom torch import nn\n" + "".join(
    f"from course_utils.exercises.lecture_{path.name.partition('_')[0]} import *\n" for path in NOTEBOOKS
)


def run(*sources: str) -> None:
    namespace: dict[str, object] = {}
    lecture = re.search(r"lecture_\d\d[a-z]?", "".join(sources))
    exec(BEFORE + (f"from course_utils.exercises.{lecture[0]} import *" if lecture else ""), namespace)
    for source in sources:
        exec(source, namespace)


@needs_lectures
@pytest.mark.parametrize(("lecture", "stub", "solution", "following"), FOUND, ids=name_of)
def test_the_stub_of_the_lecture_fails_kindly_and_its_solution_passes(lecture, stub, solution, following):
    assert solution, f"{lecture}: an exercise has no solution cell"
    assert following and "check_" in following[0], f"{lecture}: the cell after the solution must be its check"
    with pytest.raises(CheckFailed, match=r"still to be written|returns nothing yet"):
        run(stub, following[0])
    run(stub, solution, following[0])
