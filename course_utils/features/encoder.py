"""A frozen encoder as a feature extractor: every text goes through it once, and its vector is kept.

An encoder that does not learn gives a message the same vector in every epoch. So encode once, train heads on the vectors.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from course_utils.arguments import checked, strings
from course_utils.assets import AssetError, registry, resolve
from course_utils.features.cache import VectorStore, weights_checksum
from course_utils.models.pooling import pool_states
from course_utils.models.published import best_of, quiet_transformers, read_bert
from course_utils.parallel import one_thread_each
from course_utils.session import cache_folder, current_profile, network_device, show_progress
from course_utils.text import length_bucketed, pad_rows

POOLINGS = ("pooler", "cls", "mean", "max")
# Larger batches pad more and leave the caches of a CPU core; on a GPU many tokens are what keeps it busy.
TOKENS_PER_BATCH = {"cpu": 1024, "gpu": 32_768}
SAVE_SECONDS = 2.0  # a killed run loses no more than this


@dataclass(frozen=True)
class Encoder:
    """A frozen pre-trained encoder with its tokenizer. ``digest`` is the SHA-256 of its weights' file.

    ``untrained`` is why its pooler must not be read, if nobody trained it; the model then has none. Of some, every text begins
    with ``prefix``, because all of their training did: :func:`encode` puts it there.
    """

    name: str
    tokenizer: Any
    model: Any
    digest: str
    hidden_size: int
    untrained: str | None = None
    prefix: str = ""

    @property
    def summary(self) -> str:
        """The pooling that its makers meant to stand for a text: ``pooler``, or ``cls`` where that was never trained."""
        return "cls" if self.untrained else "pooler"

    @property
    def longest(self) -> int:
        """The tokens it can read; XLM-R's positions start after padding's id, at 2, so of its 514 rows 512 are places."""
        table = getattr(getattr(self.model, "embeddings", None), "position_embeddings", None)
        padding = getattr(table, "padding_idx", None)
        return self.model.config.max_position_embeddings - (0 if padding is None else padding + 1)


def load_encoder(name: str | None = None, device: torch.device | str | None = None) -> Encoder:
    """Load a pre-trained encoder from the asset store, frozen: no gradients, no dropout.

    Args:
        name: ``minilm``, ``multilingual-e5`` (in profile ``ci``, and where the hub cannot be reached, with four bits for each
            weight: ``multilingual-e5-4bit``) or ``bert-base-uncased``; by default BERT in profile ``gpu``, else MiniLM.
        device: by default the accelerator in profile ``gpu``, else the CPU.

    Raises:
        course_utils.assets.AssetError: if the weights cannot be had. (Where BERT was only the default, MiniLM stands in
            for it, and one line says so.)
    """
    from transformers import AutoModel, AutoTokenizer

    gpu = current_profile() == "gpu"
    try:
        asset = best_of(name or ("bert-base-uncased" if gpu else "minilm"))
    except AssetError as error:
        if name or not gpu:
            raise
        asset = resolve("minilm")
        print(f"bert-base-uncased could not be had, the smaller minilm is used. {str(error).splitlines()[0]}")
    entry = registry()[asset.name]
    with quiet_transformers():
        if asset.name == "multilingual-e5-4bit":
            model, tokenizer = read_bert(asset.path())
        else:
            tokenizer = AutoTokenizer.from_pretrained(asset.folder, local_files_only=True)
            options = {
                "use_safetensors": True,
                "dtype": torch.float32,
                "add_pooling_layer": not entry.untrained,
            }
            model = AutoModel.from_pretrained(asset.folder, local_files_only=True, **options)
    model.requires_grad_(False).eval().to(device or network_device())
    digest, size = max(entry.files, key=lambda file: file.bytes).sha256, model.config.hidden_size
    return Encoder(asset.name, tokenizer, model, digest, size, entry.untrained, entry.prefix)


def encode(
    texts: Sequence[str], encoder: Encoder, *, pooling: str = "mean", max_length: int = 128,
    layers: Sequence[int] = (-1,), precision: str = "fp32", cache: bool = True,
) -> np.ndarray:  # fmt: skip
    """One vector per text, from a frozen encoder.

    Texts of like length share a batch, equal ones are encoded once, and vectors are kept on disk: texts that were encoded
    before with the same weights and settings are read back. A run that was interrupted goes on where it stopped.

    Args:
        texts: n strings.
        encoder: what :func:`load_encoder` returns.
        pooling: ``cls`` (the state of [CLS]), ``mean`` or ``max`` (over all real tokens), ``pooler`` (BERT's own, which
            reads the last layer only), or several in the order given, as in ``mean+max``.
        max_length: tokens kept of a text, [CLS] and [SEP] included.
        layers: 0 for the embeddings, 1 to L for the layers, or from the end, -1 for the last; several are concatenated,
            each with all its poolings.
        precision: ``fp32`` or ``bf16`` (products in bfloat16, where the processor has instructions for that).
        cache: keep the vectors under ``cache_folder()/features``, and read them from there.

    Returns:
        float32, shape (n, hidden_size x number of layers), times the number of poolings; ``pooler`` counts for one layer.

    Raises:
        TypeError: if a text is not a string.
        ValueError: for an unknown setting, a pooler that nobody trained, half a character, or an encoder in training mode.
    """
    texts, depth = strings(texts), encoder.model.config.num_hidden_layers
    (max_length,) = checked(3, max_length=max_length)
    layers, precision = _settled(encoder, pooling, max_length, layers, precision)
    # The encoder sees ids, so ids say what is equal: "Hi" and "hi" to an uncased one, and all that truncation makes equal.
    texts = [encoder.prefix + text for text in texts]
    ids = encoder.tokenizer(texts, truncation=True, max_length=max_length)["input_ids"] if texts else []
    keys = [_key(row) for row in ids]
    rows = dict(zip(keys, ids, strict=True))
    width = encoder.hidden_size * len(_parts(pooling, layers, depth))
    sizes = dict.fromkeys(rows, width)
    settings = {"pooling": pooling, "layers": layers, "precision": precision}
    vectors = _once(encoder, rows, sizes, settings, cache, partial(_vectors, encoder, pooling, layers))
    return np.stack([vectors[key] for key in keys]) if keys else np.zeros((0, width), dtype=np.float32)


def encode_words(
    sentences: Sequence[Sequence[str]], encoder: Encoder, *, pieces: str = "first", layers: Sequence[int] = (-1,),
    precision: str = "fp32", cache: bool = True,
) -> list[np.ndarray]:  # fmt: skip
    """A vector for each word of each sentence, from a frozen encoder; encoded and kept as by :func:`encode`.

    A word that the tokenizer takes for nothing at all (a lone variation selector, white space) is read as [UNK], so that every
    word has a vector. A sentence that is longer than the encoder reads goes through it in windows that overlap by half; a word
    takes its vector from the window in which it stands farthest from an edge.

    Args:
        sentences: n lists of words.
        encoder: what :func:`load_encoder` returns.
        pieces: which of a word's pieces stand for it: ``first``, as for BERT's tagger (Devlin et al., 2019, section 5.3), or
            their ``mean``; or both, ``first+mean``.
        layers, precision, cache: as for :func:`encode`; several layers are concatenated, each with both where both are asked for.

    Returns:
        For each sentence float32, shape (words, hidden_size x number of layers), twice as wide for ``first+mean``.

    Raises:
        TypeError: if a sentence is a string, or a word is none.
        ValueError: for an unknown setting, half a character, or an encoder in training mode.
    """
    positions, ways = encoder.longest, str(pieces).split("+")
    layers, precision = _settled(encoder, "mean", positions, layers, precision)
    width = encoder.hidden_size * len(layers) * len(ways)
    if len(set(ways)) < len(ways) or not set(ways) <= {"first", "mean"}:
        raise ValueError(f"pieces={pieces!r}: choose first or mean, or both, first+mean.")
    sentences, tokenizer = [strings(sentence) for sentence in sentences], encoder.tokenizer
    room = positions - 2  # [CLS] and [SEP] stand around them
    words = list(dict.fromkeys(chain(*sentences)))
    found = tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
    of_word = {word: (ids or [tokenizer.unk_token_id])[:room] for word, ids in zip(words, found, strict=True)}
    rows: dict[bytes, list[int]] = {}
    counts: dict[bytes, np.ndarray] = {}  # pieces of each word
    # Of each sentence: its windows' keys, and from which word to which they are taken for.
    places: list[list[tuple[bytes, int, int]]] = []
    for sentence in sentences:
        ids = [of_word[word] for word in sentence]
        places.append([])
        for first, last, start, end in word_windows([len(word) for word in ids], room):
            row = [tokenizer.cls_token_id, *chain(*ids[first:last]), tokenizer.sep_token_id]
            key = _key(row, lengths := [len(word) for word in ids[first:last]])
            rows[key], counts[key] = row, np.array(lengths, dtype=int)
            places[-1].append((key, start - first, end - first))
    sizes = {key: width * len(lengths) for key, lengths in counts.items()}
    settings = {"pieces": pieces, "layers": layers, "precision": precision}
    vectors = _once(
        encoder, rows, sizes, settings, cache, partial(_word_vectors, encoder, ways, layers, counts)
    )
    none = np.zeros((0, width), dtype=np.float32)
    return [
        np.concatenate([none, *(vectors[key].reshape(-1, width)[start:end] for key, start, end in taken)])
        for taken in places
    ]


def word_windows(lengths: Sequence[int], room: int) -> list[tuple[int, int, int, int]]:
    """Windows of at most ``room`` pieces over words of so many pieces each, every one beginning half a room after the last.

    Returns:
        For each window its first word and the one after its last, and of these those that it is taken for: each word once, where
        it stands farthest from an edge that is not the sentence's.
    """
    ends = np.cumsum(lengths)
    starts = ends - lengths
    spans: list[tuple[int, int]] = []
    first = 0
    while not spans or spans[-1][1] < len(lengths):
        last = int(np.searchsorted(ends, starts[first] + room, side="right")) if lengths else 0
        spans.append((first, last))
        halfway = int(np.searchsorted(starts, starts[first] + room // 2)) if last else 0
        first = min(max(halfway, first + 1), last)  # no word is left out between two windows
    # Where two windows overlap, each word goes to the one whose edge is farther: they part in the middle.
    middles = [
        int(np.searchsorted(starts, (starts[b] + ends[a - 1]) / 2)) for (_, a), (b, _) in pairwise(spans)
    ]
    cuts = [0, *middles, len(lengths)]
    return [(*span, *cut) for span, cut in zip(spans, pairwise(cuts), strict=True)]


def _key(row: Sequence[int], *more: Sequence[int]) -> bytes:
    return hashlib.blake2b(
        b"".join(np.array(part, dtype="<i4").tobytes() for part in (row, *more)), digest_size=16
    ).digest()


def _once(
    encoder: Encoder, rows: dict[bytes, list[int]], sizes: dict[bytes, int], settings: dict[str, Any], cache: bool,
    pool: Callable[..., list[np.ndarray]],
) -> dict[bytes, np.ndarray]:  # fmt: skip
    """What the encoder makes of each row of ids, so many numbers each: read from the cache, or computed and stored there."""
    store, vectors, layers, precision = None, {}, settings["layers"], settings["precision"]
    if cache and rows:
        weights = {"encoder": encoder.digest, "weights": weights_checksum(encoder.model)}
        store = VectorStore(cache_folder() / "features", weights | settings)
        vectors = store.read(sizes)
    missing = [key for key in rows if key not in vectors]
    lengths = [len(rows[key]) for key in missing]
    device = next(encoder.model.parameters()).device
    tokens_per_batch = TOKENS_PER_BATCH["cpu" if device.type == "cpu" else "gpu"]
    batches = [[missing[i] for i in batch] for batch in length_bucketed(lengths, tokens_per_batch)]
    compute = partial(_through, encoder, rows, layers, precision, pool)
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    unsaved: dict[bytes, np.ndarray] = {}
    saved_at = time.monotonic()
    hidden = not (missing and show_progress())
    bar = tqdm(total=sum(lengths), desc="encoding", delay=2, unit="token", leave=False, disable=hidden)
    with bar, one_thread_each(min(threads, len(batches))) as spread:
        try:
            for batch, pooled in spread(compute, batches):
                unsaved.update(zip(batch, pooled, strict=True))
                bar.update(sum(len(rows[key]) for key in batch))
                if store and time.monotonic() - saved_at > SAVE_SECONDS:
                    store.write(unsaved)
                    vectors |= unsaved
                    unsaved, saved_at = {}, time.monotonic()
        finally:
            if store and unsaved:
                store.write(unsaved)
    return vectors | unsaved


def _settled(
    encoder: Encoder, pooling: str, max_length: int, layers: Sequence[int], precision: str
) -> tuple[tuple[int, ...], str]:
    """Layers counted from 0, and a precision that the device has, of settings that were checked."""
    depth, device = encoder.model.config.num_hidden_layers, next(encoder.model.parameters()).device
    named = {f"layers[{i}]": layer for i, layer in enumerate(np.atleast_1d(layers).tolist())}
    layers = tuple(checked(-depth - 1, **named))
    _check(encoder, pooling, max_length, layers, precision)
    if precision == "bf16" and not has_bf16(device):
        print(f"bf16 is not supported by this {device.type}, so fp32 is used.")
        precision = "fp32"
    return tuple(layer % (depth + 1) for layer in layers), precision


def _check(encoder: Encoder, pooling: str, max_length: int, layers: Sequence[int], precision: str) -> None:
    ways, config = str(pooling).split("+"), encoder.model.config
    depth, positions = config.num_hidden_layers, encoder.longest
    if len(set(ways)) < len(ways) or not set(ways) <= set(POOLINGS):
        known = ", ".join(POOLINGS)
        raise ValueError(f"There is no pooling {pooling!r}; choose one of {known}, or several joined by +.")
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"There is no precision {precision!r}; choose fp32 or bf16.")
    if not 3 <= max_length <= positions:
        raise ValueError(f"max_length is {max_length}; {encoder.name} reads from 3 to {positions} tokens.")
    if not layers or max(layers) > depth or len({layer % (depth + 1) for layer in layers}) < len(layers):
        known = f"0 (embeddings) to {depth}, or -1 (the last) to {-depth - 1}"
        raise ValueError(f"layers {layers}: name one or more of {known}, each once.")
    if "pooler" in ways and encoder.untrained:
        why = f"{encoder.name}'s pooler was never trained ({encoder.untrained})"
        raise ValueError(f"{why}. Read cls, mean or max instead.")
    if "pooler" in ways and not {-1, depth} & set(layers):
        raise ValueError("BERT's pooler reads the last layer: name -1 among the layers, or pool another way.")
    if any(module.training for module in encoder.model.modules()):
        why = "dropout would make another vector of the same text at every call"
        raise ValueError(f"The encoder is in training mode: {why}. Call encoder.model.eval() first.")


def standardise(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Mean 0 and standard deviation 1 in every column, by the training set's figures; each array (n, d), float32.

    A column that hardly varies is centred and left as it is: MiniLM has three dead units (deviation below 1e-8), and
    divided by that, or by the 0 it rounds to, they would be noise as loud as any feature, or not a number.
    """
    mean, deviation = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    deviation[deviation < 1e-6] = 1.0
    return [((part - mean) / deviation).astype(np.float32) for part in (train, *others)]


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 matrices in hardware; elsewhere it is slower than float32, not faster."""
    if device.type == "xla":
        return True
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Older releases of PyTorch do not tell.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def _parts(pooling: str, layers: tuple[int, ...], depth: int) -> list[tuple[int, str]]:
    """What a vector is put together from: (layer, way of pooling), in order."""
    ways = pooling.split("+")
    return [(layer, way) for layer in layers for way in ways if way != "pooler" or layer == depth]


@torch.no_grad()
def _through(
    encoder: Encoder, rows: dict[bytes, list[int]], layers: tuple[int, ...], precision: str,
    pool: Callable[..., list[np.ndarray]], batch: list[bytes],
) -> tuple[list[bytes], list[np.ndarray]]:  # fmt: skip
    """One batch through the encoder, and what is read out of it, an array for each row; the batch comes back with them."""
    device, depth = next(encoder.model.parameters()).device, encoder.model.config.num_hidden_layers
    ids, mask = pad_rows([rows[key] for key in batch], encoder.tokenizer.pad_token_id)
    if device.type == "xla":
        ids, mask = _few_shapes(ids, mask, encoder.longest, encoder.tokenizer.pad_token_id)
    # Without padding there is nothing to mask, and attention without a mask is faster.
    padded = not mask.all()
    ids, mask = ids.to(device), mask.to(device)
    needed = mask if padded else None
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        output = encoder.model(input_ids=ids, attention_mask=needed, output_hidden_states=layers != (depth,))
    return batch, pool(output.hidden_states or {depth: output.last_hidden_state}, output, mask, batch)


def _few_shapes(
    ids: torch.Tensor, mask: torch.Tensor, longest: int, padding: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch filled up to powers of two, in rows and in tokens: XLA compiles a network anew for each shape."""
    height, width = (1 << (size - 1).bit_length() for size in ids.shape)
    more = (0, min(max(width, 16), longest) - ids.shape[1], 0, height - ids.shape[0])
    filled = F.pad(ids, more, value=padding), F.pad(mask, more)
    filled[1][len(ids) :, 0] = 1  # rows that nobody reads look at one token each
    return filled


