"""Questions and the passages that answer them, in SQuAD's form: an answer is a piece of the passage."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from course_utils.assets import AssetError, resolve
from course_utils.datasets.messages import read_json, sourced, stratified
from course_utils.session import current_profile


def load_questions(*, language: str = "en", seed: int = 0, profile: str | None = None) -> pd.DataFrame:
    """XQuAD: 1,190 questions on 240 passages; for English in ``gpu``, SQuAD 1.1; else the stand-in, in English.

    The splits are drawn by passage: who has learned from one of its questions has seen it. XQuAD's languages
    are translations of one another, row by row, in the same splits, of passages of SQuAD's development file,
    which is all ``test`` here. Both ask only what the passage answers.

    Args:
        language: ``en``, ``es`` or ``tr`` (profile ``ci`` has English only).
        seed: another split of the same kind, 70/15/15 % of the passages (SQuAD's training file: 85/15/0 %).
        profile: ``ci``, ``laptop`` or ``gpu``; by default the one in force. ``ci`` reads the stand-in.

    Returns:
        One row per question in the files' order, with ``question``, ``context`` (to strip it would move the
        answers), ``answers`` (a tuple of the texts that count as right; empty if the passage does not say),
        ``starts`` (a tuple: the character at which each begins), ``group`` (int64, the passage's number) and
        ``split``: ``train``, ``validation``, ``test``. ``attrs`` as for :func:`load_reviews`.

    Raises:
        ValueError: for a wrong language or seed, or a file that is malformed (with the question) or short.
        course_utils.assets.AssetError: if the files cannot be had, and no stand-in in that language.
    """
    if language not in ("en", "es", "tr"):
        raise ValueError(f"language must be one of en, es, tr, not {language!r}.")
    squad = language == "en" and current_profile(profile) == "gpu"
    asset = resolve("squad" if squad else "xquad", profile=profile)
    if not asset.real and language != "en":
        raise AssetError(f"The stand-in is in English. For {language!r}, use profile laptop and a network.")
    files = asset.files if squad or not asset.real else [f"xquad.{language}.json"]
    parts = [list(_read(asset.path(file))) for file in files]
    frame = pd.DataFrame([r for p in parts for r in p], columns=["question", "context", "answers", "starts"])
    group, passages = pd.factorize(frame["context"])
    if len(passages) < 10:
        raise ValueError(f"{asset.folder} has {len(passages)} passages; splits need at least ten.")
    drawn = stratified(np.zeros(len(passages), int), np.ones(len(passages), bool), seed)[group]
    if len(parts) == 2:  # SQuAD's own: the second file is for testing, and nothing of the first
        drawn[drawn == "test"] = "train"
        drawn[len(parts[0]) :] = "test"
    return sourced(frame.assign(group=group.astype(np.int64), split=drawn), asset)


def _read(path: Path) -> Iterator[tuple[str, str, tuple[str, ...], tuple[int, ...]]]:
    """The questions of one file: question, context, answers, starts; each answer stands where the file says."""
    place = f"{path}, the beginning"
    try:
        for passage in (part for article in read_json(path)["data"] for part in article["paragraphs"]):
            for entry in passage["qas"]:
                place, context = f"{path}, question {entry['question']!r}", passage["context"]
                found = [(answer["text"], answer["answer_start"]) for answer in entry["answers"]]
                for text, start in found:
                    if start < 0 or not text.strip() or not context.startswith(text, start):
                        raise ValueError(f"{place}: the answer {text!r} is not at character {start}.")
                if not entry["question"].strip() or bool(found) == entry.get("is_impossible", False):
                    raise ValueError(f"{place}: expected a question, and answers unless it is_impossible.")
                yield entry["question"], context, tuple(t for t, _ in found), tuple(s for _, s in found)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{place}, or just after it: this is not in SQuAD's form ({error}).") from error
