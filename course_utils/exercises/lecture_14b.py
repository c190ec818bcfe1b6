"""Lecture 14b: an order of reading as a mask, the nucleus of several texts at once, perplexity by stride."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.exercises.engine import exercise


# fmt: off
def _query_mask(order: Tensor) -> Tensor:
    """Check a function from an order of reading, (n,), to the mask of XLNet's query stream, (n, n): true at [i, j] where place i may look at j."""
    when = order.argsort()
    return when[None, :] < when[:, None]


def _before(n: int) -> Tensor:
    return torch.ones(n, n, dtype=torch.bool).tril(-1)


_PLACES = "Row and column are places in the text, not turns: order.argsort() says of each place when it is read."
check_query_mask = exercise(
    "query_mask: each place sees what was read before it, and never itself",
    _query_mask, inputs=("the order",), cases=[(torch.tensor(order),) for order in ([2, 0, 3, 1], [1, 2, 3, 4, 0], [3, 1, 4, 0, 2, 5], [0])],
    describe=lambda order: f"For the order {order.tolist()}", only_read="which it should only read: another layer needs it, too.",
    mistakes=[
        (lambda order: _query_mask(order) | torch.eye(len(order), dtype=torch.bool),
         "each place sees itself. That is the content stream; the query stream has to guess what stands there: <, not <=."),
        (lambda order: _query_mask(order).T, "each place sees what is read after it. The mask lies on its side: row i is who looks."),
        (lambda order: _query_mask(order).T | torch.eye(len(order), dtype=torch.bool), "each place sees itself and what is read after it. The mask lies on its side, and has its diagonal."),
        (lambda order: ~torch.eye(len(order), dtype=torch.bool), "every place sees all others, whatever the order: in the second layer each sees itself through its neighbours."),
        (lambda order: _before(len(order)), "that is a decoder's mask: from left to right, whatever the order."),
        (lambda order: order[None, :] < order[:, None], f"you compare the order itself. {_PLACES}"),
        (lambda order: _before(len(order))[order.argsort()], f"the rows are places, the columns still turns. {_PLACES}"),
        (lambda order: _before(len(order))[:, order.argsort()], f"the columns are places, the rows still turns. {_PLACES}"),
    ],
)


def _nucleus(chances: Tensor, p: float) -> Tensor:
    """Check a function (chances, p): (rows, V) -> (rows, V), each row's fewest likeliest tokens that hold p together, scaled to sum to one."""
    return _kept()(chances, p)


def _kept(
    keep: Callable[[Tensor, float], Tensor] = lambda likeliest, p: likeliest.cumsum(1) - likeliest < p,
    scale: Callable[[Tensor], Tensor] = lambda kept: kept / kept.sum(1, keepdim=True), down: bool = True,
    back: Callable[[Tensor, Tensor], Tensor] = lambda kept, places: torch.zeros_like(kept).scatter(1, places, kept),
) -> Callable[[Tensor, float], Tensor]:
    """By what is kept of the sorted chances, how that is scaled, and how it comes back to its places."""
    def nucleus(chances: Tensor, p: float) -> Tensor:
        likeliest, places = chances.sort(dim=1, descending=down)
        return scale(back(likeliest * keep(likeliest, p), places))
    return nucleus


