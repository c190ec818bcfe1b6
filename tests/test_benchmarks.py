"""The measuring scripts run, and say what they promise, on a text of a few hundred words."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from course_tools import PATIENCE
from course_utils.assets import status

ROOT = Path(__file__).parents[1]


def printed(command: list[str]) -> dict:
    """The line of JSON that a benchmark prints, and it must print nothing else."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
        env=os.environ | {"COURSE_PROFILE": "ci"},
    )
    return json.loads(done.stdout)


def test_word_vectors_prints_one_line_of_json_with_the_promised_ratios(tmp_path):
    random = np.random.default_rng(0)
    words = ["had", "has", "was", "is", "boy", "girl", "king", "queen", "tiger", "cat", "love", "water"]
    text = "\n\n".join(" ".join(random.choice(words, 12)) + "." for _ in range(80))
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    only = [
        "gensim",
        "textbook",
        "ours",
        "counting: dict loop",
        "counting: ours",
        "GloVe: sparse",
        "GloVe: ours",
    ]
    command = [sys.executable, str(ROOT / "benchmarks" / "word_vectors.py"), "--json", "--text", str(tmp_path / "text.txt"),
               "--epochs", "1", "--glove-epochs", "1", "--seeds", "1", "--only", *only]  # fmt: skip
    line = printed(command)
    promised = ("ratio_vs_gensim", "ratio_vs_textbook", "wordsim_ours", "wordsim_gensim")
    assert set(promised) <= set(line)
    assert {"glove_ratio_counting", "glove_ratio_vs_textbook", "glove_wordsim_ours"} <= set(line)
    assert all(line[name] > 0 for name in line if name.endswith(("_gensim", "_textbook")) and "ratio" in name)
    assert line["words"] == 80 * 12 and line["vocabulary"] == len(words)


def test_language_models_prints_one_line_of_json_with_the_promised_ratios():
    pytest.importorskip("gensim")
    command = [sys.executable, str(ROOT / "benchmarks" / "language_models.py"), "--json", "--tokens", "4000",
               "--words", "300", "--units", "8", "--seeds", "1"]  # fmt: skip
    line = printed(command)
    assert {"ratio_vs_plain", "ratio_full_softmax_vs_plain", "ratio_bilm_vs_plain"} <= set(line)
    assert line["vocabulary"] == 300 and 4000 <= line["tokens"] < 4200
    for name, found in line["perplexity"].items():
        # Four thousand tokens teach little; nothing may be far off a guess among all 300 words.
        assert all(1 < value < 600 for value in found.values()), name
        assert ("backwards" in found) == ("biLM" in name)
    assert all(1 < value < 300 for value in line["perplexity_trigram"].values())


def test_pretraining_prints_one_line_of_json_with_the_promised_ratios():
    command = [sys.executable, str(ROOT / "benchmarks" / "pretraining.py"), "--json", "--tokens", "3000",
               "--words", "400", "--units", "8", "--layers", "1", "--seeds", "1"]  # fmt: skip
    line = printed(command)
    assert {"ratio_vs_trainer", "ratio_vs_textbook", "loss_ours", "loss_trainer"} <= set(line)
    for name in ("ours", "trainer", "textbook"):
        # Three thousand pieces teach next to nothing: all are near a guess among 400.
        assert 4 < line[f"loss_{name}"] < 7 and 0.5 < line[f"loss_follows_{name}"] < 1


def test_adapters_prints_one_line_of_json_with_the_promised_ratios():
    command = [sys.executable, str(ROOT / "benchmarks" / "adapters.py"), "--json", "--messages", "32",
               "--layers", "1", "--epochs", "1", "--repeats", "1", "--threads", "1"]  # fmt: skip
    line = printed(command)
    for other in ("peft", "full"):
        assert {f"ratio_vs_{other}", f"processor_ratio_vs_{other}", f"memory_vs_{other}"} <= set(line)
    units, head = 384, 2 * 384 + 2
    assert line["trained"]["ours"] == line["trained"]["peft"] == 2 * 8 * 2 * units + head
    assert line["memory_vs_peft"] <= 1.05 and line["memory_vs_full"] < 0.6
    assert all(0 <= line[f"f1_{method}"] <= 1 for method in ("ours", "peft", "full")) and not line["real"]


def test_fine_tuning_prints_one_line_of_json_with_the_promised_ratios():
    command = [sys.executable, str(ROOT / "benchmarks" / "fine_tuning.py"), "--json", "--messages", "32", "--tests", "16",
               "--epochs", "1", "--seeds", "1"]  # fmt: skip
    line = printed(command)
    for padding in ("padded", "dynamic", "grouped"):
        assert line[f"ratio_vs_trainer_{padding}"] > 0
    assert 0 <= line["f1_ours"] <= 1 and 0 <= line["f1_trainer"] <= 1
    assert line["messages"] == 32 and line["real"] is False


def test_tasks_prints_one_line_of_json_with_the_promised_ratios():
    """And before that, what both sides say is the same to the letter, or the script ends in an error."""
    pytest.importorskip("sentence_transformers")
    command = [sys.executable, str(ROOT / "benchmarks" / "tasks.py"), "--json", "--questions", "8", "--sentences", "16",
               "--pairs", "16", "--repeats", "1"]  # fmt: skip
    line = printed(command)
    others = {
        "questions": {"one by one", "batches of 32"},
        "tokens": {"pipeline, 1"},
        "pairs": {"CrossEncoder, 32"},
    }
    for task, names in others.items():
        assert line[f"ratio_{task}"] > 0 and line[f"busy_ratio_{task}"] > 0 and not line[f"real_{task}"]
        assert {"ours", *names} <= set(line[f"{task}_per_second"])
    assert (line["questions"], line["pairs"]) == (8, 16) and line["tokens"] > 16


def test_generation_prints_one_line_of_json_with_the_promised_ratios():
    if (
        status("smollm2-4bit", profile="ci")[0] != "wheel"
        or status("multilingual-e5-4bit", profile="ci")[0] != "wheel"
    ):
        pytest.skip("needs the packages of wheels.txt")
    command = [sys.executable, str(ROOT / "benchmarks" / "generation.py"), "--json", "--layers", "2", "--tokens", "3",
               "--rows", "1", "2", "--repeats", "1", "--threads", "1"]  # fmt: skip
    line = printed(command)
    for rows in (1, 2):
        assert line[f"ratio_{rows}"] > 0 and line[f"processor_ratio_{rows}"] > 0
        assert (
            line[f"tokens_per_second_ours_{rows}"] > 0 and line[f"tokens_per_second_transformers_{rows}"] > 0
        )
    for name in ("smollm2", "multilingual-e5"):
        assert line[f"read_seconds_{name}"] > 0 and line[f"unpack_seconds_{name}"] > 0
    assert "lay_out_seconds" in line


def test_serving_prints_one_line_of_json_with_the_promised_ratios():
    for name in ("fastapi", "onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    command = [sys.executable, str(ROOT / "benchmarks" / "serving.py"), "--json", "--texts", "8", "--repeats", "1",
               "--seconds", "0.5", "--first", "10", "--steps", "1", "--bound", "1000"]  # fmt: skip
    line = printed(command)
    for runtime in ("torch", "onnx", "int8"):
        assert line[f"ratio_{runtime}"] == 1 and len(line["bulk"][runtime]) == 1  # all hold the only rate
    assert all(way["rate"] == [10] and way["p99"][0] > 0 for way in line["served"].values())
    assert "--other" in line["not_run"] and line["bulk"]["sentence-transformers, ONNX"] is None
