"""Lecture 06's exercises: stubs fail kindly, solutions pass, wrong answers get the right diagnosis."""

import numpy as np
import torch
import torch.nn.functional as F
from exercise_contract import ExerciseContract

from course_utils.exercises import lecture_06
from course_utils.models.transformer import MultiHeadAttention, attention

# --- answers: the first ones of each list are right; the others come with a piece of their diagnosis


def looking_back(queries, keys, values):
    n, d = queries.shape
    future = torch.ones(n, n, dtype=torch.bool).triu(1)
    return (queries @ keys.T / d**0.5).masked_fill(future, -torch.inf).softmax(1) @ values


def place_by_place(queries, keys, values):
    rows = [(q @ keys[: i + 1].T / len(q) ** 0.5).softmax(0) @ values[: i + 1] for i, q in enumerate(queries)]
    return torch.stack(rows)


def mixed(allowed=lambda n: torch.ones(n, n).tril(), scale=lambda n, d: d**0.5, dim=1, hide=-torch.inf):
    """Attention with one thing changed."""

    def answer(queries, keys, values):
        n, d = queries.shape
        scores = queries @ keys.T / scale(n, d)
        return scores.masked_fill(allowed(n) == 0, hide).softmax(dim) @ values

    return answer


def looking_back_in_steps(queries, keys, values):
    """The softmax by hand; the largest score of each row is taken off first."""
    scores = (queries @ keys.T / queries.shape[1] ** 0.5).masked_fill(
        torch.ones(len(keys), len(keys)).triu(1) > 0, -1e9
    )
    weights = (scores - scores.amax(1, keepdim=True)).exp()
    return weights / weights.sum(1, keepdim=True) @ values


def by_exp(taken_off):
    """The softmax by hand, without care for what exp can hold."""

    def answer(queries, keys, values):
        scores = queries @ keys.T / queries.shape[1] ** 0.5
        weights = (scores - taken_off(scores)).exp().tril()
        return weights / weights.sum(1, keepdim=True) @ values

    return answer


def with_less(hidden):
    """The future's scores made smaller, by so much only."""

    def answer(queries, keys, values):
        scores = queries @ keys.T / queries.shape[1] ** 0.5
        return (scores - hidden * torch.ones(len(keys), len(keys)).triu(1)).softmax(1) @ values

    return answer


def zeroed_afterwards(queries, keys, values):
    n, d = queries.shape
    return ((queries @ keys.T / d**0.5).softmax(1) * torch.ones(n, n).tril()) @ values


def zeroed_before(queries, keys, values):
    n, d = queries.shape
    return ((queries @ keys.T / d**0.5) * torch.ones(n, n).tril()).softmax(1) @ values


def weights_only(queries, keys, values):
    return attention(queries, keys, values, torch.ones(len(queries), len(queries)).tril())[1]


def not_normalised(queries, keys, values):
    n, d = queries.shape
    future = torch.ones(n, n).triu(1) > 0
    return (queries @ keys.T / d**0.5).masked_fill(future, -torch.inf).exp() @ values


def in_place(queries, keys, values):
    answer = looking_back(queries, keys, values)
    values.data *= 0
    return answer


