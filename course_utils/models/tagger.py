"""Names in sentences: from tags to spans, and how many of the spans are right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Span = tuple[int, int, str]  # the first token, the one after the last, the kind of name


def spans(tags: Sequence[str]) -> set[Span]:
    """The names that B-, I- and O tags mark: ``["O", "B-person", "I-person"]`` -> ``{(1, 3, "person")}``.

    A tag I that continues nothing of its kind begins a name, as in the CoNLL shared tasks' script. Without kinds, B, I and
    O alone, each name has the kind "".
    """
    found, begin = set(), None
    for place, tag in enumerate([*tags, "O"]):
        letter, _, kind = tag.partition("-")
        if begin is not None and not (letter == "I" and kind == begin[1]):
            found.add((begin[0], place, begin[1]))
            begin = None
        if begin is None and letter != "O":
            begin = (place, kind)
    return found


def span_f1(truth: Iterable[Sequence[str]], answers: Iterable[Sequence[str]]) -> float:
    """F1 over the names of all sentences; a name counts if both ends and its kind are right.

    Raises:
        ValueError: if the two differ in the number of sentences, or a sentence in its number of tags.
    """
    hits = given = wanted = 0
    for true, answer in zip(truth, answers, strict=True):
        if len(true) != len(answer):
            raise ValueError(f"A tag for each token, please: {len(true)} tokens, {len(answer)} tags.")
        right, said = spans(true), spans(answer)
        hits, given, wanted = hits + len(right & said), given + len(said), wanted + len(right)
    return 2 * hits / max(given + wanted, 1)
