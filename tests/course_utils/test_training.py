"""The training loop: what it promises about losses, frozen parameters, seeds, interruptions and processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_tools import PATIENCE
from course_utils import training
from course_utils.features import load_encoder
from course_utils.session import accelerator, start
from course_utils.training import (
    IGNORED,
    Examples,
    Task,
    balanced_weights,
    epoch_batches,
    epoch_steps,
    fit,
    layer_rates,
    loop,
    predict,
    sampled_steps,
    warm_up,
    weighted_loss,
)
from course_utils.training.heads import ClassifierHead
from course_utils.training.loop import score_batches


def blobs(n: int = 200, seed: int = 0) -> Examples:
    """Two overlapping clouds in eight dimensions, one in five of class 1."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(n) % 5 == 0).long()
    features = torch.randn(n, 8, generator=generator) + labels[:, None]
    return Examples({"features": features}, labels)


class MeanClassifier(nn.Module):
    """The smallest model that reads padded ids: the masked mean of embeddings, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.output = nn.Embedding(20, 6), nn.Linear(6, 2)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask[..., None].float()
        return torch.log_softmax(self.output((self.embedding(input_ids) * mask).sum(1) / mask.sum(1)), -1)


def head(seed: int = 0, dropout: float = 0.1) -> ClassifierHead:
    torch.manual_seed(seed)
    return ClassifierHead(8, hidden=16, dropout=dropout)


def state(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_learns_and_keeps_the_best_weights():
    model, validation = head(), blobs(100, seed=1)
    history = fit(model, blobs(), validation, epochs=12, learning_rate=1e-2)
    assert history.train_loss[-1] < 0.7 * history.train_loss[0]
    now = training.evaluate(model, validation, torch.ones(2), Accelerator(cpu=True))
    assert now == pytest.approx(min(history.validation_loss), abs=1e-6)


def test_best_weights_are_those_of_the_best_epoch_not_the_last():
    """With labels turned round in the validation data, every further epoch makes it worse."""
    validation = blobs(100, seed=1)
    validation = Examples(validation.inputs, 1 - validation.labels)
    model = head()
    history = fit(model, blobs(), validation, epochs=6, learning_rate=1e-2)
    assert history.best_epoch < 5
    now = training.evaluate(model, validation, torch.ones(2), Accelerator(cpu=True))
    assert now == pytest.approx(history.validation_loss[history.best_epoch], abs=1e-6)
    assert now < history.validation_loss[-1] - 0.05


def test_frozen_parameters_never_move_and_every_trainable_one_gets_a_gradient():
    model = head()
    model.hidden.requires_grad_(False)
    before, output = model.hidden.weight.clone(), model.output.weight.clone()
    fit(model, blobs(), blobs(50, seed=1), epochs=2)
    assert torch.equal(model.hidden.weight, before)
    assert (model.output.weight != output).all()
    with pytest.raises(ValueError, match="nothing to train"):
        fit(model.requires_grad_(False), blobs(), blobs(), epochs=1)


def test_same_seed_same_weights_other_seed_other_weights():
    results = []
    for seed in (3, 3, 4):
        model = head()
        fit(model, blobs(), blobs(50, seed=1), epochs=2, seed=seed)
        results.append(state(model))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@given(
    st.lists(st.lists(st.integers(1, 19), min_size=1, max_size=9), min_size=2, max_size=9), st.integers(1, 6)
)
def test_padding_never_changes_a_loss(rows, more):
    torch.manual_seed(0)
    model = MeanClassifier()
    labels = torch.arange(len(rows)) % 2
    longest = max(map(len, rows)) + more
    ragged = Examples({"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}, labels)
    padded = Examples(
        {
            "input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in rows]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
        },
        labels,
    )
    accelerator = Accelerator(cpu=True)
    losses = [training.evaluate(model, e, torch.ones(2), accelerator, batch_size=3) for e in (ragged, padded)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=300), st.integers(1, 40), st.integers(0, 5))
def test_epoch_batches_are_a_partition(lengths, batch_size, seed):
    examples = Examples(
        {"input_ids": [[1] * n for n in lengths]}, torch.zeros(len(lengths), dtype=torch.long)
    )
    batches = list(epoch_batches(examples, batch_size, seed))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert max(map(len, batches)) <= batch_size
    assert batches == list(epoch_batches(examples, batch_size, seed))


def test_batches_hold_messages_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 100, 640)
    examples = Examples({"input_ids": [[1] * n for n in lengths]}, torch.zeros(640, dtype=torch.long))
    spread = [np.ptp(lengths[batch]) for batch in epoch_batches(examples, 32, 0)]
    assert np.mean(spread) < 10


def test_each_class_counts_as_its_weight_says():
    log_probabilities = torch.log_softmax(torch.randn(10, 3), -1)
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 2])
    weights = balanced_weights(labels)
    assert torch.allclose(weights, torch.tensor([10 / 18, 10 / 9, 10 / 3]))
    loss, total = weighted_loss(log_probabilities, labels, weights)
    by_hand = sum(weights[c] * -log_probabilities[i, c] for i, c in enumerate(labels))
    assert loss == pytest.approx(by_hand.item(), rel=1e-5)
    assert total == pytest.approx(10, rel=1e-5)


def test_class_weights_push_towards_the_rare_class():
    shares = []
    for weights in (torch.tensor([1.0, 1.0]), torch.tensor([0.6, 4.0])):
        model = head()
        fit(model, blobs(), blobs(100, seed=1), epochs=8, learning_rate=1e-2, class_weights=weights)
        shares.append(predict(model, blobs(100, seed=2)).argmax(1).mean())
    assert shares[1] > shares[0] + 0.05


@pytest.mark.parametrize("labels", [torch.ones(4), np.ones(4), torch.ones(4, dtype=torch.bool)])
def test_labels_that_are_not_whole_numbers(labels):
    with pytest.raises(TypeError, match=r"labels\.long\(\)"):
        Examples({"features": torch.ones(4, 2)}, labels)


def test_bad_input_is_answered_clearly():
    with pytest.raises(ValueError, match="at least one"):
        Examples({"features": torch.ones(0, 2)}, torch.zeros(0, dtype=torch.long))
    with pytest.raises(ValueError, match="4 labels"):
        Examples({"features": torch.ones(3, 2)}, torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match=r"class \[1\]"):
        balanced_weights([0, 2, 2])
    with pytest.raises(ValueError, match="2 class weights for 3 classes"):
        three = Examples({"features": torch.ones(3, 8)}, torch.arange(3))
        fit(head(), three, three, epochs=1, class_weights=torch.ones(2))
    with pytest.raises(FloatingPointError, match="not a number"):
        broken = Examples({"features": torch.full((4, 8), float("nan"))}, torch.tensor([0, 1, 0, 1]))
        fit(head(), broken, broken, epochs=1)


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    fit(head(), blobs(), blobs(50), epochs=1, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="another run"):
        fit(head(), blobs(), blobs(50), epochs=2, seed=1, checkpoint=tmp_path)
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        fit(head(), blobs(), blobs(50), epochs=2, checkpoint=tmp_path)


def test_a_finished_run_is_not_trained_again(tmp_path, monkeypatch):
    first, second = head(), head(seed=9)
    before = fit(first, blobs(), blobs(50), epochs=3, checkpoint=tmp_path)
    monkeypatch.setattr(loop, "train_epoch", lambda *a, **k: pytest.fail("trained again"))
    after = fit(second, blobs(), blobs(50), epochs=3, checkpoint=tmp_path)
    assert after == before
    assert torch.equal(state(first), state(second))


WORKER = """
import sys, torch
from test_training import blobs, head, state
from course_utils import training
from course_utils.session import accelerator
from course_utils.training import loop
if sys.argv[3] == "slow":   # give the killer time: the checkpoint of each epoch is written before the next begins
    import time
    original = loop.train_epoch
    loop.train_epoch = lambda *a, **k: (time.sleep(.3), original(*a, **k))[1]
