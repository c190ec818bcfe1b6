"""The methods of lecture 10 side by side: spam F1 on the SMS Spam Collection.

    python benchmarks/spam_recipes.py              tables, five splits
    python benchmarks/spam_recipes.py --seeds 15   more splits; the improved recipe was chosen on the first five
    python benchmarks/spam_recipes.py --json       one line of JSON

Splits are those of load_sms(split="clean", seed=...): 70/15/15, stratified, no message in two of them. Every method fits on
`train` only and decides at one half; the tutorial's head also takes its best epoch from `validation`. The tutorial's recipe
runs on stored vectors: its frozen encoder in eval mode, not with dropout left on (benchmarks/frozen_encoder.py runs the
loop itself).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import numpy as np
import pandas as pd
import torch
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from course_utils.baselines import opponents
from course_utils.datasets import load_sms
from course_utils.features import Encoder, encode, load_encoder
from course_utils.results import interval
from course_utils.text import split_tokens
from course_utils.training import Examples, balanced_weights, fit, predict
from course_utils.training.heads import ClassifierHead

LAYERS = (3, 4, 5, 6)
CHOSEN_ON = 5  # layers, pooling and C were chosen looking at the clean splits 0 to 4
IMPROVED, TUTORIAL, WORDS, CHARACTERS, BAYES = (
    "frozen, improved", "frozen, the tutorial's recipe", "words", "characters", "naive Bayes",
)  # fmt: skip

Parts = dict[str, pd.DataFrame]
Method = Callable[[Parts, int], np.ndarray]


def load(split: str, seed: int = 0, *, profile: str = "laptop") -> pd.DataFrame:
    """The used rows of a split: the real collection, or with profile ci the stand-in; never one for the other."""
    frame = load_sms(split=split, seed=seed, profile=profile)
    if frame.attrs["real"] != (profile != "ci"):
        raise SystemExit("The real collection could not be had. Set COURSE_MIRROR to a folder that holds it.")
    return frame[frame["split"] != "unused"]


def parts_of(frame: pd.DataFrame) -> Parts:
    return {str(name): rows for name, rows in frame.groupby("split")}


# ---- the methods: each fits on train and returns its verdicts on test


def counting() -> dict[str, Pipeline]:
    """The strongest counts on this task: words with every digit folded to 0, characters with the digits as they are."""
    folded, typed = (
        opponents(partial(split_tokens, fold=True)),
        opponents(lambda text: split_tokens(text.lower())),
    )
    return {BAYES: folded["naive Bayes"], WORDS: folded["words"], CHARACTERS: typed["characters"]}


def improved_head(C: float = 0.1) -> Pipeline:
    # Dead units of the encoder would be scaled up to noise.
    return make_pipeline(VarianceThreshold(1e-9), StandardScaler(), LogisticRegression(C=C, max_iter=3000))


def counted(opponent: Pipeline) -> Method:
    def run(parts: Parts, seed: int) -> np.ndarray:
        return opponent.fit(parts["train"]["text"], parts["train"]["label"]).predict(parts["test"]["text"])

    return run


class Vectors:
    """Vectors of texts from a frozen encoder, each set of texts and settings encoded once.

    Mean and maximum of layers 3 to 6 come from one pass, and the ablations are slices of it.
    """

    def __init__(self, encoder: Encoder, texts: Sequence[str]):
        self.encoder, self.texts = encoder, list(dict.fromkeys(texts))
        self.row = {text: i for i, text in enumerate(self.texts)}
        self._kept: dict[Any, np.ndarray] = {}

    def _encoded(self, **settings: Any) -> np.ndarray:
        key = tuple(settings.items())
        if key not in self._kept:
            self._kept[key] = encode(self.texts, self.encoder, **settings)
        return self._kept[key]

    def summary(self, rows: pd.DataFrame, max_length: int = 25) -> np.ndarray:
        """(n, hidden): BERT's pooler, or [CLS] where the encoder's pooler was never trained."""
        vectors = self._encoded(pooling=self.encoder.summary, max_length=max_length)
        return vectors[[self.row[text] for text in rows["text"]]]

    def states(self, rows: pd.DataFrame, *, max_length: int = 128, maximum: bool = True,
               layers: Sequence[int] = LAYERS) -> np.ndarray:  # fmt: skip
        """(n, layers x hidden), with the maximum twice as wide: mean and maximum of each layer."""
        stored = self._encoded(pooling="mean+max", max_length=max_length, layers=LAYERS)
        chosen = stored[[self.row[t] for t in rows["text"]]].reshape(
            len(rows), len(LAYERS), 2, self.encoder.hidden_size
        )
        chosen = chosen[:, [LAYERS.index(layer) for layer in layers], : 2 if maximum else 1]
        return chosen.reshape(len(rows), -1)


def improved(vectors: Vectors, head: Callable[[], Any] = improved_head, **settings: Any) -> Method:
    def run(parts: Parts, seed: int) -> np.ndarray:
        fitted = head().fit(vectors.states(parts["train"], **settings), parts["train"]["label"])
        return fitted.predict(vectors.states(parts["test"], **settings))

    return run


def tutorial(vectors: Vectors, epochs: int = 10) -> Method:
    def run(parts: Parts, seed: int) -> np.ndarray:
        data = {
            name: Examples({"features": torch.tensor(vectors.summary(rows))}, rows["label"].to_numpy())
            for name, rows in parts.items()
        }
        torch.manual_seed(seed)
        head = ClassifierHead(vectors.encoder.hidden_size)
        fit(head, data["train"], data["validation"], epochs=epochs,
            class_weights=balanced_weights(parts["train"]["label"]), seed=seed)  # fmt: skip
        return predict(head, data["test"])[:, 1] >= 0.5

    return run


def methods(vectors: Vectors) -> dict[str, Method]:
    """The final table of lecture 10."""
    return {
        **{name: counted(opponent) for name, opponent in counting().items()},
        TUTORIAL: tutorial(vectors),
        IMPROVED: improved(vectors),
    }


def ablations(vectors: Vectors) -> dict[str, Method]:
    """The improved recipe with one thing switched off, or changed, at a time."""

    def raw(C: float) -> Callable[[], LogisticRegression]:
        return lambda: LogisticRegression(C=C, max_iter=3000)

    return {
        "last layer only": improved(vectors, layers=(6,)),
        "mean only": improved(vectors, maximum=False),
        "cut at 25 pieces": improved(vectors, max_length=25),
        "not standardised": improved(vectors, raw(0.1)),
        "not standardised, C = 10": improved(vectors, raw(10)),  # C means less where features are small
        "all four off (C = 10)": improved(vectors, raw(10), layers=(6,), maximum=False, max_length=25),
    }


# ---- the measurement


def measure(
    methods: dict[str, Method], seeds: Sequence[int], *, profile: str = "laptop"
) -> tuple[dict, dict]:
    """Spam F1 of every method for every clean split, and the seconds of one split (vectors already stored)."""
    scores: dict[str, list[float]] = {name: [] for name in methods}
    seconds = dict.fromkeys(methods, 0.0)
    for seed in seeds:
        parts = parts_of(load("clean", seed, profile=profile))
        for name, method in methods.items():
            start = time.perf_counter()
            verdict = method(parts, seed)
            seconds[name] += (time.perf_counter() - start) / len(seeds)
            scores[name].append(float(f1_score(parts["test"]["label"], verdict)))
    return scores, seconds


def verdict_scores(labels: Sequence[int], verdict: np.ndarray) -> dict[str, float]:
    measures = {
        "precision": precision_score,
        "recall": recall_score,
        "f1": f1_score,
        "accuracy": accuracy_score,
    }
    return {name: float(function(labels, verdict)) for name, function in measures.items()}


def seed_split(methods: dict[str, Method], head_seeds: Sequence[int]) -> dict[str, dict[str, float]]:
    """The tutorial's own split, duplicates included: mean over seeds of the head where a head has one."""
    parts = parts_of(load("seed"))
    found = {}
    for name, method in methods.items():
        runs = [
            verdict_scores(parts["test"]["label"], method(parts, seed))
            for seed in (head_seeds if name == TUTORIAL else head_seeds[:1])
        ]
        found[name] = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
        found[name] |= {
            "f1_lowest": min(run["f1"] for run in runs),
            "f1_highest": max(run["f1"] for run in runs),
            "n": len(parts["test"]),
        }
    return found


