"""Where a text answers a question: windows over the text, their labels, and the answers that scores allow.

After Devlin et al. (2019), *BERT*, arXiv:1810.04805, sections 4.2 and 4.3: an answer's score is that of its first piece as a
beginning plus that of its last as an end; [CLS] as both says that the text does not answer. Answers are cut out of the text by
their characters: put together from pieces they would lose accents, spaces, and what is [UNK].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.arguments import checked, strings
from course_utils.training.examples import Examples
from course_utils.training.loop import score_batches


class Answer(NamedTuple):
    """``text[start:end]`` of a text; the empty string says that the text does not answer."""

    text: str
    start: int
    end: int
    score: float
    probability: float


@dataclass(frozen=True)
class Windows:
    """Questions beside parts of their texts. Of each window: lists of ``inputs`` for :class:`Examples`, the number of its ``question``,
    and for every token which of the text's ``pieces`` it is, -1 for none. Of each question: its text, and from which to which
    character the text's pieces go, ``offsets`` (pieces, 2)."""

    inputs: dict[str, list[list[int]]]
    question: np.ndarray
    pieces: list[np.ndarray]
    texts: list[str]
    offsets: list[np.ndarray]


def question_windows(
    questions: Sequence[str], texts: Sequence[str], tokenizer: Any, *, max_length: int = 384, overlap: int = 128
) -> Windows:  # fmt: skip
    """n questions, each with its text: ``[CLS] question [SEP] part of the text [SEP]``, in as many windows as the text needs.

    Args:
        tokenizer: BERT's.
        max_length: tokens of a window, all included.
        overlap: pieces that a window shares with the next, so that an answer of ``overlap`` + 1 pieces is whole in one of them.
            (transformers calls it ``stride``; in BERT's own script the stride is the step from window to window.)

    Raises TypeError if a question or a text is not a string, ValueError if one is missing or has no word, or if a window has no
    room for new pieces of the text.
    """
    questions, texts = strings(questions), strings(texts)
    (max_length,), (overlap,) = checked(3, max_length=max_length), checked(0, overlap=overlap)
    if len(questions) != len(texts) or not texts:
        raise ValueError(f"Every question needs its text: {len(questions)} questions, {len(texts)} texts.")
    if max_length > tokenizer.model_max_length:
        raise ValueError(f"max_length={max_length}: this encoder reads {tokenizer.model_max_length} at most.")
    asked, read = _pieces("question", questions, tokenizer), _pieces("text", texts, tokenizer)
    windows = []
    for number, ((question, _), (text, _)) in enumerate(zip(asked, read, strict=True)):
        room = max_length - len(question) - 3
        if room <= overlap:
            have = (
                f"Question {number}: beside its {len(question)} pieces a window has room for {max(room, 0)}"
            )
            raise ValueError(f"{have} of the text; overlap={overlap} must be less. Change one of them.")
        for first in range(0, max(len(text) - overlap, 1), room - overlap):
            windows.append((number, *_window(question, text[first : first + room], first, tokenizer)))
    place, pieces, *inputs = map(list, zip(*windows, strict=True))
    named = dict(zip(("input_ids", "attention_mask", "token_type_ids"), inputs, strict=True))
    return Windows(named, np.array(place), pieces, texts, [offsets for _, offsets in read])


def _window(
    question: list[int], part: list[int], first: int, tokenizer: Any
) -> tuple[np.ndarray, *tuple[list[int], ...]]:
    """A question beside the pieces of a text from its ``first`` on: which they are, and ids, mask and types of all tokens."""
    left = [tokenizer.cls_token_id, *question, tokenizer.sep_token_id]
    right = [*part, tokenizer.sep_token_id]
    pieces = np.array([-1] * len(left) + [*range(first, first + len(part)), -1])
    return pieces, left + right, [1] * len(pieces), [0] * len(left) + [1] * len(right)


