"""Language models: how fast they are trained, and how good after the same text, beside a plain loop.

    python benchmarks/language_models.py            the 206 Wikipedia pages, a table
    python benchmarks/language_models.py --json     one line of JSON

One run, the same text, vocabulary, sizes and number of tokens for all, two threads; tokens are split as for the course's
checkpoints. Perplexity on the last 5 % of the sentences, always with all words competing. The order is reversed from seed
to seed, ratios are taken within a seed.

    plain          embedding, nn.LSTM, an output layer of its own, Adam; the loss over the whole vocabulary
    ours           training.language_models.train_language_model(), tied embedding, all words compete
    ours, sampled  the same with negatives=1024: only the words of a chunk and those drawn compete
    plain biLM     two nn.LSTM stacks, a character encoder applied to every token, padded batches in random order, an output
                   layer over the whole vocabulary for each direction, Adam
    ours, biLM     training.language_models.train_bilm(): every different word is spelled once, sentences of like length together, one
                   softmax for both directions, sampled
    Kneser-Ney     the trigram, for its perplexity; backwards for the biLMs as well
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("COURSE_PROFILE", "ci")

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.datasets import load_corpus
from course_utils.models import elmo, language_model
from course_utils.models.elmo import BiLM, CharacterEncoder
from course_utils.models.language_model import (
    KneserNey,
    LanguageModel,
    encode_sentences,
    perplexity,
    text_batches,
)
from course_utils.text import Vocabulary, pad_rows, split_tokens
from course_utils.training.language_models import train_bilm, train_language_model

RATIOS = {
    "ratio_vs_plain": ("ours, sampled", "plain"),
    "ratio_full_softmax_vs_plain": ("ours", "plain"),
    "ratio_bilm_vs_plain": ("ours, biLM", "plain biLM"),
}


class Task:
    """The text, once in the folded tokens of the language model, once in the tokens of the biLM."""

    def __init__(self, words: int, units: int, tokens: int):
        sentences = load_corpus().sentences
        cut = int(0.95 * len(sentences))
        self.words, self.units = words, units
        self.train = [split for s in sentences[:cut] if (split := split_tokens(s, fold=True))]
        self.test = [split for s in sentences[cut:] if (split := split_tokens(s, fold=True))]
        total, kept = 0, 0
        while total < tokens and kept < len(self.train):
            total, kept = total + len(self.train[kept]) + 1, kept + 1
        self.train = self.train[:kept]
        self.vocabulary = Vocabulary(self.train, max_words=words - 2)
        self.words = len(self.vocabulary) + 2
        self.text, self.held_out = (
            encode_sentences(some, self.vocabulary) for some in (self.train, self.test)
        )

    def turned(self, sentences: list[list[str]]) -> language_model.EncodedText:
        """Every sentence from its last word to its first."""
        return encode_sentences([sentence[::-1] for sentence in sentences], self.vocabulary)


class PlainModel(nn.Module):
    """What a tutorial builds."""

    def __init__(self, words: int, units: int):
        super().__init__()
        self.embedding = nn.Embedding(words, units)
        self.lstm = nn.LSTM(units, units, 2, batch_first=True, dropout=0.1)
        self.output = nn.Linear(units, words)

    def forward(
        self, ids: Tensor, state: language_model.State | None = None
    ) -> tuple[Tensor, language_model.State]:
        """(batch, length) -> logits of the next word, and the state to go on from."""
        h, state = self.lstm(self.embedding(ids), state)
        return self.output(h), state


def plain(task: Task, seed: int) -> tuple[float, dict[str, float]]:
    torch.manual_seed(seed)
    model = PlainModel(task.words, task.units)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    start, state = time.perf_counter(), None
    for inputs, targets in text_batches(task.text.ids, 32, 35):
        logits, state = model(inputs, state)
        state = state[0].detach(), state[1].detach()
        loss = F.cross_entropy(logits.reshape(-1, task.words), targets.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    seconds = time.perf_counter() - start
    return seconds, {"forwards": held_out(model, task)}


def held_out(model: nn.Module, task: Task) -> float:
    """Perplexity of the held-out text, read in one line of chunks a row."""
    model.eval()
    logs, state = [], None
    with torch.inference_mode():
        for inputs, targets in text_batches(np.concatenate([[0], task.held_out.ids]), 16, 64):
            logits, state = model(inputs, state)
            logs.append(logits.log_softmax(-1).gather(2, targets.unsqueeze(2)).flatten())
    return perplexity(torch.cat(logs).double().numpy())


def ours(negatives: int) -> Callable[[Task, int], tuple[float, dict[str, float]]]:
    def run(task: Task, seed: int) -> tuple[float, dict[str, float]]:
        torch.manual_seed(seed)
        model = LanguageModel(task.words, task.units, layers=2)
        start = time.perf_counter()
        train_language_model(
            model, task.text.ids, rows=32, length=35, rate=4e-3, negatives=negatives, seed=seed
        )
        seconds = time.perf_counter() - start
        return seconds, {"forwards": held_out(model, task)}

    return run


def bilm(task: Task, seed: int) -> tuple[float, dict[str, float]]:
    torch.manual_seed(seed)
    model = BiLM(task.words, task.units)
    start = time.perf_counter()
    train_bilm(model, elmo.encode_words(task.train, task.vocabulary), seed=seed)
    seconds = time.perf_counter() - start
    ahead, back = elmo.log_probabilities(model, elmo.encode_words(task.test, task.vocabulary))
    return seconds, {"forwards": perplexity(ahead), "backwards": perplexity(back)}


class PlainBiLM(nn.Module):
    """Two independent stacks and two output layers over one character encoder, as one writes it down first."""

    def __init__(self, words: int, units: int):
        super().__init__()
        self.encoder = CharacterEncoder(units)
        self.lstms = nn.ModuleList(nn.LSTM(units, units, 2, batch_first=True, dropout=0.1) for _ in range(2))
        self.outputs = nn.ModuleList(nn.Linear(units, words) for _ in range(2))

    def forward(self, characters: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, length, characters) -> logits of the next and of the preceding token at each place."""
        x = self.encoder(characters.flatten(0, 1)).view(*characters.shape[:2], -1)
        ahead = self.outputs[0](self.lstms[0](x)[0])
        return ahead, self.outputs[1](self.lstms[1](x.flip(1))[0].flip(1))


