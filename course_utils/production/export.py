"""A spam filter as a folder: weights, tokenizer, threshold, card and test cases; as PyTorch reads it, as ONNX, or in 8 bits.

Plain ``transformers`` loads the folder (``AutoModelForSequenceClassification``); its numbers lie in safetensors, and nothing in it can run.
"""

import copy
import importlib
import json
import logging
import platform
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from course_utils.arguments import checked, strings
from course_utils.models.published import quiet_transformers
from course_utils.results import interval
from course_utils.text import pad_rows
from course_utils.training.heads import EncoderWithHeads

# How far a score may be from the one that was saved: the same arithmetic in another order, or with coarser numbers.
TOLERANCE = {"torch": 1e-4, "bf16": 0.1, "onnx": 1e-4, "int8": 0.4}
FILES = dict.fromkeys(("torch", "bf16"), "model.safetensors") | {
    "onnx": "model.onnx",
    "int8": "model.int8.onnx",
}
AXES = {name: {0: "texts", 1: "tokens"} for name in ("input_ids", "attention_mask")}
KNOWN = "the inputs are input_ids and attention_mask, each with axes 0 (texts) and 1 (tokens)"
SMALL = 2.0**-10  # tanh(x) is x to seven digits where x is so small
CARD = """---
library_name: transformers
pipeline_tag: text-classification
language: en
---
# {name}

Says how likely a text message is to be spam. From {threshold:.3f} on it is blocked: that threshold is part of the filter. It reads the
first {max_length} pieces of a message, and no more.

| figure | value |
|---|---|
{rows}
`filter.json` holds {count} test cases: run them after every change of a machine, a library or a file.
"""