def split(x, heads):
    batch, n, units = x.shape
    if units % heads:
        raise ValueError(f"{units} units, {heads} heads")
    return x.reshape(batch, n, heads, units // heads).transpose(1, 2)


def split_by_stacking(x, heads):
    share, left = divmod(x.shape[-1], heads)
    if left:
        raise ValueError("units cannot be shared out")
    return torch.stack(x.split(share, dim=-1), dim=1)


def split_with(form):
    def answer(x, heads):
        batch, n, units = x.shape
        if units % heads:
            raise ValueError("units cannot be shared out")
        return form(x, batch, heads, n, units // heads)

    return answer


def split_silently(x, heads):
    if x.shape[-1] % heads:
        raise ValueError
    return split(x, heads)


def split_by_hand(x, heads):
    if x.shape[-1] % heads:
        raise ValueError
    return torch.tensor(split(x, heads).tolist())


def split_with_assert(x, heads):
    assert x.shape[-1] % heads == 0, "units cannot be shared out"
    return split(x, heads)


def split_dropping(x, heads):
    share = x.shape[-1] // heads
    return split(x[..., : share * heads], heads)


def pairs(first, second, start, delimiter, extract):
    return [
        [start, *first, delimiter, *second, extract],
        [start, *second, delimiter, *first, extract],
    ]


def pairs_as_tuples(first, second, start, delimiter, extract):
    return tuple(tuple(row) for row in pairs(first, second, start, delimiter, extract))


def rows(change):
    """Both rows, changed."""

    def answer(first, second, start, delimiter, extract):
        return [
            change(row, start, delimiter, extract) for row in pairs(first, second, start, delimiter, extract)
        ]

    return answer


def both(change):
    """The list of both rows, changed."""
    return lambda *given: change(pairs(*given))


def pairs_in_place(first, second, start, delimiter, extract):
    answer = pairs(first, second, start, delimiter, extract)
    first.append(extract)
    return answer


# fmt: off
EXERCISES = {
    lecture_06.check_causal_attention: (
        [
            looking_back, place_by_place, mixed(), lambda *given: F.scaled_dot_product_attention(*given, is_causal=True),
            looking_back_in_steps, mixed(hide=-1e9), mixed(hide=torch.finfo(torch.float32).min),
        ],
        [
            (mixed(lambda n: torch.ones(n, n)), "the future included"),
            (mixed(lambda n: torch.ones(n, n).triu()), "ahead instead of back"),
            (mixed(lambda n: torch.ones(n, n).tril(-1)), "does not look at itself"),
            (lambda *given: mixed(lambda n: torch.ones(n, n).tril(-1))(*given).nan_to_num(), "does not look at itself"),
            (mixed(scale=lambda n, d: 1), "Divide the scores by √d"),
            (mixed(scale=lambda n, d: d), "You divide by d"),
            (mixed(scale=lambda n, d: n**0.5), "You divide by √n"),
            (mixed(scale=lambda n, d: d**-0.5), "You multiply by √d"),
            (by_exp(lambda scores: 0), "more than a float32 can hold"),
            (by_exp(lambda scores: scores.max()), "more than a float32 can hold"),
            (mixed(hide=-20.0), "-inf is below every score"),
            (mixed(hide=-1e4), "-inf is below every score"),
            (with_less(20), "-inf is below every score"),
            (with_less(1e4), "-inf is below every score"),
            (mixed(scale=lambda n, d: 2), "You divide by 2, whatever d is"),
            (mixed(scale=lambda n, d: 8), "You divide by 8, whatever d is"),
            (mixed(scale=lambda n, d: 5), "you return, in row"),
            (lambda q, k, v: looking_back(q.detach(), k, v), "the gradient"),
            (lambda q, k, v: looking_back(q, k.detach(), v), "the gradient"),
            (lambda q, k, v: looking_back(q, k, v.detach()), "the gradient"),
            (lambda *given: (looking_back(*given), weights_only(*given)), "you return several"),
            (mixed(hide=0.0), "A score of 0 is a score like any other"),
            (zeroed_before, "A score of 0 is a score like any other"),
            (zeroed_afterwards, "after the softmax"),
            (mixed(dim=0), "goes down the columns"),
            (not_normalised, "Divide each row by its sum"),
            (lambda q, k, v: looking_back(q, k, k), "the mean of the keys"),
            (lambda q, k, v: looking_back(q, k, q), "the mean of the queries"),
            (lambda q, k, v: looking_back(k, q, v), "have changed places"),
            (weights_only, "has shape (5, 5) and not (5, 4): These are the weights"),
            (lambda q, k, v: v * 1, "as they came in, unmixed"),
            (lambda q, k, v: v * 2, "you return, in row"),
            (lambda *given: looking_back(*given).detach(), "No gradient flows"),
            (lambda *given: looking_back(*given).tolist(), "Return a tensor, not list"),
            (in_place, "changes the values, which it should only read"),
            (lambda q, k, v: q @ k, "stopped"),
        ],
    ),
    lecture_06.check_split_heads: (
        [split, split_silently, split_by_stacking, lambda x, heads: MultiHeadAttention(x.shape[-1], heads).split(x)],
        [
            (split_with(lambda x, b, h, n, s: x.reshape(b, h, n, s)), "cuts the row of numbers anew"),
            (split_with(lambda x, b, h, n, s: x.reshape(b, n, h, s)), "have to change places"),
            (split_with(lambda x, b, h, n, s: x.reshape(b, n, h, s).permute(2, 0, 1, 3)), "The texts of the batch come first"),
            (split_with(lambda x, b, h, n, s: x.reshape(b, n, s, h).permute(0, 3, 1, 2)), "every heads-th unit"),
            (split_with(lambda x, b, h, n, s: x.reshape(b, n, h, s).transpose(1, 2).flip(1)), "reverse order"),
            (split_with(lambda x, b, h, n, s: x[:, None, :, :s].expand(b, h, n, s)), "all heads have the same units"),
            (split_with(lambda x, b, h, n, s: x.reshape(b, n, h, s).transpose(1, 2) + 1), "head 0 has"),
            (split_with(lambda x, b, h, n, s: x.reshape(b, n, h, s).permute(1, 2, 0, 3)), "has shape (5, 3, 2, 4) and not (2, 3, 5, 4)"),
            (split_by_hand, "No gradient flows"),
            (lambda x, heads: split(x, 2), "has shape (2, 2, 5, 6)"),
            (split_with(lambda x, b, h, n, s: (x.reshape(b, n, h, s).transpose(1, 2), s)), "you return several"),
            (split_with(lambda x, b, h, n, s: x.reshape(b, n, h, s).transpose(1, 2 if n != h else 1)), "have to change places"),
            (split_with_assert, "8 units for 3 heads should raise a ValueError"),
            (lambda x, heads: x.reshape(*x.shape[:2], heads, -1).transpose(1, 2), "8 units for 3 heads should raise a ValueError"),
            (split_dropping, "raise a ValueError"),
            (split_with(lambda x, *_: x.tolist()), "Return a tensor"),
        ],
    ),
    lecture_06.check_pair_inputs: (
        [pairs, pairs_as_tuples, lambda a, b, s, d, e: [[s, *a, d, *b, e], [s, *b, d, *a, e]], lambda *given: [list(np.array(row)) for row in pairs(*given)]],
        [
            (both(lambda two: two[::-1]), "the first text in front comes first"),
            (both(lambda two: [two[0], two[0]]), "the same order as the first"),
            (both(lambda two: [two[1], two[1]]), "the first row should have the first text in front"),
            (both(lambda two: two[:1]), "one order only"),
            (both(lambda two: [two[0], two[0][::-1]]), "back to front"),
            (rows(lambda row, s, d, e: row[:-1]), "`extract` is missing"),
            (rows(lambda row, s, d, e: row[1:]), "`start` is missing"),
            (rows(lambda row, s, d, e: [i for i in row if i != d]), "the delimiter is missing"),
            (rows(lambda row, s, d, e: [i for i in row if i not in (s, d, e)]), "start, delimiter and extract are missing"),
            (rows(lambda row, s, d, e: [e, *row[1:-1], s]), "start and extract have changed places"),
            (rows(lambda row, s, d, e: [e, *row[:-1]]), "`extract` stands in front"),
            (rows(lambda row, s, d, e: [*row[:-1], d, e]), "between the texts only"),
            (both(lambda two: [[*two[0], *two[1][1:]]]), "one long row"),
            (rows(lambda row, s, d, e: [7, *row]), "you return"),
            (lambda a, b, s, d, e: pairs(a, b, 100, 101, 102), "as they are given"),
            (lambda *given: [[float(i) for i in row] for row in pairs(*given)], "flat list of ids"),
            (lambda *given: [[True, *row[1:]] for row in pairs(*given)], "flat list of ids"),
            (lambda a, b, s, d, e: [[s, a, d, b, e], [s, b, d, a, e]], "flat list of ids"),
            (lambda a, b, s, d, e: [s, *a, d, *b, e], "list of *two lists*"),
            (lambda *given: str(pairs(*given)), "not str"),
            (pairs_in_place, "changes the first list, which it should only read"),
            (lambda a, b, s, d, e: a + s, "stopped"),
        ],
    ),
}
# fmt: on


class TestLecture06(ExerciseContract):
    exercises = EXERCISES


def test_the_checks_cost_no_random_numbers():
    state = torch.random.get_rng_state()
    lecture_06.check_causal_attention(looking_back)
    lecture_06.check_split_heads(split)
    assert torch.equal(state, torch.random.get_rng_state())
