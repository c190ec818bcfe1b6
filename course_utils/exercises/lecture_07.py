"""Lecture 07: greedy longest match, a padded batch with its mask, and two texts in one row."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from course_utils.exercises.engine import CheckFailed, Part, exercise, require
from course_utils.text.pieces import word_pieces


# fmt: off
def _longest_match(word: str, vocabulary: set[str]) -> list[str]:
    """Check a function (word, vocabulary) -> pieces, WordPiece's greedy longest match (Wu et al. 2016, section 4.1)."""
    return word_pieces(word, vocabulary)


def _longest(start: int, n: int) -> Iterable[tuple[str, int]]:
    return (("##", end) for end in range(n, start, -1))


def _match(
    tried: Callable[[int, int], Iterable[tuple[str, int]]] = _longest, lost: Callable[[list[str]], list[str] | None] = lambda pieces: ["[UNK]"],
) -> Callable[..., list[str]]:
    """Cut from the left; ``tried`` says from a start and the word's length which mark and which end come first, second, ...

    ``lost`` makes the answer of the pieces where none fits; None: a place is passed over, as [UNK].
    """
    def match(word: str, vocabulary: set[str]) -> list[str]:
        pieces: list[str] = []
        start = 0
        while start < len(word):
            candidates = (((mark if start else "") + word[start:end], end) for mark, end in tried(start, len(word)))
            piece, end = next(((piece, end) for piece, end in candidates if piece in vocabulary), ("[UNK]", start + 1))
            if piece == "[UNK]" and (answer := lost(pieces)) is not None:
                return answer
            pieces.append(piece)
            start = end
        return pieces
    return match


def _from_the_right(word: str, vocabulary: set[str]) -> list[str]:
    """The longest piece at the end of the word first."""
    for start in range(len(word)):
        if (piece := ("##" if start else "") + word[start:]) in vocabulary:
            before = _from_the_right(word[:start], vocabulary) if start else []
            return before if before == ["[UNK]"] else [*before, piece]
    return ["[UNK]"]


def _going_back(word: str, vocabulary: set[str], mark: str = "") -> list[str]:
    """The longest first; where the rest cannot be cut, the next shorter one."""
    for end in range(len(word), 0, -1):
        rest = _going_back(word[end:], vocabulary, "##") if word[end:] else []
        if mark + word[:end] in vocabulary and rest != ["[UNK]"]:
            return [mark + word[:end], *rest]
    return ["[UNK]"]


def _pieces(found: Any, *_: Any) -> list[str]:
    require(isinstance(found, list | tuple) and all(isinstance(piece, str) for piece in found), f"Return a list of pieces, such as ['ab', '##cd'], not {found!r}.")
    return list(found)


_PIECES = {"a", "ab", "abc", "b", "bcd", "c", "d", "do", "un", "##a", "##able", "##b", "##bc", "##c", "##cd", "##d", "##do", "##e"}
_MARK = "after the first piece, look up ## and the characters: a piece without ## begins a word."
_BACK = f"you fall back on pieces without ## where none with ## fits, and those begin a word only. Then the word is ['[UNK]']. So {_MARK}"
_WHOLE = "No piece fits at some place: then the whole word is lost, not only its rest. Forget the pieces found, and return ['[UNK]']."
check_longest_match = exercise(
    "longest_match: from the left, always the longest piece, and [UNK] for the whole word or not at all",
    _longest_match, inputs=("the word", "the vocabulary"),
    cases=[("abce", {"ab", "abc", "##ce", "##bce"}), *((word, _PIECES) for word in ("a", "abcd", "undoable", "abab", "cab", "bcdd", "x", "abx", "xab", "axb", "aun"))],
    describe=lambda word, vocabulary: f"For {word!r}" + (f" and the pieces {', '.join(sorted(vocabulary))}" if vocabulary != _PIECES else ""),
    otherwise="Which piece is tried first, and from where on? Where no piece fits, the answer is ['[UNK]'], nothing else.",
    read=_pieces,
    mistakes=[
        (_match(lambda start, n: (("##", end) for end in range(start + 1, n + 1))), "you take the shortest piece that fits. Try the longest first, down to one character."),
        (_match(lambda start, n: (("", end) for end in range(n, start, -1))), _MARK),
        (lambda word, v: [piece.removeprefix("##") for piece in word_pieces(word, v)], f"the ## is missing in what you return; {_MARK}"),
        (lambda word, v: word_pieces(word, v)[:1], "you stop after the first piece. Go on where it ended, until nothing is left."),
        (lambda word, v: word_pieces(word, v)[:-1] or word_pieces(word, v), "the last piece is missing. Go on until nothing of the word is left."),
        (lambda word, v: word_pieces(word, v)[::-1], "the pieces stand in the wrong order."),
        (_match(lambda start, n: (("##", end) for end in range(n - 1, start, -1))), "you never try all the rest of the word. The longest candidate goes up to its end."),
        (_match(lambda start, n: (("##", end) for end in range(n, start + 1, -1))), "you never try a single character. It is the last candidate."),
        (_from_the_right, "you begin at the end of the word. Greedy longest match begins at its beginning."),
        (lambda word, v: list(word), "those are characters. Try longer pieces first."),
        (_going_back, "Greedy takes the longest piece and never goes back, though a shorter one would spell the word."),
        (_match(lambda start, n: [*_longest(start, n), *(("", end) for end in range(n, start, -1))]), _BACK),
        (_match(lambda start, n: ((mark, end) for end in range(n, start, -1) for mark in ("##", ""))), _BACK),
        (_match(lost=lambda pieces: []), "return the list ['[UNK]'] where no piece fits."),
        (_match(lost=lambda pieces: pieces), "a beginning is no word, and nothing is no answer. Where no piece fits, return ['[UNK]']."),
        (_match(lost=lambda pieces: pieces or ["[UNK]"]), "a beginning is no word. Forget the pieces found, and return ['[UNK]']."),
        (_match(lost=lambda pieces: [*pieces, "[UNK]"]), _WHOLE),
        (_match(lost=lambda pieces: None), _WHOLE),
    ],
)


