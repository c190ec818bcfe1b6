"""Fine-tuning MiniLM, every weight: messages per second and spam F1, `fit` beside Hugging Face Trainer.

    python benchmarks/fine_tuning.py                   the SMS Spam Collection, a table; 20 minutes on two cores
    python benchmarks/fine_tuning.py --messages 160    a quick look at the speeds alone
    python benchmarks/fine_tuning.py --json            one line of JSON

One run, two threads; for all the same network from the same weights, the same messages, batch, epochs, AdamW with the same
rate, warm-up, fall and clipping, and the dropout that MiniLM was published with. Only what pads and what computes differs. The
order is reversed from seed to seed, and ratios are taken within a seed. A seed draws messages, head, order and dropout; F1 is
that of other messages, which every method judges in the same way. Trainer gets the encoder as transformers runs it; ours reads
random batches without padding, each core a part of the batch.

    Trainer, padded     every message to 128 pieces, as most tutorials do
    Trainer, dynamic    each batch to its longest message
    Trainer, grouped    the same, with batches of messages of like length
    ours                training.fit
    ... bf16            products in bfloat16, where the processor has instructions for that
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn
from tqdm import tqdm

from course_utils.datasets import load_sms
from course_utils.features import has_bf16, load_encoder
from course_utils.training import Examples, fit, predict, warm_up
from course_utils.training.encoders import fresh_encoder
from course_utils.training.heads import EncoderWithHeads, TextHead

RATIOS = {
    "ratio_vs_trainer_padded": ("ours", "Trainer, padded"),
    "ratio_vs_trainer_dynamic": ("ours", "Trainer, dynamic"),
    "ratio_vs_trainer_grouped": ("ours", "Trainer, grouped"),
    "ratio_bf16_vs_trainer_grouped": ("ours, bf16", "Trainer, grouped, bf16"),
}
RATE, WARMUP, CLIP, BATCH, LENGTH = 1e-4, 0.1, 1.0, 32, 128


class Task:
    """The messages of a seed, and the network that learns them."""

    def __init__(self, messages: int, tests: int, epochs: int, seed: int):
        frame, self.epochs, self.seed = load_sms(split="clean", seed=seed), epochs, seed
        self.real, self.tokenizer = frame.attrs["real"], load_encoder("minilm").tokenizer
        train, test = frame[frame["split"] == "train"], frame[frame["split"] != "train"]
        test = test[test["split"] != "unused"]
        train, test = (
            rows.sample(min(count, len(rows)), random_state=seed)
            for rows, count in ((train, messages), (test, tests))
        )
        self.texts, self.labels = train["text"].tolist(), train["label"].tolist()
        self.test = Examples.from_texts(
            test["text"].tolist(), test["label"].tolist(), self.tokenizer, max_length=LENGTH
        )

    def network(self) -> EncoderWithHeads:
        """MiniLM with a new head: the same for every method."""
        torch.manual_seed(self.seed)
        body = fresh_encoder()
        return EncoderWithHeads(body, text=TextHead(body.config.hidden_size, 2))

    def f1(self, network: nn.Module) -> float:
        """Spam F1 on the messages that nobody learns from."""
        return float(f1_score(self.test.labels, predict(network, self.test, 64).argmax(1)))


class WithLoss(nn.Module):
    """Trainer expects the loss from the model itself, and here the encoder is read as transformers reads it."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The mean loss and the scores of one batch."""
        states = self.network.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        scores = self.network.heads["text"](states, attention_mask)
        return {"loss": nn.functional.cross_entropy(scores.float(), labels), "logits": scores}


def ours(task: Task, precision: str) -> tuple[nn.Module, float]:
    network = task.network()
    data = Examples.from_texts(task.texts, task.labels, task.tokenizer, max_length=LENGTH)
    start = time.perf_counter()
    fit(network, data, epochs=task.epochs, learning_rate=RATE, schedule=partial(warm_up, rise=WARMUP), batch_size=BATCH,
        by_length=False, clip=CLIP, seed=task.seed, precision=precision)  # fmt: skip
    return network, time.perf_counter() - start


