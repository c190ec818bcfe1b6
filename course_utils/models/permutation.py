"""XLNet's idea on BERT's encoder: a text is read in any order, and the order is nothing but a mask.

After Yang et al. (2019), *XLNet*, arXiv:1906.08237, sections 2.2 and 2.3; without its relative positions and memory.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.models.bert import MASK
from course_utils.models.transformer import Encoder, EncoderBlock, check_length


def order_masks(order: Tensor) -> tuple[Tensor, Tensor]:
    """Who may look at whom where a text is read in an order of its own (figure 4).

    Args:
        order: (..., n), the places from the one that is read first to the one that is read last: each of 0 .. n - 1 once.

    Returns:
        Twice (..., n, n), true at [i, j] where place i may look at place j: for the content stream, itself and all that was read
        before it; for the query stream, which has to guess what stands there, only what was read before it.

    Raises:
        ValueError: if a row is no permutation.
    """
    n = order.shape[-1]
    if not torch.equal(order.sort(-1).values, torch.arange(n, device=order.device).expand_as(order)):
        raise ValueError(f"An order names each of the places 0 to {n - 1} once.")
    when = order.argsort(-1)  # of each place, when it is read
    before = when[..., None, :] < when[..., :, None]
    return before | torch.eye(n, dtype=torch.bool, device=order.device), before


def look(block: EncoderBlock, states: Tensor, at: Tensor, allowed: Tensor) -> Tensor:
    """A block in which states (batch, m, units) look at others, (batch, n, units), where that is allowed, (batch, 1, m, n)."""
    heads = block.attention
    q, k, v = heads.split(heads.query(states)), heads.split(heads.key(at)), heads.split(heads.value(at))
    mixed = F.scaled_dot_product_attention(q, k, v, allowed, heads.dropout if block.training else 0.0)
    mixed = heads.output(mixed.transpose(1, 2).flatten(2))
    return block.feed_forward(block.attention_norm(states + block.dropout(mixed)))


def two_streams(encoder: Encoder, ids: Tensor, segments: Tensor, order: Tensor, asked: Tensor) -> Tensor:
    """What the query stream knows of the places that are asked for, (batch, m, units): all that was read before each, never itself.

    The content stream are the tokens. The query stream are covered copies of those that are asked for, written behind the text:
    [MASK] with the place and segment of the token. They look at the text, and nothing looks at them.

    Args:
        ids, segments, order: (batch, n), no padding.
        asked: (batch, m), places; the first of an order has nothing to look at and cannot be asked for.
    """
    check_length(ids, encoder.positions.num_embeddings)
    rows, n = torch.arange(len(ids), device=ids.device)[:, None], ids.shape[1]
    content, query = order_masks(order)
    if not query[rows, asked].any(-1).all():
        raise ValueError("Nothing is read before the first place of an order: it cannot be asked for.")
    allowed = torch.cat([content, query[rows, asked]], 1)[:, None]
    words = torch.cat([ids, torch.full_like(asked, MASK)], 1)
    places = torch.cat([torch.arange(n, device=ids.device).expand_as(ids), asked], 1)
    parts = torch.cat([segments, segments.gather(1, asked)], 1)
    x = encoder.words(words) + encoder.positions(places) + encoder.segments(parts)
    x, blocks = encoder.dropout(encoder.norm(x)), list[Any](encoder.blocks)
    for block in blocks[:-1]:
        x = look(block, x, x[:, :n], allowed)
    # Nobody asks for the text's own last states.
    return look(blocks[-1], x[:, n:], x[:, :n], allowed[:, :, n:])