def _vectors(
    encoder: Encoder, pooling: str, layers: tuple[int, ...], states: Any, output: Any, mask: torch.Tensor, batch: list[bytes]
) -> list[np.ndarray]:  # fmt: skip
    """A vector for each text of a batch."""
    pooled = [
        output.pooler_output if way == "pooler" else pool_states(states[layer].float(), mask, way)
        for layer, way in _parts(pooling, layers, encoder.model.config.num_hidden_layers)
    ]
    return [*torch.cat(pooled, dim=-1).float().cpu().numpy()[: len(batch)]]


def _word_vectors(
    encoder: Encoder, ways: Sequence[str], layers: tuple[int, ...], counts: dict[bytes, np.ndarray],
    states: Any, output: Any, mask: torch.Tensor, batch: list[bytes],
) -> list[np.ndarray]:  # fmt: skip
    """For each sentence of a batch the vectors of its words, one behind the other."""
    joined = torch.stack([states[layer].float() for layer in layers], dim=-2).cpu().numpy()[: len(batch)]
    vectors = []
    for row, key in zip(joined, batch, strict=True):
        lengths = counts[key]
        starts = 1 + np.cumsum(lengths) - lengths  # [CLS] comes first
        found = {"first": row[starts]}
        if "mean" in ways:
            sums = np.add.reduceat(row[: 1 + lengths.sum()], starts)
            found["mean"] = sums / lengths[:, None, None].astype(np.float32)
        vectors.append(np.stack([found[way] for way in ways], axis=2).ravel())  # words, layers, ways, units
    return vectors
