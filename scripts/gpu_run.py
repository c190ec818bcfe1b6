"""What to measure where a GPU is lent for some minutes: the most valuable things first, and done in time.

    python scripts/gpu_run.py --seconds 480 --out FOLDER     on the GPU (needs no network)
    python scripts/gpu_run.py --dry                          the same steps, tiny, on any CPU

Each step writes its figures to FOLDER/gpu_run.json as soon as it has them, so that a lease that ends early loses one step at most; a
step that fails, or for which no time is left, is named there and at the end. Where MiniLM's weights cannot be had, the same network with
random ones serves for speed (its vectors are then compared between devices, and nothing is said of their worth). BERT Base always has
random weights here.

Model FLOP utilisation is the share of what the device reaches in the largest matrix product it was asked for here: a training step counts
6 operations per weight and token, and 12 x layers x tokens x units for attention (Chowdhery et al., 2022, appendix B); embeddings
are looked up, not multiplied, and do not count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
Figures = dict[str, Any]


def clock(device: Any, function: Callable[[], object], seconds: float) -> float:
    """Seconds that one call takes: the mean over calls for so long, the first ones, which set up, left out."""
    import torch

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    function()
    function()
    wait()
    start, calls = time.perf_counter(), 0
    while not calls or time.perf_counter() - start < seconds:
        function()
        wait()
        calls += 1
    return (time.perf_counter() - start) / calls


def machine(it: SimpleNamespace) -> Figures:
    """What this is, and what it reaches in a product of bf16 matrices, in TFLOP/s: the peak for all that follows."""
    import torch

    side = 256 if it.dry else 8192
    a, b = (torch.randn(side, side, device=it.device, dtype=torch.bfloat16) for _ in range(2))
    it.peak = 2 * side**3 / clock(it.device, lambda: a @ b, it.brief)
    name = torch.cuda.get_device_name() if it.device.type == "cuda" else it.device.type
    return {"device": name, "torch": torch.__version__, "matrix product, bf16, TFLOP/s": it.peak / 1e12}


def network(name: str, dry: bool) -> Any:
    """An encoder of transformers with random weights, of the shape of MiniLM or of BERT Base; tiny in a dry run."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    units, layers = {"minilm": (384, 6), "bert": (768, 12)}[name]
    if dry:
        units, layers = 48, 2
    sizes = {"hidden_size": units, "num_hidden_layers": layers, "num_attention_heads": 12}
    return BertModel(BertConfig(**sizes, intermediate_size=4 * units), add_pooling_layer=False)


class Ids:
    """As much of a tokenizer as ``encode`` needs where none can be had: a word is a number, and that is its id."""

    pad_token_id = 0

    def __call__(self, texts: list[str], truncation: bool, max_length: int) -> dict[str, list[list[int]]]:
        """Ids of texts, [CLS] before and [SEP] behind them."""
        rows = ([int(word) for word in text.split()][: max_length - 2] for text in texts)
        return {"input_ids": [[101, *row, 102] for row in rows]}


def encoder(it: SimpleNamespace) -> Any:
    """MiniLM as ``encode`` takes it, with its own weights or, where they cannot be had, with random ones."""
    from course_utils.assets import AssetError
    from course_utils.features import Encoder, load_encoder

    try:
        found = load_encoder("minilm")
    except AssetError:
        model = network("minilm", it.dry).requires_grad_(False).eval().to(it.device)
        return Encoder("random weights", Ids(), model, "", model.config.hidden_size, "nobody trained it")
    return Encoder(found.name, Ids(), found.model, found.digest, found.hidden_size, found.untrained)


def texts_of(tokens: int, count: int) -> list[str]:
    """So many different texts, of so many tokens each, [CLS] and [SEP] included."""
    import numpy as np

    draw = np.random.default_rng(tokens)
    return [" ".join(map(str, row)) for row in draw.integers(1000, 30_000, (count, tokens - 2))]


