"""Lecture 07: greedy longest match, a padded batch with its mask, and two texts in one row."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from course_utils.exercises import CheckFailed, call, check, require
from course_utils.text.pieces import word_pieces

_Rows = Sequence[Sequence[int]]
_Wrong = Iterable[tuple[Any, str]]  # an answer, and what is probably wrong if it was given


def _diagnose(found: Any, right: Any, wrong: _Wrong, said: str, otherwise: str = "") -> None:
    """Nothing if the answer is right; else the diagnosis of the first wrong answer that was given."""
    if found == right:
        return
    for answer, diagnosis in wrong:
        if found == answer and answer != right:
            raise CheckFailed(f"{said}: {diagnosis}")
    raise CheckFailed(f"{said}. {otherwise}".rstrip())


def _untouched(function: Callable[..., Any], *given: Any) -> Any:
    """Call with copies, and see that the function leaves them as they are."""
    copies = copy.deepcopy(given)
    result = call(function, *copies)
    require(
        copies == given,
        "Your function changes what it is given. Whoever called it still needs that: work on a copy, as in list(ids).",
    )
    return result


# ---- exercise 1

_PIECES = {
    "a", "ab", "abc", "b", "bcd", "c", "d", "do", "un", "##a", "##able", "##b", "##bc", "##c", "##cd", "##d", "##do", "##e",
}  # fmt: skip


@check("longest_match: from the left, always the longest piece, and [UNK] for the whole word or not at all")
def check_longest_match(longest_match: Callable[[str, set[str]], list[str]]) -> None:
    """Check a function (word, vocabulary) -> pieces, WordPiece's greedy longest match (Wu et al. 2016, section 4.1)."""
    found = {word: _pieces(longest_match, word) for word in ("a", "abcd", "undoable", "abab", "cab", "bcdd")}
    failed = next((word for word in found if found[word] != word_pieces(word, _PIECES)), "")
    said = f"{failed!r} becomes {found.get(failed)} and not {word_pieces(failed, _PIECES)}"
    spelled = _pieces(longest_match, "abce", {"ab", "abc", "##ce", "##bce"})
    goes_back = spelled == ["ab", "##ce"]
    for rule, diagnosis in _OTHER_RULES:
        as_found = failed and all(found[word] == rule(word) for word in found)
        require(not as_found or (goes_back and rule is _from_the_right), f"{said}: {diagnosis}")
    require(
        not goes_back,
        f"With the pieces ab, abc, ##ce, ##bce, 'abce' is ['[UNK]'], and you return {spelled}. Greedy takes abc and never goes "
        "back, though ab + ##ce would spell the word.",
    )
    require(not failed, f"{said}. Which piece is tried first, and from where on?")
    for word in ("x", "abx", "xab", "axb"):
        answer = _pieces(longest_match, word)
        before = word_pieces(word.split("x")[0], _PIECES)
        wrong: _Wrong = (
            ([], "return the list ['[UNK]'] where no piece fits."),
            ([*before, "[UNK]"], "the whole word is lost, not only its rest: forget the pieces found."),
            (before, "a beginning is no word. Forget the pieces found, and return ['[UNK]']."),
        )
        said = f"There is no x among the pieces, so {word!r} is ['[UNK]'], and you return {answer}"
        _diagnose(
            answer,
            ["[UNK]"],
            wrong,
            said,
            "No piece fits at some place: then the answer is ['[UNK]'], nothing else.",
        )


def _pieces(function: Callable[..., Any], word: str, vocabulary: set[str] = _PIECES) -> list[str]:
    """What the student's function returns, known to be a list of strings."""
    found = _untouched(function, word, vocabulary)
    require(
        isinstance(found, list | tuple) and all(isinstance(piece, str) for piece in found),
        f"Return a list of pieces, such as ['ab', '##cd'], not {type(found).__name__}: {found!r}.",
    )
    return list(found)


def _cut(word: str, ends: Callable[[int, int], Iterable[int]], mark: str = "##") -> list[str]:
    """Cut from the left; ``ends`` says from a start and the word's length where a piece may end, the first choice first."""
    pieces, start = [], 0
    while start < len(word):
        prefix = mark if start else ""
        end = next((end for end in ends(start, len(word)) if prefix + word[start:end] in _PIECES), None)
        if end is None:
            return ["[UNK]"]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


def _from_the_right(word: str) -> list[str]:
    """The longest piece at the end of the word first."""
    pieces: list[str] = []
    end = len(word)
    while end:
        start = next((s for s in range(end) if ("##" if s else "") + word[s:end] in _PIECES), None)
        if start is None:
            return ["[UNK]"]
        pieces.insert(0, ("##" if start else "") + word[start:end])
        end = start
    return pieces


