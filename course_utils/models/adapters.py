"""Train a little of an encoder: bottlenecks, LoRA, its biases, its last layers; keep what one task needs, and put it back.

Houlsby et al. (2019), arXiv:1902.00751; Hu et al. (2022), *LoRA*, arXiv:2106.09685; Ben Zaken et al. (2022), *BitFit*, arXiv:2106.10199.
Each takes a body, BERT as transformers builds it, changes it in place and returns it. Its dropout stays on in training, as in the papers.
"""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_utils.arguments import checked

# What else a configuration of peft may say where its LoRA is the one below: these, and notes that change nothing.
PLAIN = {"peft_type": "LORA", "bias": "none", "init_lora_weights": True, "qalora_group_size": 16, "inference_mode": True}  # fmt: skip
NOTES = {"auto_mapping", "base_model_name_or_path", "megatron_core", "peft_version", "revision", "task_type"}


class Bottleneck(nn.Module):
    """Down to a few units, GELU, up again, added to what came in (Houlsby et al., figure 2). ``deviation`` is that of the last
    matrix at the start, cut at two of it: 0 makes this the identity, exactly; the paper's .01 makes it nearly one."""

    def __init__(self, units: int, size: int, deviation: float = 0.0):
        super().__init__()
        self.down, self.up = nn.Linear(units, size), nn.Linear(size, units)
        nn.init.trunc_normal_(self.up.weight).data.mul_(deviation)
        nn.init.zeros_(self.up.bias)

    def forward(self, states: Tensor) -> Tensor:
        """(..., units) -> (..., units)."""
        return states + self.up(nn.functional.gelu(self.down(states)))


