"""BERT's pre-training: a tokenizer, pairs of pieces of text, hidden pieces, and the loop that learns from both tasks at once.

After Devlin et al. (2019), *BERT: pre-training of deep bidirectional transformers*, arXiv:1810.04805, section 3.1 and appendix A.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

from course_utils.arguments import checked
from course_utils.models.bert import CLS, MASK, PAD, SEP, SPECIAL, BertForPreTraining
from course_utils.models.permutation import two_streams
from course_utils.parallel import one_thread_each
from course_utils.training.loop import adamw, take_step
from course_utils.training.schedules import warm_up


def train_tokenizer(texts: Iterable[str], words: int, *, lowercase: bool = True) -> Tokenizer:
    """A WordPiece tokenizer in BERT's manner, with a vocabulary of ``words`` pieces learned from texts; SPECIAL come first.

    Where pieces are equally frequent, the library takes one by chance: two trainings may differ in a few rare pieces, and in ids.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=words, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    return tokenizer


class Source(NamedTuple):
    """Running text: the ids of its pieces, (n,), and where its sentences begin, (s,), in order."""

    ids: np.ndarray
    starts: np.ndarray


class Pairs(NamedTuple):
    """Pairs of pieces of text, [CLS] first [SEP] second [SEP], all of one length, so that nothing is padding."""

    ids: Tensor  # (m, n)
    segments: Tensor  # (m, n): 0 up to the first [SEP], then 1
    follows: Tensor  # (m,): 1 where the second part follows the first in the text, else 0


def join_sentences(sentences: Iterable[Sequence[int]]) -> Source:
    """Tokenised sentences, in the order of the text, as one source."""
    rows = [row for row in sentences if len(row)]
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)[:-1]
    return Source(np.array([i for row in rows for i in row], np.int64), starts)


def sentence_pairs(source: Source, length: int, seed: int = 0) -> Pairs:
    """Cut a text into pairs that fill ``length``; every second one, by chance, gets a second part from elsewhere.

    A chunk begins where a sentence begins and is parted where one begins, and what is taken from elsewhere begins with a
    sentence, too. Where a sentence fills the chunk alone it is torn, and the other part begins anywhere. Both kinds of pairs
    follow the same rule and come from the *same* source, so that neither style nor a torn sentence gives the answer away.

    Raises:
        ValueError: if the length leaves no room for two parts, or the text is shorter than four chunks.
    """
    (ids, starts), room, draw = source, length - 3, np.random.default_rng(seed)
    if room < 2 or len(ids) < 4 * room:
        least = 4 * max(room, 2)
        raise ValueError(f"Pairs of {length} pieces need a text of {least} or more; this one has {len(ids)}.")
    begins = np.arange(draw.integers(room), len(ids) - 2 * room, room)
    begins = np.unique(starts[np.searchsorted(starts, begins, side="right") - 1])
    rows, segments = np.full((len(begins), length), SEP), np.zeros((len(begins), length), np.int64)
    follows = draw.integers(2, size=len(begins))
    rows[:, 0] = CLS
    for row, begin in enumerate(begins):
        inside = starts[np.searchsorted(starts, begin, side="right") : np.searchsorted(starts, begin + room)]
        whole = len(inside) > 0
        cut = int(draw.choice(inside)) if whole else int(begin + draw.integers(1, room))
        rest = begin + room - cut
        other = cut
        while not follows[row] and abs(other - cut) < 2 * room:  # elsewhere, and not just around the corner
            other = int(draw.choice(starts)) if whole else int(draw.integers(len(ids)))
            other = cut if other + rest > len(ids) else other
        first = cut - begin
        rows[row, 1 : first + 1] = ids[begin:cut]
        rows[row, first + 2 : -1] = ids[other : other + rest]
        segments[row, first + 2 :] = 1
    return Pairs(*(torch.from_numpy(part) for part in (rows, segments, follows)))