model = head(dropout=float(sys.argv[4]))
training.fit(model, blobs(), blobs(50, seed=1), epochs=6, batch_size=16, schedule=training.warm_up,
             checkpoint=sys.argv[2] or None)
if accelerator().is_main_process:
    torch.save((state(model), accelerator().num_processes), sys.argv[1])
"""


def worker(out: Path, checkpoint: Path | str = "", pace: str = "fast", dropout: float = 0.1, launch=()):
    script = out.parent / "worker.py"
    script.write_text(WORKER)
    command = [sys.executable, *launch, str(script), str(out), str(checkpoint), pace, str(dropout)]
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(training.__file__).parents[2])])
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output


def test_resumes_after_kill_9_with_the_same_final_weights(tmp_path):
    straight, resumed = tmp_path / "straight.pt", tmp_path / "resumed.pt"
    finish(worker(straight))
    file = tmp_path / "run" / "checkpoint.safetensors"
    process = worker(resumed, file.parent, "slow")
    while not file.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with loop.safe_open(file, framework="pt") as stored:
        epochs_done = len(json.loads(stored.metadata()["history"])["train_loss"])
    assert 1 <= epochs_done < 6
    assert not resumed.exists()
    finish(worker(resumed, file.parent))
    weights = [torch.load(path, weights_only=True)[0] for path in (straight, resumed)]
    assert torch.equal(*weights)


def test_two_processes_give_the_result_of_one(tmp_path):
    """Without dropout, which each process draws for itself."""
    alone, together = tmp_path / "alone.pt", tmp_path / "together.pt"
    finish(worker(alone, dropout=0.0))
    # What `accelerate launch` starts on several GPUs; with --cpu it starts one process alone, whatever the number.
    finish(
        worker(
            together,
            dropout=0.0,
            launch=("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        )
    )
    (one, _), (two, processes) = (torch.load(path, weights_only=True) for path in (alone, together))
    assert processes == 2 and torch.allclose(one, two, atol=1e-5)


def test_messages_are_cut_where_they_should_be():
    tokenizer = load_encoder("minilm").tokenizer
    texts = ["one two three four five six seven eight nine ten eleven twelve", "hi"]
    ragged = Examples.from_texts(texts, [1, 0], tokenizer, max_length=12)
    assert [len(row) for row in ragged.inputs["input_ids"]] == [12, 3]
    padded = Examples.from_texts(texts, [1, 0], tokenizer, max_length=12, pad=True)
    assert padded.inputs["input_ids"].shape == (2, 12)
    assert padded.inputs["attention_mask"].sum(1).tolist() == [12, 3]
    inputs, labels = ragged.batch([0, 1], torch.device("cpu"))
    assert all(torch.equal(inputs[name], padded.inputs[name]) for name in inputs)
    assert labels.tolist() == [1, 0]


# ---- tags, answers, pairs, several tasks


class Reader(nn.Module):
    """The smallest model with four heads: embeddings of tokens, and one layer for each kind of question."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = nn.Embedding(50, 16)
        self.heads = nn.ModuleDict(
            {"classes": nn.Linear(16, 2), "tags": nn.Linear(16, 3), "answers": nn.Linear(16, 2, bias=False)}
        )

    def forward(self, input_ids, attention_mask, task):
        states = self.embedding(input_ids)
        if task == "classes":
            return self.heads[task](states.masked_fill(attention_mask[..., None] == 0, -torch.inf).amax(1))
        scores = self.heads[task](states)
        if task == "tags":
            return scores
        return scores.transpose(1, 2).masked_fill(attention_mask[:, None] == 0, -torch.inf)