def plain_bilm(task: Task, seed: int) -> tuple[float, dict[str, float]]:
    torch.manual_seed(seed)
    model = PlainBiLM(task.words, task.units)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    text, held = (elmo.encode_words(some, task.vocabulary) for some in (task.train, task.test))

    def losses(part: elmo.Sentences, some: list[int], reduction: str) -> tuple[Tensor, Tensor]:
        ids, mask = pad_rows([part.rows[i] for i in some])
        tokens = torch.from_numpy(part.targets)[ids].masked_fill(mask == 0, -100)
        ahead, back = model(part.spelled[ids])
        return tuple(
            F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=-100, reduction=reduction)
            for logits, wanted in ((ahead[:, :-1], tokens[:, 1:]), (back[:, 1:], tokens[:, :-1]))
        )

    start = time.perf_counter()
    for some in torch.randperm(len(text.rows)).split(64):
        ahead, back = losses(text, some.tolist(), "mean")
        optimizer.zero_grad()
        ((ahead + back) / 2).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    seconds = time.perf_counter() - start
    model.eval()
    n = sum(len(row) - 1 for row in held.rows)
    with torch.inference_mode():
        sums = sum(
            torch.stack(losses(held, list(some), "sum")) for some in torch.arange(len(held.rows)).split(64)
        )
    return seconds, dict(zip(("forwards", "backwards"), (sums / n).exp().tolist(), strict=True))


METHODS: dict[str, Callable[[Task, int], tuple[float, dict[str, float]]]] = {
    "plain": plain,
    "ours": ours(0),
    "ours, sampled": ours(1024),
    "plain biLM": plain_bilm,
    "ours, biLM": bilm,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=200_000)
    parser.add_argument("--words", type=int, default=12_000)
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    task = Task(arguments.words, arguments.units, arguments.tokens)
    counted = {
        "forwards": KneserNey(task.words).fit(task.text).log_probabilities(task.held_out),
        "backwards": KneserNey(task.words)
        .fit(task.turned(task.train))
        .log_probabilities(task.turned(task.test)),
    }
    speeds, scores = defaultdict(list), defaultdict(lambda: defaultdict(list))
    for seed in range(arguments.seeds):
        for name in list(METHODS)[:: 1 if seed % 2 == 0 else -1]:
            seconds, found = METHODS[name](task, seed)
            speeds[name].append(len(task.text) / seconds)
            for direction, value in found.items():
                scores[name][direction].append(value)
            print(
                f"seed {seed}: {name} {speeds[name][-1]:,.0f} tokens/s, {found}", file=sys.stderr, flush=True
            )
    ratios = {
        key: [a / b for a, b in zip(speeds[one], speeds[other], strict=True)]
        for key, (one, other) in RATIOS.items()
    }
    trigram = {direction: perplexity(logs) for direction, logs in counted.items()}
    if arguments.json:
        line: dict = {key: round(float(np.median(values)), 2) for key, values in ratios.items()}
        line |= {f"{key}_each": [round(value, 2) for value in values] for key, values in ratios.items()}
        line |= {
            "perplexity": {name: {d: float(np.mean(v)) for d, v in s.items()} for name, s in scores.items()}
        }
        line |= {"perplexity_trigram": trigram, "tokens": len(task.text), "vocabulary": task.words}
        line |= {
            "tokens_per_second": {name: round(float(np.median(values))) for name, values in speeds.items()}
        }
        print(json.dumps(line))
        return
    print(f"{len(task.text):,} tokens, {task.words:,} different, {task.units} units, {arguments.seeds} seeds, "
          f"two threads, torch {torch.__version__}\n")  # fmt: skip
    print(f"{'method':<16}{'tokens/s':>10}   {'perplexity forwards':>20}{'backwards':>16}")
    for name, values in speeds.items():
        cells = "".join(
            f"{np.mean(v):>10.0f} ±{np.std(v):<5.0f}" if (v := scores[name][d]) else ""
            for d in ("forwards", "backwards")
        )
        print(f"{name:<16}{np.median(values):>10,.0f}   {cells}")
    print(f"{'Kneser-Ney':<16}{'':>10}   {trigram['forwards']:>10.0f}{'':>7}{trigram['backwards']:>10.0f}\n")
    for key, values in ratios.items():
        print(f"{key:<30}{np.median(values):6.1f}  ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()
