"""A spam filter on a frozen encoder: what encoding once saves, and what it is worth in F1.

    python benchmarks/frozen_encoder.py                      a table (with two cores: an hour for three repeats)
    python benchmarks/frozen_encoder.py --quick --repeats 1  the slow ones for one epoch only, their time taken ten times
    python benchmarks/frozen_encoder.py --json               one line of JSON

Compared on the SMS Spam Collection in the classic tutorial's split, in one process, every method with the same number of
threads, their order reversed from repeat to repeat, ratios taken within a repeat. Loading is not counted, all that comes
after it is: tokenising, training, validation, the test.

    tutorial               the classic loop: the encoder runs under the head in every epoch, all messages padded or cut to 25
    trainer                Hugging Face Trainer, the same frozen encoder and head, messages padded batch by batch
    ours                   features.encode() into an empty cache, standardised, then training.fit() on the vectors
    sentence-transformers  encoding alone, against features.encode() without cache on the same (distinct) messages
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # for all methods alike; read when torch is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("COURSE_PROFILE", "laptop")

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import f1_score
from torch import nn

from course_utils.datasets import load_sms
from course_utils.features import Encoder, encode, has_bf16, load_encoder
from course_utils.features import standardise as standardised
from course_utils.training import Examples, balanced_weights, fit, predict
from course_utils.training.heads import ClassifierHead, FrozenEncoderClassifier

EPOCHS, BATCH, RATE, CLIP = 10, 32, 1e-3, 1.0
SPLITS = ("train", "validation", "test")
ST_BATCHES = (32, 64, 128)  # their default, and two more, of which the best counts


class Task:
    """The messages, their labels, and the encoder, as every method gets them."""

    def __init__(self, encoder: Encoder, messages: int | None, precision: str):
        frame = load_sms(split="seed")
        frame = frame[frame["split"].isin(SPLITS)]
        if messages:
            frame = frame.sample(min(messages, len(frame)), random_state=0)
        self.origin, self.encoder, self.precision = frame.attrs["origin"], encoder, precision
        self.texts = {s: frame.loc[frame["split"] == s, "text"].tolist() for s in SPLITS}
        self.labels = {s: torch.tensor(frame.loc[frame["split"] == s, "label"].to_numpy()) for s in SPLITS}
        self.weights = balanced_weights(self.labels["train"])

    def f1(self, predicted: np.ndarray) -> float:
        """Spam F1 of predicted labels on the test messages."""
        return float(f1_score(self.labels["test"].numpy(), predicted))


# ---- the methods; each returns the test set's spam F1


def tutorial(task: Task, seed: int, epochs: int) -> float:
    """As published: padded to 25, dropout left on inside the encoder while training, the encoder's own summary of a text."""
    from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, TensorDataset

    torch.manual_seed(seed)
    data = {}
    for split in SPLITS:
        tokens = task.encoder.tokenizer(
            task.texts[split], max_length=25, padding="max_length", truncation=True, return_tensors="pt"
        )
        data[split] = TensorDataset(tokens["input_ids"], tokens["attention_mask"], task.labels[split])
    train = DataLoader(data["train"], sampler=RandomSampler(data["train"]), batch_size=BATCH)
    validation = DataLoader(
        data["validation"], sampler=SequentialSampler(data["validation"]), batch_size=BATCH
    )
    head = ClassifierHead(task.encoder.hidden_size)
    model = FrozenEncoderClassifier(
        task.encoder.model, head, pooling=task.encoder.summary, encoder_dropout=True
    )
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE)
    loss_of = nn.NLLLoss(weight=task.weights)
    best, best_loss = {}, float("inf")
    for _ in range(epochs):
        model.train()
        for ids, mask, labels in train:
            model.zero_grad()
            loss_of(model(ids, mask), labels).backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
        model.eval()
        with torch.no_grad():
            loss = np.mean([loss_of(model(ids, mask), labels).item() for ids, mask, labels in validation])
        if loss < best_loss:
            best_loss, best = loss, {name: p.clone() for name, p in head.state_dict().items()}
    head.load_state_dict(best)
    with torch.no_grad():
        parts = [model(ids, mask) for ids, mask, _ in DataLoader(data["test"], batch_size=BATCH)]
    return task.f1(torch.cat(parts).argmax(1).numpy())


