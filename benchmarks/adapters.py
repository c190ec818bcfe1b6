"""LoRA: steps per second, memory and spam F1, ours beside peft's and full fine-tuning.

    python benchmarks/adapters.py            the SMS Spam Collection, a table (two cores: some minutes)
    python benchmarks/adapters.py --json     one line of JSON

One run, one process, the same messages, batches, steps, head, loop (training.fit) and number of threads for all, fp32. The order is
reversed from repetition to repetition, each of which has a clean split and a seed of its own; ratios are taken within a
repetition. LoRA of rank 8 on query and value, alpha 8, no dropout of its own, at the same rate in both.

    ours    models.adapters.add_lora
    peft    get_peft_model with the same settings
    full    every weight learns, at a rate of its own

Rates are usual ones for each (--tune lists validation F1 at others); the test messages are read once, at the end. A ratio in
processor time stands beside that in seconds, for machines that do something else meanwhile. Memory is what a step holds where it holds most, counted to the byte: weights, gradients, the optimiser's two moments, and what the forward pass of the
longest batch keeps for the backward pass.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("COURSE_PROFILE", "laptop")

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from sklearn.metrics import f1_score
from torch import nn
from tqdm import tqdm

from course_utils.datasets import load_sms
from course_utils.features import load_encoder
from course_utils.models.adapters import add_lora
from course_utils.results import interval
from course_utils.training import Examples, fit, predict, weighted_loss
from course_utils.training.encoders import fresh_encoder
from course_utils.training.heads import EncoderWithHeads, TextHead, count_parameters

RANK, ALPHA, BATCH, LENGTH = 8, 8, 32, 64
CANDIDATES = {"ours": (5e-4, 1e-3, 2e-3, 5e-3), "full": (3e-5, 1e-4, 3e-4)}
RATES = {"ours": 2e-3, "peft": 2e-3, "full": 1e-4}


def theirs(body: Any) -> nn.Module:
    settings = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=["query", "value"])
    return get_peft_model(body, settings)


METHODS: dict[str, Callable[[Any], nn.Module]] = {
    "ours": lambda body: add_lora(body, RANK, ALPHA),
    "peft": theirs,
    "full": lambda body: body,
}


def network(method: str, seed: int, layers: int | None) -> nn.Module:
    """The method's network, its head and its matrices drawn from the seed."""
    torch.manual_seed(seed)
    head = TextHead(load_encoder(device="cpu").hidden_size, 2)
    return EncoderWithHeads(METHODS[method](fresh_encoder(layers)), text=head)


def split(seed: int, messages: int | None) -> dict[str, Examples]:
    """Training, validation and test messages of a clean split."""
    frame, tokenizer = load_sms(split="clean", seed=seed), load_encoder(device="cpu").tokenizer
    parts = {}
    for part in ("train", "validation", "test"):
        rows = frame[frame["split"] == part]
        rows = (
            rows.sample(min(messages, len(rows)), random_state=seed) if messages and part == "train" else rows
        )
        texts, labels = rows["text"].tolist(), rows["label"].to_numpy()
        parts[part] = Examples.from_texts(texts, labels, tokenizer, max_length=LENGTH)
    return parts


def f1(model: nn.Module, examples: Examples) -> float:
    return float(f1_score(examples.labels.numpy(), predict(model, examples).argmax(-1)))


def megabytes(model: nn.Module, examples: Examples) -> float:
    """What the largest step holds: weights, gradients, two moments, and the tensors that the forward pass keeps."""
    lengths = examples.lengths()
    batch, labels = examples.batch(np.argsort(lengths)[-BATCH:].tolist(), torch.device("cpu"))
    kept: dict[int, int] = {}
    weights = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss, _ = weighted_loss(
            model(**batch), labels
        )  # alive until the count is done, and with it all it keeps
        needed = sum(size for place, size in kept.items() if place not in weights)
    del loss
    learn = sum(p.untyped_storage().nbytes() for p in model.parameters() if p.requires_grad)
    return (sum(weights.values()) + 3 * learn + needed) / 1e6


