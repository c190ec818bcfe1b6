"""A pre-trained encoder that may learn: a fresh copy, its parameters by depth, and layers that begin anew.

Encoders are those of transformers' BERT, as :func:`course_utils.features.load_encoder` gives them.
"""

import copy
from functools import lru_cache
from typing import Any

from torch import nn

from course_utils.features import load_encoder
from course_utils.models.unpadded import Dropout
from course_utils.training.heads import EncoderWithHeads


@lru_cache(1)  # a process that trains many reads the file once
def _published() -> Any:
    return load_encoder(device="cpu").model


def fresh_encoder(layers: int | None = None, *, pretrained: bool = True, dropout: bool = True) -> Any:
    """The profile's encoder once more, every weight free to learn: as published, or the same network from random weights.

    ``layers`` keeps so many of its layers, the lowest; by default all. ``dropout`` may be off for a few passes over a text, in which
    there is little to learn by heart.
    """
    body = copy.deepcopy(_published()).requires_grad_(True)
    body.encoder.layer = body.encoder.layer[:layers]
    body.config.num_hidden_layers = len(body.encoder.layer)
    if not pretrained:
        body.apply(_draw)
    for name, part in [*body.named_modules()]:
        if isinstance(part, nn.Dropout):
            body.set_submodule(name, Dropout(part.p * dropout))
    # Up to transformers 5.15 at least, it has an older name.
    if not hasattr(body, "activation_checkpointing_enable"):
        body.activation_checkpointing_enable = body.gradient_checkpointing_enable
    return body


def renew(body: Any, layers: int) -> None:
    """Let the top ``layers`` begin as they did before pre-training (Zhang et al. 2021, section 4).

    Raises:
        ValueError: if the encoder has fewer.
    """
    depth = len(body.encoder.layer)
    if not 0 <= layers <= depth:
        raise ValueError(f"{layers} layers cannot begin anew: this encoder has {depth}.")
    body.encoder.layer[depth - layers :].apply(_draw)


def _draw(module: nn.Module) -> None:
    """BERT's own start: weights from N(0, .02), biases 0, norms 1."""
    if isinstance(module, nn.LayerNorm):
        module.reset_parameters()
    elif isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


def by_depth(model: EncoderWithHeads) -> dict[str, list[nn.Parameter]]:
    """All parameters in the order in which a text meets them: ``embeddings``, ``layer 1`` and so on, ``head``.

    The groups are what :func:`layer_rates` takes: ``layer_rates([*by_depth(model).values()], rate)``.
    """
    body: Any = model.encoder
    layers = {f"layer {i}": layer for i, layer in enumerate(body.encoder.layer, 1)}
    parts = {"embeddings": body.embeddings, **layers, "head": model.heads}
    return {name: [*part.parameters()] for name, part in parts.items()}
