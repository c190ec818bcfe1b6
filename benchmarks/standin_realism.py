"""How real is the stand-in? Train on it alone, score on the real SMS Spam Collection; then try to tell the two apart.

    python benchmarks/standin_realism.py         tables
    python benchmarks/standin_realism.py --json  one line of JSON

Scored on the messages of load_sms(split="clean"): the real collection, every message once. The recipes are those of lecture
10 and decide at one half; nothing is tuned on the real data, neither C nor the threshold.
Telling apart: a balanced sample with the same share of spam on both sides, digits folded to 0, five-fold; chance is 0.5.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from spam_recipes import Vectors, improved_head, load, verdict_scores

from course_utils.features import load_encoder


def words() -> Pipeline:
    """Words and pairs of words by TF-IDF, under a logistic regression."""
    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), regression())


def characters() -> Pipeline:
    """The same on all runs of two to five characters inside words."""
    return make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True), regression()
    )


def regression() -> LogisticRegression:
    return LogisticRegression(C=30, class_weight="balanced", max_iter=1000)


def transfer(standin: pd.DataFrame, real: pd.DataFrame, vectors: Vectors) -> dict[str, dict[str, float]]:
    """Spam precision, recall, F1 and accuracy on the real messages of models that saw the stand-in only; and the F1 on
    those that are not near duplicates either, where each campaign counts about once."""
    verdicts = {}
    for name, make in {"TF-IDF words": words, "TF-IDF characters": characters}.items():
        verdicts[name] = make().fit(standin["text"], standin["label"]).predict(real["text"])
    head = improved_head().fit(vectors.states(standin), standin["label"])
    verdicts["frozen encoder"] = head.predict(vectors.states(real))
    first = (real["duplicate"] == "").to_numpy()
    return {
        name: verdict_scores(real["label"], verdict)
        | {"f1_without_near": verdict_scores(real["label"][first], verdict[first])["f1"]}
        for name, verdict in verdicts.items()
    }


def balanced_sample(standin: pd.DataFrame, real: pd.DataFrame, seed: int) -> pd.DataFrame:
    """As many real as stand-in messages of each label: text, label, real."""
    chosen = []
    for label in (0, 1):
        sides = {False: standin[standin["label"] == label], True: real[real["label"] == label]}
        size = min(map(len, sides.values()))
        chosen += [rows.sample(size, random_state=seed).assign(real=side) for side, rows in sides.items()]
    sample = pd.concat(chosen, ignore_index=True)
    return sample.assign(text=sample["text"].str.replace(r"\d", "0", regex=True), unfolded=sample["text"])


def teller() -> Pipeline:
    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10, max_iter=1000))


def telling_apart(standin: pd.DataFrame, real: pd.DataFrame, seeds: range = range(3)) -> dict[str, float]:
    """Accuracy of the classifier asked 'real or stand-in?', five-fold, over all messages and for ham and spam alone."""
    runs = []
    for seed in seeds:
        sample = balanced_sample(standin, real, seed)
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        # Folds alike in origin and label, so that no fold is short of spam.
        splits = list(folds.split(sample, 2 * sample["real"] + sample["label"]))
        right = cross_val_predict(teller(), sample["text"], sample["real"], cv=splits) == sample["real"]
        runs.append([right.mean(), right[sample["label"] == 0].mean(), right[sample["label"] == 1].mean()])
    mean = np.mean(runs, axis=0)
    return {"accuracy": float(mean[0]), "ham": float(mean[1]), "spam": float(mean[2]), "messages": len(sample),
            "highest": float(np.max(runs, axis=0)[0])}  # fmt: skip


def realism() -> dict[str, Any]:
    """The whole measurement: ``transfer`` by model, ``telling_apart``, and how many messages were used."""
    standin, real = load("clean", profile="ci"), load("clean")
    vectors = Vectors(load_encoder("minilm", device="cpu"), [*standin["text"], *real["text"]])
    return {
        "transfer": transfer(standin, real, vectors),
        "telling_apart": telling_apart(standin, real),
        "messages": {"stand-in": len(standin), "real": len(real)},
        "spam": {"stand-in": int(standin["label"].sum()), "real": int(real["label"].sum())},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = realism()
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"Trained on {found['messages']['stand-in']} stand-in messages ({found['spam']['stand-in']} spam), scored on "
          f"{found['messages']['real']} real ones ({found['spam']['real']} spam):\n")  # fmt: skip
    print(pd.DataFrame(found["transfer"]).T.round(3).to_string())
    apart = found["telling_apart"]
    print(f"\nReal or stand-in? Right for {apart['accuracy']:.1%} of {apart['messages']} messages "
          f"(ham {apart['ham']:.1%}, spam {apart['spam']:.1%}; chance 50 %).")  # fmt: skip


if __name__ == "__main__":
    main()
