"""BERT's pre-training: tokens per second, and the loss after the same tokens, beside Trainer and a textbook loop.

    python benchmarks/pretraining.py            the 206 Wikipedia pages, a table
    python benchmarks/pretraining.py --json     one line of JSON

One run, the same text, WordPiece vocabulary, configuration and number of pieces for all (padding is not counted), two threads,
fp32, AdamW with the same rate, warm-up and fall. The order is reversed from seed to seed, ratios are taken within a seed. The
losses are those of the same held-out pairs, hidden in the same places.

    textbook   transformers' BertForPreTraining; sentence pairs padded to 128, logits everywhere, a plain loop
    Trainer    the same model under Hugging Face Trainer with DataCollatorForLanguageModeling: padded to the longest of a batch
    ours       training.pretraining: pairs that fill their length, last layer and logits where they are asked for, a part of the batch for
               each core, fused AdamW, no dropout

The other two keep the dropout of 0.1 that their configuration has by default.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("COURSE_PROFILE", "ci")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from course_utils.datasets import load_corpus
from course_utils.models.bert import CLS, PAD, SEP, SPECIAL, BertForPreTraining
from course_utils.training import pretraining, warm_up
from course_utils.training.pretraining import Pairs

RATIOS = {"ratio_vs_trainer": ("ours", "Trainer"), "ratio_vs_textbook": ("ours", "textbook")}
RATE, WARMUP, BATCH = 1e-3, 0.1, 16


class Task:
    """The text in pieces: one source for our pairs, a list of sentences for those of the others."""

    def __init__(self, words: int, units: int, layers: int, tokens: int):
        sentences = load_corpus().sentences
        cut = int(0.95 * len(sentences))
        self.tokenizer = pretraining.train_tokenizer(sentences[:cut], words)
        self.words, self.units, self.layers, self.tokens = (
            self.tokenizer.get_vocab_size(),
            units,
            layers,
            tokens,
        )
        coded = [e.ids for e in self.tokenizer.encode_batch(sentences, add_special_tokens=False)]
        self.sentences, held_out = coded[:cut], coded[cut:]
        self.source = pretraining.join_sentences(self.sentences)
        batches = pretraining.pair_batches([pretraining.join_sentences(held_out)], (64,), 1024, seed=1)
        self.held_out = [next(batches) for _ in range(30)]

    def sentence_pairs(self, seed: int) -> list[dict[str, list[int] | int]]:
        """Sentence i and the next one or any other, [CLS] a [SEP] b [SEP], at most 128: as many as the pieces allow."""
        draw, rows, total = np.random.default_rng(seed), [], 0
        for i in draw.permutation(len(self.sentences) - 1):
            follows = int(draw.integers(2))
            other = i + 1 if follows else int(draw.integers(len(self.sentences)))
            first, second = self.sentences[i][:62], self.sentences[other][:63]
            rows.append({
                "input_ids": [CLS, *first, SEP, *second, SEP],
                "token_type_ids": [0] * (len(first) + 2) + [1] * (len(second) + 1),
                "next_sentence_label": 1 - follows,  # theirs: 0 is "follows"
            })  # fmt: skip
            total += len(rows[-1]["input_ids"])
            if total >= self.tokens:
                return rows
        raise SystemExit(
            f"The text has fewer than {self.tokens:,} pieces in pairs; ask for less with --tokens."
        )

    def theirs(self) -> nn.Module:
        """Their model, with our configuration."""
        from transformers import BertConfig
        from transformers import BertForPreTraining as Theirs

        return Theirs(
            BertConfig(
                vocab_size=self.words,
                hidden_size=self.units,
                num_hidden_layers=self.layers,
                num_attention_heads=4,
                intermediate_size=4 * self.units,
                max_position_embeddings=128,
            )
        )

    @torch.inference_mode()
    def losses(self, model: nn.Module) -> tuple[float, float]:
        """Their model on the held-out pairs, hidden as :func:`pretraining.score` hides them."""
        model.eval()
        generator, sums = torch.Generator().manual_seed(0), np.zeros(4)
        for batch in self.held_out:
            read, chosen = pretraining.mask_tokens(batch.ids, self.words, generator=generator)
            out = model(input_ids=read, token_type_ids=batch.segments)
            hidden = F.cross_entropy(out.prediction_logits[chosen], batch.ids[chosen], reduction="sum")
            follows = F.cross_entropy(out.seq_relationship_logits, 1 - batch.follows, reduction="sum")
            sums += [hidden.item(), int(chosen.sum()), follows.item(), len(batch.ids)]
        return sums[0] / sums[1], sums[2] / sums[3]


def ours(task: Task, seed: int) -> tuple[float, int, tuple[float, float]]:
    torch.manual_seed(seed)
    model = BertForPreTraining(task.words, task.units, task.layers, heads=4, positions=128, dropout=0.0)
    some: list[Pairs] = []
    batches = pretraining.pair_batches([task.source], (32, 64, 128), 1024, seed)
    while sum(batch.ids.numel() for batch in some) < task.tokens:
        some.append(next(batches))
    start = time.perf_counter()
    pretraining.pretrain(model, some, len(some), rate=RATE, warmup=WARMUP, seed=seed)
    seconds = time.perf_counter() - start
    found = pretraining.score(model, task.held_out)
    return seconds, sum(b.ids.numel() for b in some), (found["hidden, loss"], found["follows, loss"])


def textbook(task: Task, seed: int) -> tuple[float, int, tuple[float, float]]:
    torch.manual_seed(seed)
    model, rows = task.theirs(), task.sentence_pairs(seed)
    steps = -(-len(rows) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warm_up(step, steps, WARMUP))

    def batches() -> Iterator[dict[str, torch.Tensor]]:
        for i in range(0, len(rows), BATCH):
            ids = torch.full((len(rows[i : i + BATCH]), 128), PAD)
            types = torch.zeros_like(ids)
            for k, row in enumerate(rows[i : i + BATCH]):
                ids[k, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
                types[k, : len(row["input_ids"])] = torch.tensor(row["token_type_ids"])
            read, chosen = pretraining.mask_tokens(ids, task.words)
            follows = torch.tensor([row["next_sentence_label"] for row in rows[i : i + BATCH]])
            yield {"input_ids": read, "token_type_ids": types, "attention_mask": (ids != PAD).long(),
                   "labels": ids.masked_fill(~chosen, -100), "next_sentence_label": follows}  # fmt: skip

    model.train()
    start = time.perf_counter()
    for batch in batches():
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - start
    return seconds, sum(len(row["input_ids"]) for row in rows), task.losses(model)


def trainer(task: Task, seed: int) -> tuple[float, int, tuple[float, float]]:
    from transformers import (
        DataCollatorForLanguageModeling,
        PreTrainedTokenizerFast,
        Trainer,
        TrainingArguments,
    )

    torch.manual_seed(seed)
    names = dict(
        zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=task.tokenizer, **names)
    model, rows = task.theirs(), task.sentence_pairs(seed)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=BATCH, num_train_epochs=1, learning_rate=RATE, weight_decay=0.01,
            warmup_steps=max(1, int(WARMUP * len(rows) / BATCH)), use_cpu=True, seed=seed, report_to=[], save_strategy="no",
            logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        run = Trainer(
            model, arguments, DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15), rows
        )
        start = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):  # it prints its own summary
            run.train()
        seconds = time.perf_counter() - start
    return seconds, sum(len(row["input_ids"]) for row in rows), task.losses(model)


METHODS: dict[str, Callable[[Task, int], tuple[float, int, tuple[float, float]]]] = {
    "textbook": textbook,
    "Trainer": trainer,
    "ours": ours,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=300_000)
    parser.add_argument("--words", type=int, default=8_000)
    parser.add_argument("--units", type=int, default=192)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    task = Task(arguments.words, arguments.units, arguments.layers, arguments.tokens)
    speeds, hidden, follows = defaultdict(list), defaultdict(list), defaultdict(list)
    runs = [
        (s, name)
        for s in range(arguments.seeds)
        for name in sorted(METHODS, key=list(METHODS).index, reverse=s % 2 == 1)
    ]
    for seed, name in tqdm(runs, disable=arguments.json):
        seconds, tokens, losses = METHODS[name](task, seed)
        speeds[name].append(tokens / seconds)
        hidden[name].append(losses[0])
        follows[name].append(losses[1])
        print(
            f"seed {seed}: {name} {speeds[name][-1]:,.0f} pieces/s, losses {losses}",
            file=sys.stderr,
            flush=True,
        )
    ratios = {
        key: [a / b for a, b in zip(speeds[one], speeds[other], strict=True)]
        for key, (one, other) in RATIOS.items()
    }
    if arguments.json:
        line: dict = {key: round(float(np.median(values)), 2) for key, values in ratios.items()}
        line |= {f"{key}_each": [round(value, 2) for value in values] for key, values in ratios.items()}
        for name in METHODS:
            line |= {f"loss_{name.lower()}": round(float(np.mean(hidden[name])), 3),
                     f"loss_{name.lower()}_each": [round(value, 3) for value in hidden[name]],
                     f"loss_follows_{name.lower()}": round(float(np.mean(follows[name])), 3)}  # fmt: skip
        line |= {"tokens": task.tokens, "vocabulary": task.words}
        line |= {"tokens_per_second": {name: round(float(np.median(v))) for name, v in speeds.items()}}
        print(json.dumps(line))
        return
    print(f"{task.tokens:,} pieces, {task.words:,} different, {task.layers} layers of {task.units} units, "
          f"{arguments.seeds} seeds, two threads, torch {torch.__version__}\n")  # fmt: skip
    print(f"{'method':<10}{'pieces/s':>10}{'masked-LM loss':>24}{'pairs, loss':>14}")
    for name, values in speeds.items():
        spread = f"{np.mean(hidden[name]):.3f} ({min(hidden[name]):.3f} to {max(hidden[name]):.3f})"
        print(f"{name:<10}{np.median(values):>10,.0f}{spread:>24}{np.mean(follows[name]):>14.3f}")
    for key, values in ratios.items():
        print(f"\n{key:<20}{np.median(values):6.1f}  ({min(values):.1f} to {max(values):.1f})", end="")
    print()


if __name__ == "__main__":
    main()
