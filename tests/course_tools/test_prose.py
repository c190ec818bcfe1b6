"""What stands out in a paragraph and in a code cell."""

import pytest

from course_tools import prose


def test_a_sentence_that_says_nothing_alone_takes_the_next_along():
    assert prose.lead(
        "So it does. But why? Because clouds are wet, as everybody knows who has met one. Not now."
    ) == ["So it does. But why? Because clouds are wet, as everybody knows who has met one."]


def test_a_long_second_sentence_is_left_to_the_speaker():
    first, second = f"Rain {'falls and ' * 15}falls.", f"Snow {'lies and ' * 15}lies."
    assert prose.lead(f"{first} {second}") == [first]


@pytest.mark.parametrize(
    "text",
    [
        "Smith et al. Found it.",
        "It is `a. B` or so.",
        "Here $x. Y$ stands.",
        "*One. Two.*",
        "**Bold. Still bold.**",
        "He said “Go. Now.”",
        "This (see there. And here.) is one.",
        "About 2. of them",
    ],
)
def test_a_sentence_does_not_end_inside_something(text):
    assert len(prose.sentences(text)) == 1


def test_sentences_end_after_quotations_and_emphasis():
    assert prose.sentences("He said “Go.” *She went.* `x` is left! 3 are not.") == [
        "He said “Go.”", "*She went.*", "`x` is left!", "3 are not.",
    ]  # fmt: skip


def test_several_statements_on_a_line_do_not_take_others_along():
    assert prose.essential("a = b()\nexpect(1); print(2)\nc = d()\nprint(c)") == "a = b()\nc = d()"
