"""Runs on record: settings and curves of each in a local MLflow store, a SQLite file, through Accelerate's tracker."""

import importlib.util
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from accelerate import Accelerator

from course_utils.session import cache_folder

Runs = Mapping[str, tuple[Mapping[str, Any], Mapping[str, Sequence[float]]]]


def track(lecture: str, runs: Runs) -> pd.DataFrame:
    """Log runs, for each its settings and for each measure a value per step, and read them back from the store.

    Without MLflow (the extra ``track``) one line says so, and the rows come from memory: ``run``, ``measure``, ``step``, ``value``.
    """
    rows = [(run, name, *at) for run, (_, of) in runs.items() for name in of for at in enumerate(of[name])]
    if importlib.util.find_spec("mlflow") is None:
        print("MLflow is not here (the extra `track` brings it): these runs are not kept, all else works.")
    else:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a lecture reports to nobody
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        (folder := cache_folder() / "tracking").mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        rows, client = [], mlflow.MlflowClient()
        for run, (settings, curves) in runs.items():
            recorder = Accelerator(log_with="mlflow")
            its = {"run_name": run, "logging_dir": str(folder)}
            recorder.init_trackers(lecture, dict(settings), {"mlflow": its})
            for step in range(max(map(len, curves.values()), default=0)):
                here = {name: float(row[step]) for name, row in curves.items() if step < len(row)}
                recorder.log(here, step)
            number = recorder.get_tracker("mlflow", unwrap=True).info.run_id
            recorder.end_training()
            for name in curves:
                rows += [(run, name, at.step, at.value) for at in client.get_metric_history(number, name)]
        look = "mlflow ui --host 127.0.0.1 --backend-store-uri sqlite:///FILE"
        print(f"{len(runs)} runs are on record. To look at them: {look}")
        print(f"FILE is {folder / 'mlflow.db'}")
    return pd.DataFrame(rows, columns=["run", "measure", "step", "value"])