class LoRA(nn.Module):
    """A frozen linear layer W, and beside it two small matrices that learn: W x + alpha/rank B A x (Hu et al., section 4.1).
    B starts at 0, so this starts as W, exactly, and A has no gradient before B has moved."""

    merged: Tensor | None  # W + alpha/rank B A, after merge()

    def __init__(self, linear: nn.Linear, rank: int = 8, alpha: float = 8.0, dropout: float = 0.0):
        super().__init__()
        self.dropout, self.frozen = nn.Dropout(dropout), linear.requires_grad_(False)
        self.rank, self.alpha, self.scale = rank, alpha, alpha / rank
        self.lora_A = nn.Linear(linear.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, linear.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)
        self.register_buffer("merged", None, persistent=False)
        self.to(linear.weight.device, linear.weight.dtype)

    def forward(self, states: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        if self.merged is None:
            return self.frozen(states) + self.lora_B(self.scale * self.lora_A(self.dropout(states)))
        if self.training:
            raise RuntimeError("A merged LoRA does not learn: unmerge(model) before you train it.")
        return nn.functional.linear(states, self.merged, self.frozen.bias)


def add_bottlenecks(body: nn.Module, size: int = 64, *, deviation: float = 0.0, norms: bool = True) -> nn.Module:  # fmt: skip
    """A :class:`Bottleneck` after both sublayers of each layer, before what came in is added; all else is frozen, but with ``norms``
    all LayerNorms learn too, as in the paper. For L layers of d units: 2 L (2 d size + d + size) weights, 2 d (2 L + 1) in norms."""
    (size,), (deviation,) = checked(1, size=size), checked(0.0, deviation=deviation)
    sublayers: list[Any] = [some for some in body.modules() if hasattr(some, "dense") and hasattr(some, "LayerNorm")]  # fmt: skip
    fresh(body, sublayers).requires_grad_(False)
    for sublayer in sublayers:
        bottleneck = Bottleneck(sublayer.dense.out_features, size, deviation).to(sublayer.dense.weight)
        sublayer.dropout = nn.Sequential(sublayer.dropout, bottleneck)
    for norm in every(body, nn.LayerNorm):
        norm.requires_grad_(norms)
    return body.train(body.training)  # what is new takes the mode of the rest


def add_lora(body: nn.Module, rank: int = 8, alpha: float = 8.0, *, targets: Sequence[str] = ("query", "value"),
             dropout: float = 0.0) -> nn.Module:  # fmt: skip
    """A :class:`LoRA` around each linear layer whose name ends with one of the ``targets``; all else is frozen."""
    (rank,), (alpha, dropout) = checked(1, rank=rank), checked(0.0, alpha=alpha, dropout=dropout)
    linears = {f".{name}": module for name, module in body.named_modules() if isinstance(module, nn.Linear)}
    fresh(body, linears)
    for target in targets:
        if not any(name.endswith(f".{target}") for name in linears):
            there = ", ".join(sorted({name.rpartition(".")[2] for name in linears}))
            raise ValueError(f"targets: no linear layer is called {target!r}. There are {there}.")
    ends = tuple(f".{target}" for target in targets)
    loras = {name: LoRA(linears[name], rank, alpha, dropout) for name in linears if name.endswith(ends)}
    body.requires_grad_(False)
    for name, lora in loras.items():
        body.set_submodule(name[1:], lora)
    return body.train(body.training)


def biases_only(body: nn.Module) -> nn.Module:
    """Only the biases learn, also those of LayerNorms (BitFit); but not the pooler's, which heads on states do not read."""
    fresh(body, [*body.parameters()]).requires_grad_(False)
    for name, parameter in body.named_parameters():
        parameter.requires_grad_(name.endswith("bias") and "pooler" not in name)
    return body


def last_layers_only(body: nn.Module, count: int) -> nn.Module:
    """Only the last ``count`` layers learn; 0 leaves all to the head. What stands below them only reads, so its dropout is off."""
    (count,), layers = checked(0, count=count), getattr(getattr(body, "encoder", 0), "layer", nn.ModuleList())
    if 0 < len(layers) < count:
        raise ValueError(f"count={count}: this body has {len(layers)} layers.")
    fresh(body, layers).requires_grad_(False)
    learn = layers[len(layers) - count :].requires_grad_(True)
    for dropout in {*every(body, nn.Dropout)} - {*every(learn, nn.Dropout)}:
        dropout.p = 0.0
    return body


def fresh(body: nn.Module, places: Sized) -> nn.Module:
    """The body; a ValueError if it has no places for what shall learn, or has adapters already."""
    if not places:
        raise ValueError(f"{type(body).__name__} is not built like BERT: give what load_encoder().model is.")
    if every(body, Bottleneck) + every(body, LoRA):
        raise ValueError("This body has adapters already: take a fresh one, or a copy.deepcopy made before.")
    return body


def every(model: nn.Module, kind: type) -> list[Any]:
    """All parts of a kind, in their order."""
    return [module for module in model.modules() if isinstance(module, kind)]


@torch.no_grad()
def merge(model: nn.Module) -> nn.Module:
    """Let every LoRA run as one matrix, W + alpha/rank B A, rounded to W's dtype once. W is never touched, so what is saved stays."""
    for lora in every(model, LoRA):
        W, B, A = lora.frozen.weight, lora.lora_B.weight.float(), lora.lora_A.weight.float()
        lora.merged = (W + lora.scale * B @ A).to(W.dtype)
    return model


def unmerge(model: nn.Module) -> nn.Module:
    """Let every LoRA run as W with B and A beside it again: as before, to the bit, however often."""
    for lora in every(model, LoRA):
        lora.merged = None
    return model


def adapter_state(model: nn.Module) -> dict[str, Tensor]:
    """What a task needs of the whole network, as copies: all that learns, head included, and a fingerprint (SHA-256) of the rest."""
    digest = hashlib.sha256(str([lora.scale for lora in every(model, LoRA)]).encode())
    state: dict[str, Tensor] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            state[name] = p.detach().cpu().clone()
        else:
            digest.update(name.encode() + p.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    if not state:
        raise ValueError("Nothing learns in this model, so there is nothing to keep.")
    return state | {"fingerprint": torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)}


def load_adapter(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Put back what :func:`adapter_state` kept, and unmerge. Another kind, size, scale or body raises a ValueError first."""
    mine = adapter_state(model)
    for name in {**mine, **state}:
        here, there = ([*it[name].shape] if name in it else "missing" for it in (mine, state))
        if here != there:
            raise ValueError(f"An adapter of another kind or size: {name} is {there}, in the model {here}.")
    if not torch.equal(state["fingerprint"], mine["fingerprint"]):
        raise ValueError("This adapter was trained on another body, or at another scale.")
    model.load_state_dict({name: state[name] for name in mine if name != "fingerprint"}, strict=False)
    return unmerge(model)


def save_peft(body: nn.Module, folder: str | Path) -> None:
    """Write a body's LoRA as peft does, for its PeftModel.from_pretrained; a ValueError if anything else learns: it has no place there."""
    state = {name: weight for name, weight in adapter_state(body).items() if name != "fingerprint"}
    if others := [name for name in state if ".lora_" not in name]:
        raise ValueError(f"{others[0]} would be lost: give the body alone, keep the rest by adapter_state.")
    lora, targets = every(body, LoRA)[0], sorted({name.partition(".lora_")[0] for name in state})
    config = {"peft_type": "LORA", "r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout.p, "target_modules": targets}  # fmt: skip
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, "adapter_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    save_file({f"base_model.model.{name}": state[name] for name in state}, Path(folder, "adapter_model.safetensors"))  # fmt: skip


def load_peft(body: nn.Module, folder: str | Path) -> nn.Module:
    """:func:`add_lora` with the settings and weights that peft, or :func:`save_peft`, wrote. Variants of LoRA raise a ValueError;
    of the body the files say nothing, so only shapes can be checked. What is refused leaves the body as it was."""
    config = json.loads(Path(folder, "adapter_config.json").read_text(encoding="utf-8"))
    rank, alpha, targets, dropout = map(config.pop, ("r", "lora_alpha", "target_modules", "lora_dropout"))
    strange = {k: value for k, value in config.items() if value and k not in NOTES and value != PLAIN.get(k)}
    if strange or not isinstance(targets, list):
        raise ValueError(f"{folder} holds no plain LoRA for a list of layers, as is read here: {strange}.")
    state = load_file(Path(folder, "adapter_model.safetensors"))
    named = {name.removeprefix("base_model.model."): weight for name, weight in state.items()}
    for model in (copy.deepcopy(body), body):  # the copy refuses first
        mine = adapter_state(add_lora(model, rank, alpha, targets=targets, dropout=dropout))
        load_adapter(model, named | {"fingerprint": mine["fingerprint"]})
    return body
