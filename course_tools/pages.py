"""What the site and the slides share: formulas that every browser sets by itself, without a script and without a network."""

from __future__ import annotations

import re

from course_tools.notebooks import LectureError

# A prime is high already, and a browser would raise it once more.
PRIME = re.compile(r"<msup>(<mi>[^<]*</mi>)<mi>&#x02032;</mi></msup>")
# TeX leaves a thin space between log and what it is taken of, unless a bracket follows; browsers do not.
FUNCTION = re.compile(r"<mi>(?:arg|cos|exp|ln|log|max|min|sin|tanh)</mi>(?=<m(?!o\b))")


def formula(tex: str, *, display: bool) -> str:
    """A formula in TeX, without its dollar signs, as MathML.

    Args:
        tex: what a lecture writes between dollar signs.
        display: on a line of its own.

    Raises:
        LectureError: if it cannot be read; a page must not show half a formula.
    """
    from latex2mathml.converter import convert

    try:
        # It knows align, and not aligned, which is the same inside a formula.
        set_ = convert(tex.strip().replace("{aligned}", "{align*}"), display="block" if display else "inline")
    except Exception as error:  # the parser has a dozen kinds of its own
        raise LectureError(
            f"The formula ${tex.strip()}$ cannot be set: {type(error).__name__} {error}"
        ) from error
    set_ = PRIME.sub(r'<mrow>\1<mo lspace="0" rspace="0">&#x02032;</mo></mrow>', set_)
    return FUNCTION.sub(r'\g<0><mspace width="0.167em"/>', set_)
