"""What the site and the slides share: formulas that every browser sets by itself, without a script and without a network."""

from __future__ import annotations

from course_utils.lectures import LectureError


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
        return convert(tex.strip(), display="block" if display else "inline")
    except Exception as error:  # the parser has a dozen kinds of its own
        raise LectureError(
            f"The formula ${tex.strip()}$ cannot be set: {type(error).__name__} {error}"
        ) from error
