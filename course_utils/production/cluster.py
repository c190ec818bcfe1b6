"""A corpus that one machine would read for too long: encoded by several workers, with Ray Data (extra ``cluster``).

A batch is one row of Ray's data set. So what stands together in a batch depends neither on the number of workers nor on which of
them is killed, and the vectors are the same to the last bit.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from course_utils.arguments import checked, strings
from course_utils.features import Encoder, encode, load_encoder

# Ray reports to its makers unless it is told not to, hides GPUs from who did not ask for one, and lets its workers wait for all others.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_worker_niceness": "0",
}  # fmt: skip
STORE_BYTES = 200_000_000  # shared memory, for batches on their way


@contextmanager
def local_cluster(workers: int = 2) -> Iterator[None]:
    """Ray on this machine, with so many workers, until the block ends. On a real cluster ``ray.init()`` finds the one there is."""
    (workers,), ray = checked(1, workers=workers), _ray()
    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    for tries_left in (2, 1, 0):
        try:
            ray.init(num_cpus=workers, object_store_memory=STORE_BYTES, **options)
            break
        except Exception:  # on a machine that has much else to do, Ray gives itself up after half a minute
            ray.shutdown()
            if not tries_left:
                raise
    try:
        yield
    finally:
        ray.shutdown()


def encode_on_workers(
    texts: Sequence[str], name: str = "minilm", *, workers: int = 2, batch_size: int = 256,
    arrived: Callable[[dict[str, Any]], object] = lambda row: None, **settings: Any,
) -> tuple[np.ndarray, pd.DataFrame]:  # fmt: skip
    """The vectors that :func:`course_utils.features.encode` makes of each batch on one core, to the last bit.

    Ray gives the batch of a worker that died to another one, as often as it takes. Where Ray does not run yet, it is started
    for this call (:func:`local_cluster`).

    Args:
        texts: n strings, which share a batch in the order in which they come.
        name: of the encoder, as for :func:`course_utils.features.load_encoder`; each worker loads it once.
        workers: processes at work at a time.
        batch_size: texts that travel together; with a worker, one batch at most is lost.
        arrived: is given each batch's row as it comes in, in any order.
        settings: of ``encode``: pooling, max_length, layers, precision.

    Returns:
        float32 (n, size of a vector), in the order of the texts; and for each batch its ``worker`` (a process), when that
        ``began`` and ``ended`` (seconds since 1970), and the seconds it had a core for (``cpu``).

    Raises:
        TypeError, ValueError: if there is no text, one is not a string, or a size is below 1.
        ModuleNotFoundError: where Ray is not installed.
    """
    texts, (workers, batch_size) = strings(texts), checked(1, workers=workers, batch_size=batch_size)
    if not texts:
        raise ValueError("There is no text to encode.")
    ray, starts, found = _ray(), range(0, len(texts), batch_size), []
    rows = [{"batch": i, "texts": texts[start : start + batch_size]} for i, start in enumerate(starts)]
    with nullcontext() if ray.is_initialized() else local_cluster(workers):
        batches = ray.data.from_items(rows, override_num_blocks=len(rows))
        how = {"fn_kwargs": {"name": name, "settings": settings}, "num_cpus": 1, "concurrency": workers}
        for row in batches.map(_encode, **how).iter_rows():
            arrived(row)
            found.append(row)
    found.sort(key=lambda row: row["batch"])
    return np.concatenate([row.pop("vectors") for row in found]), pd.DataFrame(found)


def _encode(row: dict[str, Any], name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What a worker does with a batch."""
    encoder, began, start = _loaded(name), time.time(), time.process_time()
    vectors = encode([*row["texts"]], encoder, cache=False, **settings)
    told = {"batch": row["batch"], "worker": os.getpid(), "began": began, "ended": time.time()}
    return told | {"cpu": time.process_time() - start, "vectors": vectors}


@cache
def _loaded(name: str) -> Encoder:
    """The encoder of this process, which has one core to itself."""
    torch.set_num_threads(1)
    return load_encoder(name)


def _ray() -> Any:
    """The package, made quiet."""
    os.environ.update(SETTINGS)
    try:
        import ray.data
    except ModuleNotFoundError as error:
        how = "pip install 'ray[data]', which is the course's extra `cluster`"
        raise ModuleNotFoundError(f"Several workers need Ray, and it is not installed: {how}.") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().print_on_execution_start = False
    return ray
