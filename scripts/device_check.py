"""Run lectures as a GPU or a TPU would, in profile gpu, on a device that is not the CPU.

    PJRT_DEVICE=CPU .venv-device/bin/python scripts/device_check.py [LECTURE ...]

`make test-device` makes that environment from `scripts/device.txt` first. Its device `xla:0` computes on the processor, but what
lies in the computer's memory is not on it: a tensor that a lecture forgot to move stops the lecture there, as it would on Colab.

The code is that of profile gpu; sizes (`course.choose`) are those of ci, because XLA compiles for minutes what then runs in a moment, and
`COURSE_CAP`, a number, caps the larger ones among them. BERT comes from a hub on 127.0.0.1: its own vocabulary, random weights, and
twelve layers, which lectures ask for by their numbers, of 96 units instead of 768 (`--full` has them all). So what a lecture *expects*
of its figures is not asked. Data that cannot be had are replaced by the stand-ins, as on any machine without a network.

Checked: every cell of a lecture runs, or it says why it cannot (`NOT_HERE`). A lecture that takes longer than `--minutes` is stopped, and
the cells that ran are counted.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
LECTURE = re.compile(r"\d\d[a-z]?_\w+\.ipynb")
BERT, REVISION = "bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594"
SMALL = {"hidden_size": 96, "intermediate_size": 384}  # all else is as in BERT Base

# Lectures, or cells of one, that a device of XLA cannot run, and why.
NOT_HERE: dict[str, str] = {}

# What a kernel is told before its first cell: sizes of ci, no verdict on figures, and BERT from our hub.
BEFORE = """
import json, os
from dataclasses import replace
import course_utils
from course_utils import session
from course_utils.assets import registry
from course_utils.assets.catalogue import Asset

import sys
sys.path.insert(0, os.environ["CHECK_SCRIPTS"])
from device_check import capped

session.Session.choose = lambda self, *, ci, laptop, gpu: capped(ci, gpu)
course_utils.expect = course_utils.expect_kept = lambda *_, **__: None
files = json.loads(os.environ["CHECK_BERT"])
old = registry()["bert-base-uncased"]
fresh = Asset.from_dict(old.name, {"title": old.title, "licence": old.licence, "citation": old.citation,
                                   "home": old.home, "files": files})