class WithLoss(nn.Module):
    """What Trainer wants of a model: the loss comes out of ``forward``."""

    def __init__(self, model: nn.Module, weights: torch.Tensor):
        super().__init__()
        self.model, self.weights = model, weights

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor) -> dict:
        """Loss and log-probabilities of one batch."""
        scores = self.model(input_ids, attention_mask)
        return {"loss": nn.functional.nll_loss(scores, labels, weight=self.weights), "logits": scores}


def trainer(task: Task, seed: int, epochs: int) -> float:
    """Hugging Face Trainer with its own defaults, but for what makes it the same task; the encoder in eval mode."""
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments, set_seed

    set_seed(seed)
    data = {}
    for split in SPLITS:
        tokens = task.encoder.tokenizer(
            task.texts[split], truncation=True, max_length=128, return_token_type_ids=False
        )
        data[split] = [
            {"input_ids": ids, "attention_mask": mask, "labels": int(label)}
            for ids, mask, label in zip(
                tokens["input_ids"], tokens["attention_mask"], task.labels[split], strict=True
            )
        ]
    head = ClassifierHead(task.encoder.hidden_size)
    model = WithLoss(
        FrozenEncoderClassifier(task.encoder.model, head, pooling=task.encoder.summary), task.weights
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=BATCH,
            learning_rate=RATE,
            max_grad_norm=CLIP,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            save_only_model=True,
            load_best_model_at_end=True,
            report_to="none",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            seed=seed,
        )
        run = Trainer(
            model,
            arguments,
            train_dataset=data["train"],
            eval_dataset=data["validation"],
            data_collator=DataCollatorWithPadding(task.encoder.tokenizer),
        )
        run.remove_callback(PrinterCallback)
        run.train()
        return task.f1(run.predict(data["test"]).predictions.argmax(1))


def ours(task: Task, seeds: list[int], *, pooling: str = "mean", standardise: bool = True, max_length: int = 128,
         cache: bool = True) -> list[float]:  # fmt: skip
    """Encode every message once, then train the head on the vectors; one F1 for each seed of the head."""
    texts = [text for split in SPLITS for text in task.texts[split]]
    vectors = encode(
        texts, task.encoder, pooling=pooling, max_length=max_length, precision=task.precision, cache=cache
    )
    ends = np.cumsum([len(task.texts[split]) for split in SPLITS])
    parts = dict(zip(SPLITS, np.split(vectors, ends[:-1]), strict=True))
    if standardise:
        parts = dict(zip(SPLITS, standardised(*parts.values()), strict=True))
    data = {s: Examples({"features": torch.from_numpy(parts[s])}, task.labels[s]) for s in SPLITS}
    scores = []
    for seed in seeds:
        torch.manual_seed(seed)
        head = ClassifierHead(vectors.shape[1])
        fit(head, data["train"], data["validation"], epochs=EPOCHS, learning_rate=RATE, batch_size=BATCH,
            class_weights=task.weights, clip=CLIP, seed=seed)  # fmt: skip
        scores.append(task.f1(predict(head, data["test"]).argmax(1)))
    return scores


# ---- encoding alone


def distinct(task: Task) -> list[str]:
    """Messages without those that the encoder reads as equal: encode() would get them for nothing."""
    texts = [text for split in SPLITS for text in task.texts[split]]
    rows = task.encoder.tokenizer(texts, truncation=True, max_length=128)["input_ids"]
    return list({tuple(row): text for row, text in zip(rows, texts, strict=True)}.values())


def encoder_flops(task: Task, texts: list[str]) -> float:
    """Floating-point operations of the encoder's matrix products on real tokens; padding is not work."""
    lengths = np.array(
        [len(row) for row in task.encoder.tokenizer(texts, truncation=True, max_length=128)["input_ids"]]
    )
    config = task.encoder.model.config
    linear = sum(m.weight.numel() for m in task.encoder.model.encoder.modules() if isinstance(m, nn.Linear))
    attention = 4 * config.num_hidden_layers * config.hidden_size * (lengths.astype(float) ** 2).sum()
    return float(2 * linear * lengths.sum() + attention)


