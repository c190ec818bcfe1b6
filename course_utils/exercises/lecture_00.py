"""Lecture 00: a first check, and what transfer learning is."""

from collections.abc import Sequence

from course_utils.exercises.engine import exercise


# fmt: off
def _share(labels: Sequence[int]) -> float:
    """Check a function from labels (a list of 0 for ham and 1 for spam) to the share of ones, between 0 and 1."""
    return sum(labels) / len(labels)


check_first_contact = exercise(
    "spam_share: the share of spam among the labels",
    _share, called="check_first_contact", inputs=("the labels",),
    cases=[([0, 0, 0, 1],), ([1, 1],), ([0] * 9 + [1],), ([0, 0],), ([1, 1, 0],)],
    mistakes=[
        (sum, "that counts the spam. Divide by how many labels there are."),
        (lambda labels: len(labels) - sum(labels), "that counts the ham. Count the spam (1), and divide by how many labels there are."),
        (lambda labels: 1 - _share(labels), "that is the share of ham (0), not of spam (1)."),
        (lambda labels: 100 * _share(labels), "that is in percent. The share lies between 0 and 1."),
        (lambda labels: sum(labels) // len(labels), "there is spam among them. If you divide with `//`, it drops what is less than one: use `/`."),
        (lambda labels: sum(labels) / max(len(labels) - sum(labels), 1), "you divide by the ham. Divide by all labels."),
    ],
)
# fmt: on
