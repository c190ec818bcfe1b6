"""Lecture 07's exercises: stubs fail kindly, solutions pass, wrong answers get the right diagnosis."""

import numpy as np
import pytest
import torch
from exercise_contract import ExerciseContract

from course_utils.exercises import CheckFailed, lecture_07
from course_utils.text.pieces import word_pieces

# --- answers: the first ones of each list are right; the others come with a piece of their diagnosis


def match(
    word,
    vocabulary,
    *,
    shortest=False,
    mark="##",
    first="",
    from_one=True,
    whole=True,
    lost=None,
    unmarked=False,
):
    """Greedy matching, with a switch for every mistake."""
    pieces, start = [], 0
    while start < len(word):
        ends = list(range(start + 1, len(word) + 1))
        ends = ends if from_one else ends[1:]
        ends = ends if whole else [end for end in ends if end < len(word)]
        for end in ends if shortest else ends[::-1]:
            piece = (mark if start else first) + word[start:end]
            if piece in vocabulary:
                break
        else:
            end = next((end for end in ends[::-1] if unmarked and word[start:end] in vocabulary), None)
            piece = word[start:end]
        if end is None or piece not in vocabulary:
            return ["[UNK]"] if lost is None else lost(pieces)
        pieces.append(piece)
        start = end
    return pieces


def longest_match(word, vocabulary):
    return match(word, vocabulary)


def longest_match_by_recursion(word, vocabulary, mark=""):
    if not word:
        return []
    for end in range(len(word), 0, -1):
        if mark + word[:end] in vocabulary:
            rest = longest_match_by_recursion(word[end:], vocabulary, "##")
            return ["[UNK]"] if rest == ["[UNK]"] else [mark + word[:end], *rest]
    return ["[UNK]"]


def from_the_right(word, vocabulary):
    pieces, end = [], len(word)
    while end:
        start = next((s for s in range(end) if ("##" if s else "") + word[s:end] in vocabulary), None)
        if start is None:
            return ["[UNK]"]
        pieces = [("##" if start else "") + word[start:end], *pieces]
        end = start
    return pieces


def marked_or_not(word, vocabulary):
    """At each length the piece with ##, then without."""
    pieces, rest = [], word
    while rest:
        tried = [
            mark + rest[:end] for end in range(len(rest), 0, -1) for mark in (["##", ""] if pieces else [""])
        ]
        piece = next((piece for piece in tried if piece in vocabulary), None)
        if piece is None:
            return ["[UNK]"]
        pieces.append(piece)
        rest = rest[len(piece.removeprefix("##")) :]
    return pieces


def unknown_characters(word, vocabulary):
    """A character that no piece fits is lost, and the rest goes on."""
    pieces, start = [], 0
    while start < len(word):
        ends = range(len(word), start, -1)
        end = next((end for end in ends if ("##" if start else "") + word[start:end] in vocabulary), None)
        pieces.append("[UNK]" if end is None else ("##" if start else "") + word[start:end])
        start = end or start + 1
    return pieces


def fewest_pieces(word, vocabulary):
    """Goes back where greedy would not."""
    best = {0: []}
    for end in range(1, len(word) + 1):
        for start in range(end):
            piece = ("##" if start else "") + word[start:end]
            if start in best and piece in vocabulary:
                candidate = [*best[start], piece]
                if end not in best or len(candidate) < len(best[end]):
                    best[end] = candidate
    return best.get(len(word), ["[UNK]"])


def empties_the_vocabulary(word, vocabulary):
    pieces = match(word, vocabulary)
    vocabulary.clear()
    return pieces


MATCHES = [
    (lambda word, vocabulary: match(word, vocabulary, shortest=True), "the shortest piece that fits"),
    (lambda word, vocabulary: match(word, vocabulary, mark=""), "a piece without ## begins a word"),
    (lambda word, vocabulary: match(word, vocabulary, whole=False), "never try all the rest"),
    (lambda word, vocabulary: match(word, vocabulary, from_one=False), "never try a single character"),
    (lambda word, vocabulary: [piece.removeprefix("##") for piece in match(word, vocabulary)], "the ## is missing"),
    (lambda word, vocabulary: match(word, vocabulary)[:1], "stop after the first piece"),
    (lambda word, vocabulary: match(word, vocabulary)[::-1], "in the wrong order"),
    (lambda word, vocabulary: list(word), "those are characters"),
    (lambda word, vocabulary: match(word, vocabulary, lost=lambda pieces: [*pieces, "[UNK]"]), "not only its rest"),
    (lambda word, vocabulary: match(word, vocabulary, lost=lambda pieces: pieces), "no piece fits"),
    (lambda word, vocabulary: match(word, vocabulary, lost=lambda pieces: pieces or ["[UNK]"]), "a beginning is no word"),
    (lambda word, vocabulary: " ".join(match(word, vocabulary)), "Return a list of pieces"),
    (from_the_right, "begin at the end of the word"),
    (fewest_pieces, "never goes back"),
    (lambda word, vocabulary: match(word, vocabulary, unmarked=True), "fall back"),
    (marked_or_not, "fall back"),
    (unknown_characters, "the whole word is lost"),
    (lambda word, vocabulary: (match(word, vocabulary), len(word)), "Return a list of pieces"),
    (empties_the_vocabulary, "changes the vocabulary, which it should only read"),
    (lambda word, vocabulary: match(word, vocabulary) * 2, "Which piece is tried first"),
]  # fmt: skip


