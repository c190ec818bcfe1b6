"""Lecture 14a: the language taken out of sentence vectors, Turkish in lower case, and the keys that suggestions save."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from course_utils.exercises.engine import exercise


# fmt: off
def _without_language(vectors: np.ndarray, languages: Sequence[str]) -> np.ndarray:
    """Check a function from vectors (n, units) and the language of each (a list) to vectors (n, units), each language's mean taken off."""
    codes = np.array(languages)
    return vectors - np.stack([vectors[codes == code].mean(0) for code in languages])


def _by_unit(vectors: np.ndarray, languages: Sequence[str]) -> np.ndarray:
    return vectors - vectors.mean(1, keepdims=True)


def _blocks(vectors: np.ndarray, languages: Sequence[str]) -> np.ndarray:
    """As if the languages stood in equal blocks, in the order of the alphabet."""
    codes, result = sorted(set(languages)), np.array(vectors)
    for part in np.array_split(np.arange(len(vectors)), len(codes)):
        result[part] -= result[part].mean(0)
    return result


def _running(vectors: np.ndarray, languages: Sequence[str]) -> np.ndarray:
    """Only the first language's mean is taken off, from all."""
    return vectors - vectors[np.array(languages) == languages[0]].mean(0)


def _scaled(vectors: np.ndarray, languages: Sequence[str]) -> np.ndarray:
    moved = _without_language(vectors, languages)
    return moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)


_draw = np.random.default_rng(0)


def _vectors(languages: str, units: int) -> tuple[np.ndarray, list[str]]:
    """Random vectors that lean to another side in each language."""
    names = languages.split()
    sides = {name: _draw.normal(size=units) * 2 for name in sorted(set(names))}
    return np.round(np.stack([sides[name] + _draw.normal(size=units) for name in names]), 2), names


check_without_language = exercise(
    "without_language: every language's own mean is gone, and nothing else",
    _without_language, inputs=("the vectors", "the languages"),
    cases=[_vectors("de tr de tr tr fi de", 3), _vectors("en en sw en", 4), _vectors("fi tr es de es tr fi fi fi", 2)],
    describe=lambda vectors, languages: f"For {len(vectors)} vectors of the languages {' '.join(languages)}",
    only_read="which it should only read: somebody may want the vectors as they were. Write vectors - mean into a new array.",
    mistakes=[
        (lambda vectors, languages: vectors - vectors.mean(0), "that takes one mean off all of them. Each language has a mean of its own."),
        (_by_unit, "you take the mean of each vector's own units off it. Average over the sentences of a language: axis 0."),
        (_running, "you take the first language's mean off all of them."),
        (_blocks, "the languages may stand in any order. Choose the rows of a language by its name, codes == code."),
        (_scaled, "the vectors also have length one now. That is for the comparison that follows; here only the means go."),
        (lambda vectors, languages: vectors - _without_language(vectors, languages), "those are the means themselves. Take them off the vectors."),
        (lambda vectors, languages: 2 * vectors - _without_language(vectors, languages), "the means are added. Take them off."),
    ],
)


def _turkish_lower(text: str) -> str:
    """Check a function from a Turkish text to the same in lower case: I becomes ı and İ becomes i, other letters as ever."""
    return text.replace("İ", "i").replace("I", "ı").lower()


check_turkish_lower = exercise(
    "turkish_lower: I has no dot, İ has one, and the rest is as ever",
    _turkish_lower, inputs=("the text",),
    cases=[("DIŞ ve diş",), ("İzmir'de ILIK bir gün",), ("IŞIK, İNCİR, Ölü; ÇAĞ",), ("ıslak kedi",), ("",)],
    describe=lambda text: f"For {text!r}",
    mistakes=[
        (str.lower, "Python's lower() knows no Turkish: I becomes i, and İ an i with a combining dot behind it."),
        (lambda text: text.replace("İ", "i").lower(), "İ is right. But I is another letter: it becomes ı, without a dot."),
        (lambda text: text.replace("I", "ı").lower(), "I is right. But lower() makes two signs of İ, an i and a combining dot: replace it first."),
        (lambda text: text.lower().replace("i", "ı"), "after lower() nobody can tell I from i. Replace the capitals before."),
        (lambda text: text.replace("I", "ı").replace("İ", "i"), "the two are right, but the other capitals are still capitals."),
        (lambda text: text.replace("I", "i").replace("İ", "ı").lower(), "the wrong way round: the capital without a dot belongs to the letter without one."),
        (lambda text: _turkish_lower(text).translate(str.maketrans("öüçşğ", "oucsg")), "ö, ü, ç, ş and ğ are letters of their own: leave their marks on."),
    ],
)


def _keys(word: str, shown: Sequence[Sequence[str]]) -> int:
    """Check a function (word, suggestions after 0, 1, ... letters of it) -> how many keys it takes, the one after the word included.

    Picking a suggestion is one key, and brings the space along; a word that is never offered takes its letters and the space.
    """
    return next((typed for typed, words in enumerate(shown) if word in words), len(word)) + 1


def _of(keys: Any) -> Any:
    """A wrong rule for the number of letters typed before the word is offered, or None."""
    return lambda word, shown: keys(word, next((typed for typed, words in enumerate(shown) if word in words), None))


_SHOWN = [["ve", "bir", "bu"], ["evet", "ev", "en"], ["ev", "evde", "evet"], ["evde", "evden", "evdeki"], ["evde", "evden"]]
check_keys = exercise(
    "keys: picked as soon as it is offered, with one key; else typed to the end",
    _keys, inputs=("the word", "the suggestions"),
    cases=[("evde", _SHOWN), ("evdekiler", [*_SHOWN[:4], ["evdeki"], ["evdeki"], ["evdeki"], ["evdekiyse"], ["evdekilere"], ["evdekilerle"]]),
           ("bir", [["ve", "bir", "bu"], ["bir", "bu"], ["biz"], ["biri"]]), ("su", [["ve"], ["sen", "son"], ["su", "sus"]]), ("o", [["bu"], ["on"]])],
    describe=lambda word, shown: f"For {word!r}",
    stops={IndexError: "there may be fewer lists than you look at: one for each number of letters typed, from 0 to all of them."},
    mistakes=[
        (_of(lambda word, at: len(word) + 1 if at is None else at), "picking the suggestion is a key, too."),
        (_of(lambda word, at: len(word) if at is None else at + 1), "a word that is never offered takes its letters and the space after it."),
        (_of(lambda word, at: len(word) + 1 if at is None else at + 2), "a picked suggestion brings the space along: one key after the letters, not two."),
        (_of(lambda word, at: 0 if at is None else len(word) - at), "those are the keys saved. How many does it take?"),
        (lambda word, shown: next((k for k, words in enumerate(shown) if words and words[0] == word), len(word)) + 1,
         "you look at the first suggestion alone. All of them stand on the keyboard."),
        (lambda word, shown: next((k for k, words in enumerate(shown) if k and word in words), len(word)) + 1,
         "a word may be offered before its first letter: begin with the suggestions after 0 letters."),
        (lambda word, shown: max((k for k, words in enumerate(shown) if word in words), default=len(word)) + 1,
         "you wait for the last time that it is offered. Pick it the first time."),
        (lambda word, shown: next((k for k, words in enumerate(shown) if any(w.startswith(word) for w in words)), len(word)) + 1,
         "a longer word that begins like it is another word: in Turkish every suffix makes one."),
    ],
)