def pair_batches(
    sources: Sequence[Source], lengths: Sequence[int], tokens: int, seed: int = 0
) -> Iterator[Pairs]:
    """Batches of about ``tokens`` pieces without end: in every pass each text is cut anew, to one of the lengths in turn."""
    draw, epoch = np.random.default_rng(seed), 0
    while True:
        batches: list[Pairs] = []
        for place, source in enumerate(sources):
            length = lengths[(epoch + place) % len(lengths)]
            pairs = sentence_pairs(source, length, int(draw.integers(2**31)))
            batched = torch.from_numpy(draw.permutation(len(pairs.ids))).split(max(1, int(tokens // length)))
            batches += [Pairs(*(part[some] for part in pairs)) for some in batched]
        yield from (batches[i] for i in draw.permutation(len(batches)))
        epoch += 1


def mask_tokens(
    ids: Tensor, words: int, share: float = 0.15, mask: int = MASK, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Choose pieces to be guessed; of these, 80 % become [MASK], 10 % a random piece, 10 % stay (appendix A.1).

    Args:
        ids: (batch, n). [PAD], [CLS] and [SEP] are never chosen.
        words: V; the random pieces are drawn evenly from all but the special ones.
        share: the share that is chosen, from 0 to 1.
        mask: the id of [MASK].

    Returns:
        What the model reads, (batch, n), and true where a piece was chosen, (batch, n).
    """
    if not 0 <= share <= 1:
        raise ValueError(f"The share that is chosen must be from 0 to 1, not {share}.")
    special = (ids == PAD) | (ids == CLS) | (ids == SEP)
    chosen = (torch.rand(ids.shape, generator=generator) < share) & ~special
    fate = torch.rand(ids.shape, generator=generator)
    anything = torch.randint(len(SPECIAL), words, ids.shape, generator=generator)
    read = torch.where(chosen & (fate < 0.8), mask, ids)
    read = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), anything, read)
    return read, chosen


def pretraining_loss(
    model: BertForPreTraining, batch: Pairs, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Both losses of a batch, mean negative log-likelihoods: of the hidden pieces, and of "does it follow?"."""
    words, device = model.bias.numel(), model.bias.device
    read, chosen = mask_tokens(batch.ids, words, generator=generator)
    guesses, verdicts = model(read.to(device), batch.segments.to(device), chosen.to(device))
    hidden = F.cross_entropy(guesses, batch.ids[chosen].to(device), reduction="sum")
    # By chance nothing may be hidden: a mean of nothing would be NaN, and ruin the training.
    return hidden / max(1, len(guesses)), F.cross_entropy(verdicts, batch.follows.to(device))


def part_gradients(
    model: BertForPreTraining, part: Pairs, share: float, generator: torch.Generator, next_sentence: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Both losses of a part of the batch, and the gradient of what is to be learned, times its share of the batch."""
    both = share * torch.stack(pretraining_loss(model, part, generator))
    loss = both.sum() if next_sentence else both[0]
    return both.detach(), torch.autograd.grad(loss, [*model.parameters()], allow_unused=True)


def pretrain(
    model: BertForPreTraining, batches: Iterable[Pairs], steps: int, *, rate: float = 1e-3, warmup: float = 0.1,
    decay: float = 0.01, next_sentence: bool = True, seed: int = 0, after_step: Callable[..., object] = lambda *losses: None,
) -> np.ndarray:  # fmt: skip
    """Learn from both tasks at once: the sum of the two losses (section 3.1). Returns both at each step, (steps, 2).

    The rate rises for a share ``warmup`` of the steps, then falls to 0; without ``next_sentence`` only hidden pieces count.
    """
    (steps,) = checked(1, steps=steps)
    torch.manual_seed(seed)
    optimizer = adamw([{"params": [*model.parameters()], "lr": rate}], decay=decay, betas=(0.9, 0.98))
    # On a CPU each core takes a part of the batch. Not with dropout: who draws first would be a matter of luck.
    parts = torch.get_num_threads() if model.bias.device.type == "cpu" and not model.encoder.dropout.p else 1
    generators = [torch.Generator().manual_seed(int(seed) + part) for part in range(parts)]
    losses: list[list[float]] = []
    model.train()
    try:
        with one_thread_each(parts) as spread:
            for step, batch in zip(range(steps), batches, strict=False):
                cut = [Pairs(*columns) for columns in zip(*(c.chunk(parts) for c in batch), strict=True)]
                shares = [len(part.ids) / len(batch.ids) for part in cut]
                done = spread(part_gradients, repeat(model), cut, shares, generators, repeat(next_sentence))
                both, gradients = zip(*done, strict=True)
                for weight, first, *others in zip(model.parameters(), *gradients, strict=True):
                    weight.grad = first if first is None else functools.reduce(Tensor.add_, others, first)
                take_step(optimizer, warm_up(step, steps, warmup))
                losses.append(sum(both).tolist())
                after_step(*losses[-1])
    finally:
        model.eval()
    return np.array(losses)


@torch.inference_mode()
def score(model: BertForPreTraining, batches: Iterable[Pairs], seed: int = 0) -> Mapping[str, float]:
    """On held-out pairs, dropout off: mean loss and share of right guesses at hidden places, and the same for the pairs."""
    model.eval()
    generator, words, device = torch.Generator().manual_seed(int(seed)), model.bias.numel(), model.bias.device
    sums = torch.zeros(2, 3, dtype=torch.double)  # of losses and right guesses, and how many, for either task
    for batch in batches:
        read, chosen = mask_tokens(batch.ids, words, generator=generator)
        guesses, verdicts = model(read.to(device), batch.segments.to(device), chosen.to(device))
        for task, (logits, right) in enumerate([(guesses, batch.ids[chosen]), (verdicts, batch.follows)]):
            logits = logits.cpu()
            loss, hits = F.cross_entropy(logits, right, reduction="sum"), (logits.argmax(1) == right).sum()
            sums[task] += torch.stack([loss, hits, torch.tensor(len(right))])
    names = ("hidden, loss", "hidden, accuracy", "follows, loss", "follows, accuracy")
    return dict(zip(names, (sums[:, :2] / sums[:, 2:]).flatten().tolist(), strict=True))


def reading_orders(ids: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """For each text an order to read its places in: [CLS] and [SEP] first, the rest by chance; (batch, n) -> (batch, n)."""
    special = (ids == CLS) | (ids == SEP)
    return (torch.rand(ids.shape, generator=generator) - special.float()).argsort(1)


def permutation_loss(
    model: BertForPreTraining, batch: Pairs, share: float = 1 / 6, generator: torch.Generator | None = None
) -> Tensor:
    """XLNet's loss: of each text the last places in an order of its own, mean negative log-likelihood (Yang et al. 2019, section 2.3).

    Early places have seen little and would teach little; the paper asks for a sixth or a seventh.
    """
    order, device = reading_orders(batch.ids, generator), model.bias.device
    asked = order[:, -max(1, round(share * order.shape[1])) :]
    given = (part.to(device) for part in (batch.ids, batch.segments, order, asked))
    guesses = model.fill_in(two_streams(model.encoder, *given).flatten(0, 1))
    return F.cross_entropy(guesses, batch.ids.gather(1, asked).flatten().to(device))


def replaced_loss(
    model: BertForPreTraining, forger: Any, batch: Pairs, generator: torch.Generator | None = None
) -> Tensor:
    """ELECTRA's loss: which tokens of a text are the forger's? (Clark et al. 2020, arXiv:2003.10555, section 2)

    The forger, a smaller BERT, learns to fill in blanks as usual; in each it draws a token. The model judges *every* token with
    the head that BERT judges pairs with. Where the forger happened to draw the right token, it is no forgery.
    """
    ids, device = batch.ids, model.bias.device
    chosen = mask_tokens(ids, model.bias.numel(), generator=generator)[1]
    covered, segments = ids.masked_fill(chosen, MASK).to(device), batch.segments.to(device)
    guesses, _ = forger(covered, segments, chosen.to(device))
    drawn = torch.multinomial(guesses.detach().softmax(-1).cpu(), 1, generator=generator)[:, 0]
    read = ids.masked_scatter(chosen, drawn)
    verdicts = model.judge(model.encoder(read.to(device), None, segments)[-1].flatten(0, 1))
    forged = F.cross_entropy(verdicts, (read != ids).long().flatten().to(device))
    return forged + F.cross_entropy(guesses, ids[chosen].to(device), reduction="sum") / max(1, len(guesses))
