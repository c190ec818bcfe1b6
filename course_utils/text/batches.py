"""Batches of texts of different lengths: little padding, and a mask over it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def length_bucketed(lengths: Sequence[int] | np.ndarray, tokens_per_batch: int) -> list[np.ndarray]:
    """Group texts of like length, so that little of a batch is padding.

    On the SMS collection that is about 1 % of what is computed, and 75 % in batches of 32 as they come.

    Args:
        lengths: tokens per text, shape (n,).
        tokens_per_batch: rows x longest row stays within this; a longer text has a batch of its own.

    Returns:
        Index arrays, the longest texts first (so that the last batches of several workers are the short ones); every
        index is in exactly one of them. Texts of one length keep their order.

    Raises:
        ValueError: if ``tokens_per_batch`` is below 1, or the lengths are not a list of numbers from 0.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if tokens_per_batch < 1:
        raise ValueError(f"tokens_per_batch must be at least 1, and is {tokens_per_batch}.")
    if sizes.ndim != 1 or (sizes < 0).any():
        raise ValueError(f"Lengths must be one number from 0 per text, and these have shape {sizes.shape}.")
    order = np.argsort(-sizes, kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = max(1, tokens_per_batch // max(1, int(sizes[order[start]])))
        batches.append(order[start : start + rows])
        start += rows
    return batches


def pad_rows(rows: Sequence[Sequence[int]], padding: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids of different lengths as two tensors (rows, longest row): the ids, filled up with ``padding``, and the
    attention mask, 1 for a token and 0 for padding."""
    width = max((len(row) for row in rows), default=0)
    ids = np.full((len(rows), width), padding, dtype=np.int64)
    for filled, row in zip(ids, rows, strict=True):
        filled[: len(row)] = row
    mask = np.arange(width) < np.array([len(row) for row in rows], dtype=np.int64)[:, None]
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))