def _pieces(name: str, texts: list[str], tokenizer: Any) -> list[tuple[list[int], np.ndarray]]:
    """Ids and characters of the pieces of each text; equal texts are read once."""
    distinct = list(dict.fromkeys(texts))
    found = tokenizer(distinct, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    rows = zip(found["input_ids"], map(np.array, found["offset_mapping"]), strict=True)
    pieces = dict(zip(distinct, rows, strict=True))
    for number, text in enumerate(texts):
        if not pieces[text][0]:
            raise ValueError(f"There is no word in {name} {number}, {text[:40]!r}. Leave that row out.")
    return [pieces[text] for text in texts]


def answer_labels(windows: Windows, answers: Sequence[Sequence[str]], starts: Sequence[Sequence[int]]) -> Tensor:  # fmt: skip
    """The tokens that begin and end the answer, (windows, 2); 0 and 0, [CLS], in a window in which it is not, or not whole.

    ``answers`` and ``starts`` are columns of ``load_questions``; of several answers to a question the first is learned, and
    with none its text does not answer it. Raises ValueError if an answer does not stand where it should start.
    """
    ends = []
    rows = zip(windows.texts, windows.offsets, answers, starts, strict=True)
    for number, (text, offsets, said, places) in enumerate(rows):
        answer, start = (said[0], int(places[0])) if len(said) else ("", 0)
        if start < 0 or not text.startswith(answer, start):
            advice = "Count characters of the text as it is, nothing stripped, as text.find does"
            raise ValueError(f"Question {number}: at character {start} there is no {answer!r}. {advice}.")
        touched = np.flatnonzero((offsets[:, 1] > start) & (offsets[:, 0] < start + len(answer)))
        ends.append(touched[[0, -1]] if len(touched) else [-2, -2])
    labels = np.zeros((len(windows.pieces), 2), dtype=np.int64)
    for label, pieces, question in zip(labels, windows.pieces, windows.question, strict=True):
        first, last = ends[question]
        if first in pieces and last in pieces:
            label[:] = np.argmax(pieces == first), np.argmax(pieces == last)
    return torch.from_numpy(labels)


def findable(windows: Windows, labels: Tensor) -> np.ndarray:
    """Whether a question's answer is whole in one of its windows, (n,): no model finds the others."""
    return np.isin(np.arange(len(windows.texts)), windows.question[labels[:, 0].numpy() > 0])


def window_scores(model: nn.Module, windows: Windows, **arguments: Any) -> list[np.ndarray]:
    """Each window's scores of its tokens as beginning and as end, (2, tokens), dropout off; ``arguments`` go to ``forward``, such as
    the task's name."""
    examples = Examples(windows.inputs, torch.zeros(len(windows.pieces), 2).long())
    scores = dict[int, np.ndarray]()
    for rows, part in score_batches(model, examples, **arguments):
        scores |= {i: row[:, : len(windows.pieces[i])] for i, row in zip(rows, part.numpy(), strict=True)}
    return [scores[i] for i in range(len(scores))]


def read_answers(
    scores: Sequence[np.ndarray], windows: Windows, *, n: int = 1, longest: int = 30, threshold: float = math.inf
) -> list[list[Answer]]:  # fmt: skip
    """Each question's n best answers, the best first: inside the text, not ending before they begin, at most ``longest`` pieces.

    An answer in two windows has the better score of both. "" has that of [CLS] in the window where it is least: in the others the
    answer may be missing though the text has it. Probabilities are a softmax over all answers to a question and "".

    Args:
        scores: for each window (2, tokens), from :func:`window_scores` or a batch; columns of -inf on either side are padding.
        threshold: "" stands before answers whose score it beats by more than this, to be chosen on validation data.

    Raises ValueError if scores are not numbers, or not as many as windows and tokens.
    """
    n, longest = checked(1, n=n, longest=longest)
    bands = [np.full((len(offsets), longest), -np.inf) for offsets in windows.offsets]
    nothing = np.full(len(bands), np.inf)
    for given, pieces, question in zip(scores, windows.pieces, windows.question, strict=True):
        row = np.asarray(given, dtype=np.float64)
        row = row[:, ~np.isneginf(row).all(axis=0)]
        if row.shape != (2, len(pieces)) or np.isnan(row).any():
            raise ValueError(f"A window of {len(pieces)} tokens needs two numbers for each, not {row.shape}.")
        begin, end = row[:, pieces >= 0]
        end = np.append(end, np.full(longest - 1, -np.inf))
        # Row i, column m: the answer from piece i to m pieces further.
        sums = begin[:, None] + np.lib.stride_tricks.sliding_window_view(end, longest)
        band = bands[question][pieces[pieces >= 0][0] :][: len(begin)]
        np.maximum(band, sums, out=band)
        nothing[question] = min(nothing[question], row[:, 0].sum())
    each = zip(bands, nothing, windows.texts, windows.offsets, strict=True)
    return [_best(*question, n, threshold) for question in each]


def _best(band: np.ndarray, nothing: float, text: str, offsets: np.ndarray, n: int, threshold: float) -> list[Answer]:  # fmt: skip
    """The n best of the answers from piece i to piece i + m, whose scores are ``band[i, m]``, and of none at all."""
    scores, ranked = np.append(band, nothing), np.append(band, nothing - threshold)
    total = scores.max() + math.log(np.exp(scores - scores.max()).sum())
    least = np.partition(ranked, -min(n, len(ranked)))[-min(n, len(ranked))]
    some, found = np.flatnonzero((ranked >= least) & (ranked > -np.inf)), []
    for place in some[np.argsort(-ranked[some], kind="stable")][:n]:
        first, more = divmod(int(place), band.shape[1])
        start, end = (offsets[first, 0], offsets[first + more, 1]) if first < len(band) else (0, 0)
        probability = math.exp(scores[place] - total)
        found.append(Answer(text[start:end], int(start), int(end), float(scores[place]), probability))
    return found
