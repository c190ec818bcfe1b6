"""The training loop: what it promises about losses, frozen parameters, seeds, interruptions and processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_utils import training
from course_utils.features import load_encoder
from course_utils.training import Examples, balanced_weights, epoch_batches, fit, loop, predict, weighted_loss
from course_utils.training.heads import ClassifierHead


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
from course_utils.training import loop
if sys.argv[3] == "slow":   # give the killer time: the checkpoint of each epoch is written before the next begins
    import time
    original = loop.train_epoch
    loop.train_epoch = lambda *a, **k: (time.sleep(.3), original(*a, **k))[1]
model = head(dropout=float(sys.argv[4]))
training.fit(model, blobs(), blobs(50, seed=1), epochs=6, batch_size=16, checkpoint=sys.argv[2] or None)
torch.save(state(model), sys.argv[1])
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
    output, _ = process.communicate(timeout=300)
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
    assert torch.equal(torch.load(straight, weights_only=True), torch.load(resumed, weights_only=True))


def test_two_processes_give_the_result_of_one(tmp_path):
    """Without dropout, which each process draws for itself."""
    alone, together = tmp_path / "alone.pt", tmp_path / "together.pt"
    finish(worker(alone, dropout=0.0))
    launch = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1",
              "--main_process_port", "0")  # fmt: skip
    finish(worker(together, dropout=0.0, launch=launch))
    results = [torch.load(path, weights_only=True) for path in (alone, together)]
    assert torch.allclose(results[0], results[1], atol=1e-5)


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