def pad_batch(rows, padding):
    width = max(len(row) for row in rows)
    ids = np.array([[*row, *[padding] * (width - len(row))] for row in rows])
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def pad_batch_with_torch(rows, padding):
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), padding)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = True
    return ids, mask


def pad_batch_as_lists(rows, padding):
    return tuple(part.tolist() for part in pad_batch(rows, padding))


def pad_as_int32(rows, padding):
    return tuple(part.astype(np.int32) for part in pad_batch(rows, padding))


def pad_as(dtype):
    """In a type that cannot hold all ids."""

    def answer(rows, padding):
        ids, mask = pad_batch(rows, padding)
        return ids.astype(dtype) if isinstance(dtype, type) else torch.tensor(ids).to(dtype), mask

    return answer


def pad_filling_in_bytes(rows, padding):
    ids = np.full((len(rows), max(map(len, rows))), padding, dtype=np.uint8)
    mask = np.zeros(ids.shape, dtype=int)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return ids, mask


def pad_on_the_left(rows, padding):
    ids, mask = pad_batch([row[::-1] for row in rows], padding)
    return ids[:, ::-1], mask[:, ::-1]


def pad_in_place(rows, padding):
    answer = pad_batch(rows, padding)
    width = max(map(len, rows))
    for row in rows:
        row += [padding] * (width - len(row))
    return answer


def mask_by_value(rows, padding):
    ids, _ = pad_batch(rows, padding)
    return ids, ids != padding


def cut_to_the_shortest(rows, padding):
    return pad_batch([row[: min(map(len, rows))] for row in rows], padding)


PADDED = [
    (pad_on_the_left, "fill up on the left"),
    (pad_in_place, "changes the rows, which it should only read"),
    (mask_by_value, "may equal the padding"),
    (cut_to_the_shortest, "cut all rows to the shortest"),
    (lambda rows, padding: pad_batch(rows, 0), "it is not always 0"),
    (lambda rows, padding: pad_batch(rows, padding)[::-1], "the order is ids first"),
    (lambda rows, padding: (pad_batch(rows, padding)[0], 1 - pad_batch(rows, padding)[1]), "turned round"),
    (
        lambda rows, padding: (pad_batch(rows, padding)[0], pad_batch(rows, padding)[1] ** 0),
        "everything is text",
    ),
    (lambda rows, padding: (pad_batch(rows, padding)[0],) * 2, "that is the ids again"),
    (lambda rows, padding: pad_batch(rows, padding)[0], "Return two things"),
    (lambda rows, padding: (*pad_batch(rows, padding), 0), "Return two things"),
    (pad_as(np.uint8), "a uint8 ends at 255"),
    (pad_as(torch.uint8), "a uint8 ends at 255"),
    (pad_as(np.int8), "an int8 ends at 127"),
    (pad_as(np.int16), "an int16 ends at 32,767"),
    (pad_as(np.uint16), "a uint16 ends at 65,535"),
    (pad_as(np.float16), "whole numbers"),
    (pad_filling_in_bytes, "stopped"),
    (lambda rows, padding: (rows, pad_batch(rows, padding)[1]), "have different lengths"),
    (lambda rows, padding: (pad_batch(rows, padding)[0] * 1.0, pad_batch(rows, padding)[1]), "whole numbers"),
    (lambda rows, padding: (pad_batch(rows, padding)[0].ravel(), pad_batch(rows, padding)[1]), "have shape"),
    (
        lambda rows, padding: (
            np.pad(pad_batch(rows, padding)[0], ((0, 0), (0, 1)), constant_values=padding),
            0,
        ),
        "have shape",
    ),
]


def shorten(first, second, room):
    first, second = list(first), list(second)
    while len(first) + len(second) > room:
        (first if len(first) > len(second) else second).pop()
    return first, second


def together(first, second):
    return [101, *first, 102, *second, 102], [0] * (len(first) + 2) + [1] * (len(second) + 1)


def pair_input(first, second, limit):
    return together(*shorten(first, second, limit - 3))


