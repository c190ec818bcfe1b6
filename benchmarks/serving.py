"""A spam filter behind HTTP: how many requests a second, with 99 of 100 answered within 100 ms? And how fast is a bulk read?

    python benchmarks/serving.py         tables; five repeats
    python benchmarks/serving.py --json  one line of JSON
    python benchmarks/serving.py --other PYTHON    ... and sentence-transformers' ONNX backend, of another environment

Served: MiniLM with one layer on it, by the same server (course_utils.production.server) on one core, asked by a second process at
random moments. The peer is transformers' own pipeline, which gets every request by itself (``most=1``); ours gathers requests, and
runs in fp32 or in int8. A rate is *held* if p99, from the moment at which a text was due, stays below the bound, at the first or the
second try (a hiccup of the machine ends no search); rates rise by steps until one is not held, and the last one that was is the
result. Before that, every way has to give the pipeline's probabilities (int8: to a quarter).

Bulk: the same texts in batches of 32, by the filter in each runtime and by sentence-transformers' ONNX backend (vectors, without the
filter's one layer on top). That backend wants transformers below 4.58, while this course needs 5, so it runs in the process of another
interpreter, in whose environment `pip install sentence-transformers "optimum-onnx[onnxruntime]" "transformers<4.58"` has been said.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from course_utils import features
from course_utils.assets import resolve
from course_utils.datasets import load_sms
from course_utils.production import client
from course_utils.results import interval

PEER = "pipeline, one by one"
SERVED = {"int8, gathered": "int8", "ONNX fp32, gathered": "onnx", "torch fp32, gathered": "torch"}
BACKEND = "sentence-transformers, ONNX"
# Said to an interpreter that has the backend but not the course: it reads all texts as often as a line asks, and tells the seconds.
READER = """
import json, sys, time
import onnxruntime
from sentence_transformers import SentenceTransformer

folder, texts = json.loads(sys.stdin.readline())
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
how = {"session_options": options, "export": True, "provider": "CPUExecutionProvider"}
model = SentenceTransformer(folder, backend="onnx", device="cpu", model_kwargs=how)
for _ in sys.stdin:
    model.encode(texts[:32], batch_size=32, show_progress_bar=False)
    begin = time.perf_counter()
    vectors = model.encode(texts, batch_size=32, show_progress_bar=False)
    print(json.dumps([time.perf_counter() - begin, vectors[0].tolist()]), flush=True)
"""
WHY_NOT = "wants an environment of its own: --other PYTHON"


class PipelineFilter:
    """transformers' pipeline as the server wants it, on the same folder; called with one text at a time."""

    threshold = 0.5

    def __init__(self, folder: str):
        from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        self.ask = pipeline("text-classification", model, tokenizer=tokenizer, device="cpu", top_k=None)
        self.most = json.loads((Path(folder) / "filter.json").read_text())["max_length"]

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """The probability of spam for each text, (n,)."""
        said = [self.ask(text, truncation=True, max_length=self.most) for text in texts]
        rows = [row[0] if isinstance(row[0], list) else row for row in said]
        return np.array([next(each["score"] for each in row if each["label"] == "spam") for row in rows])


def save(folder: Path, texts: Sequence[str]) -> None:
    """A filter of MiniLM under a head of random weights (what it says is not the question), in all its forms."""
    import torch

    from course_utils.production.export import save_filter, to_int8, to_onnx
    from course_utils.training.heads import EncoderWithHeads, TextHead

    encoder = features.load_encoder("minilm", device="cpu")
    torch.manual_seed(0)
    network = EncoderWithHeads(encoder.model, text=TextHead(encoder.hidden_size, 2))
    what: dict[str, Any] = {"threshold": 0.5, "name": "benchmark", "figures": {}, "cases": list(texts[:4])}
    save_filter(folder, network, encoder.tokenizer, **what)
    to_onnx(folder)
    to_int8(folder)


def start(folder: Path, name: str) -> tuple[subprocess.Popen[str], str]:
    """A server of this way, and its address."""
    if name == PEER:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
        return client.start_server("--serve-pipeline", str(folder), module="serving")
    return client.start_server(str(folder), f"--runtime={SERVED[name]}")


def held(
    url: str, texts: Sequence[str], rates: Sequence[float], seconds: float, bound: float, seed: int
) -> tuple[float, float]:
    """The highest of the rising rates at which p99 stays below the bound (0 if none does), and p99 there."""
    best, its_p99 = 0.0, float("nan")
    for rate in rates:
        some = list(itertools.islice(itertools.cycle(texts), max(20, int(rate * seconds))))
        for again in range(2):
            found = client.answers(client.load(url, some, clients=64, rate=rate, seed=seed + 1000 * again))
            p99 = float(found.seconds.quantile(0.99))
            if p99 <= bound and (found.tries == 1).all():
                best, its_p99 = rate, p99
                break
        else:
            break
    return best, its_p99