def reading(kind: str, n: int = 96, seed: int = 0) -> Examples:
    """Texts of 4 to 11 ids: is there one above 45? which are above 27? where are the largest and the smallest?"""
    draw = np.random.default_rng(seed)
    rows = [draw.permutation(np.arange(5, 50))[: draw.integers(4, 12)].tolist() for _ in range(n)]
    labels = {
        "classes": [int(max(row) > 45) for row in rows],
        "tags": [[IGNORED, *(int(i > 27) + int(i > 40) for i in row[1:])] for row in rows],
        "answers": [[int(np.argmax(row)), int(np.argmin(row))] for row in rows],
    }[kind]
    return Examples({"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}, labels)


KINDS = ("classes", "tags", "answers")


def tasks() -> list[Task]:
    return [Task(reading(kind), reading(kind, 48, 1), kind) for kind in KINDS]


def test_tags_are_tags_where_all_texts_are_of_one_length():
    texts = {"input_ids": [[2, 7, 3], [2, 8, 3]]}
    tags = Examples(texts, [[IGNORED, 1, IGNORED], [IGNORED, 0, IGNORED]])
    ends = Examples(texts, [[1, 1], [0, 2]])
    assert tags.tags and not ends.tags
    assert tags.labels.shape == (2, 3) and ends.labels.shape == (2, 2)


def test_classes_tags_and_answers_are_learned_together():
    model = Reader()
    history = fit(model, tasks(), epochs=15, batch_size=8, learning_rate=3e-2, schedule=warm_up)
    assert history.train_loss[-1] < 0.6 * history.train_loss[0]
    assert len(history.validation_loss) == 15
    for kind, shape in (("classes", (96, 2)), ("tags", (96, 11, 3)), ("answers", (96, 2, 11))):
        data = reading(kind)
        answers = predict(model, data, batch_size=7, task=kind)
        assert answers.shape == shape
        asked = data.labels != IGNORED
        assert (answers.argmax(-1)[asked] == data.labels.numpy()[asked]).mean() > 0.8, kind


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_loss_and_ignored_places_change_nothing(kind):
    model, data = Reader().eval(), reading(kind, 20)
    width = int(data.lengths().max()) + 4
    rows = [[*row, *[9] * (width - len(row))] for row in data.inputs["input_ids"]]
    mask = [[*row, *[0] * (width - len(row))] for row in data.inputs["attention_mask"]]
    labels = data.labels.tolist()
    if kind == "tags":
        labels = [row[:n] for row, n in zip(labels, data.lengths(), strict=True)]
    padded = Examples({"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(mask)}, labels)
    losses = [training.evaluate(model, e, None, accelerator(), 7, task=kind) for e in (data, padded)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    answers, same = (predict(model, e, task=kind).max(-1)[..., :2] for e in (data, padded))
    np.testing.assert_allclose(answers, same, atol=1e-5)


def test_what_is_ignored_has_neither_loss_nor_gradient():
    scores, labels = torch.randn(2, 5, 3, requires_grad=True), torch.randint(3, (2, 5))
    labels[:, 3:] = IGNORED
    loss, weight = weighted_loss(scores, labels)
    loss.backward()
    assert weight == 6 and not scores.grad[:, 3:].any() and scores.grad[:, :3].all()
    shorter, same = weighted_loss(scores[:, :3], labels[:, :3])
    assert torch.allclose(loss, shorter) and weight == same
    nothing, none = weighted_loss(scores, torch.full((2, 5), IGNORED), torch.ones(3))
    assert nothing == none == 0
    weights = torch.tensor(
        [2.0, 3.0, 5.0]
    )  # of which IGNORED, read as a position, names none, or a wrong one
    _, weight = weighted_loss(scores, labels, weights)
    assert weight == weights[labels[:, :3]].sum()


def test_logits_and_log_probabilities_have_the_same_loss():
    scores, labels = torch.randn(7, 3), torch.randint(3, (7,))
    for weights in (None, torch.tensor([1.0, 2.0, 5.0])):
        one, two = (
            weighted_loss(scores, labels, weights),
            weighted_loss(scores.log_softmax(-1), labels, weights),
        )
        assert torch.allclose(torch.stack(one), torch.stack(two), atol=1e-5)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.6, 4.0])])
def test_pieces_of_a_batch_give_the_step_of_the_whole(weights):
    ends = []
    for pieces in (1, 3, 50):
        model = head(dropout=0.0)
        how = {"epochs": 2, "batch_size": 14, "accumulate": pieces, "class_weights": weights}
        fit(model, blobs(), blobs(50, seed=1), **how)
        ends.append(state(model))
    assert torch.allclose(ends[0], ends[1], atol=2e-5) and torch.allclose(ends[0], ends[2], atol=2e-5)
    ends = []
    for pieces in (1, 4):
        model = Reader()
        fit(model, tasks(), epochs=1, batch_size=12, accumulate=pieces)
        ends.append(state(model))
    assert torch.allclose(*ends, atol=2e-5)


def test_a_step_takes_a_batch_of_every_task_and_small_tasks_are_spread_over_the_epoch():
    large, small = Task(reading("classes", 60), name="classes"), Task(reading("tags", 20), name="tags")
    steps = epoch_steps([large, small], 10, 0)
    assert [len(step) for step in steps] == [2, 1, 1, 2, 1, 1]
    for task in (large, small):
        seen = [i for step in steps for mine, batch in step if mine is task for i in batch]
        assert sorted(seen) == list(range(len(task.train)))


@pytest.mark.parametrize(("power", "share"), [(0.0, 1 / 2), (0.5, 2 / 3), (1.0, 4 / 5)])
def test_tasks_are_drawn_by_a_power_of_their_size(power, share):
    large, small = Task(reading("classes", 80), name="classes"), Task(reading("tags", 20), name="tags")
    steps = sampled_steps([large, small], 10, 0, 2000, power)
    drawn = [step[0][0].name for step in steps]
    assert {task.name for task, _ in steps[0]} == {"classes", "tags"} and {
        len(step) for step in steps[1:]
    } == {1}
    assert drawn.count("classes") / 2000 == pytest.approx(share, abs=0.03)
    for task in (large, small):  # all of a task comes up before any of it comes up again
        batches = [batch for (mine, batch), *_ in steps if mine is task]
        round_ = len(task.train) // 10
        rounds = [batches[i : i + round_] for i in range(0, 3 * round_, round_)]
        assert all(
            sorted(i for batch in some for i in batch) == list(range(len(task.train))) for some in rounds
        )
        assert rounds[0] != rounds[1]
    assert str(sampled_steps([large, small], 10, 0, 2000, power)) == str(steps)
    assert str(sampled_steps([large, small], 10, 1, 2000, power)) != str(steps)


def test_a_head_does_not_move_while_other_tasks_are_drawn():
    """Not even by its momentum: a gradient of None is no gradient of 0."""
    model, both = Reader(), tasks()[:2]
    drawn = [step[0][0].name for step in sampled_steps(both, 8, 0, 6, 0.0)]
    heads = []
    with pytest.MonkeyPatch.context() as patch:
        step = loop.take_step
        patch.setattr(loop, "take_step", lambda *a: (step(*a), heads.append(state(model.heads))))
        fit(model, both, epochs=1, batch_size=8, steps=6, power=0.0)
    names = list(dict(model.heads.named_parameters()))
    assert len(heads) == 6 and {*drawn} == {"classes", "tags"}
    for before, after, task in zip(heads, heads[1:], drawn[1:], strict=False):
        sizes = [p.numel() for p in model.heads.parameters()]
        moved = [not torch.equal(*pair) for pair in zip(before.split(sizes), after.split(sizes), strict=True)]
        assert {name.partition(".")[0] for name, yes in zip(names, moved, strict=True) if yes} == {task}


def test_a_batch_of_texts_and_a_batch_of_tokens_have_losses_of_one_kind():
    """Each is the mean over what is asked: many tokens make a task no louder."""
    for kind in ("classes", "tags"):
        model, data = Reader(), reading(kind, 12)
        task, gradients = Task(data, name=kind), []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "take_step", lambda *a: None)
            loss = loop.train_epoch(model, [[(task, list(range(12)))]], [1.0], None, accelerator())
        gradients.append(model.heads[kind].weight.grad.clone())
        model.zero_grad()
        inputs, labels = data.batch(list(range(12)), torch.device("cpu"))
        mean = torch.nn.functional.cross_entropy(model(**inputs, task=kind).flatten(0, -2), labels.flatten())
        mean.backward()
        assert loss == pytest.approx(mean.item(), rel=1e-5)
        assert torch.allclose(gradients[0], model.heads[kind].weight.grad, atol=1e-6)