def learned(
    method: str, rate: float, seed: int, parts: dict[str, Examples], how: argparse.Namespace
) -> tuple[nn.Module, float, float]:
    """The network after its training; its steps per second, and per second of processor time."""
    model, start = network(method, seed, how.layers), time.process_time()
    settings = {"learning_rate": rate, "batch_size": BATCH, "by_length": False, "seed": seed}
    history = fit(model, parts["train"], epochs=how.epochs, **settings)
    steps = how.epochs * -(-len(parts["train"]) // BATCH)
    return model, steps / history.seconds, steps / (time.process_time() - start)


def tune(how: argparse.Namespace) -> None:
    """Validation F1 at each rate; peft's LoRA takes that of ours."""
    for method, rates in CANDIDATES.items():
        for rate in rates:
            scores = []
            for seed in range(how.repeats):
                parts = split(seed, how.messages)
                scores.append(f1(learned(method, rate, seed, parts, how)[0], parts["validation"]))
            print(f"{method:<6}{rate:9.0e}  {np.mean(scores):.3f}  {np.round(scores, 3)}", flush=True)


def measure(how: argparse.Namespace) -> dict[str, Any]:
    """Every method in every repetition, and what the comparison comes to."""
    speed, processor, scores = ({method: [] for method in METHODS} for _ in range(3))
    size, weights = {}, {}
    learned("full", 0.0, 0, split(0, BATCH), argparse.Namespace(epochs=1, layers=how.layers))  # warms up
    for seed in tqdm(range(how.repeats), disable=how.json):
        parts = split(seed, how.messages)
        for method in sorted(METHODS, key=[*METHODS].index, reverse=seed % 2 == 1):
            model, steps, again = learned(method, RATES[method], seed, parts, how)
            speed[method].append(steps)
            processor[method].append(again)
            scores[method].append(f1(model, parts["test"]))
            if method not in size:
                size[method] = megabytes(model, parts["train"])
                weights[method] = count_parameters(model)["trained"]
            print(f"{seed}: {method} {steps:.2f} steps/s, F1 {scores[method][-1]:.3f}", file=sys.stderr)
    line: dict[str, Any] = {}
    for other in ("peft", "full"):
        each = np.array(speed["ours"]) / np.array(speed[other])
        line[f"ratio_vs_{other}"] = round(float(np.median(each)), 3)
        line[f"ratio_vs_{other}_each"] = each.round(3).tolist()
        each = np.array(processor["ours"]) / np.array(processor[other])
        line[f"processor_ratio_vs_{other}"] = round(float(np.median(each)), 3)
        line[f"memory_vs_{other}"] = round(size["ours"] / size[other], 3)
        if how.repeats > 1:
            difference = np.array(scores["ours"]) - np.array(scores[other])
            line[f"f1_minus_{other}"] = np.round(interval(difference), 4).tolist()
    for method in METHODS:
        line |= {f"f1_{method}": round(float(np.mean(scores[method])), 4),
                 f"f1_{method}_each": np.round(scores[method], 4).tolist()}  # fmt: skip
    line["steps_per_second"] = {method: round(float(np.median(v)), 2) for method, v in speed.items()}
    line["megabytes"] = {method: round(value, 1) for method, value in size.items()}
    return line | {"trained": weights, "real": bool(load_sms().attrs["real"])}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=1000, help="training messages; 0 for all")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--layers", type=int, help="of the encoder, from below; by default all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tune", action="store_true", help="validation F1 at some rates, and stop")
    parser.add_argument("--json", action="store_true")
    how = parser.parse_args()
    torch.set_num_threads(how.threads)
    if how.tune:
        return tune(how)
    line = measure(how)
    if how.json:
        return print(json.dumps(line))
    data = "the SMS Spam Collection" if line["real"] else "the stand-in"
    print(f"{data}, {how.messages or 'all'} messages, {how.epochs} epochs, {how.repeats} repetitions, "
          f"{how.threads} threads, torch {torch.__version__}\n")  # fmt: skip
    print(f"{'method':<8}{'learns':>12}{'steps/s':>9}{'MB a step':>11}   spam F1")
    for method in METHODS:
        each = line[f"f1_{method}_each"]
        print(f"{method:<8}{line['trained'][method]:>12,}{line['steps_per_second'][method]:>9.2f}"
              f"{line['megabytes'][method]:>11.1f}   {line[f'f1_{method}']:.3f} ({min(each):.3f} to {max(each):.3f})")  # fmt: skip
    for other in ("peft", "full"):
        each = line[f"ratio_vs_{other}_each"]
        print(f"\nours / {other}: steps per second {line[f'ratio_vs_{other}']:.2f} ({min(each):.2f} to {max(each):.2f}), "
              f"in processor time {line[f'processor_ratio_vs_{other}']:.2f}, memory {line[f'memory_vs_{other}']:.2f}", end="")  # fmt: skip
        if how.repeats > 1:
            print(", F1 {:+.3f} (95 %: {:+.3f} to {:+.3f})".format(*line[f"f1_minus_{other}"]), end="")
    print()


if __name__ == "__main__":
    main()
