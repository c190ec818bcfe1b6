"""BERT's tokenizer from the inside: a text becomes words, and each word the longest pieces that the vocabulary has.

:func:`learn_pieces` shows where a vocabulary comes from; the library's trainer does the same, only faster.
The library's table of characters is older than Python's: combining marks and punctuation of rare scripts, which Unicode has
taken in since, are removed or set apart here, and kept in the word there.

After Schuster & Nakajima (2012), *Japanese and Korean voice search*; Wu et al. (2016), *Google's neural machine translation
system*, arXiv:1609.08144, section 4.1; Devlin et al. (2019), *BERT*, arXiv:1810.04805, section 3, and the code published with it.
For pairs by their counts: Sennrich et al. (2016), *Neural machine translation of rare words with subword units*, section 3.2.
"""

import unicodedata
from collections import Counter
from collections.abc import Container, Mapping
from itertools import pairwise

UNKNOWN = "[UNK]"
LONGEST_WORD = 100  # characters; BERT does not even try to cut a longer one
# The blocks of Chinese characters, each of which BERT takes for a word; Japanese kana and Korean hangul are not among them.
_CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
# Characters that show nothing; "Cn" is not among them: what is not assigned yet may be next year's emoji.
CONTROL = ("Cc", "Cf", "Co", "Cs")


def is_chinese(character: str) -> bool:
    """Whether BERT sets the character apart as a word of its own."""
    return any(first <= ord(character) <= last for first, last in _CHINESE)


def is_punctuation(character: str) -> bool:
    """Unicode's punctuation, and what looks like it on an English keyboard: $, + and ^ are symbols to Unicode."""
    symbol = character.isascii() and not character.isalnum() and character > " "
    return symbol or unicodedata.category(character)[0] == "P"


def basic_tokens(text: str, lowercase: bool = True) -> list[str]:
    """What BERT takes for the words of a text, before it cuts them into pieces."""
    if not isinstance(text, str):
        raise TypeError(f"A text must be a string, not {type(text).__name__}: call once for each text.")
    cleaned = []
    for character in text:
        if character in "\t\n\r":
            cleaned.append(" ")
        elif unicodedata.category(character) in CONTROL or character == "\ufffd":
            continue
        else:
            cleaned.append(f" {character} " if is_chinese(character) else character)
    text = "".join(cleaned)
    if lowercase:
        letters = unicodedata.normalize("NFD", text)  # é becomes e and an accent
        text = "".join(letter.lower() for letter in letters if unicodedata.category(letter) != "Mn")
    return "".join(f" {character} " if is_punctuation(character) else character for character in text).split()


def word_pieces(word: str, vocabulary: Container[str]) -> list[str]:
    """Greedy longest match: from the left, each time the longest piece that is in the vocabulary; ## marks "not at a start"."""
    if not isinstance(word, str):
        raise TypeError(f"A word must be a string, not {type(word).__name__}: call once for each word.")
    if len(word) > LONGEST_WORD:
        return [UNKNOWN]
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:  # not even the next character is known: then nothing of the word is kept
            return [UNKNOWN]
        pieces.append(piece)
        start = end
    return pieces


def tokenize(text: str, vocabulary: Container[str], lowercase: bool = True) -> list[str]:
    """A text as pieces, without [CLS] and [SEP]."""
    return [piece for word in basic_tokens(text, lowercase) for piece in word_pieces(word, vocabulary)]


def learn_pieces(counts: Mapping[str, int], size: int) -> list[str]:
    """A vocabulary of ``size`` pieces: all characters first; then, again and again, the pair that stands together most often.

    Args:
        counts: how often each word occurs.
        size: how many pieces to learn; fewer come back once every word is one piece.
    """
    words = {word: [word[0], *(f"##{character}" for character in word[1:])] for word in counts}
    known = dict.fromkeys(sorted(set("".join(counts))))
    known |= dict.fromkeys(sorted({piece for pieces in words.values() for piece in pieces[1:]}))
    while len(known) < size:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, pieces in words.items():
            for pair in pairwise(pieces):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = max(pairs, key=lambda pair: pairs[pair])
        joined = best[0] + best[1].removeprefix("##")
        known[joined] = None
        for pieces in words.values():
            for i in range(len(pieces) - 1):
                if tuple(pieces[i : i + 2]) == best:
                    pieces[i : i + 2] = [joined]
    return list(known)
