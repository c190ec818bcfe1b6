"""Tags of words as labels of pieces, and back: what a tagger learns from, and what it said of each word."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from course_utils.arguments import checked, strings
from course_utils.features.encoder import word_windows
from course_utils.training.examples import IGNORED, Examples

Places = list[list[tuple[int, int]]]  # for each sentence its words' first pieces: which row, which piece


def tag_examples(
    sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], tokenizer: Any, kinds: Sequence[str], *,
    max_length: int = 128, cut: bool = False, every_piece: bool = False,
) -> tuple[Examples, Places]:  # fmt: skip
    """Words and their tags as pieces and their labels, a tag's place among ``kinds``; and where each word's first piece stands.

    The first piece has its word's label, the others are IGNORED (Devlin et al. 2019, section 5.3); with ``every_piece`` they are
    asked, too: I after their word's B. A word that the tokenizer takes for nothing is read as [UNK]. A sentence of more than
    ``max_length`` pieces goes in windows that overlap by half, and each word is asked for where it stands farthest from an edge;
    with ``cut``, only the first window is read, and the words beyond it have no place.

    Raises:
        ValueError: if words and tags differ in number, or a tag is not among the kinds; with the sentence.
    """
    numbers, (max_length,) = (
        {tag: number for number, tag in enumerate(kinds)},
        checked(3, max_length=max_length),
    )
    ids: list[list[int]] = []
    labels: list[list[int]] = []
    places: Places = []
    for number, (words, given) in enumerate(zip(sentences, tags, strict=True)):
        if len(words) != len(given):
            counts = f"Sentence {number} has {len(words)} words and {len(given)} tags"
            raise ValueError(f"{counts}: each word needs one, O where it is no name's.")
        if odd := [tag for tag in given if tag not in numbers]:
            known = f"the tags are {', '.join(map(str, kinds))}"
            advice = "Give tags as the file has them: they are numbered here, from 0 on"
            raise ValueError(f"Sentence {number} has the tag {odd[0]!r}, and {known}. {advice}.")
        found = tokenizer(strings(words), add_special_tokens=False)["input_ids"] if len(words) else []
        pieces = [(piece_ids or [tokenizer.unk_token_id])[: max_length - 2] for piece_ids in found]
        places.append([])
        for first, last, start, end in word_windows(list(map(len, pieces)), max_length - 2)[
            : 1 if cut else None
        ]:
            row, asked = [tokenizer.cls_token_id], [IGNORED]
            for place in range(first, last):
                mine = start <= place and (cut or place < end)  # not another window's
                inner = f"I{given[place][1:]}" if given[place][0] == "B" else given[place]
                wanted = [given[place], *[inner if every_piece else None] * (len(pieces[place]) - 1)]
                places[-1] += [(len(ids), len(row))] * mine
                row += pieces[place]
                asked += [numbers[tag] if mine and tag else IGNORED for tag in wanted]
            ids.append([*row, tokenizer.sep_token_id])
            labels.append([*asked, IGNORED])
    inputs = {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}
    return Examples(inputs, labels, tokenizer.pad_token_id), places


def word_tags(
    answers: np.ndarray, places: Places, kinds: Sequence[str], words: Sequence[int]
) -> list[list[str]]:
    """What a tagger says of each word, from probabilities (rows, pieces, kinds): the tag of its first piece.

    ``words`` is how many each sentence has: one without a place was not read, and is tagged O, so that no name is lost silently.
    """
    best = answers.argmax(-1)
    return [
        [kinds[best[place]] for place in mine] + ["O"] * (count - len(mine))
        for mine, count in zip(places, words, strict=True)
    ]
