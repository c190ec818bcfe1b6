"""What functions are given: numbers and texts as Python's own, or a sentence that says what is wrong with them."""

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any


def checked(least: float, **settings: Any) -> list[Any]:
    """Settings as Python's numbers, whole ones where ``least`` is whole: not all libraries take those of NumPy.

    Raises:
        ValueError: if one is no such number, or below ``least``.
    """
    whole = isinstance(least, int)
    kind: Any = Integral if whole else Real
    for name, value in settings.items():
        if not isinstance(value, kind) or not value >= least:
            raise ValueError(f"{name}={value!r}: it must be a {'whole ' * whole}number, {least:g} or more.")
    return [int(value) if whole else float(value) for value in settings.values()]


def strings(texts: Iterable[Any]) -> list[str]:
    """Texts as a list.

    Raises:
        TypeError: if they are one string, a table or a dict, or one of them is not a string.
        ValueError: if one holds a lone surrogate, which is half a character.
    """
    # A table or a dict would give its names.
    if isinstance(texts, str | Mapping) or not isinstance(texts, Iterable) or getattr(texts, "ndim", 1) != 1:
        advice = "write [text] for one, and table['column'] for those of a table"
        raise TypeError(f"texts must be a list of strings, not {type(texts).__name__}: {advice}.")
    for position, text in enumerate(texts := list(texts)):
        if not isinstance(text, str):
            raise TypeError(f"Text {position} is {text!r} ({type(text).__name__}), not a string.")
        if any("\ud800" <= character <= "\udfff" for character in ("" if text.isascii() else text)):
            advice = 'Read its file anew with encoding="utf-8", or with errors="replace".'
            raise ValueError(f"Text {position} holds half a character (a lone surrogate): {text!r}. {advice}")
    return texts