@pytest.mark.parametrize(("longest", "width"), [(3, 16), (16, 16), (17, 32), (33, 64)])
def test_on_a_tpu_batches_have_few_widths_and_what_fills_them_asks_nothing(longest, width, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_: self)  # nothing is moved here
    rows = [[5] * longest, [7, 8]]
    inputs = {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}
    tags = Examples(inputs, [[1] * longest, [0, IGNORED]], padding=9)
    here, of_here = tags.batch([0, 1], torch.device("cpu"))
    there, of_there = tags.batch([0, 1], torch.device("xla:0"))
    assert there["input_ids"].shape == there["attention_mask"].shape == of_there.shape == (2, width)
    for name, filling in (("input_ids", 9), ("attention_mask", 0)):
        assert (
            torch.equal(there[name][:, :longest], here[name]) and (there[name][:, longest:] == filling).all()
        )
    assert torch.equal(of_there[:, :longest], of_here) and (of_there[:, longest:] == IGNORED).all()
    labels = Examples(inputs, [1, 0]).batch([0, 1], torch.device("xla:0"))[1]
    assert labels.tolist() == [1, 0]


@pytest.mark.parametrize("tags", [True, False])
def test_on_a_tpu_what_a_batch_was_filled_up_with_is_not_among_the_scores(tags, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_: self)
    rows = {"input_ids": [[5, 6, 7], [7, 8]]}
    asked = Examples(rows, [[1, 0, 1], [0, IGNORED]] if tags else [1, 0])

    class Scores(torch.nn.Module):
        def parameters(self, recurse=True):
            return iter([SimpleNamespace(device=torch.device("xla:0"))])

        def forward(self, input_ids):
            return torch.zeros(len(input_ids), input_ids.shape[1], 4).transpose(1, 1 if tags else 2)

    (_, scores), *_ = score_batches(Scores(), asked)
    assert scores.shape[1:] == ((3, 4) if tags else (4, 3))