@dataclass(frozen=True)
class Filter:
    """What :func:`load_filter` gives: ``scores`` from texts, and the ``threshold`` from which on a text is spam."""

    name: str
    threshold: float
    max_length: int
    tokenizer: Any
    run: Callable[[np.ndarray, np.ndarray], np.ndarray]  # ids and mask (texts, tokens) -> logits (texts, 2)

    def scores(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        """The probability that each text is spam, float32 (n,). Texts of like length share a batch.

        Raises TypeError or ValueError if a text is no string, or holds half a character.
        """
        texts, (batch_size,) = strings(texts), checked(1, batch_size=batch_size)
        rows = (
            self.tokenizer(texts, truncation=True, max_length=self.max_length)["input_ids"] if texts else []
        )
        answers = np.zeros(len(rows), np.float32)
        order = np.argsort([len(row) for row in rows], kind="stable")
        for some in filter(len, np.split(order, range(batch_size, len(rows), batch_size))):
            ids, mask = pad_rows([rows[i] for i in some], self.tokenizer.pad_token_id)
            logits = self.run(ids.numpy(), mask.numpy())
            answers[some] = 1 / (1 + np.exp(np.clip(logits[:, 0] - logits[:, 1], -80, 80)))
        return answers


def save_filter(
    folder: str | Path, network: EncoderWithHeads, tokenizer: Any, *, threshold: float, name: str,
    figures: Mapping[str, Any], cases: Sequence[str], max_length: int = 128,
) -> Path:  # fmt: skip
    """Write a filter into a folder, load it from there, and see that it says what the network says.

    Args:
        network: one of transformers' BERT encoders under one ``TextHead`` for ham (0) and spam (1).
        figures: what the card says of it, by name: a text, a number, or a list of scores over splits.
        cases: texts whose scores by ``network`` are saved with it: long ones and short ones, of both classes.

    Raises:
        ValueError: if the threshold is no probability, there is no case, or the folder does not say what the network says.
    """
    folder, cases = Path(folder), strings(cases)
    if not 0 < threshold < 1 or not cases:
        raise ValueError(f"A filter needs a threshold between 0 and 1 and a test case: {threshold}, {cases}.")
    folder.mkdir(parents=True, exist_ok=True)
    for left in FILES.values():  # of another filter
        (folder / left).unlink(missing_ok=True)
    network = copy.deepcopy(network).cpu().float().eval()
    said = Filter(name, threshold, max_length, tokenizer, _reader(network)).scores(cases)
    plain = as_classifier(network)
    # Weights that were tied, one memory under two names, which safetensors refuses, have been copied: each name has its own.
    save_file(plain.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    plain.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tests = [{"text": text, "score": round(float(score), 6)} for text, score in zip(cases, said, strict=True)]
    settings = {"name": name, "threshold": threshold, "max_length": max_length, "cases": tests}
    (folder / "README.md").write_text(model_card(settings, figures), encoding="utf-8")
    (folder / "filter.json").write_text(json.dumps(settings, indent=1, ensure_ascii=False), encoding="utf-8")
    load_filter(folder)
    return folder


def as_classifier(network: EncoderWithHeads) -> Any:
    """The same network as transformers' ``BertForSequenceClassification``, which puts a pooler between [CLS] and the head.

    That pooler, ``tanh(W x + b)``, is made to do nothing: W is 2^-10 on its diagonal, b is 0, and the head is 2^10 times as large.
    """
    from transformers import BertForSequenceClassification

    head: Any = next(iter(network.heads.values()))
    config: Any = copy.deepcopy(network.encoder.config)
    config.id2label, config.label2id = {0: "ham", 1: "spam"}, {"ham": 0, "spam": 1}
    plain = BertForSequenceClassification(config).eval()
    state = {f"bert.{key}": value for key, value in network.encoder.state_dict().items()}
    state["bert.pooler.dense.weight"] = SMALL * torch.eye(config.hidden_size)
    state["bert.pooler.dense.bias"] = torch.zeros(config.hidden_size)
    state["classifier.weight"] = head.weight.detach() / SMALL
    state["classifier.bias"] = head.bias.detach()
    plain.load_state_dict(state)
    return plain


def load_filter(folder: str | Path, runtime: str = "torch") -> Filter:
    """The filter of a folder, once its test cases have come out as they were saved.

    Args:
        runtime: ``torch``; ``bf16``, the same in bfloat16; ``onnx`` after :func:`to_onnx`; ``int8`` after :func:`to_int8`. It takes as
            many threads as PyTorch has.

    Raises:
        ValueError: for another runtime, or if a test case comes out differently (beyond TOLERANCE).
        FileNotFoundError: if the folder lacks a file; what is missing, and who writes it.
        ImportError: if onnxruntime is not installed.
    """
    from transformers import AutoTokenizer

    folder = Path(folder)
    if runtime not in FILES:
        raise ValueError(f"There is no runtime {runtime!r}; choose one of {', '.join(FILES)}.")
    if missing := [file for file in ("filter.json", FILES[runtime]) if not (folder / file).is_file()]:
        writers = "save_filter, to_onnx and to_int8 write them; a pickle (.bin, .pt, .pkl) is never read"
        raise FileNotFoundError(f"{folder} holds no {' and no '.join(missing)}: {writers}.")
    settings = json.loads((folder / "filter.json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    graph = FILES[runtime].endswith(".onnx")
    run = _session(folder / FILES[runtime]) if graph else _reader(_network(folder, runtime))
    loaded = Filter(settings["name"], settings["threshold"], settings["max_length"], tokenizer, run)
    for case in settings["cases"]:
        (now,) = loaded.scores([case["text"]])
        if not abs(now - case["score"]) <= TOLERANCE[runtime]:
            found = f"{case['text'][:60]!r} scored {case['score']:.4f} when it was saved, and scores {now:.4f} now"
            advice = "Weights, tokenizer or settings have changed: save the filter again."
            raise ValueError(f"{folder} ({runtime}) does not pass its test cases: {found}. {advice}")
    return loaded


def _network(folder: Path, runtime: str) -> nn.Module:
    from transformers import AutoModelForSequenceClassification

    dtype = torch.bfloat16 if runtime == "bf16" else torch.float32
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "dtype": dtype}
    with quiet_transformers():
        return AutoModelForSequenceClassification.from_pretrained(folder, **options).eval()


def _reader(network: nn.Module) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            said = network(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
        return getattr(said, "logits", said).float().numpy()

    return run


def _session(file: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    runtime = _onnx("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    # Idle threads leave the cores to others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    # Inputs by name: their order in a graph is the exporter's.
    return lambda ids, mask: session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]


def _onnx(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{name} is not here: pip install onnx onnxruntime onnxscript brings it."
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what exporters advise, which is about steps and packages that are not needed here."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


class _Logits(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.network(input_ids=input_ids, attention_mask=attention_mask).logits


def to_onnx(folder: str | Path, axes: Mapping[str, Mapping[int, str]] = AXES) -> Path:
    """Write a filter's network as ONNX, ``model.onnx``, beside its weights, for any number of texts and of tokens.

    Args:
        axes: for each input its dynamic axes, by number, with a name for each. What is not among them stays as long as in the
            example, 2 texts of 9 tokens; exporters are silent about that.

    Raises:
        ValueError: if an axis is named that does not exist, or one has become fixed; no file is left then.
        ImportError: if onnx or onnxscript is not installed.
    """
    onnx, file = (_onnx("onnx"), _onnx("onnxscript"))[0], Path(folder) / FILES["onnx"]
    for name, some in axes.items():
        if name not in AXES or not {*some} <= {0, 1}:
            raise ValueError(f"There is no {name} with axes {[*some]}: {KNOWN}.")
    example = torch.full((2, 9), 1000), torch.ones(2, 9, dtype=torch.int64)
    options: dict[str, Any] = {
        "input_names": [*AXES],
        "output_names": ["logits"],
        "dynamo": True,
        "verbose": False,
    }
    options["dynamic_shapes"] = {name: dict(axes.get(name, {})) for name in AXES}
    graph = _Logits(_network(Path(folder), "torch")).eval()  # the exporter restores the mode that it finds
    try:
        with _quietly():
            program: Any = torch.onnx.export(graph, example, **options)
            program.save(file, external_data=False)
    except torch.onnx.errors.OnnxExporterError as error:
        raise ValueError(f"Axes that are the same must be named alike in each input: {KNOWN}.") from error
    inputs = onnx.load(file).graph.input
    sizes = {f"{it.name}[{i}]": d for it in inputs for i, d in enumerate(it.type.tensor_type.shape.dim)}
    if fixed := [f"{axis} is always {d.dim_value}" for axis, d in sizes.items() if not d.dim_param]:
        file.unlink()
        raise ValueError(
            f"The graph would take no other batch: {', '.join(fixed)}. Name these axes: {KNOWN}."
        )
    return file


def to_int8(folder: str | Path) -> Path:
    """Write ``model.int8.onnx``: weights in 8 bits, a step for each column; what flows between them is rounded by the range of each batch.

    On an x86 processor without the instructions of VNNI, matrices use 7 of the 8 bits (onnxruntime's ``reduce_range``): such a processor
    adds up two products in 16 bits, and of 8 bits they can run over. So write the file on the kind of machine that will read it.
    """
    quantization, folder = _onnx("onnxruntime.quantization"), Path(folder)
    source, target = folder / FILES["onnx"], folder / FILES["int8"]
    if not source.is_file():
        raise FileNotFoundError(f"{folder} holds no {FILES['onnx']}: to_onnx writes it.")
    with _quietly():
        quantization.quantize_dynamic(source, target, per_channel=True, reduce_range=_runs_over())
    return target


def _runs_over() -> bool:
    """Whether this processor adds up products of 8 bits in 16."""
    # Older releases of PyTorch do not tell; then 7 bits are safe.
    can: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and not (can.get("avx512_vnni") or can.get("avx_vnni"))


def model_card(settings: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """The card of a filter in Markdown, with the header that the Hugging Face Hub reads; scores become mean and 95 % interval."""
    rows = ""
    for name, value in figures.items():
        if isinstance(value, list | tuple):
            value = "{:.3f} ({:.3f} to {:.3f}), {} splits".format(*interval(value), len(value))
        rows += f"| {name} | {value} |\n"
    return CARD.format(**settings, rows=rows, count=len(settings["cases"]))