def serving(
    folder: Path, texts: Sequence[str], given: argparse.Namespace
) -> dict[str, dict[str, list[float]]]:
    """For every way: requests a second held and p99 there, a value a repeat."""
    rates = [given.first * given.step**n for n in range(given.steps)]
    found: dict[str, dict[str, list[float]]] = {}
    right = None
    for name in (PEER, *SERVED):
        process, url = start(folder, name)
        try:
            said = client.answers(client.load(url, texts, clients=1)).probability.to_numpy()  # and it is warm
            right = said if right is None else right
            apart, most = float(np.abs(said - right).max()), 0.25 if "int8" in name else 1e-3
            if apart > most:
                raise SystemExit(f"{name} says something else than the pipeline: {apart:.3f} apart.")
            runs = [
                held(url, texts, rates, given.seconds, given.bound, seed) for seed in range(given.repeats)
            ]
        finally:
            client.stop_server(process)
        found[name] = {"rate": [rate for rate, _ in runs], "p99": [p99 for _, p99 in runs]}
    return found


@contextmanager
def backend(python: str, folder: Path, texts: Sequence[str]) -> Iterator[Callable[[], float]]:
    """That reader, waiting in a process of its own: a function that lets it read all texts, and returns its seconds."""
    here = folder / "encoder"
    shutil.copytree(resolve("minilm").folder, here)
    right = features.encode(texts[:1], features.load_encoder("minilm", device="cpu"), cache=False)[0]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(
        [python, "-c", READER],
        env=environment | {"HF_HUB_OFFLINE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def read() -> float:
            process.stdin.write("\n")
            process.stdin.flush()
            seconds, vector = json.loads(process.stdout.readline())
            alike = np.dot(vector, right) / np.linalg.norm(vector) / np.linalg.norm(right)
            if alike < 0.9999:
                raise SystemExit(f"sentence-transformers' backend gives other vectors: cosine {alike:.4f}.")
            return seconds

        process.stdin.write(json.dumps([str(here), list(texts)]) + "\n")
        yield read  # leaving closes its standard input, and it ends


def bulk(
    folder: Path, texts: Sequence[str], repeats: int, other: str | None
) -> dict[str, list[float] | None]:
    """Texts a second in batches of 32, a value a repeat, or None where it cannot be run; the ways take turns."""
    from course_utils.production.export import load_filter

    def reader(name: str) -> Callable[[], float]:
        scores = load_filter(folder, name).scores

        def read() -> float:
            scores(texts[:32])
            begin = time.perf_counter()
            scores(texts)
            return time.perf_counter() - begin

        return read

    with ExitStack() as stack:
        ways = {name: reader(name) for name in ("torch", "onnx", "int8")}
        if other:
            ways[BACKEND] = stack.enter_context(backend(other, folder, texts))
        found: dict[str, list[float] | None] = {name: [] for name in ways}
        for _, (name, read) in itertools.product(range(repeats), ways.items()):
            found[name].append(len(texts) / read())  # type: ignore[union-attr]
    return found | ({} if other else {BACKEND: None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="at each rate")
    parser.add_argument(
        "--bound", type=float, default=0.1, help="seconds within which 99 of 100 are answered"
    )
    parser.add_argument("--first", type=float, default=5, help="requests a second at first")
    parser.add_argument("--step", type=float, default=1.25, help="from one rate to the next")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--other", metavar="PYTHON", help="with sentence-transformers' ONNX backend")
    parser.add_argument("--serve-pipeline", metavar="FOLDER", help="serve it, for a run of this script")
    given = parser.parse_args()
    if given.serve_pipeline:
        from course_utils.production.server import create_app, serve

        serve(create_app(PipelineFilter(given.serve_pipeline), most=1, wait=0))
        return
    messages = load_sms()
    texts = messages[messages.split == "test"].text.head(given.texts).tolist()
    with tempfile.TemporaryDirectory() as name:
        save(Path(name), texts)
        read = bulk(Path(name), texts, given.repeats, given.other)
        rates = serving(Path(name), texts, given)
    ratio = {
        way: [
            ours / peer if peer else float("inf")
            for ours, peer in zip(rates[way]["rate"], rates[PEER]["rate"], strict=True)
        ]
        for way in SERVED
    }
    faster = {
        way: [a / b for a, b in zip(read[way] or [], read["torch"] or [], strict=True)]
        for way in ("onnx", "int8")
    }
    if given.json:
        means = {f"ratio_{SERVED[way]}": float(np.mean(values)) for way, values in ratio.items()}
        means |= {f"bulk_ratio_{way}": float(np.mean(values)) for way, values in faster.items()}
        print(
            json.dumps(
                means
                | {
                    "served": rates,
                    "bulk": read,
                    "real": messages.attrs["real"],
                    "not_run": WHY_NOT if None in read.values() else "",
                }
            )
        )
        return
    spread = "{:.1f} ({:.1f} to {:.1f})".format
    print(
        f"Requests a second with p99 below {1000 * given.bound:.0f} ms, mean and 95 % interval of {given.repeats} repeats"
    )
    for way, values in rates.items():
        more = (
            f"{spread(*interval(ratio[way]))} times the pipeline"
            if way in ratio and np.isfinite(ratio[way]).all()
            else ""
        )
        print(f"{way:24}{spread(*interval(values['rate'])):28}{more}")
    print("\nTexts a second in batches of 32, on one core")
    for way, found in read.items():
        print(f"{way:30}{spread(*interval(found)) if found else 'not run: ' + WHY_NOT}")


if __name__ == "__main__":
    main()