def matmul_peak(precision: str, size: int = 2048, tries: int = 5) -> float:
    """The best FLOP/s of one large matrix product, all threads on it."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    torch.mm(a, b)
    return 2 * size**3 / min(seconds_of(lambda: torch.mm(a, b))[0] for _ in range(tries))


def load_sentence_transformer(task: Task) -> Any:
    """The same folder of weights, mean pooling, 128 tokens. (The folder that the store verifies has no modules.json;
    where it is missing, sentence-transformers itself falls back to mean pooling.)"""
    from sentence_transformers import SentenceTransformer

    dtype = torch.bfloat16 if task.precision == "bf16" else torch.float32
    model = SentenceTransformer(
        task.encoder.tokenizer.name_or_path,
        device="cpu",
        model_kwargs={"dtype": dtype},
        local_files_only=True,
    )
    model.max_seq_length = 128
    return model


# ---- the measurement


def seconds_of(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def in_empty_cache(function: Callable[[], Any]) -> Any:
    """Every run of ours starts with nothing cached."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("COURSE_CACHE")
        os.environ["COURSE_CACHE"] = folder
        try:
            return function()
        finally:
            os.environ.pop("COURSE_CACHE")
            if before is not None:
                os.environ["COURSE_CACHE"] = before


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(task: Task, repeats: int, epochs: int, slow: bool) -> dict[str, Any]:
    """Seconds and F1 of every method in every repeat."""
    seconds, f1 = defaultdict(list), defaultdict(list)
    texts = distinct(task)
    flops = encoder_flops(task, texts)
    sentence = load_sentence_transformer(task)

    def same_vectors() -> None:
        """The two encoders must agree before their speeds are compared."""
        mine = encode(texts[:64], task.encoder, precision=task.precision, cache=False)
        theirs = sentence.encode(texts[:64], show_progress_bar=False)
        mine, theirs = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (mine, theirs))
        assert np.abs(mine - theirs).max() < (1e-5 if task.precision == "fp32" else 5e-2)

    same_vectors()
    runs: dict[str, Callable[[int], Any]] = {
        "ours": lambda seed: in_empty_cache(lambda: ours(task, [seed])[0]),
        "encode": lambda seed: encode(texts, task.encoder, precision=task.precision, cache=False),
    }
    for size in ST_BATCHES:
        runs[f"st {size}"] = lambda seed, size=size: sentence.encode(
            texts, batch_size=size, show_progress_bar=False
        )
    if slow:
        runs["tutorial"] = lambda seed: tutorial(task, seed, epochs)
        runs["trainer"] = lambda seed: trainer(task, seed, epochs)
    for repeat in range(repeats):
        order = list(runs) if repeat % 2 == 0 else list(runs)[::-1]
        seconds["peak"].append(matmul_peak(task.precision))
        for name in order:
            took, result = seconds_of(partial(runs[name], repeat))
            task.encoder.model.eval()
            took *= EPOCHS / epochs if name in ("tutorial", "trainer") else 1
            seconds[name].append(took)
            if isinstance(result, float):
                f1[name].append(result)
            say(f"repeat {repeat + 1}: {name} {took:.1f} s" + (f", F1 {result:.3f}" if name in f1 else ""))
        seconds["peak"][-1] = max(seconds["peak"][-1], matmul_peak(task.precision))
    return {"seconds": dict(seconds), "f1": dict(f1), "flops": flops, "distinct": len(texts)}


def ablation(task: Task, epochs: int, heads: int) -> list[tuple[str, float, float, float]]:
    """Rows (what is switched off, seconds for one head, mean F1, standard deviation over the heads)."""
    rows = []

    def row(name: str, **settings: Any) -> None:
        def both() -> tuple[float, list[float]]:
            first, _ = seconds_of(lambda: ours(task, [0], **settings))  # from an empty cache
            return first, ours(task, list(range(heads)), **settings)

        took, scores = in_empty_cache(both)
        rows.append((name, took, float(np.mean(scores)), float(np.std(scores))))
        say(f"{name}: {took:.1f} s")

    row("all of it")
    trained = task.texts["train"] + task.texts["validation"]
    took, _ = seconds_of(
        lambda: [encode(trained, task.encoder, precision=task.precision, cache=False) for _ in range(epochs)]
    )
    # The vectors are the same in every epoch, and so is the F1; what is added is nine more times encoding.
    extra = took / epochs * (EPOCHS - 1)
    rows.append(("without caching: encode in every epoch", rows[0][1] + extra, *rows[0][2:]))
    row("without mean pooling: [CLS]", pooling="cls")
    row("without standardising", standardise=False)
    row("without length 128: cut at 25", max_length=25)
    row("caching alone: [CLS], not standardised, cut at 25", pooling="cls", standardise=False, max_length=25)
    return rows


