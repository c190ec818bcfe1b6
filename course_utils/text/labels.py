"""Names in sentences: from the tags of tokens to spans."""

from collections.abc import Sequence

Span = tuple[int, int, str]  # the first token, the one after the last, the kind of name


def spans(tags: Sequence[str]) -> set[Span]:
    """The names that B-, I- and O tags mark: ``["O", "B-person", "I-person"]`` -> ``{(1, 3, "person")}``.

    A tag I that continues nothing of its kind begins a name, as in CoNLL's script. Without kinds, each has "".
    """
    names: set[Span] = set()
    start, name_kind = None, ""  # of the name that is open
    for place, tag in enumerate([*tags, "O"]):
        letter, _, kind = tag.partition("-")
        if start is not None and not (letter == "I" and kind == name_kind):
            names.add((start, place, name_kind))
            start = None
        if start is None and letter != "O":
            start, name_kind = place, kind
    return names
