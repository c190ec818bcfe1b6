"""Lecture 13b: labels on pieces, the best span under the rules, strict names from tags, tasks drawn by a power of their size."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from course_utils.exercises.engine import exercise, require
from course_utils.text import spans


# fmt: off
def _piece_labels(owners: Sequence[int | None], labels: Sequence[int]) -> list[int]:
    """Check a function from the owners of the pieces (a word's number, or None) and a label for each word to a label for each piece.

    The first piece of a word has its label; the others, [CLS], [SEP] and padding have -100.
    """
    return [labels[o] if o is not None and o not in owners[:i] else -100 for i, o in enumerate(owners)]


def _labels_by(rule: Callable[[Any, int, Sequence[Any], Sequence[int]], int]) -> Callable[..., list[int]]:
    """A wrong answer: what the rule makes of each owner, its place, all owners and the labels of the words."""
    return lambda owners, labels: [rule(o, i, owners, labels) for i, o in enumerate(owners)]


def _order(owner: int | None, i: int, owners: Sequence[int | None], labels: Sequence[int]) -> int:
    firsts = [o for k, o in enumerate(owners) if o is not None and o not in owners[:k]]
    return labels[firsts.index(owner)] if owner is not None and owner not in owners[:i] else -100


check_piece_labels = exercise(
    "piece_labels: each word's label on its first piece, -100 on all else",
    _piece_labels, inputs=("the owners", "the labels"),
    cases=[
        ([None, 0, 1, 1, 3, None], [4, 1, 2, 3]),
        ([None, 0, 0, 0, 1, 2, 2, None, None], [1, 0, 5]),
        ([None, 1, 1, 2, None], [3, 0, 2]),  # the first word has no piece
        ([0, 1, 1], [0, 7]),
    ],
    mistakes=[
        (_labels_by(lambda o, i, owners, labels: -100 if o is None else labels[o]), "the label is copied to every piece, and a name of three pieces counts as three. Only the first piece is asked."),
        (_labels_by(lambda o, i, owners, labels: labels[o] if o is not None and o not in owners[i + 1:] else -100), "the label stands on the last piece of a word. BERT's tagger reads the first."),
        (_labels_by(lambda o, i, owners, labels: labels[o] if o is not None and o not in owners[:i] else 0), "0 is a class, and the loss would teach it: what is not asked is -100."),
        (_labels_by(lambda o, i, owners, labels: 0 if o is None else labels[o] if o not in owners[:i] else -100), "[CLS], [SEP] and padding are asked for class 0. Give them -100, too."),
        (_labels_by(lambda o, i, owners, labels: labels[o] if o and o not in owners[:i] else -100), "word 0 is lost: 0 counts as false. Ask `owner is None`."),
        (_labels_by(_order), "behind a word without a piece every label has moved to its neighbour. Look a word's label up by its number."),
        (lambda owners, labels: [label for label in _piece_labels(owners, labels) if label != -100], "that is a label for each word. A label for each piece is wanted, as many as there are owners."),
    ],
    stops={IndexError: "not every owner is a word: None is [CLS], [SEP] or padding.", TypeError: "None is no word: ask `owner is None` before you look up its label."},
)


Ends = tuple[int, int]


def _best_span(begin: Sequence[float], end: Sequence[float], first: int, longest: int, *, least: int = 0, late: int = 0, over: int = 0,
               add: Callable[[float, float], float] = lambda a, b: a + b) -> Ends:
    """Check a function (scores as beginning, scores as end, first place of the text, longest answer) -> (beginning, end).

    The two places, both of the text, that have the highest sum: the end is not before the beginning, and no more than
    ``longest`` tokens go from one to the other, both counted.
    """
    n = len(begin)
    allowed = [(i, j) for i in range(first + late, n) for j in range(max(first, i + least), min(n, i + longest + over))]
    return max(allowed, key=lambda ends: add(begin[ends[0]], end[ends[1]]))


def _shifted(ends: Ends, left: int, right: int) -> Ends:
    return ends[0] + left, ends[1] + right


def _argmax(begin: Sequence[float], end: Sequence[float], first: int, longest: int) -> Ends:
    return int(np.argmax(begin)), int(np.argmax(end))


def _in_text(begin: Sequence[float], end: Sequence[float], first: int, longest: int) -> Ends:
    return first + int(np.argmax(begin[first:])), first + int(np.argmax(end[first:]))


def _greedy(begin: Sequence[float], end: Sequence[float], first: int, longest: int) -> Ends:
    start = first + int(np.argmax(begin[first:]))
    return start, start + int(np.argmax(end[start:start + longest]))


def _two(raw: Any, *_: Any) -> Any:
    whole = isinstance(raw, list | tuple) and len(raw) == 2 and all(isinstance(x, int | np.integer) for x in raw)
    return tuple(map(int, raw)) if whole else raw


_A = [9.0, 0.5, 1.0, 3.0, -1.0, 2.0, -2.0, 0.0]
_B = [9.0, 4.0, 0.0, -1.0, 2.5, 1.0, 3.5, -3.0]
check_best_span = exercise(
    "best_span: the best beginning and end that an answer may have",
    _best_span, inputs=("the scores as beginning", "the scores as end", "first", "longest"), read=_two,
    cases=[
        (_A, _B, 2, 3), (_A, _B, 2, 4), (_A, _B, 2, 1),
        ([8.0, 2.0, 5.0, 1.0, 0.0], [8.0, 2.0, 1.0, 1.0, 0.5], 2, 2),  # the text's first token begins the answer
        ([0.0, 1.0, -4.0, -1.0, -2.0], [0.0, 6.0, -3.0, -5.0, -1.0], 2, 5),  # all below 0
        ([0.0, 0.0, 3.0, 2.9, -9.0], [0.0, 0.0, -9.0, 0.0, 4.0], 2, 2),  # the best beginning is too far from the best end
        ([7.0, 1.0, 2.0, 5.0], [7.0, 1.0, 6.0, 4.0], 2, 4),  # the best end stands before the best beginning
    ],
    describe=lambda begin, end, first, longest: f"For begin={begin}, end={end}, a text from place {first} on, at most {longest} tokens",
    mistakes=[
        (_argmax, "these are the two highest scores, each for itself, in the question or at [CLS] if need be. Beginning and end have to go together, inside the text."),
        (_in_text, "these are the two highest scores of the text, each for itself: the end may stand before the beginning, or too far from it."),
        (lambda b, e, first, longest: _best_span(b, e, 0, longest), "the answer may lie in [CLS] and the question. Begin at `first`."),
        (lambda b, e, first, longest: _best_span(b, e, first, longest, late=1), "the text's first token is refused as a beginning; place `first` belongs to the text."),
        (lambda b, e, first, longest: _best_span(b, e, first, longest, over=1), "the answer is one token too long: from 5 to 7 are three tokens, both ends counted."),
        (lambda b, e, first, longest: _best_span(b, e, first, longest, over=-1) if longest > 1 else (-1, -1), "an answer of exactly `longest` tokens is refused: from 5 to 7 are three tokens, both ends counted."),
        (lambda b, e, first, longest: _best_span(b, e, first, len(b)), "the answer is longer than `longest` tokens."),
        (lambda b, e, first, longest: _best_span(b, e, first, longest, least=-longest), "the end stands before the beginning. An answer's end is its beginning, or comes after it."),
        (lambda b, e, first, longest: _best_span(b, e, first, longest, add=lambda x, y: x * y), "scores are multiplied, and two bad ones make a good answer: they are logarithms, so add them."),
        (_greedy, "the best beginning was taken first, and then the best end for it. Another pair has a higher sum."),
        (lambda b, e, first, longest: _shifted(_best_span(b, e, first, longest), 0, 1), "your end is the token after the last. Return the place of the last token itself."),
        (lambda b, e, first, longest: _shifted(_best_span(b, e, first, longest), -first, -first), "these places count from the text's beginning. Add `first` again."),
    ],
)


Found = list[tuple[int, int, str]]


def _strict_names(tags: Sequence[str]) -> Found:
    """Check a function from tags (O, B-person, I-person ...) to names, (start, end, kind), in order, ``end`` one past the last word.

    Only B begins a name; I goes on with one of its own kind, and anywhere else belongs to none.
    """
    return sorted(spans(tags, strict=True))


def _sorted(raw: Any, *_: Any) -> Any:
    require(isinstance(raw, list | tuple | set | frozenset), f"Return a list of names, and not {type(raw).__name__}.")
    require(all(isinstance(name, list | tuple) for name in raw), f"Each name is (start, end, kind), and not {next(iter(raw), None)!r}.")
    return sorted(tuple(name) for name in raw)


def _merged(tags: Sequence[str]) -> Found:
    """As if B began nothing where a name of its kind is open."""
    return sorted(spans([f"I{tag[1:]}" if i and tag[0] == "B" and tags[i - 1][2:] == tag[2:] else tag for i, tag in enumerate(tags)], strict=True))


def _any_kind(tags: Sequence[str]) -> Found:
    names: Found = []
    for i, tag in enumerate(tags):
        if tag[0] == "B":
            names.append((i, i + 1, tag[2:]))
        elif tag[0] == "I" and names and names[-1][1] == i:
            names[-1] = (names[-1][0], i + 1, names[-1][2])
    return names


check_strict_names = exercise(
    "strict_names: names that begin with B, and nothing else",
    _strict_names, inputs=("the tags",), read=_sorted,
    cases=[
        (["B-person", "I-person", "I-person", "O", "B-group", "I-group", "I-group"],),
        (["B-person", "I-person", "O", "B-group"],), (["I-person", "I-person", "O", "B-person", "I-person"],), (["B-group", "B-group", "I-group", "O"],),
        (["B-person", "I-group", "I-person", "O"],), (["O", "B-creative-work", "I-creative-work"],), (["B-person", "O", "I-person", "B-person"],), (["O", "O"],), ([],),
    ],
    mistakes=[
        (lambda tags: sorted(spans(tags)), "a tag I that continues nothing began a name. That is the lenient count; in the strict one only B begins."),
        (lambda tags: [(i, min(j, i + 2), kind) for i, j, kind in _strict_names(tags)], "a name ends after its second word. It goes on as long as I of its kind follows."),
        (lambda tags: [(i, j - 1, kind) for i, j, kind in _strict_names(tags)], "your end is the last word of the name. Return the place after it."),
        (lambda tags: [name for name in _strict_names(tags) if name[1] < len(tags)], "a name that goes on to the end of the sentence is lost. Close it after the loop."),
        (_merged, "two names of one kind, side by side, have become one. B always begins a new one."),
        (_any_kind, "a tag I of another kind goes on with the name. It has to be of the same kind."),
        (lambda tags: [(i, j, kind.split("-")[0]) for i, j, kind in _strict_names(tags)], "the kind is cut at its own hyphen: it is all that follows the first two characters."),
        (lambda tags: [name for name in sorted(spans(tags)) if tags[name[0]][0] == "B" and tags[name[1]:name[1] + 1] in ([], ["O"])], "a name is refused because of what follows it. What was begun by B is a name; what comes after ends it."),
        (lambda tags: [(i, j) for i, j, _ in _strict_names(tags)], "the kind is missing: (start, end, kind)."),
    ],
)


def _chances(sizes: Sequence[int], power: float) -> list[float]:
    """Check a function (sizes of the tasks, a power) -> the chance of each to be drawn: its size to that power, over the sum of all."""
    if not len(sizes) or min(sizes) < 1:
        raise ValueError("A task needs an example.")
    return [n**power / sum(m**power for m in sizes) for n in sizes]


def _chance_list(raw: Any, *_: Any) -> Any:
    return raw.tolist() if hasattr(raw, "tolist") else raw


check_chances = exercise(
    "chances: how often each task is drawn, by a power of its size",
    _chances, inputs=("the sizes", "the power"), read=_chance_list,
    cases=[([900, 100], 0.5), ([480, 240, 120], 1.0), ([16, 81, 1], 0.25), ([50, 200, 1000], 0.0)],
    mistakes=[
        (lambda sizes, power: [n**power for n in sizes], "these do not add up to 1. Divide by the sum of all."),
        (lambda sizes, power: [n / sum(sizes) for n in sizes], "the power has no effect: that is by size."),
        (lambda sizes, power: [1 / len(sizes)] * len(sizes), "the power has no effect: that is evenly."),
        (lambda sizes, power: [(n / sum(sizes)) ** power for n in sizes], "shares to a power do not add up to 1 any more. Divide by their sum once again."),
        (lambda sizes, power: [n**power / max(sizes) ** power for n in sizes], "you divide by the largest. Divide by the sum of all."),
        (lambda sizes, power: _chances(sizes, 1 - power), "that is the other way round: power 1 is by size, 0 is evenly."),
        (lambda sizes, power: _chances(sizes, 1 / power), "that is the root of the size. Take it to the power itself."),
        (lambda sizes, power: [power**n / sum(power**m for m in sizes) for n in sizes], "the size is the base and the power the exponent, n ** power."),
        (lambda sizes, power: np.exp(power * np.array(sizes) / max(sizes)).tolist(), "that is an exponential of the size, not a power of it."),
        (lambda sizes, power: _chances(sizes, power)[::-1], "the chances stand in the reverse order of the tasks."),
    ],
    refused=[(([3, 0], 0.0), "A task without examples cannot be drawn, and 0 to the power of 0 is 1: raise ValueError."), (([], 1.0), "There is no task: raise ValueError.")],
)
# fmt: on
