"""From the states of a text's tokens to one vector; padding counts for nothing."""

import torch
from torch import Tensor


def pool_states(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """From states (batch, tokens, hidden) and the attention mask (batch, tokens) to one vector per text.

    Args:
        states: what a layer of the encoder gives for each token.
        mask: 1 for a token, 0 for padding.
        pooling: ``cls`` (the state of [CLS]), ``mean`` or ``max`` (over the real tokens), or several, as in ``mean+max``.
    """
    real = mask.unsqueeze(-1).bool()
    ways = {
        "cls": lambda: states[:, 0],
        "mean": lambda: states.masked_fill(~real, 0).sum(dim=1) / real.sum(dim=1),
        "max": lambda: states.masked_fill(~real, -torch.inf).amax(dim=1),
    }
    return torch.cat([ways[way]() for way in pooling.split("+")], dim=-1)


def last_state(states: Tensor, mask: Tensor) -> Tensor:
    """The state of the last token that is no padding, whichever side that stands on: (batch, tokens, units) -> (batch, units)."""
    places = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return states[torch.arange(len(states), device=states.device), (mask * places).argmax(1)]
