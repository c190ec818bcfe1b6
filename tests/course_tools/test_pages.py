"""What the site and the slides share."""

import re

import pytest

from course_tools import notebooks, pages


def test_a_formula_becomes_mathml():
    inline = pages.formula(r"\sqrt{t/f}", display=False)
    assert inline.startswith("<math") and "<msqrt>" in inline and 'display="inline"' in inline
    assert 'display="block"' in pages.formula(r"\frac{1}{2}", display=True)


def test_a_function_keeps_its_distance_but_not_from_a_bracket():
    assert '<mi>log</mi><mspace width="0.167em"/><mi>p</mi>' in pages.formula(r"\log p(x)", display=False)
    assert "mspace" not in pages.formula(r"\exp(x) + \tanh\Big(x\Big)", display=False)


def test_aligned_equations_stand_in_columns_and_primes_are_raised_once():
    rows = pages.formula(r"\begin{aligned} a &= b \\ c &= d \end{aligned}", display=True)
    assert rows.count("<mtr>") == 2 and "aligned" not in rows
    assert "<msup>" not in pages.formula("h' + 1", display=False)


@pytest.mark.parametrize("tex", [r"\left( a", "a^"])
def test_a_formula_that_cannot_be_read_is_refused(tex):
    with pytest.raises(notebooks.LectureError, match="cannot be set"):
        pages.formula(tex, display=False)


def test_every_formula_of_the_lectures_can_be_set():
    found = 0
    for path in notebooks.find():
        for cell in notebooks.read(path).cells:
            if cell.cell_type != "markdown":
                continue
            text = re.sub(r"`[^`]*`", "", cell.source)
            for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", text, flags=re.DOTALL):
                set_ = pages.formula(block or inline, display=bool(block))
                assert not re.search(r"merror|\\|aligned", set_), block or inline
                found += 1
    assert found > 100
