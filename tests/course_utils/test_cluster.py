"""A corpus encoded by several workers: the vectors of one, whatever happens to a worker; and what stands in the way is said."""

import os
import signal
import sys
from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from course_utils.datasets import load_sms
from course_utils.features import encode, load_encoder
from course_utils.production import cluster
from course_utils.production.cluster import encode_on_workers, local_cluster

TEXTS = [*load_sms().text[:90]]


@pytest.fixture(scope="module")
def alone():
    """What one core makes of each batch of twenty."""
    encoder, threads = load_encoder("minilm"), torch.get_num_threads()
    torch.set_num_threads(1)
    yield [encode(TEXTS[start : start + 20], encoder, cache=False) for start in range(0, 90, 20)]
    torch.set_num_threads(threads)


@pytest.fixture
def two_workers():
    """Ray with two workers. It gives itself up where a machine is so busy that it does not start within half a minute."""
    before = dict(os.environ)
    with ExitStack() as running:
        try:
            running.enter_context(local_cluster(2))
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
            pytest.skip("this machine is too busy: three times Ray did not start within its half minute")
        yield
    os.environ.clear()
    os.environ.update(before)


def test_a_worker_that_is_killed_in_the_middle_takes_nothing_with_it(alone, two_workers):
    killed = []

    def kill_the_first(row):
        if not killed:
            killed.append(row["worker"])
            os.kill(row["worker"], signal.SIGKILL)

    vectors, batches = encode_on_workers(TEXTS, batch_size=20, arrived=kill_the_first)
    assert np.array_equal(vectors, np.concatenate(alone))  # to the bit
    assert batches.batch.tolist() == [0, 1, 2, 3, 4]
    assert killed[0] in batches.worker.values and len({*batches.worker}) >= 2
    assert (batches.ended > batches.began).all() and (batches.cpu > 0).all()
    assert not os.path.exists(f"/proc/{killed[0]}")


class FakeRay:
    """Ray's data set as a list that is handed back from the end."""

    data = SimpleNamespace()

    def __init__(self):
        self.data = SimpleNamespace(from_items=self.from_items)

    def is_initialized(self):
        return True

    def from_items(self, rows, override_num_blocks):
        assert override_num_blocks == len(
            rows
        )  # a block for each batch: none is cut, none is joined to another
        self.rows = rows
        return self

    def map(self, function, fn_kwargs, num_cpus, concurrency):
        assert num_cpus == 1
        self.asked = concurrency
        self.done = [function(row, **fn_kwargs) for row in reversed(self.rows)]
        return self

    def iter_rows(self):
        return iter(self.done)


def test_vectors_stand_in_the_order_of_the_texts_in_whichever_they_come(alone, monkeypatch):
    ray, came = FakeRay(), []
    monkeypatch.setattr(cluster, "_ray", lambda: ray)
    monkeypatch.setattr(cluster, "_loaded", lambda name: load_encoder(name))
    vectors, batches = encode_on_workers(
        TEXTS, workers=3, batch_size=20, arrived=lambda row: came.append(row["batch"])
    )
    assert np.array_equal(vectors, np.concatenate(alone)) and ray.asked == 3
    assert came == [4, 3, 2, 1, 0] and batches.batch.tolist() == [0, 1, 2, 3, 4]
    cls, _ = encode_on_workers(TEXTS[:5], batch_size=3, pooling="cls", layers=(0, -1))
    assert cls.shape == (5, 768)


@pytest.mark.parametrize("use", [local_cluster, lambda: encode_on_workers(["a"])])
def test_without_ray_a_sentence_says_how_to_get_it(use, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"Several workers need Ray.*pip install 'ray\[data\]'"):
        use().__enter__()


@pytest.mark.parametrize(
    ("texts", "options", "error", "said"),
    [
        ([], {}, ValueError, "no text"),
        ("one", {}, TypeError, "list of strings"),
        ([1], {}, TypeError, "not a string"),
        (["a"], {"workers": 0}, ValueError, "workers=0"),
        (["a"], {"batch_size": 0}, ValueError, "batch_size=0"),
    ],
)
def test_what_makes_no_sense_is_refused_before_ray_starts(texts, options, error, said, monkeypatch):
    monkeypatch.setattr(cluster, "_ray", lambda: pytest.fail("Ray was asked for"))
    with pytest.raises(error, match=said):
        encode_on_workers(texts, **options)