def test_every_example_is_judged_once_also_in_a_last_batch_that_is_short():
    model, data = Reader().eval(), reading("tags", 20)
    losses = [training.evaluate(model, data, None, accelerator(), size, task="tags") for size in (20, 7, 3)]
    assert losses[1:] == pytest.approx([losses[0]] * 2, abs=1e-6)
    assert predict(model, data, batch_size=7, task="tags").shape[0] == 20


def test_a_tasks_share_is_its_part_of_the_loss_and_of_the_gradient():
    """Twice the share: twice as much in the loss, and before the optimiser twice the gradient."""
    model, gradients, losses = Reader(), [], []
    for share in (1.0, 2.0):
        model.zero_grad()
        step = [[(Task(reading("tags"), name="tags", share=share), list(range(32)))]]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "take_step", lambda *a: None)
            losses.append(loop.train_epoch(model, step, [1.0], None, accelerator()))
        gradients.append(model.embedding.weight.grad.clone())
    assert losses[1] == pytest.approx(2 * losses[0]) and torch.allclose(gradients[1], 2 * gradients[0])
    alone = Reader()
    before = alone.heads["tags"].weight.clone()
    both = tasks()
    both[1].share = 0.0
    fit(alone, both, epochs=1, decay=0.0)
    assert torch.equal(alone.heads["tags"].weight, before)


def test_layers_move_by_their_rate_and_norms_and_biases_do_not_decay():
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    before = [p.clone() for p in model.parameters()]
    groups = layer_rates([[*model[0].parameters()], [*model[1:].parameters()]], 1e-2, 1e6)
    fit(Named(model), blobs(), epochs=1, groups=groups)
    moved = [(p - old).abs().max() for p, old in zip(model.parameters(), before, strict=True)]
    assert max(moved[:2]) < 1e-6 and min(moved[2:]) > 1e-3
    decays = {
        id(p): group["weight_decay"]
        for group in loop.adamw(groups, decay=0.1).param_groups
        for p in group["params"]
    }
    assert [decays[id(p)] for p in model.parameters()] == [0.1, 0, 0, 0, 0.1, 0]


def test_norms_do_not_decay_whatever_they_are_called():
    layers = {name: nn.LayerNorm(4) for name in ("LayerNorm", "layer_norm", "ln_f", "norm1")}
    model = nn.ModuleDict(layers | {"output": nn.Linear(4, 2)})
    (decay,) = [
        group["params"] for group in loop.adamw([{"params": [*model.parameters()], "lr": 1.0}]).param_groups
        if group["weight_decay"]
    ]  # fmt: skip
    assert len(decay) == 1 and decay[0] is model["output"].weight


