"""Work side by side gives what it gives one after the other."""

import os
import warnings

import pytest
import torch

from course_utils import parallel
from course_utils.parallel import one_thread_each, side_by_side


@pytest.fixture
def two_threads():
    """As on a machine with two cores, whatever this one has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def draw(seed: int, size: int) -> list[float]:
    """Numbers that depend on the seed alone."""
    torch.manual_seed(seed)
    return torch.nn.Dropout(0.5)(torch.ones(size)).tolist()


def where(_: int) -> tuple[int, int]:
    """The process that does it, and its threads."""
    return os.getpid(), torch.get_num_threads()


def test_results_are_those_of_a_loop_in_the_order_of_the_tasks(two_threads):
    tasks = [(seed, 50 + seed) for seed in range(8)]
    assert side_by_side(draw, tasks) == [draw(*task) for task in tasks]


def test_each_core_has_a_process_with_one_thread(two_threads):
    found = side_by_side(where, [(i,) for i in range(8)])
    assert os.getpid() not in {process for process, _ in found}
    assert {threads for _, threads in found} == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("reason", ["one thread", "accelerator", "one task"])
def test_otherwise_it_is_a_loop_in_this_process(two_threads, monkeypatch, reason):
    if reason == "one thread":
        torch.set_num_threads(1)
    if reason == "accelerator":
        monkeypatch.setattr(parallel, "has_accelerator", lambda: True)
    found = side_by_side(where, [(i,) for i in range(1 if reason == "one task" else 4)])
    assert {process for process, _ in found} == {os.getpid()}


def test_functions_of_a_notebook_are_carried_over_with_what_they_use(two_threads):
    offset = torch.tensor([1.0, 2.0])
    assert [t.tolist() for t in side_by_side(lambda x: offset + x, [(0,), (1,)])] == [[1.0, 2.0], [2.0, 3.0]]


def test_errors_come_through_and_nothing_to_do_is_nothing_done(two_threads):
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda x: 1 / x, [(1,), (0,), (2,)])
    assert side_by_side(draw, []) == []


def test_a_process_that_is_replaced_is_no_news_and_other_warnings_come_through():
    says = [
        "A worker stopped while some jobs were given to the executor. This can be caused by a leak.",
        "Look!",
    ]
    with pytest.warns(UserWarning) as heard:
        side_by_side(warnings.warn, [(says[0],)])
        side_by_side(warnings.warn, [(says[1],)])
    assert [str(one.message) for one in heard] == says[1:]


def test_threads_map_in_order_with_one_core_each_and_leave_things_as_they_were(two_threads):
    with one_thread_each(3) as spread:
        found = list(spread(lambda a, b: (a * b, torch.get_num_threads()), range(5), range(5)))
    assert found == [(i * i, 1) for i in range(5)]
    assert torch.get_num_threads() == 2
    with one_thread_each(1) as spread:
        assert list(spread(lambda _: torch.get_num_threads(), [0])) == [2]


def test_an_error_in_a_thread_comes_through(two_threads):
    with pytest.raises(ZeroDivisionError), one_thread_each(2) as spread:
        list(spread(lambda x: 1 / x, [1, 0, 1]))
    assert torch.get_num_threads() == 2
