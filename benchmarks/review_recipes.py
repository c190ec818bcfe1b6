"""Movie reviews, the course's second task: accuracy by the number of labels, and how real the stand-in is.

    python benchmarks/review_recipes.py         tables, five splits; MiniLM takes minutes on a CPU
    python benchmarks/review_recipes.py --json  one line of JSON

Splits are those of load_reviews(seed=...): every method fits on as many training sentences of each label,
decides at one half, and is scored on the split's test sentences. Nothing is tuned: words and characters are
the recipes of the spam benchmark, the encoder's vector is the mean over the last layer's tokens,
standardised. Transfer: trained on the stand-in alone, scored on the real sentences. Telling apart: as many
real as stand-in sentences of each label, five-fold; chance is 0.5.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import pandas as pd
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from spam_recipes import Vectors
from standin_realism import characters, telling_apart, words

from course_utils.datasets import load_reviews
from course_utils.features import load_encoder
from course_utils.results import interval

SIZES = (100, 300, None)  # training sentences; None: all
WORDS, CHARACTERS, ENCODER = METHODS = ("TF-IDF words", "TF-IDF characters", "MiniLM, mean")


def load(profile: str, seed: int = 0) -> pd.DataFrame:
    """The used sentences of a split: the real ones, or with profile ci the stand-in."""
    frame = load_reviews(seed=seed, profile=profile)
    if frame.attrs["real"] != (profile != "ci"):
        raise SystemExit("The real sentences are not here. Set COURSE_MIRROR to a folder that holds them.")
    return frame[frame["split"] != "unused"]


def verdicts(method: str, train: pd.DataFrame, test: pd.DataFrame, vectors: Vectors) -> np.ndarray:
    """What a method that saw ``train`` says of ``test``, (n,)."""
    if method != ENCODER:
        model = words() if method == WORDS else characters()
        return model.fit(train["text"], train["label"]).predict(test["text"])
    head = make_pipeline(VarianceThreshold(1e-9), StandardScaler(), LogisticRegression(C=0.01, max_iter=3000))
    seen, asked = (vectors.states(rows, layers=(6,), maximum=False) for rows in (train, test))
    return head.fit(seen, train["label"]).predict(asked)


def learning_curve(profile: str, vectors: Vectors, seeds: range) -> pd.DataFrame:
    """Accuracy on the test sentences: method, labels, mean and 95 % interval over the splits."""
    scores: dict[tuple[str, str], list[float]] = {}
    for seed in seeds:
        frame = load(profile, seed)
        train, test = (frame[frame["split"] == name] for name in ("train", "test"))
        for size in SIZES:
            seen = train.groupby("label").sample(size // 2, random_state=seed) if size else train
            for method in METHODS:
                right = verdicts(method, seen, test, vectors) == test["label"]
                scores.setdefault((method, str(size or "all")), []).append(float(right.mean()))
    rows = [(*key, *interval(values)) for key, values in scores.items()]
    return pd.DataFrame(rows, columns=["method", "labels", "mean", "low", "high"])


def transfer(standin: pd.DataFrame, real: pd.DataFrame, vectors: Vectors) -> dict[str, float]:
    """Accuracy on the real sentences of models that saw the stand-in only."""
    return {
        method: float((verdicts(method, standin, real, vectors) == real["label"]).mean())
        for method in METHODS
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many splits")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    standin, real = load("ci"), load("laptop")
    vectors = Vectors(load_encoder("minilm", device="cpu"), [*standin["text"], *real["text"]])
    seeds = range(arguments.seeds)
    curves = {name: learning_curve(profile, vectors, seeds) for name, profile in
              (("stand-in", "ci"), ("real", "laptop"))}  # fmt: skip
    carried, apart = transfer(standin, real, vectors), telling_apart(standin, real)["accuracy"]
    if arguments.json:
        tables = {name: curve.to_dict("records") for name, curve in curves.items()}
        print(json.dumps({"curves": tables, "transfer": carried, "telling_apart": apart}))
        return
    for name, curve in curves.items():
        print(f"{name}: accuracy, {arguments.seeds} splits\n{curve.round(3).to_string(index=False)}\n")
    print(f"Trained on {len(standin)} stand-in sentences, scored on {len(real)} real ones:")
    print("\n".join(f"{method:20}{accuracy:.3f}" for method, accuracy in carried.items()))
    print(f"Real or stand-in? Right for {apart:.1%} (chance 50 %).")


if __name__ == "__main__":
    main()