class Named(nn.Module):
    """A model of features, under the name that the examples have."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features):
        return self.model(features)


def test_every_trainable_parameter_gets_a_gradient_from_its_task():
    model = Reader()
    before = {name: p.clone() for name, p in model.named_parameters()}
    fit(model, tasks(), epochs=1)
    assert not [name for name, p in model.named_parameters() if torch.equal(p, before[name])]


# ---- order, validation, clipping, dropout


def orders(**how) -> list[list[list[int]]]:
    """The batches of each epoch of a run."""
    seen: list[list[list[int]]] = []

    def spy(model, steps, *rest):
        seen.append([batch for step in steps for _, batch in step])
        return 1.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_epoch", spy)
        fit(head(), blobs(), blobs(50), **how)
    return seen


def test_examples_are_shuffled_and_anew_in_each_epoch():
    first, second, third = orders(epochs=3)
    flat = [i for batch in first for i in batch]
    assert sorted(flat) == list(range(200)) and flat != sorted(flat)
    assert np.mean(np.abs(np.diff(flat))) > 30  # neighbours come from everywhere
    assert first != second != third != first
    assert orders(epochs=1, seed=1)[0] != first


def test_the_validation_loss_is_weighted_as_the_training_loss_is():
    weights, model, validation = torch.tensor([0.6, 4.0]), head(), blobs(50, seed=1)
    history = fit(model, blobs(), validation, epochs=1, class_weights=weights)
    with torch.no_grad():
        scores = model(**validation.inputs)
    expected = nn.functional.nll_loss(scores, validation.labels, weights)
    assert history.validation_loss[0] == pytest.approx(expected.item(), abs=1e-5)


def test_a_long_gradient_is_shortened_to_the_norm_asked_for(monkeypatch):
    norms, step = [], torch.optim.AdamW.step

    def spy(self, *arguments, **named):
        gradients = [
            p.grad.flatten() for group in self.param_groups for p in group["params"] if p.grad is not None
        ]
        norms.append(float(torch.cat(gradients).norm()))
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    for clip in (0.01, 1e9):
        fit(head(), blobs(), blobs(50), epochs=1, clip=clip)
    assert max(norms[:7]) == pytest.approx(0.01, rel=1e-3) and min(norms[7:]) > 0.01
    norms.clear()
    far = Examples({"features": 1000 * blobs().inputs["features"]}, blobs().labels)
    fit(head(), far, far, epochs=1)
    assert max(norms) == pytest.approx(1.0, rel=1e-3)


def test_a_run_follows_its_schedule_from_the_first_step_to_the_last(monkeypatch):
    """200 examples in batches of 32 are seven steps, not six: the last one is short, and a step like any other."""
    taken, plan, steps = [], {"class_weights": torch.tensor([0.6, 4.0])}, 3 * 7
    real = loop.take_step

    def seen(optimizer, rate, *how):
        before = [p.detach().clone() for p in optimizer.param_groups[0]["params"]]
        real(optimizer, rate, *how)
        after = optimizer.param_groups[0]["params"]
        taken.append((rate, any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))))

    monkeypatch.setattr(loop, "take_step", seen)
    fit(head(), blobs(), epochs=3, batch_size=32, schedule=warm_up, **plan)
    assert [rate for rate, _ in taken] == pytest.approx([warm_up(step, steps) for step in range(steps)])
    assert all(moved for _, moved in taken)  # the first one too
    assert taken[-1][0] == min(rate for rate, _ in taken)


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_the_same_on_one_core_and_on_several_in_batches_of_any_size(kind, monkeypatch):
    model, data, sizes = Reader().eval(), reading(kind, 40), []
    wanted, forward, threads = predict(model, data, task=kind), model.forward, torch.get_num_threads()
    monkeypatch.setattr(
        model, "forward", lambda **given: sizes.append(given["input_ids"].shape) or forward(**given)
    )
    monkeypatch.setitem(training.loop.TOKENS, "cpu", 30)
    try:
        for cores, size in ((1, 256), (3, 256), (3, 2)):
            torch.set_num_threads(cores)
            sizes.clear()
            found = predict(model, data, size, task=kind)
            asked = (
                data.labels != IGNORED if kind == "tags" else slice(None)
            )  # what stands at padding is nobody's
            np.testing.assert_allclose(found[asked], wanted[asked], atol=1e-6)
            assert sum(rows for rows, _ in sizes) == 40 and max(rows for rows, _ in sizes) <= size
            assert all(rows * tokens <= 30 or rows == 1 for rows, tokens in sizes)
            assert torch.get_num_threads() == cores
    finally:
        torch.set_num_threads(threads)


def test_predictions_have_dropout_off():
    model, data = head(dropout=0.5).train(), blobs(50)
    first = predict(model, data)
    assert np.array_equal(first, predict(model.train(), data)) and not model.training
    with torch.no_grad():
        np.testing.assert_allclose(first, model.eval()(**data.inputs).exp(), atol=1e-6)


def test_a_score_decides_where_there_is_one_and_the_last_epoch_where_nothing_is_told():
    scores = iter([0.1, 0.9, 0.3])
    kept: list[torch.Tensor] = []

    def score(model):
        assert not model.training
        kept.append(state(model))
        return next(scores)

    model = head()
    history = fit(model, blobs(), blobs(50, seed=1), epochs=3, score=score)
    assert history.best_epoch == 1 and torch.equal(state(model), kept[1])
    history = fit(model, blobs(), epochs=3)
    assert history.best_epoch == 2 and not history.validation_loss


def test_who_stops_a_run_finds_the_model_in_eval_mode_and_reads_how_far_it_came(tmp_path, capsys):
    model = head()

    def stop(epoch):
        if epoch == 2:
            raise KeyboardInterrupt

    for checkpoint in (None, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            fit(model.train(), blobs(), blobs(50), epochs=5, before_epoch=stop, checkpoint=checkpoint)
        assert not model.training
        said = capsys.readouterr().out
        assert "Interrupted after 2 of 5 epochs" in said and ("goes on" in said) == bool(checkpoint)


# ---- precision


def test_one_kernel_trains_in_one_precision_after_another(monkeypatch, capsys):
    ends = []
    for precision in ("fp32", "bf16", None):
        model = head(dropout=0.0)
        history = fit(model, blobs(), blobs(50, seed=1), epochs=2, precision=precision)
        assert np.isfinite(history.train_loss).all() and model.hidden.weight.dtype == torch.float32
        ends.append(state(model))
        start("ci")
    assert torch.equal(ends[0], ends[2]) and not torch.equal(ends[0], ends[1])
    assert torch.allclose(ends[0], ends[1], atol=0.02)
    with pytest.raises(ValueError, match="fp32, bf16, fp16"):
        fit(head(), blobs(), epochs=1, precision="fp8")
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        fit(head(), blobs(), epochs=1, precision="fp16")


# ---- resuming


HALF = torch.tensor([1.0, 2.0])


@pytest.mark.parametrize(
    "other, told",
    [
        ({"epochs": 3}, "epochs"),
        ({"learning_rate": 1e-2}, "rates"),
        ({"class_weights": HALF}, "class weights"),
        ({"schedule": warm_up}, "schedule"),
        ({"batch_size": 16}, "batch_size"),
        ({"clip": 2.0}, "clip"),
        ({"train": Examples(blobs().inputs, 1 - blobs().labels)}, "examples"),
        ({"train": Examples(blobs(seed=5).inputs, blobs().labels)}, "examples"),
        ({"validation": blobs(50, seed=2)}, "examples"),
    ],
)
def test_a_finished_run_is_not_taken_for_another(tmp_path, other, told):
    settings = {"train": blobs(), "validation": blobs(50), "epochs": 2, "checkpoint": tmp_path}
    fit(head(), **settings)
    with pytest.raises(ValueError, match=rf"another run: .*{told}.* differ"):
        fit(head(), **settings | other)


def test_another_frozen_encoder_and_a_foreign_file_are_refused(tmp_path):
    model = head()
    model.hidden.requires_grad_(False)
    fit(model, blobs(), blobs(50), epochs=1, checkpoint=tmp_path)
    with torch.no_grad():
        model.hidden.weight.add_(1)
    with pytest.raises(ValueError, match="frozen weights"):
        fit(model, blobs(), blobs(50), epochs=1, checkpoint=tmp_path)
    loop.save_file({"weight": torch.ones(2)}, tmp_path / "checkpoint.safetensors")
    with pytest.raises(ValueError, match="not written by this loop"):
        fit(model, blobs(), blobs(50), epochs=1, checkpoint=tmp_path)


def test_a_run_that_thaws_its_layers_goes_on_where_it_was_stopped(tmp_path):
    """Layers that have not learned yet have no state to store."""

    def run(stop: int | None = None, checkpoint: Path | None = None) -> torch.Tensor:
        model = head()
        groups = [[*model.hidden.parameters()], [*model.output.parameters()]]

        def hook(epoch):
            if epoch == stop:
                raise KeyboardInterrupt
            for p in groups[0]:
                p.requires_grad_(epoch > 1)

        how = {"groups": layer_rates(groups, 1e-2), "schedule": warm_up, "before_epoch": hook}
        fit(model, blobs(), blobs(50, seed=1), epochs=4, checkpoint=checkpoint, **how)
        return state(model)

    straight = run()
    for stop in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            run(stop, tmp_path / str(stop))
        assert torch.equal(run(checkpoint=tmp_path / str(stop)), straight)


# ---- what cannot be trained on


@pytest.mark.parametrize(
    "labels, error, told",
    [
        (["ham", "spam", "ham", "ham"], TypeError, "one of these is 'ham'. Number the classes from 0"),
        ([0, "spam", 1, 0], TypeError, "one of these is 'spam'"),
        (pd.Categorical(["ham", "spam"] * 2), TypeError, "one of these is 'ham'"),
        (pd.Series(["ham", "spam"] * 2, dtype="category"), TypeError, "one of these is 'ham'"),
        (np.array(["ham", "spam"] * 2, object), TypeError, "one of these is 'ham'"),
        ([None, 1, 0, 1], TypeError, "one of these is None"),
        (pd.Series([0, None, 1, 1], dtype="Int64"), TypeError, "missing"),
        ([1 + 1j] * 4, TypeError, "whole numbers"),
        ([0.0, float("nan"), 1.0, 1.0], TypeError, "missing"),
        ([0, -1, 1, 1], ValueError, "A label is -1"),
        ([[0, 1], [1], [0, 0, 1], [1]], ValueError, "as many tags as it has tokens"),
    ],
)
def test_labels_that_name_no_class(labels, error, told):
    ids = [[1, 2, 3], [4], [5, 6, 7], [8]]
    with pytest.raises(error, match=told):
        Examples({"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}, labels)
    if "tokens" not in told:
        with pytest.raises(error, match=told):
            balanced_weights(labels)


@pytest.mark.parametrize(
    "labels", ["0101", {"a": 1}, 5, None, np.array(1), torch.tensor(1), (i for i in "01")]
)
def test_labels_that_are_no_list(labels):
    with pytest.raises(TypeError, match=f"one per example, not {type(labels).__name__}"):
        Examples({"features": torch.ones(4, 2)}, labels)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0, 1, 1, 0], object), pd.Series([0, 1, 1, 0], dtype=object), pd.Series([0, 1, 1, 0], dtype="Int64"),
        pd.Series([0, 1, 1, 0], dtype="category"), [np.int8(0), 1, np.uint8(1), 0], [*torch.tensor([0, 1, 1, 0])],
    ],
)  # fmt: skip
def test_whole_numbers_are_labels_however_they_are_kept(labels):
    assert Examples({"features": torch.ones(4, 2)}, labels).labels.tolist() == [0, 1, 1, 0]
    assert balanced_weights(labels).tolist() == [1, 1]


@pytest.mark.parametrize(
    "texts, error, told",
    [
        (["a", float("nan")], TypeError, "Text 1 is nan"),
        ([float("nan"), "a"], TypeError, "Text 0 is nan"),
        ([("a", None), ("b", "c")], TypeError, "Text 0 is None"),
        ([("a", "b", "c")] * 2, ValueError, "one text in each row, or two"),
        ([], ValueError, "one row at least"),
        ("ab", TypeError, "list of strings"),
        (["a", "\ud800"], ValueError, "half a character"),
        ([("a", "b"), ("a", " \n")], ValueError, "Pair 1 has an empty second side"),
        ([("", "b"), ("a", "b")], ValueError, "Pair 0 has an empty first side"),
    ],
)
def test_texts_that_are_none(texts, error, told):
    with pytest.raises(error, match=told):
        Examples.from_texts(texts, [0, 1], load_encoder("minilm").tokenizer, max_length=8)


@pytest.mark.parametrize("length", [-1, 2, 8.5, "8"])
def test_lengths_to_which_no_text_can_be_cut(length):
    with pytest.raises(ValueError, match=r"max_length=.* 3 or more"):
        Examples.from_texts(["a", "b"], [0, 1], load_encoder("minilm").tokenizer, max_length=length)
    with pytest.raises(ValueError, match=r"max_length=4: .* 5 or more"):  # [CLS] a [SEP] b [SEP]
        Examples.from_texts([("a", "b")], [0], load_encoder("minilm").tokenizer, max_length=4)


@pytest.mark.parametrize(
    "how, told",
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": -3}, "batch_size=-3"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"epochs": 2.0}, "epochs=2.0: it must be a whole number"),
        ({"epochs": "2"}, "epochs='2'"),
        ({"seed": -1}, "seed=-1"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"clip": -1}, "clip=-1"),
        ({"class_weights": torch.ones(1), "per_example": True}, "1 class weights for 2 classes"),
        ({"class_weights": [1, 0]}, "above 0"),
        ({"class_weights": torch.ones(3)}, "3 class weights for 2 classes"),
        ({"class_weights": torch.tensor([0.0, 1.0])}, "above 0"),
        ({"class_weights": torch.tensor([1.0, -1.0])}, "above 0"),
        ({"class_weights": torch.tensor([1.0, float("nan")])}, "above 0"),
    ],
)
def test_settings_that_make_no_sense(how, told):
    model = head()
    before = state(model)
    with pytest.raises(ValueError, match=told):
        fit(model, blobs(), blobs(50), **{"epochs": 1} | how)
    assert torch.equal(state(model), before)


@pytest.mark.parametrize("weights", ["balanced", {0: 1.0, 1: 2.0}])
def test_class_weights_that_are_no_list(weights):
    with pytest.raises(TypeError, match="balanced_weights"):
        fit(head(), blobs(), epochs=1, class_weights=weights)


def test_numbers_of_numpy_are_numbers(tmp_path):
    """In every argument: also where torch, random or JSON want Python's own."""
    real = {"learning_rate": 0.25, "clip": 0.5, "decay": 0.125}
    whole = {"epochs": 2, "batch_size": 16, "accumulate": 2, "seed": 3}
    models = head(), head()
    fit(models[0], [Task(blobs(), blobs(50))], **real, **whole, betas=(0.5, 0.75), checkpoint=tmp_path / "a")
    numpys = {name: np.float32(value) for name, value in real.items()}
    numpys |= {name: np.int64(value) for name, value in whole.items()}
    tasks = [Task(blobs(), blobs(50), share=np.float32(1))]
    fit(models[1], tasks, **numpys, betas=(np.float32(0.5), np.float64(0.75)), checkpoint=tmp_path / "b")
    assert torch.equal(state(models[0]), state(models[1]))


