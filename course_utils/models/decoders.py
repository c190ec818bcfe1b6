"""Decoders at work: text that goes on token by token, and how well each token of a text was foreseen."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.arguments import checked
from course_utils.models.language_model import word_log_probabilities
from course_utils.session import compute


class Reader:
    """Reads on from where it stopped: any causal language model of transformers', with the cache that it brings."""

    def __init__(self, model: Any):
        self.model, self.device, self.cache = model, model.device, None

    def begin(self, rows: int, room: int) -> None:
        """Forget what was read: ``rows`` texts of at most ``room`` tokens follow."""
        self.cache = None

    def read(self, ids: Tensor, places: Tensor, real: Tensor) -> Tensor:
        """n more tokens of each text, and the logits of the one that follows, (rows, V).

        Args:
            ids, places: the tokens and their positions, (rows, n).
            real: true for a token, false for padding, of all that was read, these included, (rows, tokens).
        """
        past = {"past_key_values": self.cache, "use_cache": True, "logits_to_keep": 1}
        output = self.model(input_ids=ids, position_ids=places, attention_mask=real.long(), **past)
        self.cache = output.past_key_values
        return output.logits[:, -1]


class LlamaReader(Reader):
    """A Llama (Touvron et al. 2023, arXiv:2302.13971) laid out for one token at a time: the model's numbers, but for rounding.

    Matrices that read the same states are joined, the widest of them transposed; keys and values are written into room kept for
    them; queries that share a key (Ainslie et al. 2023, arXiv:2305.13245) are rows of one product. What was joined was copied: what
    the model learns later is not seen.
    """

    def __init__(self, model: Any):
        super().__init__(model)
        config = model.config
        if config.model_type != "llama" or config.attention_bias or config.mlp_bias:
            raise ValueError("LlamaReader is for Llamas without biases; for another model take Reader.")
        self.heads, self.shared = config.num_attention_heads, config.num_key_value_heads
        self.units = config.head_dim
        self.norm = partial(F.rms_norm, normalized_shape=(config.hidden_size,), eps=config.rms_norm_eps)
        self.layers = [
            (
                layer.input_layernorm.weight.detach(), _joined(layer.self_attn, "q_proj", "k_proj", "v_proj"),
                layer.self_attn.o_proj.weight.detach(), layer.post_attention_layernorm.weight.detach(),
                _joined(layer.mlp, "gate_proj", "up_proj").T.contiguous(), layer.mlp.down_proj.weight.detach(),
            )
            for layer in model.model.layers
        ]  # fmt: skip
        self.words, self.last = model.model.embed_tokens, model.model.norm.weight.detach()
        self.head = model.lm_head.weight.detach().T.contiguous()

    def begin(self, rows: int, room: int) -> None:
        """As of :class:`Reader`."""
        self.at, shape = 0, (2, len(self.layers), rows, self.shared, room, self.units)
        self.kept = self.head.new_zeros(shape)
        angles = self.model.model.rotary_emb(self.head, torch.arange(room, device=self.device)[None])
        self.cosines, self.sines = (table[0, :, None].clone() for table in angles)
        self.sines[..., : self.units // 2] *= -1  # (a, b) turns into (a cos - b sin, b cos + a sin)

    def read(self, ids: Tensor, places: Tensor, real: Tensor) -> Tensor:
        """As of :class:`Reader`."""
        (rows, n), start, group = ids.shape, self.at, self.heads // self.shared
        self.at, turning, allowed = start + n, self.heads + self.shared, None
        cosines, sines = self.cosines[places], self.sines[places]
        if n > 1 or not real.all():
            back = torch.ones(n, self.at, dtype=torch.bool, device=ids.device).tril(start)
            itself = back ^ back.tril(start - 1)  # padding sees itself, so that no row of scores is empty
            allowed = (back & real[:, None] | itself).repeat(1, group, 1)[:, None]
        x = self.words(ids).flatten(0, 1)
        for layer, keys, values in zip(self.layers, *self.kept, strict=True):
            before, qkv, output, after, gate_up, down = layer
            states = F.linear(self.norm(x, weight=before), qkv).view(rows, n, -1, self.units)
            turned = states[:, :, :turning]
            turned = torch.addcmul(turned * cosines, turned.roll(self.units // 2, -1), sines)
            keys[:, :, start : self.at] = turned[:, :, self.heads :].transpose(1, 2)
            values[:, :, start : self.at] = states[:, :, turning:].transpose(1, 2)
            queries = turned[:, :, : self.heads].reshape(rows, n, self.shared, group, -1)
            queries = queries.permute(0, 2, 3, 1, 4).reshape(rows, self.shared, group * n, -1)
            seen = keys[:, :, : self.at], values[:, :, : self.at]
            mixed = F.scaled_dot_product_attention(queries, *seen, allowed)
            mixed = mixed.view(rows, self.shared, group, n, -1).permute(0, 3, 1, 2, 4)
            x = x + F.linear(mixed.reshape(rows * n, -1), output)
            gate, up = (self.norm(x, weight=after) @ gate_up).chunk(2, -1)
            x = x + (down @ (F.silu(gate) * up).T).T
        return self.norm(x.view(rows, n, -1)[:, -1], weight=self.last) @ self.head


def _joined(module: Any, *names: str) -> Tensor:
    return torch.cat([getattr(module, name).weight.detach() for name in names])


@torch.inference_mode()
def generate(
    reader: Reader, prompts: Sequence[Sequence[int]], length: int, *, temperature: float = 0.0,
    cut: Callable[[Tensor], Tensor] | None = None, stop: Collection[int] = (), seed: int = 0,
) -> list[list[int]]:  # fmt: skip
    """Go on with several texts at once, each token read once: keys and values are kept (a *cache*).

    Args:
        reader: a :class:`Reader` of a model in evaluation mode, or, faster, a :class:`LlamaReader`.
        prompts: the ids of each text, one or more. Shorter ones are padded on the left, which changes no token: the last place of
            every row is then a text's last token, and positions are counted from its first.
        length: so many new tokens at most.
        temperature: 0 takes the likeliest token (greedy); else logits are divided by it, and a token is drawn.
        cut: makes other probabilities of those of the next token, (V,) -> (V,), such as :func:`top_p`.
        stop: a text ends with the first of these ids.

    Returns:
        The new tokens of each text.

    Raises:
        ValueError: if there is no prompt, or an empty one, or the temperature is negative.
    """
    (length,) = checked(1, length=length)
    if not prompts or not all(map(len, prompts)) or temperature < 0:
        raise ValueError("Give prompts of one token or more, and a temperature of 0 or above.")
    longest, generator = max(map(len, prompts)), torch.Generator().manual_seed(int(seed))
    rows = [[-1] * (longest - len(prompt)) + [*prompt] for prompt in prompts]
    padded = torch.tensor(rows, device=reader.device)
    real = F.pad(padded >= 0, (0, length), value=True)
    ids, places = padded.clamp(min=0), (real.long().cumsum(1) - 1).clamp(min=0)
    reader.begin(len(prompts), longest + length)
    written: list[list[int]] = [[] for _ in prompts]
    for end in range(longest, longest + length):
        logits = reader.read(ids, places[:, end - ids.shape[1] : end], real[:, :end])
        if temperature:
            chances = (logits.double().cpu() / temperature).softmax(-1)
            chances = torch.stack([cut(row) for row in chances]) if cut else chances
            ids = torch.multinomial(chances, 1, generator=generator).to(reader.device)
        else:
            ids = logits.argmax(-1, keepdim=True)
        compute(reader.device)  # keys and values
        for row, (token,) in zip(written, ids.tolist(), strict=True):
            row += [token] * (not row or row[-1] not in stop)
        if all(row[-1] in stop for row in written):
            break
    return written


@torch.inference_mode()
def token_log_probabilities(
    model: Any, ids: Sequence[int], *, length: int = 512, stride: int = 256
) -> np.ndarray:
    """The natural logarithm of the probability of every token of a text but its first, (n - 1,).

    Nothing foresees the first token: put the model's start token before it to have all of the text counted. Windows of ``length``
    tokens follow each other by ``stride``, and of each counts only what no window before has counted: where the text has so
    many, at least ``length - stride`` tokens foresee one.

    Raises:
        ValueError: for a text of fewer than two tokens, or a stride that is not from 1 to ``length - 1``.
    """
    text, parts, counted = torch.as_tensor(ids, device=model.device), [], 1
    if len(text) < 2 or not 1 <= stride < length:
        given = f"{len(text)}, {stride} and {length}"
        raise ValueError(f"Two tokens and 1 <= stride < length, please; not {given}.")
    for start in range(0, max(1, len(text) - length + stride), stride):
        new = text[counted : start + length]
        window = text[None, start : start + length]
        logits = model(input_ids=window, logits_to_keep=len(new) + 1).logits[0, :-1]
        parts.append(word_log_probabilities(logits, new))
        counted += len(new)
    return torch.cat(parts).numpy()
