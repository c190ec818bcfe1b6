"""Train a head on vectors, in as many processes as there are: ``accelerate launch -m course_utils.production.train_head IN OUT``."""

import sys

import torch
from safetensors.torch import load_file, save_file

from course_utils.session import accelerator, start
from course_utils.training import Examples, fit, warm_up


def train_head(source: str, target: str) -> None:
    """From a file with ``vectors`` (n, d) and ``labels`` (n,) to a file with a linear layer's weights and the number of processes.

    Nothing in here says how many processes there are: each reads its share of every batch, and ``fit`` adds up the gradients.
    """
    start()
    data = load_file(source)
    examples = Examples({"input": data["vectors"]}, data["labels"])
    head = torch.nn.Linear(data["vectors"].shape[1], int(data["labels"].max()) + 1)
    fit(head, examples, epochs=10, learning_rate=5e-2, schedule=warm_up)
    if accelerator().is_main_process:  # all have the same weights; one writes them
        processes = torch.tensor(accelerator().num_processes)
        save_file(
            {name: weight.cpu() for name, weight in head.state_dict().items()} | {"processes": processes},
            target,
        )


def main() -> None:
    """What ``accelerate launch --tpu`` calls by its name, in each of its processes."""
    train_head(*sys.argv[1:])


if __name__ == "__main__":
    main()