def test_models_that_answer_something_else():
    with pytest.raises(ValueError, match="probabilities"):
        fit(Answering(lambda x: x.softmax(-1)), blobs(), epochs=1)
    with pytest.raises(ValueError, match="choice must be the last"):
        fit(Answering(lambda x: x[:, None]), blobs(), epochs=1)
    with pytest.raises(TypeError, match=r"not tuple: .* output.logits"):
        fit(Answering(lambda x: (x, None)), blobs(), epochs=1)
    counted = Examples(blobs().inputs, blobs().labels + 1)
    with pytest.raises(
        ValueError, match=r"a label 2, and .* 2 classes count from 0\. These begin at 1: subtract 1"
    ):
        fit(head(), counted, epochs=1)
    with pytest.raises(ValueError, match="a label 1, and the model's 1 classes count from 0"):
        fit(Answering(lambda x: x[:, :1]), blobs(), epochs=1)
    with pytest.raises(ValueError, match="nothing is asked"):
        nothing = Examples(blobs().inputs, torch.full((200,), IGNORED))
        fit(head(), nothing, epochs=1)


class Answering(Named):
    """A layer, and something done to its scores."""

    def __init__(self, change) -> None:
        super().__init__(nn.Linear(8, 2))
        self.change = change

    def forward(self, features):
        return self.change(super().forward(features))


def test_pairs_keep_their_token_types_and_padding_is_the_tokenizers():
    tokenizer = load_encoder("minilm").tokenizer
    pairs = [("is it late?", "it is"), ("where", "it is far away from here")]
    data = Examples.from_texts(pairs, [1, 0], tokenizer, max_length=20)
    inputs, _ = data.batch([0, 1], torch.device("cpu"))
    assert set(inputs) == {"input_ids", "attention_mask", "token_type_ids"}
    for types, ids in zip(data.inputs["token_type_ids"], data.inputs["input_ids"], strict=True):
        assert types == [0] * (ids.index(102) + 1) + [1] * (len(ids) - ids.index(102) - 1)
    other = Examples({"input_ids": [[1], [2, 3, 4]], "attention_mask": [[1], [1, 1, 1]]}, [0, 1], padding=7)
    inputs, _ = other.batch([0, 1], torch.device("cpu"))
    assert inputs["input_ids"].tolist() == [[1, 7, 7], [2, 3, 4]]
    assert inputs["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
