"""From text to numbers: sentences, words, and a vocabulary; and from the tags of words to names."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

# A word is letters, with an apostrophe inside at most: figures and punctuation say little about the words around them.
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_TOKEN, _DIGIT = re.compile(r"\w+(?:'\w+)*|[^\w\s]"), re.compile(r"\d")
Span = tuple[int, int, str]  # the first token, the one after the last, the kind of name
_SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"'”’)\]]))\s+(?=[\"'“‘(\[]?[A-Z])|\n+")


def split_sentences(text: str) -> list[str]:
    """Sentences of running text: cut at line breaks, and after . ! ? where a capital letter follows.

    A rule, not a model: it also cuts after "Dr." and before a name. For training vectors that is good enough.
    """
    return [sentence for part in _SENTENCE_END.split(text) if (sentence := part.strip())]


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without figures and punctuation; "don't" is one word."""
    return _WORD.findall(text.lower().replace("’", "'"))


def split_tokens(text: str, *, fold: bool = False) -> list[str]:
    """Everything that is not white space: words ("don't" is one), figures, and each other sign by itself.

    Args:
        fold: lower case, and 0 for every digit, so that all telephone numbers of a length are one token.
    """
    text = text.replace("’", "'")
    return _TOKEN.findall(_DIGIT.sub("0", text.lower()) if fold else text)


@dataclass(frozen=True)
class EncodedText:
    """A text as numbers: ``ids`` (n,) int64, and for each token the number of its ``sentences`` (n,), int32."""

    ids: np.ndarray
    sentences: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


class Vocabulary:
    """The words of a corpus, the most frequent first, each with its count.

    Args:
        sentences: lists of words.
        min_count: words that occur less often are left out.
        max_words: at most so many words are kept.

    Raises:
        TypeError: if a sentence is a string.
        ValueError: if no word is left.
    """

    def __init__(
        self, sentences: Iterable[Sequence[str]], *, min_count: int = 1, max_words: int | None = None
    ):
        counter: Counter[str] = Counter()
        for sentence in sentences:
            if isinstance(sentence, str):
                raise TypeError(f"A sentence must be a list of words, not the string {sentence[:40]!r}.")
            counter.update(sentence)
        kept = [(word, count) for word, count in counter.items() if count >= min_count]
        # By count, then by spelling: the order must not depend on which word came first.
        kept = sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:max_words]
        if not kept:
            raise ValueError(f"No word occurs {min_count} times or more, so the vocabulary would be empty.")
        self.words = [word for word, _ in kept]
        self.counts = np.array([count for _, count in kept], dtype=np.int64)
        self.index = {word: number for number, word in enumerate(self.words)}

    @classmethod
    def read(cls, path: Path) -> Self:
        """A vocabulary that :meth:`write` wrote."""
        lines = [line.rsplit("\t", 1) for line in path.read_text(encoding="utf-8").split("\n")]
        vocabulary = cls.__new__(cls)
        vocabulary.words = [word for word, _ in lines]
        vocabulary.counts = np.array([int(count) for _, count in lines], dtype=np.int64)
        vocabulary.index = {word: number for number, word in enumerate(vocabulary.words)}
        return vocabulary

    def write(self, path: Path) -> None:
        """A line for each word: the word, a tab, its count."""
        lines = (f"{word}\t{count}" for word, count in zip(self.words, self.counts, strict=True))
        path.write_text("\n".join(lines), encoding="utf-8")

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def encode(self, sentences: Iterable[Sequence[str]]) -> EncodedText:
        """The ids of all known words in order; unknown ones are left out, as word2vec does."""
        index, ids, lengths = self.index, [], []
        for sentence in sentences:
            known = [index[word] for word in sentence if word in index]
            ids.extend(known)
            lengths.append(len(known))
        numbers = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        return EncodedText(np.array(ids, dtype=np.int64), numbers)


def spans(tags: Sequence[str], *, strict: bool = False) -> set[Span]:
    """The names that B-, I- and O tags mark: ``["O", "B-person", "I-person"]`` -> ``{(1, 3, "person")}``.

    A tag I that continues nothing of its kind begins a name, as in CoNLL's script and in seqeval; with ``strict`` it belongs
    to none, as in seqeval's strict mode for IOB2. Without kinds, each has "".

    Raises:
        ValueError: for a tag that is none of these.
    """
    names: set[Span] = set()
    start, name_kind = None, ""  # of the name that is open
    for place, tag in enumerate([*tags, "O"]):
        letter, _, kind = str(tag).partition("-")
        if letter not in ("B", "I", "O"):
            raise ValueError(f"There is no tag {tag!r}: a name is tagged B-person, I-person, all else O.")
        if start is not None and not (letter == "I" and kind == name_kind):
            names.add((start, place, name_kind))
            start = None
        if start is None and (letter == "B" or (letter == "I" and not strict)):
            start, name_kind = place, kind
    return names