def ratios(found: dict[str, Any]) -> dict[str, list[float]]:
    """How many times as long the others take, in each repeat."""
    seconds = {name: np.array(values) for name, values in found["seconds"].items()}
    best = np.min([seconds[f"st {size}"] for size in ST_BATCHES], axis=0)
    result = {
        "ratio_vs_sentence_transformers": best / seconds["encode"],
        "ratio_vs_sentence_transformers_default": seconds[f"st {ST_BATCHES[0]}"] / seconds["encode"],
        "share_of_matmul_peak": found["flops"] / seconds["encode"] / seconds["peak"],
    }
    for name in ("tutorial", "trainer"):
        if name in seconds:
            result[f"ratio_vs_{name}"] = seconds[name] / seconds["ours"]
    return {name: [round(float(v), 3) for v in values] for name, values in result.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, help="a random subset of this size")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--precision", choices=("fp32", "bf16"), default="fp32", help="of ours and sentence-transformers"
    )
    parser.add_argument(
        "--quick", action="store_true", help="tutorial and trainer: one epoch, its time taken ten times"
    )
    parser.add_argument(
        "--encoding-only", action="store_true", help="leave out tutorial, trainer and the ablation"
    )
    parser.add_argument("--heads", type=int, default=5, help="seeds of the head in the ablation")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    if arguments.precision == "bf16" and not has_bf16(torch.device("cpu")):
        raise SystemExit(
            "This processor has no bfloat16 instructions: --precision bf16 would measure nothing."
        )
    epochs = 1 if arguments.quick else EPOCHS
    task = Task(load_encoder("minilm", device="cpu"), arguments.messages, arguments.precision)
    found = measure(task, arguments.repeats, epochs, slow=not arguments.encoding_only)
    rows = [] if arguments.encoding_only else ablation(task, epochs, arguments.heads)
    ratio = ratios(found)
    # After --quick the tutorial's head has seen one epoch: its F1 is not the tutorial's.
    f1_tutorial = (
        None if arguments.quick or "tutorial" not in found["f1"] else np.mean(found["f1"]["tutorial"])
    )
    if arguments.json:
        line = {name: float(np.median(values)) for name, values in ratio.items()}
        line |= {f"{name}_each": values for name, values in ratio.items()}
        line |= {
            "f1_ours": float(np.mean(found["f1"]["ours"])),
            "f1_tutorial": None if f1_tutorial is None else float(f1_tutorial),
            "f1_each": found["f1"],
            "seconds": {name: values for name, values in found["seconds"].items() if name != "peak"},
            "matmul_gflops": [round(peak / 1e9, 1) for peak in found["seconds"]["peak"]],
            "ablation": [dict(zip(("off", "seconds", "f1", "f1_sd"), row, strict=True)) for row in rows],
            "times_of_peers_scaled_from_one_epoch": arguments.quick,
            "precision": arguments.precision,
            "threads": arguments.threads,
            "messages": sum(map(len, task.texts.values())),
            "data": task.origin,
        }
        print(json.dumps(line))
        return

    print(f"{sum(map(len, task.texts.values()))} messages ({task.origin}), {found['distinct']} distinct; "
          f"{arguments.threads} threads, {arguments.precision}, {platform.machine()}, torch {torch.__version__}, "
          f"matrix product {np.median(found['seconds']['peak']) / 1e9:.0f} GFLOP/s; "
          f"median of {arguments.repeats} (lowest to highest)\n")  # fmt: skip
    if arguments.quick:
        print(
            "QUICK: tutorial and trainer ran ONE epoch; their seconds are that time x 10, and their F1 is not comparable.\n"
        )
    names = {"encode": "encode, distinct messages"} | {
        f"st {n}": f"sentence-transformers, batch {n}" for n in ST_BATCHES
    }
    table = [
        {
            "method": names.get(name, name),
            "seconds": f"{np.median(values):.1f} ({min(values):.1f} to {max(values):.1f})",
            "spam F1": f"{np.mean(found['f1'][name]):.3f}" if name in found["f1"] else "",
        }
        for name, values in found["seconds"].items()
        if name != "peak"
    ]
    print(pd.DataFrame(table).to_string(index=False), "\n")
    for name, values in ratio.items():
        print(
            f"{name.replace('_', ' '):42} {np.median(values):6.2f} ({min(values):.2f} to {max(values):.2f})"
        )
    if rows:
        table = [{"ours": n, "seconds": f"{s:.1f}", "spam F1": f"{m:.3f} ± {d:.3f}"} for n, s, m, d in rows]
        print("\nOne thing switched off at a time, F1 over", arguments.heads, "heads:")
        print(pd.DataFrame(table).to_string(index=False))


if __name__ == "__main__":
    main()
