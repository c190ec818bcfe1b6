"""What a model learns from: texts as ids, ragged or padded, and the labels that go with them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from numbers import Number
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.arguments import checked, strings
from course_utils.text import pad_rows

IGNORED = -100  # the label of a place that asks nothing: padding, [CLS], a piece inside a word
Rows = Sequence[Sequence[int]]


@dataclass
class Examples:
    """Inputs and labels in memory. ``inputs`` maps the names of ``forward``'s arguments to one row per example:
    a tensor (n, ...), or lists of different lengths, as ``input_ids`` are, which are padded batch by batch.

    ``labels`` are whole numbers: (n,) for classes; (n, 2) for the first and the last token of an answer; for tags a list
    for each text, as long as its ``input_ids``, with IGNORED where nothing is asked. ``padding`` is the tokenizer's pad id.

    Raises:
        ValueError: if there are no examples, inputs and labels differ in number, a text or its tags have another length than
            they should, or a label is below 0 and not IGNORED.
        TypeError: if the labels are not whole numbers; the loss reads them as positions, so 1.0 is not a label.
    """

    inputs: Mapping[str, Tensor | Rows]
    labels: Any
    padding: int = 0

    def __post_init__(self) -> None:
        given = self.labels
        if isinstance(given, str | Mapping) or not isinstance(given, Sized) or not getattr(given, "ndim", 1):
            raise TypeError(f"Labels must be a list or column, one per example, not {type(given).__name__}.")
        n, sizes = len(self.labels), {name: len(rows) for name, rows in self.inputs.items()}
        if not n or any(size != n for size in sizes.values()):
            raise ValueError(f"There must be as many inputs as labels, at least one: {n} labels, {sizes}.")
        ids = self.inputs.get("input_ids")
        lengths = self.lengths()
        if lengths is not None and not lengths.all():
            raise ValueError("A text has no token. Put a token at its beginning, as [CLS] or END.")
        tagged = [np.asarray(row).size for row in self.labels] if isinstance(self.labels, list) else [0]
        # Tags, also where all texts are as long as each other; rows of two for longer texts are the ends of answers.
        ragged = len({*tagged}) > 1 or (
            lengths is not None and tagged == lengths.tolist() and max(tagged) > 1
        )
        if ragged:
            if lengths is not None and tagged != lengths.tolist():
                raise ValueError("Every text needs as many tags as it has tokens.")
            self.labels = pad_rows(self.labels, IGNORED)[0]
        self.labels = whole_numbers(self.labels)
        shape = ids.shape if isinstance(ids, Tensor) else None
        self.tags = ragged or (self.labels.dim() == 2 and self.labels.shape == shape)
        if ragged and shape is not None:
            self.labels = F.pad(self.labels, (0, shape[1] - self.labels.shape[1]), value=IGNORED)

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def from_texts(
        cls, texts: Sequence[str] | Sequence[tuple[str, str]], labels: Any, tokenizer: Any, *, max_length: int,
        pad: bool = False,
    ) -> Self:  # fmt: skip
        """Tokenise texts, or pairs of texts: cut at ``max_length`` pieces, and with ``pad`` fill up each one to that length.

        Raises TypeError if a text is not a string, ValueError if there is none, a side of a pair says nothing, or the
        length has no room for a piece: below 3, for pairs below 5.
        """
        pairs = len(texts) > 0 and isinstance(next(iter(texts)), tuple | list)
        (max_length,) = checked(3 + 2 * pairs, max_length=max_length)
        columns = [strings(column) for column in zip(*texts, strict=True)] if pairs else [strings(texts)]
        if len(columns) != 1 + pairs or not columns[0]:
            raise ValueError("There must be one text in each row, or two, and one row at least.")
        for side, column in zip(("first", "second"), columns if pairs else (), strict=False):
            if (row := next((row for row, text in enumerate(column) if not text.strip()), None)) is not None:
                raise ValueError(
                    f"Pair {row} has an empty {side} side, so nothing can be compared: leave it out."
                )
        encoded = tokenizer(
            *columns, truncation=True, max_length=max_length, padding="max_length" if pad else False,
            return_token_type_ids=pairs,
        )  # fmt: skip
        names = ["input_ids", "attention_mask", *(["token_type_ids"] if pairs else [])]
        inputs = {name: torch.tensor(encoded[name]) if pad else encoded[name] for name in names}
        return cls(inputs, labels, tokenizer.pad_token_id)

    def lengths(self) -> np.ndarray | None:
        """Tokens per example where they differ, else None (all rows are as long)."""
        rows = self.inputs.get("input_ids")
        return None if rows is None or isinstance(rows, Tensor) else np.array([len(row) for row in rows])

    def batch(self, indices: Sequence[int], device: torch.device) -> tuple[dict[str, Tensor], Tensor]:
        """Some examples as tensors; lists are filled up to the longest: ids with the pad id, all else with 0, tags with IGNORED.

        On a TPU they are filled up to a power of two, 16 or more: XLA compiles a network anew for each shape.
        """
        inputs = {}
        for name, rows in self.inputs.items():
            if isinstance(rows, Tensor):
                inputs[name] = rows[indices].to(device)
            else:
                filling = self.padding if name == "input_ids" else 0
                filled = pad_rows([rows[i] for i in indices], filling)[0]
                if device.type == "xla":
                    width = max(16, 1 << (filled.shape[1] - 1).bit_length())
                    filled = F.pad(filled, (0, width - filled.shape[1]), value=filling)
                inputs[name] = filled.to(device)
        labels = self.labels[indices]
        if self.tags:
            more = inputs["input_ids"].shape[1] - labels.shape[1]  # a negative number cuts
            labels = F.pad(labels, (0, more), value=IGNORED)
        return inputs, labels.to(device)

    def digest(self) -> str:
        """A fingerprint of inputs and labels: the same for the same data only."""
        total = hashlib.sha256()
        for name, rows in {**self.inputs, "labels": self.labels}.items():
            total.update(name.encode())
            for row in [rows.cpu()] if isinstance(rows, Tensor) else rows:
                array = np.ascontiguousarray(row)
                total.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        return total.hexdigest()[:16]


def whole_numbers(labels: Any) -> Tensor:
    """Labels as a tensor of their own: what pandas hands out may be read-only."""
    if not isinstance(labels, Tensor):
        array = np.array(np.array(labels).tolist())  # pandas may keep numbers as objects
        if array.dtype.kind not in "iufb":
            odd = next((x for x in np.array(labels, object).flat if not isinstance(x, Number)), array.flat[0])
            advice = 'Number the classes from 0, as in labels.map({"ham": 0, "spam": 1}).'
            raise TypeError(f"Labels must be whole numbers, and one of these is {odd!r}. {advice}")
        labels = torch.from_numpy(array)
    if labels.is_floating_point() and labels.isnan().any():
        raise TypeError("A label is missing (NaN). Leave such examples out, as in rows.dropna().")
    if labels.is_floating_point() or labels.dtype == torch.bool:
        advice = "Convert them with labels.long(), or labels.astype('int64') in pandas."
        rule = f"Labels must be whole numbers (torch.long), and these are {labels.dtype}"
        raise TypeError(f"{rule}: each names a class by its position. {advice}")
    labels = labels.long()
    if ((labels < 0) & (labels != IGNORED)).any():
        rule = f"classes count from 0, and {IGNORED} means that nothing is asked"
        raise ValueError(f"A label is {int(labels.min())}: {rule}.")
    return labels


def balanced_weights(labels: Any) -> Tensor:
    """Class weights n / (classes x n_c), shape (classes,): every class counts as much as any other in the loss.

    Raises:
        TypeError: if the labels are not whole numbers.
        ValueError: if one is below 0, or a class has no example; its weight would be infinite.
    """
    labels = whole_numbers(labels).flatten()
    counts = torch.bincount(labels[labels != IGNORED])
    if (counts == 0).any():
        missing = torch.nonzero(counts == 0).flatten().tolist()
        raise ValueError(f"No example of class {missing}: a class without examples can have no weight.")
    return counts.sum() / (len(counts) * counts.float())


def epoch_batches(
    examples: Examples, batch_size: int, seed: int, by_length: bool = True
) -> Iterator[list[int]]:
    """Batches in random order. Where lengths differ, a batch holds texts of like length, to pad little: draw
    fifty batches' worth at random, sort those by length, cut them into batches, shuffle the batches.

    Not so without ``by_length``: where lengths go with classes and examples are few, batches of one length are batches of
    one class, and the last ones would sway the verdict.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(examples))
    lengths = examples.lengths() if by_length else None
    if lengths is not None:
        pools = np.split(order, range(50 * batch_size, len(order), 50 * batch_size))
        order = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    batches = np.split(order, range(batch_size, len(order), batch_size))
    if lengths is not None:
        generator.shuffle(batches)
    yield from (batch.tolist() for batch in batches)