def _pad_batch(rows: list[list[int]], padding: int) -> tuple[np.ndarray, np.ndarray]:
    """Check a function (rows, padding) -> ids and attention mask, both (rows, longest row)."""
    lengths = [len(row) for row in rows]
    return (np.array([[*row, *[padding] * (max(lengths) - len(row))] for row in rows]), (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(int))


def _two(dimensions: int, two: str, each: str) -> Callable[..., list[np.ndarray]]:
    """Reads two arrays of whole numbers out of arrays, tensors or lists; True is 1."""
    def arrays(found: Any, *_: Any) -> list[np.ndarray]:
        require(isinstance(found, list | tuple) and len(found) == 2, two)
        try:
            both = [np.asarray(part) for part in found]
        except ValueError as error:
            raise CheckFailed("The rows that you return have different lengths. Fill each up to the longest.") from error
        for array in both:
            require(array.ndim == dimensions and array.dtype.kind in "iub", f"{each}; yours has shape {array.shape} and {array.dtype}.")
        return [array + 0 if array.dtype.kind == "b" else array for array in both]
    return arrays


_NARROW = "and what is more comes out as another piece. The multilingual BERT has 119,547 pieces."
_TYPES = {"uint8": "a uint8 ends at 255", "int8": "an int8 ends at 127", "uint16": "a uint16 ends at 65,535", "int16": "an int16 ends at 32,767"}
check_pad_batch = exercise(
    "pad_batch: filled up on the right to the longest row, and the mask knows text from filling",
    _pad_batch, inputs=("the rows", "the padding"),
    cases=[([[101, 7, 102], [101, 7, 8, 9, 102]], 0), ([[5, 6], [7], [8, 9]], 1), ([[5, 6, 0, 4], [7, 0]], 0), ([[3, 1, 2]], 9), ([[30_521, 119_546, 300], [4]], 70_000)],
    describe=lambda rows, padding: f"For {rows} and padding {padding}",
    only_read="which it should only read: whoever called it still needs that. Work on a copy, as in list(row).",
    read=_two(2, "Return two things: the ids, and the attention mask.", "Both arrays have shape (rows, longest) and hold whole numbers"),
    parts=(
        Part("array of ids", shapes=[
            (lambda rows, padding: (len(rows), min(map(len, rows))), "you cut all rows to the shortest. Fill up to the longest."),
            (lambda rows, padding: (len(rows), max(map(len, rows)) + 1), "the rows are one place too wide. The longest row needs no padding."),
        ], mistakes=[
            (lambda rows, padding: _pad_batch([row[::-1] for row in rows], padding)[0][:, ::-1], "you fill up on the left. BERT is filled up on the right."),
            (lambda rows, padding: _pad_batch(rows, 0)[0], "you fill up with 0. Use the number that you are given: it is not always 0."),
            *((lambda *given, kind=kind: _pad_batch(*given)[0].astype(kind), f"{ends}, {_NARROW}") for kind, ends in _TYPES.items()),
        ]),
        Part("attention mask", mistakes=[
            (lambda rows, padding: (_pad_batch(rows, padding)[0] != padding) + 0, "an id of a text may equal the padding, and is text all the same. Take it from the lengths of the rows."),
            (lambda *given: 1 - _pad_batch(*given)[1], "it is turned round. 1 is text, 0 is filling."),
            (lambda *given: _pad_batch(*given)[1] ** 0, "it says that everything is text. Take it from the lengths of the rows."),
            (lambda *given: _pad_batch(*given)[1][:, ::-1], "it is for filling on the left, and your ids are filled on the right."),
            (lambda *given: _pad_batch(*given)[0], "that is the ids again. The mask is 1 for text and 0 for filling."),
        ]),
    ),
    mistakes=[(lambda rows, padding: _pad_batch(rows, padding)[::-1], "the order is ids first, then the mask.")],
)


def _pair_input(first: list[int], second: list[int], limit: int) -> tuple[list[int], list[int]]:
    """Check a function (first, second, limit) -> ids and token types (Devlin et al. 2019, section 3 and figure 2)."""
    a, b = _shorten(first, second, limit - 3)
    return _row(a, b), [0] * (len(a) + 2) + [1] * (len(b) + 1)


def _row(a: list[int], b: list[int]) -> list[int]:
    return [101, *a, 102, *b, 102]


def _shorten(first: list[int], second: list[int], room: int, ties: bool = False) -> tuple[list[int], list[int]]:
    """Take from the end of the longer text, of two equal ones from the second, until both fit."""
    a, b = list(first), list(second)
    while len(a) + len(b) > room:
        (a if len(a) + ties > len(b) else b).pop()
    return a, b


def _texts(first: list[int], second: list[int], limit: int) -> tuple[Any, ...]:  # once they fit, and as they were, and the room for them
    return *_shorten(first, second, limit - 3), first, second, limit - 3


_LISTS = "Return two lists of whole numbers: the ids, and the token types"
_LONGER = "Take from the one that is longer at that moment."
check_pair_input = exercise(
    "pair_input: [CLS] first [SEP] second [SEP], the types to match, and the longer text gives way",
    _pair_input, inputs=("the first text", "the second text", "the limit"),
    cases=[([11, 12], [21, 22, 23], 20), ([11], [21], 5), ([11, 12, 13, 14, 15, 16], [21, 22, 23, 24], 9), ([11, 12, 13, 14], [21, 22], 8),
           ([11, 12], [21, 22, 23, 24, 25], 8), ([11, 12, 13], [21, 22, 23], 8), ([11], [21], 4), ([30_521, 119_546], [300, 70_000], 9)],
    describe=lambda first, second, limit: f"For {first}, {second} and limit {limit}",
    only_read="which it should only read: whoever called it still needs that. Work on a copy, as in list(ids).",
    read=lambda *given: [part.tolist() for part in _two(1, f"{_LISTS}.", _LISTS)(*given)],
    parts=(
        Part("list of ids", otherwise="In which order, and who gives way?", of=_texts, mistakes=[
            (lambda a, b, one, two, room: _row(*_shorten(one, two, room, ties=True)), "of two equally long texts the second gives way."),
            (lambda a, b, *_: [101, *a, 102, *b], "the last [SEP] is missing: each text is closed by one."),
            (lambda a, b, *_: [101, *a, *b, 102], "the [SEP] between the two is missing."),
            (lambda a, b, *_: [101, *a, 102, 101, *b, 102], "a row has one [CLS], at its beginning, however many texts are in it."),
            (lambda a, b, *_: [*a, 102, *b, 102], "the [CLS], 101, at the beginning is missing."),
            (lambda a, b, *_: _row(b, a), "the second text stands first."),
            (lambda a, b, one, two, room: _row(one, two), "that is longer than the limit. Shorten, and count the three special pieces."),
            (lambda a, b, one, two, room: _row(*_shorten(one, two, room + 3)), "the three special pieces need room as well: limit - 3 is left for the texts."),
            (lambda a, b, one, two, room: _row(*_shorten(one, two, room + 1)), "there are three special pieces, not two: limit - 3 is left for the texts."),
            (lambda a, b, one, two, room: _row(one, two)[: room + 3], "you cut the finished row, and with it the last [SEP]. Shorten the texts first."),
            (lambda a, b, one, two, room: _row(one, two[: max(0, room - len(one))]), f"only the second text gives way. {_LONGER}"),
            (lambda a, b, one, two, room: _row(one[: max(0, room - len(two))], two), f"only the first text gives way. {_LONGER}"),
            (lambda a, b, one, two, room: _row(one[len(one) - len(a) :], two[len(two) - len(b) :]), "you take from the beginnings. Take from the ends."),
            (lambda a, b, one, two, room: _row(one[: room // 2], two[: room // 2]), "you give each text half of the room, though one of them may need less."),
            *((lambda a, b, *_, kind=kind: np.array(_row(a, b)).astype(kind).tolist(), f"{ends}, {_NARROW}") for kind, ends in _TYPES.items()),
        ]),
        Part("list of token types", otherwise="One type for each id.", of=_texts, mistakes=[
            (lambda a, b, *_: [0] * (len(a) + 1) + [1] * (len(b) + 2), "the separator in the middle closes the first text, so its type is 0."),
            (lambda a, b, *_: [0] * (len(a) + 2) + [1] * len(b) + [0], "the last separator closes the second text, so its type is 1."),
            (lambda a, b, *_: [0] * (len(a + b) + 3), "all are 0. The second text and the separator after it have type 1."),
            (lambda a, b, *_: [1] * (len(a) + 2) + [2] * (len(b) + 1), "types count from 0: there are only two rows for them, 0 and 1."),
            (lambda a, b, *_: [1] * (len(a) + 2) + [0] * (len(b) + 1), "they are turned round. The first text has type 0."),
            (lambda a, b, *_: [1] * (len(a + b) + 3), "that is the attention mask of the row. Types tell the first text, 0, from the second, 1."),
            (lambda a, b, *_: [0] * len(a) + [1] * len(b), "the special pieces need types as well: one type for each id."),
        ]),
    ),
)
# fmt: on