registry()[old.name] = replace(old, files=fresh.files)
"""


def capped(ci: Any, gpu: Any) -> Any:
    """A setting for the check: a size of profile ci, within ``COURSE_CAP``, but a name, such as a precision, of profile gpu."""
    if isinstance(gpu, str):
        return gpu
    if isinstance(ci, dict) and isinstance(gpu, dict) and ci.keys() == gpu.keys():
        return {key: capped(ci[key], gpu[key]) for key in ci}
    return min(ci, int(os.environ.get("COURSE_CAP", ci))) if type(ci) is int else ci


@dataclass
class Outcome:
    """What became of a lecture: code cells that ran, of how many, seconds, and what stopped it."""

    lecture: str
    ran: int
    cells: int
    seconds: float
    stopped: str = ""


@contextlib.contextmanager
def hub(**sizes: int) -> Iterator[dict[str, str]]:
    """A hub on 127.0.0.1 that has one model, BERT Base, or one of other sizes; the environment that points at it."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    from course_utils.assets import resolve

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        BertModel(BertConfig(**sizes)).save_pretrained(name)
        AutoTokenizer.from_pretrained(resolve("minilm", profile="ci").folder).save_pretrained(name)
        bodies = {path.name: path.read_bytes() for path in Path(name).iterdir()}
    digests = {file: hashlib.sha256(body).hexdigest() for file, body in bodies.items()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = self.path.rpartition("/")[2]
            if self.path != f"/google-bert/{BERT}/resolve/{REVISION}/{file}" or file not in bodies:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(bodies[file])))
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("ETag", f'"{digests[file][:40]}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(bodies[file])

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    files = {file: {"bytes": len(bodies[file]), "sha256": digests[file]} for file in bodies}
    yield {
        "CHECK_BERT": json.dumps(files),
        "CHECK_SCRIPTS": str(ROOT / "scripts"),
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HUB_OFFLINE": "0",
    }
    server.shutdown()


def run(lecture: Path, environment: dict[str, str], minutes: float) -> Outcome:
    """Execute a lecture's cells until one fails or the time is over."""
    notebook = nbformat.read(lecture, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(BEFORE))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outcome, start = Outcome(lecture.stem, 0, len(code) - 1, 0.0), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, kernel_name="python3", resources=resources)
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        places = {
            "PYTHONPATH": paths,
            "COURSE_CACHE": folder,
            "HF_HOME": f"{folder}/hf",
            "COURSE_PROGRESS": f"{folder}/progress",
        }
        with client.setup_kernel(env=os.environ | environment | places):
            for number, cell in enumerate(notebook.cells):
                if reason := NOT_HERE.get(f"{lecture.stem[:3].strip('_')}:{cell.get('id')}"):
                    print(f"  {lecture.stem}, cell {cell.id!r}: not here, {reason}", flush=True)
                    continue
                client.timeout = max(1, int(60 * minutes - (time.monotonic() - start)))
                try:
                    client.execute_cell(cell, number)
                except CellTimeoutError:
                    outcome.stopped = f"cell {cell.id!r}: the {minutes:g} minutes are over"
                except DeadKernelError:
                    outcome.stopped = f"cell {cell.id!r}: the kernel died: out of memory?"
                except CellExecutionError as error:
                    allowed = "raises-exception" in cell.metadata.get("tags", [])
                    outcome.stopped = "" if allowed else f"cell {cell.id!r}: {error.ename}: {error.evalue}"
                if outcome.stopped:
                    break
                outcome.ran += cell.cell_type == "code" and number > 0
    outcome.seconds = time.monotonic() - start
    return outcome


def main() -> None:
    """Run the lectures that are asked for, or all, and say what became of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lectures", nargs="*", help="numbers, such as 10; all by default")
    parser.add_argument("--minutes", type=float, default=20, help="for a lecture")
    parser.add_argument("--full", action="store_true", help="BERT Base in full")
    parser.add_argument("--cpu", action="store_true", help="without a device, to try this script")
    asked = parser.parse_args()
    os.environ.update(COURSE_PROFILE="gpu", COURSE_TIMEOUT="3", HF_HUB_DISABLE_PROGRESS_BARS="1")
    import torch

    from course_utils.session import device_name, find_accelerator

    device = torch.device("cpu") if asked.cpu else find_accelerator()
    if device is None:
        raise SystemExit(
            "There is no device but the CPU: use `make test-device`, or set PJRT_DEVICE=CPU where torch_xla is."
        )
    print(f"Device: {device}, {device_name(device)}", flush=True)
    paths = sorted(path for path in (ROOT / "notebooks").glob("*.ipynb") if LECTURE.fullmatch(path.name))
    chosen = [path for path in paths if path.stem.startswith(tuple(asked.lectures) or "")]
    if not chosen:
        raise SystemExit(f"No lecture begins with {', '.join(asked.lectures)}.")
    outcomes = []
    with hub(**({} if asked.full else SMALL)) as environment:
        for path in chosen:
            it = run(path, environment, asked.minutes)
            outcomes.append(it)
            verdict = it.stopped or "passed"
            print(f"{it.lecture}: {it.ran} of {it.cells} cells, {it.seconds:.0f} s, {verdict}", flush=True)
    failed = [it for it in outcomes if it.stopped and "minutes are over" not in it.stopped]
    if failed:
        raise SystemExit(f"{len(failed)} of {len(outcomes)} lectures stopped at an error.")


if __name__ == "__main__":
    main()