def pair_input_at_once(first, second, limit):
    """Without a loop: the shorter text keeps what fits, the longer one gets the rest."""
    room = limit - 3
    if len(first) + len(second) > room:
        n, m = len(first), len(second)
        b = min(m, max(room // 2, room - n))
        first, second = first[: room - b], second[:b]
    return tuple(np.array(part) for part in together(first, second))


def pair_input_as_tensors(first, second, limit):
    return [torch.tensor(part) for part in pair_input(first, second, limit)]


def pair_input_with_true_types(first, second, limit):
    ids, types = pair_input(first, second, limit)
    return ids, np.array(types) == 1


def shortens_in_place(first, second, limit):
    while len(first) + len(second) > limit - 3:
        (first if len(first) > len(second) else second).pop()
    return together(first, second)


def cut_the_row(first, second, limit):
    return tuple(part[:limit] for part in together(first, second))


def only_second(first, second, limit):
    return together(first, second[: max(0, limit - 3 - len(first))])


def equal_shares(first, second, limit):
    return together(first[: (limit - 3) // 2], second[: (limit - 3) // 2])


def first_gives_way(first, second, limit):
    first, second = list(first), list(second)
    while len(first) + len(second) > limit - 3:
        (first if len(first) >= len(second) else second).pop()
    return together(first, second)


def from_the_front(first, second, limit):
    a, b = shorten(first, second, limit - 3)
    return together(first[len(first) - len(a) :], second[len(second) - len(b) :])


def with_types(types):
    """The right ids, and types made from the lengths of the two texts."""

    def answer(first, second, limit):
        a, b = shorten(first, second, limit - 3)
        return together(a, b)[0], types(len(a), len(b))

    return answer


def with_ids(join):
    def answer(first, second, limit):
        ids = join(*shorten(first, second, limit - 3))
        return ids, [0] * len(ids)

    return answer


PAIRS = [
    (shortens_in_place, "changes the first text, which it should only read"),
    (cut_the_row, "you cut the finished row"),
    (only_second, "only the second text gives way"),
    (equal_shares, "half of the room"),
    (first_gives_way, "of two equally long texts the second gives way"),
    (from_the_front, "take from the beginnings"),
    (lambda first, second, limit: together(first, second), "that is longer than"),
    (lambda first, second, limit: together(*shorten(first, second, limit)), "three special pieces need room"),
    (lambda first, second, limit: together(*shorten(first, second, limit - 2)), "not two"),
    (
        lambda first, second, limit: together(*shorten(second, first, limit - 3)),
        "the second text stands first",
    ),
    (with_ids(lambda a, b: [101, *a, 102, *b]), "the last [SEP] is missing"),
    (with_ids(lambda a, b: [101, *a, *b, 102]), "between the two is missing"),
    (with_ids(lambda a, b: [101, *a, 102, 101, *b, 102]), "a row has one [CLS]"),
    (with_ids(lambda a, b: [*a, 102, *b, 102]), "the [CLS], 101"),
    (with_types(lambda n, m: [0] * (n + 1) + [1] * (m + 2)), "closes the first text"),
    (with_types(lambda n, m: [0] * (n + 2) + [1] * m + [0]), "closes the second text"),
    (with_types(lambda n, m: [0] * (n + m + 3)), "all are 0"),
    (with_types(lambda n, m: [1] * (n + 2) + [2] * (m + 1)), "types count from 0"),
    (with_types(lambda n, m: [1] * (n + 2) + [0] * (m + 1)), "turned round"),
    (with_types(lambda n, m: [1] * (n + m + 3)), "that is the attention mask"),
    (with_types(lambda n, m: [0] * n + [1] * m), "one type for each id"),
    (lambda first, second, limit: pair_input(first, second, limit)[0], "Return two lists"),
    (lambda *given: (*pair_input(*given), 0), "Return two lists"),
    (lambda *given: tuple(np.array(part, dtype=float) for part in pair_input(*given)), "whole numbers"),
    (
        lambda *given: tuple(np.array(part).astype(np.uint8) for part in pair_input(*given)),
        "a uint8 ends at 255",
    ),
    (lambda *given: (pair_input(*given)[0], [[kind] for kind in pair_input(*given)[1]]), "Return two lists"),
]

EXERCISES = {
    lecture_07.check_longest_match: ([longest_match, longest_match_by_recursion, word_pieces], MATCHES),
    lecture_07.check_pad_batch: ([pad_batch, pad_batch_with_torch, pad_batch_as_lists, pad_as_int32], PADDED),
    lecture_07.check_pair_input: (
        [pair_input, pair_input_at_once, pair_input_as_tensors, pair_input_with_true_types],
        PAIRS,
    ),
}


class TestLecture07(ExerciseContract):
    exercises = EXERCISES


def test_an_error_inside_is_shown_with_its_line():
    def unlucky(rows, padding):
        return np.array(rows[7]), padding

    with pytest.raises(
        CheckFailed, match=r"unlucky stopped at `return np.array\(rows\[7\]\), padding` with IndexError"
    ):
        lecture_07.check_pad_batch(unlucky)
