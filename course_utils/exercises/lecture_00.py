"""Lecture 00: a first check, and what transfer learning is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from course_utils.exercises import call, check, require


@check("spam_share: the share of spam among the labels")
def check_first_contact(spam_share: Callable[[Sequence[int]], float]) -> None:
    """Check a function from labels (a list of 0 for ham and 1 for spam) to the share of ones, between 0 and 1."""
    for labels, share in (([0, 0, 0, 1], 0.25), ([1, 1], 1.0), ([0] * 9 + [1], 0.1), ([0, 0], 0.0)):
        result = call(spam_share, labels)
        said = f"For {labels} your function returns {result!r}"
        require(
            isinstance(result, int | float) and not isinstance(result, bool),
            f"{said}: it should be a number.",
        )
        require(
            share in (0.0, 1.0) or result != sum(labels),
            f"{said}: that counts the spam. Divide by how many labels there are.",
        )
        require(
            share == 0.5 or abs(result - (1 - share)) > 1e-9,
            f"{said}: that is the share of ham (0), not of spam (1).",
        )
        require(
            share == 0.0 or abs(result - 100 * share) > 1e-9,
            f"{said}: that is in percent. The share lies between 0 and 1.",
        )
        require(
            share in (0.0, 1.0) or result != 0,
            f"{said}, though there is spam among them. If you divide with `//`, it drops what is less than one: use `/`.",
        )
        require(abs(result - share) < 1e-9, f"{said}, and the share of ones is {share}.")
