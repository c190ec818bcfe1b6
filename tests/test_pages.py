"""What the site and the slides share."""

import re

import pytest

from course_utils import lectures, pages


def test_a_formula_becomes_mathml():
    inline = pages.formula(r"\sqrt{t/f}", display=False)
    assert inline.startswith("<math") and "<msqrt>" in inline and 'display="inline"' in inline
    assert 'display="block"' in pages.formula(r"\frac{1}{2}", display=True)


@pytest.mark.parametrize("tex", [r"\left( a", "a^"])
def test_a_formula_that_cannot_be_read_is_refused(tex):
    with pytest.raises(lectures.LectureError, match="cannot be set"):
        pages.formula(tex, display=False)


def test_every_formula_of_the_lectures_can_be_set():
    found = 0
    for path in lectures.find():
        for cell in lectures.read(path).cells:
            if cell.cell_type != "markdown":
                continue
            text = re.sub(r"`[^`]*`", "", cell.source)
            for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", text, flags=re.DOTALL):
                set_ = pages.formula(block or inline, display=bool(block))
                assert "merror" not in set_ and "\\" not in set_, block or inline
                found += 1
    assert found > 100
