"""Answers, names and pairs: how many a second, ours beside transformers' pipelines and sentence-transformers' CrossEncoder.

    python benchmarks/tasks.py                      real questions, posts and pairs, a table; some minutes on two cores
    python benchmarks/tasks.py --pipeline FOLDER    ... and the question-answering pipeline, which transformers 5.3 dropped
    python benchmarks/tasks.py --json               one line of JSON

    pip install --no-deps --target FOLDER transformers==5.2.0 tokenizers==0.22.2 "huggingface_hub<2"

One run, two threads. On both sides the very same network, MiniLM under a head from a seed. What they say must agree before speeds
are compared: answers and names to the letter, probabilities to 1e-4. What is timed begins with texts and ends with answers.

    one by one       as the documentation of transformers 5 shows how to ask: no windows, no rules, the best two ends
    batches of 32    as its tokenizer makes windows and pads them, questions as they come; then the best pair by the rules
    pipeline, n      question-answering (of transformers 5.2, in a process of its own) or token-classification, by batch size
    CrossEncoder, n  predict(), by batch size; 32 is its default
    ours             training.answers; training.predict

The order is reversed from repeat to repeat, and ratios are taken within one, against the fastest of the others there; `busy` is
the same in processor time, which hardly minds who else is at work.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from course_utils.datasets import load_entities, load_pairs, load_questions
from course_utils.features import load_encoder
from course_utils.training import Examples, predict
from course_utils.training.answers import question_windows, read_answers, window_scores

LENGTH, OVERLAP, LONGEST, THREADS = 384, 128, 30, 2
METHODS = dict[str, Callable[[], Any]]


class Logits(nn.Module):
    """What a model of transformers says, as training.predict and training.answers take it."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, attention_mask: Tensor, **inputs: Tensor) -> Tensor:
        """(batch, classes), (batch, tokens, classes) or (batch, 2, tokens)."""
        output = self.model(attention_mask=attention_mask, **inputs)
        if "logits" in output:
            return output.logits
        scores = torch.stack([output.start_logits, output.end_logits], dim=1)
        return scores.masked_fill(attention_mask[:, None] == 0, -torch.inf)


def network(kind: str, labels: list[str]) -> Any:
    """MiniLM under a head of transformers' own, drawn from a seed."""
    encoder = load_encoder("minilm", device="cpu")
    config = copy.deepcopy(encoder.model.config)
    config.id2label, config.label2id = dict(enumerate(labels)), {name: i for i, name in enumerate(labels)}
    torch.manual_seed(0)
    model = getattr(transformers, f"BertFor{kind}")(config)
    model.bert.load_state_dict(encoder.model.state_dict(), strict=False)  # its pooler stays as it was drawn
    return model.eval()


