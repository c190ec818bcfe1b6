"""What stands out in a paragraph and in a code cell."""

import pytest

from course_tools import prose


def test_a_sentence_that_says_nothing_alone_takes_the_next_along():
    assert prose.lead(
        "So it does. But why? Because clouds are wet, as everybody knows who has met one. Not now."
    ) == ["So it does. But why? Because clouds are wet, as everybody knows who has met one."]


def test_a_later_paragraph_shows_what_is_bold_and_what_announces():
    text = "It rains. It **pours**. It snows. Look at this:"
    assert prose.lead(text, first=False) == ["It **pours**."]
    assert prose.lead(text, first=False, last=True) == ["It **pours**.", "Look at this:"]


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


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("a = b()\nexpect(1); print(2)\nc = d()\nprint(c)", "a = b()\nc = d()"),
        ("a = b(); expect(\n    1,\n)\nprint(2)", "a = b(); expect(\n    1,\n)"),
        ("a = b()\nexpect(\n    'x',\n    c(),\n\n)\nd(\n    a,\n)", "a = b()\nd(\n    a,\n)"),
        ("seen = plotting.lines(\n    a(),\n)\nplotting.show(\n    seen\n)\nb()", "b()"),
        ("few = (\n    1,\n    'a',\n)\nmany = (\n    1,\n    a(),\n)", "many = (\n    1,\n    a(),\n)"),
        (
            "for x in y:\n    print(x)\n    expect(x)\nelse:\n    pass",
            "for x in y:\n    print(x)\n    expect(x)\nelse:\n    pass",
        ),
        ("a, b = 1, None\n\n\n\n# Why.\nwith c() as d:\n    e(d)", "# Why.\nwith c() as d:\n    e(d)"),
        ("import a\n%timeit b()", "import a\n%timeit b()"),
    ],
    ids=["on a line", "one stays", "call", "figure", "constant", "block", "blank lines", "magic"],
)
def test_beside_a_figure_whole_statements_go_and_whole_statements_stay(source, kept):
    assert prose.essential(source.replace("'", '"')) == kept.replace("'", '"')


@pytest.mark.parametrize(
    ("source", "for_the_machine"),
    [
        ("from a import (\n    b,\n    c,\n)\n\nimport d", True),
        ("from a import (\n    b,\n)\n\nb()", False),
        ("# Yours:\ncheck_rain(\n    rain,\n)", True),
        ("import a\n\nsize = course.choose(\n    ci=1,\n)\nx = 2", True),
        ("# @title Set-up\nif a:\n    %pip install a\n\ncourse = start()", True),
        (" \n", True),
        ("%timeit rain()", False),
    ],
)
def test_set_up_imports_and_checks_are_for_the_machine(source, for_the_machine):
    assert prose.for_the_machine(source) is for_the_machine


def test_what_is_folded_is_left_out_with_what_stands_inside():
    inner = "<details><summary>2</summary>\nWetter.\n\n- x\n\n</details>"
    source = f"Rain.\n\n<details><summary>1</summary>\n\nWet.\n\n{inner}\n</details>\n\nSnow."
    assert [text for _, text in prose.chunks(source)] == ["Rain.", "Snow."]
    assert [text for _, text in prose.chunks("`<details>` is HTML.\n\n<b>Bold</b>\n\nSnow.")][-1] == "Snow."