def trainer(task: Task, precision: str, padding: str) -> tuple[nn.Module, float]:
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments

    network = task.network()
    tokens = task.tokenizer(
        task.texts, truncation=True, max_length=LENGTH, padding="max_length" if padding == "padded" else False,
        return_token_type_ids=False,
    )  # fmt: skip
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": label}
        for ids, mask, label in zip(tokens["input_ids"], tokens["attention_mask"], task.labels, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        arguments = TrainingArguments(
            folder, num_train_epochs=task.epochs, per_device_train_batch_size=BATCH, learning_rate=RATE, max_grad_norm=CLIP,
            weight_decay=0.01, warmup_steps=WARMUP, train_sampling_strategy="group_by_length" if padding == "grouped" else "random",
            bf16=precision == "bf16", use_cpu=True, seed=task.seed, report_to="none", save_strategy="no",
            logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        run = Trainer(WithLoss(network), arguments, DataCollatorWithPadding(task.tokenizer), rows)
        run.remove_callback(PrinterCallback)
        start = time.perf_counter()
        run.train()
        seconds = time.perf_counter() - start
    return network, seconds


METHODS: dict[str, Callable[[Task], tuple[nn.Module, float]]] = {
    **{f"Trainer, {way}": partial(trainer, precision="fp32", padding=way) for way in ("padded", "dynamic", "grouped")},
    "ours": partial(ours, precision="fp32"),
    "Trainer, grouped, bf16": partial(trainer, precision="bf16", padding="grouped"),
    "ours, bf16": partial(ours, precision="bf16"),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=960, help="to learn from, for each seed")
    parser.add_argument("--tests", type=int, default=1500, help="other messages, for F1")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    bf16 = has_bf16(torch.device("cpu"))
    methods = [name for name in METHODS if name in arguments.only and (bf16 or "bf16" not in name)]
    speeds, busy, f1 = defaultdict(list), defaultdict(list), defaultdict(list)
    for seed in tqdm(range(arguments.seeds), disable=arguments.json):
        task = Task(arguments.messages, arguments.tests, arguments.epochs, seed)
        for name in methods if seed % 2 == 0 else methods[::-1]:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            network, seconds = METHODS[name](task)
            used = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
            read = len(task.texts) * task.epochs
            speeds[name].append(read / seconds)
            busy[name].append(1000 * used / read)
            f1[name].append(task.f1(network))
            print(f"seed {seed}: {name} {speeds[name][-1]:.1f} messages/s, {busy[name][-1]:.1f} ms of CPU each, "
                  f"F1 {f1[name][-1]:.3f}", file=sys.stderr, flush=True)  # fmt: skip
    ratios = {
        key: [a / b for a, b in zip(speeds[one], speeds[other], strict=True)]
        for key, (one, other) in RATIOS.items()
        if {one, other} <= {*methods}
    }
    if arguments.json:
        line: dict = {key: round(float(np.median(values)), 2) for key, values in ratios.items()}
        line |= {f"{key}_each": [round(value, 2) for value in values] for key, values in ratios.items()}
        theirs = [name for name in methods if name.startswith("Trainer") and "bf16" not in name]
        line |= {"f1_ours": round(float(np.mean(f1["ours"])), 4)} if "ours" in f1 else {}
        line |= {"f1_trainer": round(float(np.mean([f1[name] for name in theirs])), 4)} if theirs else {}
        line |= {"f1_each": {name: [round(value, 4) for value in values] for name, values in f1.items()}}
        line |= {"messages_per_second": {name: round(float(np.median(v)), 1) for name, v in speeds.items()}}
        line |= {"cpu_ms_per_message": {name: round(float(np.median(v)), 1) for name, v in busy.items()}}
        print(json.dumps(line | {"messages": len(task.texts), "epochs": task.epochs, "real": task.real}))
        return
    data = "the SMS Spam Collection" if task.real else "the STAND-IN, not the real collection"
    print(f"{data}: {len(task.texts)} messages, {task.epochs} epochs, batches of {BATCH}, {arguments.seeds} seeds, "
          f"two threads, torch {torch.__version__}\n")  # fmt: skip
    print(f"{'method':<24}{'messages/s':>12}{'CPU ms each':>13}{'spam F1':>28}")
    for name, values in speeds.items():
        spread = f"{np.mean(f1[name]):.3f} ({min(f1[name]):.3f} to {max(f1[name]):.3f})"
        print(f"{name:<24}{np.median(values):>12.1f}{np.median(busy[name]):>13.1f}{spread:>28}")
    for key, values in ratios.items():
        print(f"\n{key:<32}{np.median(values):6.2f}  ({min(values):.2f} to {max(values):.2f})", end="")
    print()


if __name__ == "__main__":
    main()
