"""The script that `accelerate launch` starts: with two processes it gives one process's weights."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import course_utils
from course_tools import PATIENCE
from course_utils.production.train_head import train_head

LAUNCH = [
    "--num_machines",
    "1",
    "--mixed_precision",
    "no",
    "--dynamo_backend",
    "no",
    "--main_process_port",
    "0",
]


def test_two_processes_under_accelerate_launch_give_the_weights_of_one(tmp_path):
    torch.manual_seed(0)
    vectors = torch.randn(205, 16)  # neither batches nor halves of batches come out even
    source, alone, together = (str(tmp_path / name) for name in ("in", "alone", "together"))
    save_file({"vectors": vectors, "labels": (vectors[:, 0] + 0.3 * torch.randn(205) > 0).long()}, source)
    train_head(source, alone)
    # `--cpu` would start one process, whatever the number; `--multi_gpu` starts as many as it is told, and profile ci
    # keeps them on the CPU, where they talk through gloo.
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        *LAUNCH,
    ]
    run = subprocess.run(
        [*command, "-m", "course_utils.production.train_head", source, together],
        env={**os.environ, "PYTHONPATH": str(Path(course_utils.__file__).parents[1]), "COURSE_PROFILE": "ci"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert run.returncode == 0, run.stderr
    one, two = load_file(alone), load_file(together)
    assert (one.pop("processes"), two.pop("processes")) == (1, 2)
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, atol=1e-5, rtol=0)
    scores = vectors @ one["weight"].T + one["bias"]
    assert ((scores.argmax(1) == 1) == (vectors[:, 0] > 0)).float().mean() > 0.85  # it has learned something
