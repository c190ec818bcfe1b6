"""Independent pieces of work side by side, such as a training run for each seed."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from joblib import Parallel, delayed, parallel_config
from tqdm.auto import tqdm

from course_utils.session import has_accelerator, show_progress

Result = TypeVar("Result")


def side_by_side(function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]]) -> list[Result]:
    """``function(*task)`` for every task; the results in the order of the tasks.

    A small network keeps one core busy and cannot use a second. So on a CPU each core gets a process of its own, with one
    thread; where there is an accelerator, or one thread only, the tasks are done one after the other. What a task draws from
    its own seed is the same either way, but nothing that it changes in memory comes back: only its result does.

    Raises:
        What ``function`` raises, as soon as it does.
    """
    tasks = list(tasks)
    jobs = 1 if has_accelerator() else max(1, min(torch.get_num_threads(), len(tasks)))
    threads = {} if jobs == 1 else {"inner_max_num_threads": 1}
    with (
        parallel_config("loky" if jobs > 1 else "sequential", n_jobs=jobs, **threads),
        warnings.catch_warnings(),
    ):
        # loky replaces a process that has grown, and warns of it; no task is lost.
        warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
        results = Parallel(return_as="generator")(delayed(function)(*task) for task in tasks)
        return list(tqdm(results, "runs", len(tasks), leave=False, delay=2, disable=not show_progress()))


@contextmanager
def one_thread_each(workers: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A ``map`` over so many threads, each of which computes on one core; for a single worker, Python's own ``map``.

    The matrices of a small network are too small to be shared out among cores, its batches are not. PyTorch leaves Python's
    lock while it computes, so that threads do. On the way out, work that has not begun is dropped.
    """
    if workers < 2:
        yield map
        return
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the workers changed what new threads start with