def encoding(it: SimpleNamespace) -> Figures:
    """Tokens per second of ``features.encode`` by length and precision; and how far its vectors are from the CPU's."""
    import copy
    from dataclasses import replace

    import numpy as np

    from course_utils.features import encode

    mine, figures = encoder(it), {}
    some = texts_of(32, 8 if it.dry else 64)
    on_cpu = replace(mine, model=copy.deepcopy(mine.model).cpu())
    for precision in ("fp32", "bf16"):
        how = {"cache": False, "precision": precision}
        apart = np.abs(encode(some, mine, **how) - encode(some, on_cpu, cache=False)).max()
        figures[f"largest difference from the CPU, {precision}"] = float(apart)
        for tokens in (16, 64) if it.dry else (16, 64, 128, 512):
            many = texts_of(tokens, 8 if it.dry else 2_000_000 // tokens // 4)
            length = {"max_length": max(tokens, 16)}
            taken = clock(it.device, lambda many=many, how=how | length: encode(many, mine, **how), it.brief)
            figures[f"{tokens} tokens, {precision}, tokens per second"] = tokens * len(many) / taken
    return figures | {"weights": mine.name}


def loop(it: SimpleNamespace) -> Figures:
    """``training.fit`` on the device: the weights it learns on the CPU, a checkpoint that goes on, and ``predict``."""
    import torch

    from course_utils.training import Examples, fit, predict

    torch.manual_seed(0)
    vectors = torch.randn(256, 32)
    data = Examples({"input": vectors}, (vectors[:, 0] > 0).long())
    learned = {}
    for profile in ("ci", "gpu"):  # the loop asks the profile for its device
        os.environ["COURSE_PROFILE"] = profile
        torch.manual_seed(1)
        head = torch.nn.Linear(32, 2)
        with tempfile.TemporaryDirectory() as folder:
            fit(head, data, epochs=2, checkpoint=folder)
            fit(head, data, epochs=2, checkpoint=folder)  # finished: it reads its checkpoint, and stops
        learned[profile] = torch.from_numpy(predict(head, data))
    os.environ["COURSE_PROFILE"] = it.profile
    apart = float((learned["ci"] - learned["gpu"]).abs().max())
    if apart > 1e-3:
        raise RuntimeError(f"On the device fit learns something else: probabilities differ by {apart:.4f}.")
    return {"largest difference of a probability from the CPU's": apart}


def flops(model: Any, units: int, layers: int, tokens: int, length: int, embeddings: int) -> float:
    """Floating-point operations of a training step on so many tokens in rows of ``length``."""
    weights = sum(p.numel() for p in model.parameters()) - embeddings
    return 6.0 * weights * tokens + 12.0 * layers * tokens * length * units


def tuning(it: SimpleNamespace) -> Figures:
    """Lecture 11's step, BERT Base under a head, all weights, in bf16: tokens per second and model FLOP utilisation."""
    import torch

    from course_utils.training import adamw, take_step, weighted_loss
    from course_utils.training.heads import EncoderWithHeads, TextHead

    body = network("bert", it.dry)
    units, layers = body.config.hidden_size, body.config.num_hidden_layers
    model = EncoderWithHeads(body, text=TextHead(units, 2)).to(it.device).train()
    optimizer = adamw([{"params": [*model.parameters()], "lr": 1e-5}])
    figures: Figures = {}
    for rows, length in ((2, 16),) if it.dry else ((32, 128), (128, 128), (256, 128), (64, 512)):
        ids = torch.randint(1000, 30_000, (rows, length), device=it.device)
        mask, labels = torch.ones_like(ids), torch.arange(rows, device=it.device) % 2

        def step(ids=ids, mask=mask, labels=labels) -> None:
            with torch.autocast(it.device.type, dtype=torch.bfloat16):
                scores = model(ids, mask)
            loss, weight = weighted_loss(scores, labels)
            (loss / weight).backward()
            take_step(optimizer)

        taken = clock(it.device, step, it.brief)
        looked_up = sum(p.numel() for p in body.embeddings.parameters())
        share = flops(model, units, layers, rows * length, length, looked_up) / taken / it.peak
        figures[f"{rows} x {length}"] = {"tokens per second": rows * length / taken, "utilisation": share}
    return figures


def pretraining(it: SimpleNamespace) -> Figures:
    """Lecture 08's step, the course's own BERT in the shape of BERT Base, both losses, in bf16: the same two figures."""
    import torch

    from course_utils.models.bert import BertForPreTraining
    from course_utils.training import adamw, take_step
    from course_utils.training.pretraining import Pairs, pretraining_loss

    units, layers = (48, 2) if it.dry else (768, 12)
    words = 2000 if it.dry else 30_522
    model = BertForPreTraining(words, units, layers, 12).to(it.device).train()
    optimizer = adamw([{"params": [*model.parameters()], "lr": 1e-5}])
    figures: Figures = {}
    for rows in (4,) if it.dry else (64, 256):
        ids = torch.randint(5, words, (rows, 128))
        batch = Pairs(ids, torch.zeros_like(ids), torch.arange(rows) % 2)

        def step(batch=batch) -> None:
            with torch.autocast(it.device.type, dtype=torch.bfloat16):
                losses = pretraining_loss(model, batch)
            sum(losses).backward()
            take_step(optimizer)

        taken = clock(it.device, step, it.brief)
        # The table of words is looked up, and, as the output layer that it is tied to, multiplied at 15 % of the places.
        looked_up = model.encoder.words.weight.numel()
        work = (
            flops(model, units, layers, rows * 128, 128, looked_up) + 6.0 * words * units * 0.15 * rows * 128
        )
        figures[f"{rows} x 128"] = {
            "tokens per second": rows * 128 / taken,
            "utilisation": work / taken / it.peak,
        }
    return figures


def lectures(it: SimpleNamespace) -> Figures:
    """The cells of lectures on the device, sizes capped (scripts/device_check.py); the first ones are those that train encoders."""
    every = {path.name.partition("_")[0] for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
    first = ["11", "10", "12", "09", "13a", "13b", "14a", "14b", "15a", "08"]
    numbers = ["00"] if it.dry else [*first, *sorted(every.difference(first), reverse=True)]
    verdicts: Figures = {}
    for number in numbers:
        left = it.until - time.monotonic()
        if not it.dry and left < 20:
            verdicts[number] = "not run: no time was left"
            continue
        command = [
            sys.executable,
            str(ROOT / "scripts/device_check.py"),
            number,
            "--minutes",
            str(min(4, left / 60)),
        ]
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths})
        said = [line for line in (run.stdout + run.stderr).splitlines() if line.strip()]
        verdicts[number] = next(
            (line for line in said if " cells, " in line), said[-1] if said else "nothing said"
        )
    return verdicts


