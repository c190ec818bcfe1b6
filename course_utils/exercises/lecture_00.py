"""Lecture 00: a first check, and what transfer learning is."""

from __future__ import annotations

from collections.abc import Sequence

from course_utils.exercises.engine import exercise
from course_utils.exercises.quiz import Choice, Question


# fmt: off
def _share(labels: Sequence[int]) -> float:
    """Check a function from labels (a list of 0 for ham and 1 for spam) to the share of ones, between 0 and 1."""
    return sum(labels) / len(labels)


check_first_contact = exercise(
    "spam_share: the share of spam among the labels",
    _share,
    called="check_first_contact",
    inputs=("the labels",),
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


QUIZ = [
    Question(
        "What makes learning “transfer” learning?",
        [
            Choice(
                "The model that is used has been made larger than the data require.",
                False,
                "Size is not the point: a small set of word vectors, reused on another task, is transfer as well.",
            ),
            Choice(
                "Something learned on one task or kind of data is reused on another.",
                True,
                "Yes: what is carried over can be word vectors, a whole encoder or only its lower layers; what matters is "
                "that it was learned somewhere else.",
            ),
            Choice(
                "The training data are moved to a faster machine for a second run.",
                False,
                "That moves bytes, not knowledge. The word is about what a model learned, not about where it runs.",
            ),
        ],
    ),
    Question(
        "A sentiment model learned from labelled product reviews. You want it for film reviews, of which you have no "
        "labels. Which kind of transfer is that?",
        [
            Choice(
                "Transductive: domain adaptation",
                True,
                "The task stays the same, the kind of text changes, and labels exist only on the source side: that is "
                "domain adaptation.",
            ),
            Choice(
                "Inductive: sequential transfer",
                False,
                "Inductive transfer goes to another task, with labels for it. Here the task is the same, and the labels "
                "are missing on the target side.",
            ),
            Choice(
                "Inductive: multi-task learning",
                False,
                "Multi-task learning trains several tasks side by side. Here there is one task, and two kinds of text.",
            ),
            Choice(
                "Transductive: cross-lingual transfer",
                False,
                "It is transductive, but both kinds of review are in the same language: the domain changes.",
            ),
        ],
    ),
    Question(
        "BERT first learned to fill in hidden words, and later becomes a spam filter. Why is this called sequential?",
        [
            Choice(
                "Because it reads the words of a sentence one after another.",
                False,
                "An encoder like BERT sees all words of a message at once. The order meant here is that of the tasks.",
            ),
            Choice(
                "Because its layers are applied one after the other, in sequence.",
                False,
                "That holds for every deep network, also one trained from nothing, so it cannot be what makes it transfer.",
            ),
            Choice(
                "Because the tasks are learned one after the other, not at once.",
                True,
                "First pre-training, then the task with labels: two steps in time. Learned at once it would be multi-task.",
            ),
        ],
    ),
    Question(
        "You have 200 labelled messages. Why may a pre-trained encoder help?",
        [
            Choice(
                "It has already seen the labels of these messages, or like ones.",
                False,
                "It should not have: then the test would measure memory. Pre-training used other texts and no spam labels.",
            ),
            Choice(
                "It already treats related words alike, so 200 examples say more.",
                True,
                "If “prize” and “award” have similar vectors, an example with one also teaches about the other. With "
                "very many labels the advantage shrinks.",
            ),
            Choice(
                "It always beats the simpler models, whatever the task and data.",
                False,
                "It does not: counting words is a strong spam filter, as lecture 10 measures. Hence a baseline comes first.",
            ),
        ],
    ),
]
