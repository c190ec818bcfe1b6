"""How real are the stand-ins of pairs, claims and parts of speech? Simple models, scored on them and on the real files.

    python benchmarks/sentence_standins.py         a table
    python benchmarks/sentence_standins.py --json  one line of JSON

Pairs: accuracy of "paraphrase" for every pair, and of a logistic regression on five counts of shared words and numbers.
Claims: F1 of a claim for every sentence, and of a logistic regression on words. Tags: accuracy of each word's most frequent
tag. All five-fold, on as many rows of the real file as the stand-in has; the last column trains on the stand-in and scores on the
real file. Telling apart: a classifier of words is asked "real or stand-in?"; chance is .5.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from standin_realism import telling_apart, words

from course_utils.datasets import load_claims, load_pairs, load_parts_of_speech

Score = Callable[[np.ndarray, np.ndarray], float]


def words_of(text: str) -> list[str]:
    """The words and numbers of a text in lower case, apostrophes kept inside them."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.casefold())


def jaccard(first: str, second: str) -> float:
    """Shared words over all words of two sentences, from 0 to 1."""
    one, other = set(words_of(first)), set(words_of(second))
    return len(one & other) / len(one | other)


def overlaps(pairs: pd.DataFrame) -> np.ndarray:
    """Five counts a pair, (n, 5): shared words two ways, difference and minimum of lengths, the same numbers or not."""
    rows = []
    for first, second in zip(pairs["first"], pairs["second"], strict=True):
        one, other = words_of(first), words_of(second)
        shared, least = len(set(one) & set(other)), min(len(set(one)), len(set(other)))
        numbers = {word for word in one if word.isdigit()} == {word for word in other if word.isdigit()}
        lengths = [abs(len(one) - len(other)), min(len(one), len(other))]
        rows.append([jaccard(first, second), shared / least, *lengths, numbers])
    return np.array(rows, float)


def crossed(model: ClassifierMixin, inputs: object, labels: np.ndarray, score: Score) -> float:
    """Five-fold score of a model."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float(score(labels, cross_val_predict(model, inputs, labels, cv=folds)))


def of_pairs(standin: pd.DataFrame, real: pd.DataFrame) -> dict[str, float]:
    """Accuracy of the constant answer and of shared words, in both; and how well the two are told apart."""
    model = make_pipeline(FunctionTransformer(overlaps), StandardScaler(), LogisticRegression())
    some = real.sample(len(standin), random_state=0)
    fitted = model.fit(standin, standin["label"])
    return {
        "constant": float(standin["label"].mean()),
        "constant_real": float(real["label"].mean()),
        "score": crossed(model, standin, standin["label"].to_numpy(), accuracy_score),
        "score_real": crossed(model, some, some["label"].to_numpy(), accuracy_score),
        "transfer": float(accuracy_score(real["label"], fitted.predict(real))),
        "told_apart": telling_apart(*(_one_text(part) for part in (standin, real)), range(2))["accuracy"],
    }


def _one_text(pairs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"text": pairs["first"], "label": pairs["label"]})


def of_claims(standin: pd.DataFrame, real: pd.DataFrame) -> dict[str, float]:
    """F1 of the constant answer and of words, in both; and how well the two are told apart."""
    some = real.sample(len(standin), random_state=0)
    share = {name: float(part["label"].mean()) for name, part in (("standin", standin), ("real", real))}
    fitted = words().fit(standin["text"], standin["label"])
    return {
        "constant": 2 * share["standin"] / (1 + share["standin"]),
        "constant_real": 2 * share["real"] / (1 + share["real"]),
        "score": crossed(words(), standin["text"].to_numpy(), standin["label"].to_numpy(), f1_score),
        "score_real": crossed(words(), some["text"].to_numpy(), some["label"].to_numpy(), f1_score),
        "transfer": float(f1_score(real["label"], fitted.predict(real["text"]))),
        "told_apart": telling_apart(standin, real, range(2))["accuracy"],
    }


def of_tags(standin: pd.DataFrame, real: pd.DataFrame) -> dict[str, float]:
    """Accuracy of *NOUN* for every token, and of each word's most frequent tag (NOUN where unknown), in both."""
    some = real.sample(len(standin), random_state=0)
    return {
        "constant": tag_shares(standin)["NOUN"],
        "constant_real": tag_shares(real)["NOUN"],
        "score": _most_frequent_five_fold(standin),
        "score_real": _most_frequent_five_fold(some),
        "transfer": most_frequent(standin, real),
    }


def tag_shares(frame: pd.DataFrame) -> dict[str, float]:
    """The share of tokens that has each tag."""
    counts = Counter(tag for tags in frame["tags"] for tag in tags)
    return {tag: count / counts.total() for tag, count in counts.items()}


def tags_by_word(frame: pd.DataFrame) -> dict[str, Counter[str]]:
    """How often each word, in lower case, has each tag."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for tokens, tags in zip(frame["tokens"], frame["tags"], strict=True):
        for token, tag in zip(tokens, tags, strict=True):
            counts[token.casefold()][tag] += 1
    return dict(counts)


def most_frequent(train: pd.DataFrame, test: pd.DataFrame) -> float:
    """Accuracy on the tokens of ``test`` of the tag that each word most often has in ``train``."""
    known = {word: counts.most_common(1)[0][0] for word, counts in tags_by_word(train).items()}
    pairs = [pair for row in test.itertuples() for pair in zip(row.tokens, row.tags, strict=True)]
    return float(np.mean([known.get(token.casefold(), "NOUN") == tag for token, tag in pairs]))


def _most_frequent_five_fold(frame: pd.DataFrame) -> float:
    fold = np.random.default_rng(0).permutation(len(frame)) % 5
    return float(np.mean([most_frequent(frame[fold != k], frame[fold == k]) for k in range(5)]))


def load(task: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The stand-in and the real rows of ``pairs``, ``claims`` (without the experts' and repetitions) or ``tags``.

    Raises:
        SystemExit: without the real data, saying how to name its folder.
    """
    loader = {"pairs": load_pairs, "claims": load_claims, "tags": load_parts_of_speech}[task]
    standin, real = loader(profile="ci"), loader(profile="laptop")
    if not real.attrs["real"]:
        raise SystemExit("This needs the real data: set COURSE_MIRROR to the folder that holds them.")
    return standin, real[~real["split"].isin(["expert", "unused"])].reset_index(drop=True)


MEASURES = {"pairs": of_pairs, "claims": of_claims, "tags": of_tags}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = {task: of(*load(task)) for task, of in MEASURES.items()}
    print(json.dumps(found) if arguments.json else pd.DataFrame(found).T.round(3).to_string())


if __name__ == "__main__":
    main()