STEPS = {  # the most valuable first, and for each the seconds that must be left to begin it
    "machine": (machine, 10), "loop": (loop, 15), "encoding": (encoding, 60), "tuning": (tuning, 45),
    "pretraining": (pretraining, 30), "lectures": (lectures, 45),
}  # fmt: skip


def main() -> None:
    """Go through the steps until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=480, help="for all steps together")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "build/gpu")), help="a folder")
    parser.add_argument("--dry", action="store_true", help="tiny, on the CPU")
    asked = parser.parse_args()
    until = time.monotonic() + asked.seconds
    os.environ["COURSE_PROFILE"] = "ci" if asked.dry else "gpu"
    import torch

    from course_utils.session import find_accelerator

    device = torch.device("cpu") if asked.dry else find_accelerator()
    if device is None:
        raise SystemExit("There is no GPU here; --dry goes through the same steps on the CPU.")
    brief = 0.0 if asked.dry else 3.0  # seconds that a thing is timed for
    profile = os.environ["COURSE_PROFILE"]
    it = SimpleNamespace(
        device=device, profile=profile, dry=asked.dry, until=until, brief=brief, peak=float("nan")
    )
    asked.out.mkdir(parents=True, exist_ok=True)
    told: Figures = {}
    for name, (step, needs) in STEPS.items():
        start = time.monotonic()
        if not asked.dry and until - start < needs:
            told[name] = {"not run": "no time was left"}
        else:
            try:
                told[name] = step(it)
            except Exception as error:  # whatever it is: the other steps are still to be tried
                told[name] = {"failed": f"{type(error).__name__}: {error}"}
        told[name]["seconds"] = round(time.monotonic() - start, 1)
        (asked.out / "gpu_run.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
        print(name, json.dumps(told[name]), flush=True)
    missing = [name for name, figures in told.items() if {"failed", "not run"} & figures.keys()]
    print("Not measured:", ", ".join(missing) or "nothing is missing")
    sys.exit(bool(missing) and asked.dry)


if __name__ == "__main__":
    main()
