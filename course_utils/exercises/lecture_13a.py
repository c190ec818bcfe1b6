"""Lecture 13a: precision at the top of a ranked list with ties, and two texts joined to one row for BERT."""

from collections.abc import Callable, Sequence

import numpy as np

from course_utils.exercises.engine import Part, exercise

# fmt: off
Pieces = Sequence[str]


def _precision_at(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Check a function (scores (n,), labels (n,) of 0 and 1, k) -> the share of ones among the k highest scores.

    Where several scores tie for the last places, it is the mean over all orders in which they may stand. There must be k of them.
    """
    if not 1 <= k <= len(scores):
        raise ValueError("k must be from 1 to the number of scores")
    return _top(lambda labels, room: room * labels.mean())(scores, labels, k)


def _top(tied: Callable[[np.ndarray, int], float], of: Callable[[np.ndarray, int], float] = lambda labels, k: k) -> Callable[..., float]:
    """The ones above the k-th score and what is made of those that tie with it, for so many places, by what both are divided by."""
    def precision(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
        cut = np.sort(scores)[len(scores) - k]
        above, level = scores > cut, scores == cut
        return float((labels[above].sum() + tied(labels[level], k - above.sum())) / of(labels, k))
    return precision


def _first_come(order: Callable[[np.ndarray], np.ndarray]) -> Callable[..., float]:
    return lambda scores, labels, k: float(labels[order(scores)[:k]].mean())


check_precision_at = exercise(
    "precision_at: the share that is right among the first k, whatever the order of ties",
    _precision_at, inputs=("the scores", "the labels", "k"),
    cases=[(np.array(scores), np.array(labels), k) for scores, labels, k in (
        ((0.9, 0.2, 0.4, 0.7, 0.6), (1, 1, 0, 0, 1), 3),
        ((0.3, 0.8, 0.3, 0.3, 0.9, 0.3), (1, 0, 0, 0, 1, 1), 4),
        ((0.1, 0.6, 0.6, 0.6, 0.2), (1, 1, 0, 0, 1), 2),
        ((5.0, 2.0, 5.0, 1.0, 2.0, 2.0, 2.0), (1, 1, 0, 1, 0, 0, 1), 3),
        ((-2.0, -1.0, -2.0, -2.0, -3.0), (0, 1, 1, 1, 0), 3),
        ((0.5, 0.5, 0.5), (0, 1, 1), 1),
    )],
    refused=[((np.array([0.1, 0.2]), np.array([0, 1]), 3), "A list of two has no first three: raise ValueError."),
             ((np.array([0.1, 0.2]), np.array([0, 1]), 0), "Of the first none there is no share: raise ValueError."),
             ((np.array([0.1, 0.2]), np.array([0, 1]), -1), "A list has no first minus one: raise ValueError for every k below 1.")],
    mistakes=[
        (_first_come(lambda scores: np.argsort(-scores, kind="stable")), "of those that tie you take the ones that stand first, so the order of the file decides. Take the mean over all orders: of the places that are left, each is right as often as the tied ones are on average."),
        (_first_come(lambda scores: np.argsort(scores, kind="stable")[::-1]), "of those that tie you take the ones that stand last, so the order of the file decides. Take the mean over all orders."),
        (_first_come(lambda scores: np.argsort(scores, kind="stable")), "those are the k lowest scores. A ranked list begins with the highest."),
        (_top(lambda labels, room: min(room, labels.sum())), "of those that tie you take the right ones first. That is the best case; take the mean over all orders."),
        (_top(lambda labels, room: max(0, room - (1 - labels).sum())), "of those that tie you take the wrong ones first. That is the worst case; take the mean over all orders."),
        (_top(lambda labels, room: 0), "those that tie with the k-th count for nothing. The places above leave room for some of them."),
        (lambda scores, labels, k: float(labels[scores >= np.sort(scores)[len(scores) - k]].mean()), "all that tie with the k-th are in, so there are more than k. Only so many places are left for them."),
        (_top(lambda labels, room: labels.sum()), "all that tie with the k-th are in, and you divide by k: the share may exceed 1."),
        (_top(lambda labels, room: room * labels.mean(), of=lambda labels, k: labels.sum()), "you divide by the number of ones: that is recall, how many of all that were looked for stand at the top. Divide by k."),
        (_top(lambda labels, room: room * labels.mean(), of=lambda labels, k: 1), "that counts them. Divide by k."),
        (lambda scores, labels, k: float(labels[scores >= 0.5].mean()) if (scores >= 0.5).any() else 0.0, "you cut at 0.5. The list is cut after k, whatever the scores there."),
    ],
)


def _join_pair(first: Pieces, second: Pieces, room: int) -> tuple[list[str], list[int]]:
    """Check a function (pieces of the first text, of the second, room) -> the row of pieces and their types, as BERT reads a pair.

    [CLS] first [SEP] second [SEP]; type 0 up to the first [SEP], itself included, then 1. Where that is longer than the room, pieces go
    from the end of the longer text, one by one, and from the second where both are as long. A text without pieces is refused.
    """
    if not first or not second:
        raise ValueError("a side of the pair is empty")
    one, other = _cut()(first, second, room)
    return ["[CLS]", *one, "[SEP]", *other, "[SEP]"], [0] * (len(one) + 2) + [1] * (len(other) + 1)


def _cut(shorten_first: Callable[[int, int], bool] = lambda a, b: a > b, frame: int = 3, end: int = -1) -> Callable[..., tuple[list[str], list[str]]]:
    """Both texts, shortened by a rule until they fit beside so many other pieces, at one end."""
    def cut(first: Pieces, second: Pieces, room: int) -> tuple[list[str], list[str]]:
        one, other = [*first], [*second]
        while len(one) + len(other) > room - frame:
            (one if (shorten_first(len(one), len(other)) and one) or not other else other).pop(end)
        return one, other
    return cut


def _row(form: Callable[[list[str], list[str]], list[str]], cut: Callable[..., tuple[list[str], list[str]]] = _cut()) -> Callable[..., list[str]]:  # noqa: B008
    return lambda first, second, room: form(*cut(first, second, room))


def _joined(one: list[str], other: list[str]) -> list[str]:
    return ["[CLS]", *one, "[SEP]", *other, "[SEP]"]


def _types(form: Callable[[int, int], list[int]]) -> Callable[..., list[int]]:
    return lambda first, second, room: form(*map(len, _cut()(first, second, room)))


_SAID = "the tickets are sold out", "no seat is left", "it rains", "why are so many of the old bridges closed to cars", "yes"
_CASES = [(0, 1, 20), (2, 3, 9), (3, 2, 9), (0, 1, 9), (0, 1, 8), (4, 0, 6), (3, 1, 10)]
check_join_pair = exercise(
    "join_pair: [CLS] first [SEP] second [SEP], types 0 and 1, the longer text cut first",
    _join_pair, inputs=("the first text", "the second", "the room"), cases=[(_SAID[i].split(), _SAID[j].split(), room) for i, j, room in _CASES],
    describe=lambda first, second, room: f"For {len(first)} and {len(second)} pieces and room for {room},",
    refused=[((["yes"], [], 9), "The second text has no pieces, so there is nothing to compare: raise ValueError."),
             (([], ["yes"], 9), "The first text has no pieces, so there is nothing to compare: raise ValueError.")],
    only_read="which it should only read: work on a copy, as list(first).",
    parts=(
        Part("row of pieces", kinds={"str": "a row is a list of pieces. Do not join them to one string."}, mistakes=[
            (_row(lambda one, other: ["[CLS]", *one, *other, "[SEP]"]), "there is no [SEP] between the two: nothing says where the first ends."),
            (_row(lambda one, other: ["[CLS]", *one, "[SEP]", *other]), "the [SEP] at the end is missing. BERT was trained with one after each text."),
            (_row(lambda one, other: [*one, "[SEP]", *other, "[SEP]"]), "[CLS] is missing. The head reads the state at that place."),
            (_row(lambda one, other: ["[CLS]", *one, "[SEP]", "[CLS]", *other, "[SEP]"]), "there are two [CLS]. A pair is one row, with one place for the head to read."),
            (_row(lambda one, other: _joined(other, one)), "the two have changed places."),
            (lambda first, second, room: _joined([*first], [*second]), "it is longer than there is room for."),
            (lambda first, second, room: _joined([*first], [*second])[:room], "you cut the end off the whole row. The last [SEP] is lost, and the second text pays for a long first one: cut the longer text, before you join."),
            (_row(_joined, _cut(lambda a, b: False)), "only the second text is cut, until nothing of it is left. Cut whichever is longer at the time."),
            (_row(_joined, _cut(lambda a, b: b == 0 or a > 1)), "only the first text is cut. Cut whichever is longer at the time."),
            (_row(_joined, _cut(lambda a, b: a >= b)), "where both are as long, you cut the first; cut the second."),
            (_row(_joined, _cut(frame=0)), "you forgot room for [CLS] and two [SEP]: that is three pieces less."),
            (_row(_joined, _cut(frame=2)), "you leave room for two pieces of BERT's own. There are three: [CLS] and two [SEP]."),
            (_row(_joined, _cut(end=0)), "you cut the beginning of a text. Take pieces from its end."),
            (lambda first, second, room: _joined([*first[: (room - 3) // 2]], [*second[: (room - 3) // 2]]), "each text gets half the room. Where one is short, the other may have what is left."),
        ]),
        Part("row of types", kinds={"str": "types are whole numbers, 0 and 1."}, mistakes=[
            (_types(lambda a, b: [0] * (a + 1) + [1] * (b + 2)), "the first [SEP] has type 1. It ends the first text, so it is of type 0."),
            (_types(lambda a, b: [0] * (a + 2) + [1] * b + [0]), "the last [SEP] has type 0. It ends the second text, so it is of type 1."),
            (_types(lambda a, b: [0] * (a + b + 3)), "all types are 0, so both texts look like the first."),
            (_types(lambda a, b: [1] * (a + 2) + [0] * (b + 1)), "0 and 1 have changed places."),
            (_types(lambda a, b: [1] * (a + 2) + [2] * (b + 1)), "types count from 0: BERT has two of them, 0 and 1."),
            (_types(lambda a, b: [0] * a + [1] * b), "there is a type for each piece, also for [CLS] and the two [SEP]."),
            (_types(lambda a, b: [1] * (a + b + 3)), "that is the attention mask. Types say which text a piece is of."),
        ]),
    ),
)
# fmt: on