_MARK = "after the first piece, look up ## and the characters: a piece without ## begins a word."
# Other ways to cut a word, and what to say to somebody who cuts like that.
_OTHER_RULES: tuple[tuple[Callable[[str], list[str]], str], ...] = (
    (lambda word: _cut(word, lambda start, n: range(start + 1, n + 1)), "you take the shortest piece that fits. Try the longest first, down to one character."),
    (lambda word: _cut(word, lambda start, n: range(n, start, -1), mark=""), _MARK),
    (lambda word: [piece.removeprefix("##") for piece in word_pieces(word, _PIECES)], f"the ## is missing in what you return; {_MARK}"),
    (lambda word: word_pieces(word, _PIECES)[:1], "you stop after the first piece. Go on where it ended, until nothing is left."),
    (lambda word: word_pieces(word, _PIECES)[:-1], "the last piece is missing. Go on until nothing of the word is left."),
    (lambda word: word_pieces(word, _PIECES)[::-1], "the pieces stand in the wrong order."),
    (lambda word: _cut(word, lambda start, n: range(n - 1, start, -1)), "you never try all the rest of the word. The longest candidate goes up to its end."),
    (lambda word: _cut(word, lambda start, n: range(n, start + 1, -1)), "you never try a single character. It is the last candidate."),
    (_from_the_right, "you begin at the end of the word. Greedy longest match begins at its beginning."),
    (list, "those are characters. Try longer pieces first."),
)  # fmt: skip


# ---- exercise 2


@check("pad_batch: filled up on the right to the longest row, and the mask knows text from filling")
def check_pad_batch(pad_batch: Callable[[_Rows, int], tuple[np.ndarray, np.ndarray]]) -> None:
    """Check a function (rows, padding) -> ids and attention mask, both (rows, longest row)."""
    cases: tuple[tuple[list[list[int]], int], ...] = (
        ([[101, 7, 102], [101, 7, 8, 9, 102]], 0),
        ([[5, 6], [7], [8, 9]], 1),
        ([[5, 6, 0, 4], [7, 0]], 0),
        ([[3, 1, 2]], 9),
    )
    for rows, padding in cases:
        result = _untouched(pad_batch, rows, padding)
        require(
            isinstance(result, tuple | list) and len(result) == 2,
            "Return two things: the ids, and the attention mask.",
        )
        ids, mask = (_whole_numbers(part) for part in result)
        width = max(map(len, rows))
        right = [[*row, *[padding] * (width - len(row))] for row in rows]
        kept = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
        said = f"For {rows} and padding {padding}"
        require(not (ids == kept and mask == right), f"{said}: the order is ids first, then the mask.")
        wrong = (
            ([[*[padding] * (width - len(row)), *row] for row in rows], "you fill up on the left. BERT is filled up on the right."),
            ([[*row, *[0] * (width - len(row))] for row in rows], "you fill up with 0. Use the number that you are given: it is not always 0."),
            ([row[: min(map(len, rows))] for row in rows], "you cut all rows to the shortest. Fill up to the longest."),
            ([[*row, padding] for row in right], "the rows are one place too wide. The longest row needs no padding."),
            (rows, "the rows are not filled up."),
        )  # fmt: skip
        _diagnose(ids, right, wrong, f"{said} your ids are {ids} and not {right}")
        length = "Take it from the lengths of the rows."
        wrong_masks = (
            ([[int(x != padding) for x in row] for row in right], f"an id inside a text may equal the padding, and is text all the same. {length}"),
            ([[1 - x for x in row] for row in kept], "it is turned round. 1 is text, 0 is filling."),
            ([[1] * width for _ in rows], f"it says that everything is text. {length}"),
            ([row[::-1] for row in kept], "it is for filling on the left, and your ids are filled on the right."),
            (right, "that is the ids again. The mask is 1 for text and 0 for filling."),
        )  # fmt: skip
        _diagnose(mask, kept, wrong_masks, f"{said} your mask is {mask} and not {kept}")


def _whole_numbers(part: Any) -> list[list[int]]:
    """An array, a tensor or lists as lists of whole numbers; True is 1."""
    try:
        array = np.asarray(part)
    except ValueError as error:
        raise CheckFailed(
            "The rows that you return have different lengths. Fill each up to the longest."
        ) from error
    require(
        array.ndim == 2 and array.dtype.kind in "iub",
        f"Both arrays have shape (rows, longest) and hold whole numbers; yours has shape {array.shape} and {array.dtype}.",
    )
    return array.astype(np.int64).tolist()


# ---- exercise 3