def saved(model: Any, tokenizer: Any, stack: ExitStack) -> str:
    """A folder, for as long as the stack lasts, with both in it."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def draw(frame: Any, count: int) -> Any:
    """So many rows, in an order from a seed."""
    return frame.sample(min(count, len(frame)), random_state=0)


def ask(questions: list[str], texts: list[str], model: Any, tokenizer: Any) -> list[str]:
    windows = question_windows(questions, texts, tokenizer, max_length=LENGTH, overlap=OVERLAP)
    found = read_answers(window_scores(Logits(model), windows), windows, longest=LONGEST)
    return [answers[0].text for answers in found]


@torch.inference_mode()
def ask_one_by_one(questions: list[str], texts: list[str], model: Any, tokenizer: Any) -> list[str]:
    answers = []
    for question, text in zip(questions, texts, strict=True):
        inputs = tokenizer(question, text, truncation="only_second", max_length=LENGTH, return_tensors="pt")
        output = model(**inputs)
        first, last = int(output.start_logits.argmax()), int(output.end_logits.argmax())
        answers.append(tokenizer.decode(inputs["input_ids"][0, first : last + 1]))
    return answers


@torch.inference_mode()
def ask_in_batches(
    questions: list[str], texts: list[str], model: Any, tokenizer: Any, size: int = 32
) -> list[str]:
    best = [(-np.inf, "")] * len(questions)
    windows = tokenizer(
        questions, texts, truncation="only_second", max_length=LENGTH, stride=OVERLAP,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    names = ("input_ids", "attention_mask", "token_type_ids")
    for start in range(0, len(windows["input_ids"]), size):
        rows = range(start, min(start + size, len(windows["input_ids"])))
        inputs = tokenizer.pad({n: [windows[n][row] for row in rows] for n in names}, return_tensors="pt")
        output = model(**inputs)
        both = torch.stack([output.start_logits, output.end_logits], dim=1).numpy()
        for row, scores in zip(rows, both, strict=True):
            inside = np.array([side == 1 for side in windows.sequence_ids(row)])
            begin, end = scores[:, : len(inside)][:, inside]
            sums = begin[:, None] + end
            sums[
                ~(np.tri(len(begin), dtype=bool).T & np.tri(len(begin), k=LONGEST - 1, dtype=bool))
            ] = -np.inf
            first, last = np.unravel_index(sums.argmax(), sums.shape)
            offsets = np.array(windows["offset_mapping"][row])[inside]
            question = windows["overflow_to_sample_mapping"][row]
            answer = texts[question][offsets[first, 0] : offsets[last, 1]]
            best[question] = max(best[question], (float(sums.max()), answer), key=lambda each: each[0])
    return [answer for _, answer in best]


def serve() -> None:
    """In a process with the older transformers: asked for a batch size, answer all questions with its pipeline."""
    folder, questions, texts = json.loads(sys.stdin.readline())
    torch.set_num_threads(THREADS)
    transformers.utils.logging.disable_progress_bar()
    pipe = transformers.pipeline("question-answering", folder, device="cpu")
    rules = {"max_seq_len": LENGTH, "doc_stride": OVERLAP, "max_answer_len": LONGEST, "align_to_words": False}
    for size in sys.stdin:
        rules["batch_size"] = int(size)
        found, *spent = timed(lambda: pipe(question=questions, context=texts, **rules))
        print(json.dumps([[each["answer"] for each in found], *spent]), flush=True)


def timed(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it returns, seconds on the clock, seconds of processor time."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    result = function()
    return (
        result,
        time.perf_counter() - start,
        resource.getrusage(resource.RUSAGE_SELF).ru_utime - before,
    )


class Spent:
    """A result that comes with its times: measured where it was made."""

    def __init__(self, result: Any, seconds: float, busy: float):
        self.result, self.seconds, self.busy = result, seconds, busy


def older_pipeline(packages: Path, stack: ExitStack, *given: Any) -> Callable[[int], Spent]:
    """The question-answering pipeline of an older transformers, which waits in a process of its own: from batch size to answers."""
    code = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='bench')['serve']()"
    path = os.pathsep.join(filter(None, [str(packages.resolve()), os.environ.get("PYTHONPATH")]))
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-c", code, __file__],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )

    def say(line: str) -> None:
        process.stdin.write(line + "\n")
        process.stdin.flush()

    def run(size: int) -> Spent:
        say(str(size))
        return Spent(*json.loads(process.stdout.readline()))

    say(json.dumps(given))
    return run


def answers(how: argparse.Namespace, stack: ExitStack, tokenizer: Any) -> tuple[METHODS, int, bool]:
    """Methods that answer questions, how many there are, and whether they are real."""
    frame = load_questions()
    rows = draw(frame, how.questions)
    questions, texts = rows["question"].tolist(), rows["context"].tolist()
    model = network("QuestionAnswering", ["start", "end"])
    given = (questions, texts, model, tokenizer)
    ways = {"ours": ask, "one by one": ask_one_by_one, "batches of 32": ask_in_batches}
    methods: METHODS = {name: partial(way, *given) for name, way in ways.items()}
    if how.pipeline:
        pipe = older_pipeline(how.pipeline, stack, saved(model, tokenizer, stack), questions, texts)
        methods |= {f"pipeline, {size}": partial(pipe, size) for size in (1, 8, 32)}
    said = {name: method() for name, method in methods.items()}
    said = {name: getattr(found, "result", found) for name, found in said.items()}
    assert said["ours"] == said["batches of 32"]
    # Of texts in several windows the pipeline takes another best: it compares shares within each.
    windows = question_windows(questions, texts, tokenizer, max_length=LENGTH, overlap=OVERLAP)
    alone = np.bincount(windows.question) == 1
    for name in methods:
        if name.startswith("pipeline"):
            assert (np.array(said[name])[alone] == np.array(said["ours"])[alone]).all()
    return methods, len(rows), frame.attrs["real"]


def names(how: argparse.Namespace, stack: ExitStack, tokenizer: Any) -> tuple[METHODS, int, bool]:
    """Methods that mark names, how many pieces there are, and whether they are real."""
    frame = load_entities()
    kinds = sorted({tag for tags in frame["tags"] for tag in tags})
    model = network("TokenClassification", kinds)
    rows = draw(frame[frame["split"] == "test"], how.sentences)
    texts = [" ".join(words) for words in rows["tokens"]]
    # With a head from a seed all words would be names: one piece in twenty shall be.
    with torch.no_grad():
        inputs = tokenizer(texts[:64], padding=True, truncation=True, return_tensors="pt")
        logits = model(**inputs).logits[inputs["attention_mask"] == 1]
        o = kinds.index("O")
        lead = logits[:, [k for k in range(len(kinds)) if k != o]].amax(1) - logits[:, o]
        model.classifier.bias[o] += lead.quantile(0.95)

    def ours() -> list[list[tuple]]:
        found = tokenizer(texts, truncation=True, return_offsets_mapping=True)
        inputs = {name: found[name] for name in ("input_ids", "attention_mask")}
        shares = predict(Logits(model), Examples(inputs, [[0] * len(row) for row in found["input_ids"]]))
        best, sure = shares.argmax(-1), shares.max(-1)
        return [
            [
                (kinds[best[row, i]], float(sure[row, i]), *place)
                for i, place in enumerate(offsets)
                if 0 < i < len(offsets) - 1 and kinds[best[row, i]] != "O"
            ]
            for row, offsets in enumerate(found["offset_mapping"])
        ]

    pipe = transformers.pipeline("token-classification", model=model, tokenizer=tokenizer, device="cpu")

    def theirs(size: int) -> list[list[tuple]]:
        found = pipe(texts, batch_size=size)
        return [[(e["entity"], float(e["score"]), e["start"], e["end"]) for e in row] for row in found]

    methods: METHODS = {"ours": ours} | {f"pipeline, {n}": partial(theirs, n) for n in (1, 8, 32)}
    wanted = methods["ours"]()
    assert sum(map(len, wanted)), "there is no name to compare"
    for method in methods.values():
        for one, other in zip(wanted, method(), strict=True):
            assert [e[:1] + e[2:] for e in one] == [e[:1] + e[2:] for e in other]
            assert np.allclose([e[1] for e in one], [e[1] for e in other], atol=1e-4)
    pieces = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return methods, sum(map(len, pieces)), frame.attrs["real"]


def pairs(how: argparse.Namespace, stack: ExitStack, tokenizer: Any) -> tuple[METHODS, int, bool]:
    """Methods that judge pairs, how many there are, and whether they are real."""
    from sentence_transformers import CrossEncoder

    frame = load_pairs()
    rows = draw(frame[frame["split"] == "test"], how.pairs)
    texts = list(zip(rows["first"], rows["second"], strict=True))
    model = network("SequenceClassification", ["no", "yes"])
    cross = CrossEncoder(saved(model, tokenizer, stack), device="cpu", max_length=128)

    def ours() -> np.ndarray:
        return predict(Logits(model), Examples.from_texts(texts, [0] * len(texts), tokenizer, max_length=128))

    def theirs(size: int) -> np.ndarray:
        return cross.predict(texts, batch_size=size, apply_softmax=True, show_progress_bar=False)

    methods: METHODS = {"ours": ours} | {f"CrossEncoder, {n}": partial(theirs, n) for n in (8, 32, 128)}
    for method in methods.values():
        assert np.allclose(method(), methods["ours"](), atol=1e-4)
    return methods, len(rows), frame.attrs["real"]


TASKS = {"questions": answers, "tokens": names, "pairs": pairs}


def measure(how: argparse.Namespace) -> dict[str, Any]:
    """For each task, what there was to do, and seconds on the clock and of processor time of every method and repeat."""
    tokenizer, found = load_encoder("minilm", device="cpu").tokenizer, {}
    for task in how.only:
        with ExitStack() as stack:
            methods, count, real = TASKS[task](how, stack, tokenizer)
            spent: dict[str, Any] = {"count": count, "real": real, "seconds": defaultdict(list)}
            spent["busy"] = defaultdict(list)
            for repeat in range(how.repeats):
                for name in list(methods) if repeat % 2 == 0 else list(methods)[::-1]:
                    result, seconds, busy = timed(methods[name])
                    if isinstance(result, Spent):
                        seconds, busy = result.seconds, result.busy
                    spent["seconds"][name].append(seconds)
                    spent["busy"][name].append(busy)
                    print(f"{task} {repeat + 1}: {name} {seconds:.1f} s, {busy:.1f} s of processor time",
                          file=sys.stderr, flush=True)  # fmt: skip
            found[task] = spent
    return found


def ratios(spent: dict[str, Any], which: str) -> list[float]:
    """In each repeat, how many times as long as ours the fastest of the others takes."""
    others = np.min([times for name, times in spent[which].items() if name != "ours"], axis=0)
    return (others / spent[which]["ours"]).round(3).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=240)
    parser.add_argument("--sentences", type=int, default=640)
    parser.add_argument("--pairs", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--pipeline", type=Path, help="the folder with transformers 5.2")
    parser.add_argument("--json", action="store_true")
    how = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(THREADS)
    load = os.getloadavg()[0]
    found = measure(how)
    line: dict[str, Any] = {"threads": THREADS, "load_at_start": round(load, 1)}
    for task, spent in found.items():
        each = {f"ratio_{task}": ratios(spent, "seconds"), f"busy_ratio_{task}": ratios(spent, "busy")}
        line |= {name: round(float(np.median(values)), 2) for name, values in each.items()}
        line |= {f"{name}_each": values for name, values in each.items()}
        line[f"{task}_per_second"] = {
            name: round(spent["count"] / float(np.median(times)), 1)
            for name, times in spent["seconds"].items()
        }
        line |= {task: spent["count"], f"real_{task}": spent["real"]}
    if how.json:
        print(json.dumps(line))
        return
    print(f"{THREADS} threads, load {load:.1f} at the start, torch {torch.__version__}, transformers "
          f"{transformers.__version__}; medians of {how.repeats} (lowest to highest)")  # fmt: skip
    for task, spent in found.items():
        print(f"\n{spent['count']:,} {task}{'' if spent['real'] else ' of the STAND-IN'}")
        for name, times in spent["seconds"].items():
            speed = np.sort(spent["count"] / np.array(times))
            busy = 1000 * np.median(spent["busy"][name]) / spent["count"]
            print(f"  {name:<20}{np.median(speed):9.1f} a second ({speed[0]:.1f} to {speed[-1]:.1f}), "
                  f"{busy:8.3f} ms of processor time each")  # fmt: skip
        for which in ("seconds", "busy"):
            values = ratios(spent, which)
            print(f"  {which + ', best of the others / ours':<44}{np.median(values):6.2f} "
                  f"({min(values):.2f} to {max(values):.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
