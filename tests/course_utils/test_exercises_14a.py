"""Lecture 14a: right answers that must pass, and wrong ones that are no named mistake of the exercise."""

from typing import ClassVar

import numpy as np
import pandas as pd
from exercise_contract import ExerciseContract

from course_utils.exercises.lecture_14a import check_keys, check_turkish_lower, check_without_language

# --- answers: the first ones of each list are right; the others come with a piece of their diagnosis


def by_pandas(vectors, languages):
    frame = pd.DataFrame(vectors)
    return (frame - frame.groupby(list(languages)).transform("mean")).to_numpy()


def by_loop(vectors, languages):
    result = np.array(vectors, dtype=float)
    for code in set(languages):
        rows = [i for i, name in enumerate(languages) if name == code]
        result[rows] = result[rows] - result[rows].mean(axis=0)
    return result


def by_one_hot(vectors, languages):
    """A projection: what the languages' indicators explain is taken off."""
    codes = sorted(set(languages))
    sides = np.array([[float(name == code) for code in codes] for name in languages])
    return vectors - sides @ np.linalg.lstsq(sides, vectors, rcond=None)[0]


def in_place(vectors, languages):
    for code in set(languages):
        vectors[np.array(languages) == code] -= vectors[np.array(languages) == code].mean(0)
    return vectors


def one_language_only(vectors, languages):
    rows = np.array(languages) == languages[0]
    return vectors[rows] - vectors[rows].mean(0)


def by_median(vectors, languages):
    codes = np.array(languages)
    return vectors - np.stack([np.median(vectors[codes == code], axis=0) for code in languages])


def lower_by_table(text):
    return text.translate(str.maketrans("Iİ", "ıi")).lower()


def lower_by_letter(text):
    return "".join({"I": "ı", "İ": "i"}.get(letter, letter.lower()) for letter in text)


def lower_after_cleaning(text):
    """The dot is cleaned away, and I with it."""
    return text.lower().replace("\u0307", "")


def lower_first_letter(text):
    return lower_by_table(text[:1]) + text[1:]


def keys_by_loop(word, shown):
    typed = 0
    while typed < len(word):
        if word in shown[typed]:
            return typed + 1
        typed += 1
    return len(word) + 1


def keys_by_list(word, shown):
    at = [typed for typed, words in enumerate(shown) if word in words]
    return min([*at, len(word)]) + 1


def says_none(word, shown):
    for typed, words in enumerate(shown):
        if word in words:
            return typed + 1


def a_share(word, shown):
    return keys_by_list(word, shown) / (len(word) + 1)


class TestExercises(ExerciseContract):
    exercises: ClassVar = {
        check_without_language: (
            [by_pandas, by_loop, by_one_hot],
            [
                (in_place, "which it should only read"),
                (one_language_only, "shape"),
                (by_median, "you return"),
            ],
        ),
        check_turkish_lower: (
            [lower_by_table, lower_by_letter],
            [(lower_after_cleaning, "you return"), (lower_first_letter, "you return")],
        ),
        check_keys: (
            [keys_by_loop, keys_by_list],
            [(says_none, "returns nothing yet"), (a_share, "you return")],
        ),
    }