def _rows(*rows: Sequence[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64) / torch.tensor(rows, dtype=torch.float64).sum(1, keepdim=True)


_CASES = [(_rows([5, 30, 2, 41, 10, 12], [17, 16, 19, 15, 18, 14]), 0.85), (_rows([21, 4, 33, 24, 18], [40, 9, 8, 27, 16], [3, 60, 20, 10, 7]), 0.7),
          (_rows([2, 3, 90, 5], [24, 28, 25, 23]), 0.5)]
check_nucleus = exercise(
    "nucleus: for each text the fewest tokens that hold p, and their chances sum to one",
    _nucleus, inputs=("the chances", "p"), cases=_CASES, describe=lambda chances, p: f"For p = {p} and chances of the shape {tuple(chances.shape)}",
    infinite="In the last case the likeliest token holds more than p by itself, and nothing is left in your nucleus. It belongs to it: it takes the sum past p.",
    only_read="which it should only read: chances.clone(), or torch.where, makes a new tensor.",
    mistakes=[
        (_kept(lambda s, p: s.cumsum(1) < p), "the token that takes the sum past p is missing, so what is kept holds less than p."),
        (_kept(lambda s, p: s.cumsum(1) - s - s.roll(1, 1) * (torch.arange(s.shape[1]) > 0) < p), "you keep one token more than you need: count what the *likelier* ones hold, without the token itself."),
        (_kept(scale=lambda kept: kept), "what is left does not sum to one. Divide each row by its sum."),
        (_kept(scale=lambda kept: kept / kept.sum()), "all rows together sum to one. Each row is a text of its own: sum(1, keepdim=True)."),
        (_kept(scale=lambda kept: kept.masked_fill(kept == 0, -torch.inf).softmax(1)), "chances went through a softmax again, which makes them more alike. Divide by the sum."),
        (_kept(lambda s, p: (s.cumsum(1) - s < p)[:1].expand_as(s)), "every row keeps as many tokens as the first. The nucleus grows and shrinks from text to text."),
        (_kept(back=lambda kept, places: kept), "the chances are right and stand in the order of their size. Bring them back to their tokens: zeros.scatter(1, places, kept)."),
        (_kept(back=lambda kept, places: kept.gather(1, places)), "gather takes from the places, and you want to put there: scatter(1, places, kept)."),
        (_kept(down=False), "you began with the *least* likely tokens. Sort from the top: descending=True."),
        (_kept(lambda s, p: s >= 1 - p), "you keep tokens that are likelier than 1 - p each. It is their sum that counts."),
        (_kept(lambda s, p: torch.arange(s.shape[1]).expand_as(s) < round(p * s.shape[1])), "you keep a share p of the *tokens*. They should hold a share p of the probability."),
        (lambda chances, p: 1 * chances, "these are the chances as they came in: nothing is cut off."),
    ],
)


def _strided_perplexity(ids: Sequence[int], score: Callable[..., Any], length: int, stride: int) -> float:
    """Check a function (ids, score, length, stride) -> the perplexity of a text, each token but the first counted once.

    ``score(window)`` are the natural log-probabilities of a window's tokens but its first, each given those before it in the window.
    """
    if len(ids) < 2 or not 1 <= stride < length:
        raise ValueError("two tokens or more, and a stride from 1 to length - 1")
    return _by()(ids, score, length, stride)


def _by(of: Callable[..., Any] = lambda some, new, stride: some[len(some) - new :], end: Callable[..., float] = lambda parts, n: float(np.exp(-np.concatenate(parts).mean())),
        step: Callable[[int, int], int] = lambda length, stride: stride, whole: bool = False) -> Callable[..., float]:
    """By what is counted of a window, how all windows' parts become one number, how far a window moves, and whether the last may be shorter."""
    def perplexity(ids: Sequence[int], score: Callable[..., Any], length: int, stride: int) -> float:
        counted, parts, move = 1, [], step(length, stride)
        for start in range(0, max(1, len(ids) - length + (1 if whole else move)), move):
            window = ids[start : start + length]
            new = start + len(window) - counted
            parts.append(of(np.asarray(score(window)), new, stride))
            counted += new
        return end(parts, len(ids))
    return perplexity


def _score(window: Sequence[int]) -> np.ndarray:
    """A model that gets surer the more it has read."""
    return np.array([-0.3 - 2.5 / at - 0.17 * (7 * window[at] % 11) - 0.05 * (window[at - 1] % 3) for at in range(1, len(window))])


_IDS = [4, 9, 1, 12, 3, 8, 15, 2, 7, 20, 5]
_ALL = np.concatenate
check_strided_perplexity = exercise(
    "strided_perplexity: every token but the first counted once, with as much before it as the stride leaves",
    _strided_perplexity, inputs=("ids", "score", "length", "stride"), cases=[(_IDS, _score, 5, 2), (_IDS, _score, 6, 3), (_IDS, _score, 4, 1), (_IDS[:7], _score, 10, 4)],
    describe=lambda ids, score, length, stride: f"For {len(ids)} tokens, windows of {length} and a stride of {stride}",
    mistakes=[
        (_by(lambda some, new, stride: some), "what two windows share is counted twice, once with little before it. Of each window only what is new counts."),
        (_by(lambda some, new, stride: some[:new]), "you count the first tokens of each window. New are its last ones."),
        (_by(lambda some, new, stride: some[-stride:]), "you count the last `stride` tokens of every window. In the first one all are new, in the last perhaps fewer."),
        (_by(end=lambda parts, n: float(np.mean([np.exp(-part.mean()) for part in parts]))), "you take the mean of the windows' perplexities. Take the mean of all log-probabilities first, then exp, once."),
        (_by(end=lambda parts, n: float(np.exp(-np.mean([part.mean() for part in parts])))), "each window weighs as much as another, however few of its tokens are new. Add up the tokens."),
        (_by(end=lambda parts, n: float(np.exp(-_ALL(parts).sum() / n))), "you divide by n. The first token was not foreseen: n - 1."),
        (_by(end=lambda parts, n: float(2 ** -_ALL(parts).mean())), "the logarithms are natural, so it is exp and not a power of 2."),
        (_by(end=lambda parts, n: float(np.exp(_ALL(parts).mean()))), "the minus is missing: a perplexity is 1 or more."),
        (_by(end=lambda parts, n: float(-_ALL(parts).mean())), "that is the mean negative log-likelihood. The perplexity is its exp."),
        (_by(end=lambda parts, n: float(np.exp(-_ALL(parts).sum()))), "that is the probability of the whole text, turned over. Divide by the number of tokens before exp."),
        (_by(lambda some, new, stride: some, step=lambda length, stride: length), "your windows do not overlap: the next one begins `stride` later, not `length`."),
        (_by(whole=True), "the end of the text is missing: the last window may be shorter, or share more with the one before it."),
    ],
    refused=[((_IDS, _score, 4, 4), "A window that shares nothing with the one before has a first token that nothing foresees: raise ValueError."),
             ((_IDS, _score, 4, 0), "With a stride of 0 no window would ever come to an end: raise ValueError."), ((_IDS[:1], _score, 4, 2), "Of a single token nothing is foreseen: raise ValueError.")],
)
# fmt: on