@check("pair_input: [CLS] first [SEP] second [SEP], the types to match, and the longer text gives way")
def check_pair_input(pair_input: Callable[[list[int], list[int], int], tuple[list[int], list[int]]]) -> None:
    """Check a function (first, second, limit) -> ids and token types (Devlin et al. 2019, section 3 and figure 2)."""
    cases = (
        ([11, 12], [21, 22, 23], 20),
        ([11], [21], 5),
        ([11, 12, 13, 14, 15, 16], [21, 22, 23, 24], 9),
        ([11, 12, 13, 14], [21, 22], 8),
        ([11, 12], [21, 22, 23, 24, 25], 8),
        ([11, 12, 13], [21, 22, 23], 8),
    )
    for first, second, limit in cases:
        result = _untouched(pair_input, first, second, limit)
        require(
            isinstance(result, tuple | list)
            and len(result) == 2
            and all(np.ndim(part) == 1 for part in result),
            "Return two lists of numbers: the ids, and the token types.",
        )
        ids, types = (np.asarray(part).tolist() for part in result)
        a, b = _shorten(first, second, limit - 3)
        right = [101, *a, 102, *b, 102]
        said = f"For {first}, {second} and limit {limit} your ids are {ids} and not {right}"
        _diagnose(ids, right, _wrong_pairs(first, second, limit), said, "In which order, and who gives way?")
        kinds = [0] * (len(a) + 2) + [1] * (len(b) + 1)
        n, m = len(a), len(b)
        wrong = (
            ([0] * (n + 1) + [1] * (m + 2), "the separator in the middle closes the first text, so its type is 0."),
            ([0] * (n + 2) + [1] * m + [0], "the last separator closes the second text, so its type is 1."),
            ([0] * (n + m + 3), "all are 0. The second text and the separator after it have type 1."),
            ([1] * (n + 2) + [2] * (m + 1), "types count from 0: there are only two rows for them, 0 and 1."),
            ([1] * (n + 2) + [0] * (m + 1), "they are turned round. The first text has type 0."),
            ([1] * (n + m + 3), "that is the attention mask of the row. Types tell the first text, 0, from the second, 1."),
            ([0] * n + [1] * m, "the special pieces need types as well: one type for each id."),
        )  # fmt: skip
        _diagnose(
            types,
            kinds,
            wrong,
            f"With the ids {ids} your types are {types} and not {kinds}",
            "One type for each id.",
        )


def _shorten(first: list[int], second: list[int], room: int) -> tuple[list[int], list[int]]:
    """Take from the end of the longer text, of two equal ones from the second, until both fit."""
    a, b = list(first), list(second)
    while len(a) + len(b) > room:
        (a if len(a) > len(b) else b).pop()
    return a, b


def _wrong_pairs(first: list[int], second: list[int], limit: int) -> _Wrong:
    """The ids, put together or shortened by other rules."""
    a, b = _shorten(first, second, limit - 3)
    over = max(0, len(first) + len(second) + 3 - limit)

    def row(one: list[int], two: list[int]) -> list[int]:
        return [101, *one, 102, *two, 102]

    one, two = list(first), list(second)
    while len(one) + len(two) > limit - 3:
        (one if len(one) >= len(two) else two).pop()
    yield row(one, two), "of two equally long texts the second gives way."
    yield [101, *a, 102, *b], "the last [SEP] is missing: each text is closed by one."
    yield [101, *a, *b, 102], "the [SEP] between the two is missing."
    yield [101, *a, 102, 101, *b, 102], "a row has one [CLS], at its beginning, however many texts are in it."
    yield [*a, 102, *b, 102], "the [CLS], 101, at the beginning is missing."
    yield row(b, a), "the second text stands first."
    yield row(first, second), f"that is longer than {limit}. Shorten, and count the three special pieces."
    yield (
        row(*_shorten(first, second, limit)),
        "the three special pieces need room as well: limit - 3 is left for the texts.",
    )
    yield (
        row(*_shorten(first, second, limit - 2)),
        "there are three special pieces, not two: limit - 3 is left for the texts.",
    )
    yield (
        row(first, second)[:limit],
        "you cut the finished row, and with it the last [SEP]. Shorten the texts first.",
    )
    yield (
        row(first, second[: len(second) - over]),
        "only the second text gives way. Take from the one that is longer at that moment.",
    )
    yield (
        row(first[: len(first) - over], second),
        "only the first text gives way. Take from the one that is longer at that moment.",
    )
    yield (
        row(first[len(first) - len(a) :], second[len(second) - len(b) :]),
        "you take from the beginnings. Take from the ends.",
    )
    half = (limit - 3) // 2
    yield (
        row(first[:half], second[:half]),
        "you give each text half of the room, though one of them may need less.",
    )
