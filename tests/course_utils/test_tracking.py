"""Runs on record, with MLflow and without it."""

import importlib.util

import pandas as pd
import pytest

from course_utils.training import tracking

RUNS = {
    "alone": ({"rate": 1e-3, "task": "spam"}, {"loss": [3.0, 2.0, 1.0], "score": [0.5]}),
    "together": ({}, {"loss": [1.5]}),
}
ROWS = [
    ("alone", "loss", 0, 3.0), ("alone", "loss", 1, 2.0), ("alone", "loss", 2, 1.0), ("alone", "score", 0, 0.5),
    ("together", "loss", 0, 1.5),
]  # fmt: skip


def test_without_mlflow_a_line_says_so_and_the_rows_come_all_the_same(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mlflow" else find(name))
    found = tracking.track("13b", RUNS)
    expected = pd.DataFrame(ROWS, columns=["run", "measure", "step", "value"])
    pd.testing.assert_frame_equal(found, expected)
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "MLflow is not here (the extra `track` brings it)" in said


def test_runs_are_read_back_from_a_file_of_sqlite(monkeypatch, tmp_path, capsys):
    mlflow = pytest.importorskip("mlflow", reason="the extra `track` is not installed")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    assert list(tracking.track("13b", RUNS).itertuples(index=False, name=None)) == ROWS
    again = tracking.track("13b", {"alone": RUNS["alone"]})  # beside the first, not in its place
    assert len(again) == 4 and (tmp_path / "tracking" / "mlflow.db").read_bytes()[:6] == b"SQLite"
    client = mlflow.MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("13b").experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["alone", "alone", "together"]
    assert {"rate": "0.001", "task": "spam"} in [run.data.params for run in runs]
    assert all(run.info.status == "FINISHED" for run in runs)
    assert "mlflow ui --host 127.0.0.1" in capsys.readouterr().out