def paired(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """The difference over the same splits. `low`, `high`: t-interval. `wide_low`, `wide_high`: the same, corrected for
    splits that share most of their messages (Nadeau & Bengio 2003), as random splits of one collection do."""
    difference = np.subtract(ours, theirs)
    mean, low, high = interval(difference)
    half = (high - mean) * math.sqrt(1 + len(difference) * 0.15 / 0.7)
    wins = (int((difference > 0).sum()), int((difference == 0).sum()), int((difference < 0).sum()))
    return {"mean": mean, "low": low, "high": high, "wide_low": mean - half, "wide_high": mean + half,
            "won_tied_lost": wins}  # fmt: skip


def table(scores: dict[str, list[float]], best: list[float]) -> pd.DataFrame:
    rows = []
    for name, values in scores.items():
        mean, low, high = interval(values)
        row = {"method": name, "spam F1": f"{mean:.3f} ({low:.3f} to {high:.3f})"}
        row["of splits 0-4"] = " ".join(f"{value:.3f}"[1:] for value in values[:CHOSEN_ON])
        if len(values) > CHOSEN_ON:
            row["mean of 0-4"], row["of the others"] = (
                f"{np.mean(part):.3f}" for part in (values[:CHOSEN_ON], values[CHOSEN_ON:])
            )
        gain = paired(best, values)
        row["improved is better by"] = (
            "" if values is best
            else f"{gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"
        )  # fmt: skip
        row["corrected"] = "" if values is best else f"({gain['wide_low']:+.3f} to {gain['wide_high']:+.3f})"
        row["won/tied/lost"] = "" if values is best else "/".join(map(str, gain["won_tied_lost"]))
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many clean splits, from 0")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be 2 or more: one split has no interval.")
    seeds = range(arguments.seeds)

    vectors = Vectors(load_encoder("minilm", device="cpu"), load_sms(profile="laptop")["text"])
    compared, switched_off = methods(vectors), ablations(vectors)
    scores, seconds = measure(compared | switched_off, seeds)
    best = scores[IMPROVED]
    published = seed_split(compared, range(5))
    if arguments.json:
        line = {
            "f1": scores,
            "interval": {name: interval(values) for name, values in scores.items()},
            "improved_minus": {name: paired(best, v) for name, v in scores.items() if name != IMPROVED},
            "seconds": {name: round(value, 2) for name, value in seconds.items()},
            "seed_split": published,
            "seeds": list(seeds),
        }
        print(json.dumps(line))
        return
    print(
        f"Spam F1 on clean splits {seeds[0]} to {seeds[-1]} of the real collection, 95 % intervals over the splits."
    )
    print("'corrected': the interval widened for splits that share messages (Nadeau & Bengio 2003).\n")
    print(table({name: scores[name] for name in compared}, best).to_string(index=False))
    print("\nThe improved recipe with one thing off:\n")
    print(table({name: scores[name] for name in (IMPROVED, *switched_off)}, best).to_string(index=False))
    print("\nThe tutorial's own split, with its duplicates (the tutorial's recipe: mean of five heads):\n")
    print(pd.DataFrame(published).T.astype({"n": int}).round(3).to_string())
    print("\nSeconds a split on stored vectors:", {name: round(value, 1) for name, value in seconds.items()})


if __name__ == "__main__":
    main()
