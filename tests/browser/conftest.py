"""A real browser: Debian's Chromium (or any other, named in CHROMIUM), driven by Playwright, without a network."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from course_tools import PATIENCE, notebooks, versions
from course_tools.run import kernel_environment

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
NO_NEWS = '{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}'
# `make test` has no Playwright, and no use for these tests.
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]


@pytest.hookimpl(tryfirst=True)  # before pytest sorts by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests need a browser: `make test` leaves them out, `make test-browser` runs them alone."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def shots() -> Path:
    """The folder for screenshots."""
    folder = ROOT / "build" / "browser"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium without a window."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE * 1000)  # by default five seconds: a busy machine is slow, not wrong
    found = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if not found:
        named = os.environ.get("CHROMIUM", "chromium")
        pytest.exit(f"There is no {named}: install Chromium, or name a browser of its family in CHROMIUM.", 1)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def flaws() -> Callable[..., list[str]]:
    """Asks axe-core what keeps people with a screen reader, weak eyes or no mouse from reading a page, or a part of it
    (a selector, or what axe calls a context)."""
    from axe_playwright_python.sync_playwright import Axe

    axe = Axe()

    def ask(page: Any, part: Any = None) -> list[str]:
        # Half-way through fading in nothing has contrast; and what is a file already needs no loading.
        page.add_style_tag(content="* { animation: none !important; transition: none !important }")
        found = axe.run(page, context=part, options={"preload": False}).response["violations"]
        return [
            f"{flaw['id']}: {flaw['nodes'][0]['html'][:120]} ({len(flaw['nodes'])} places)"
            for flaw in found
            if flaw["impact"] in ("serious", "critical")
        ]

    return ask


@dataclass
class Lab:
    """A JupyterLab on 127.0.0.1, and the folder that it shows."""

    folder: Path
    progress: Path
    address: str
    token: str

    def show(self, browser: Any, notebook: Any, name: str) -> Notebook:
        """Put a notebook, without its outputs, into the folder, and open it as somebody who has done nothing yet."""
        shutil.rmtree(self.progress, ignore_errors=True)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        notebooks.write(notebook, self.folder / name)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(f"{self.address}/lab/tree/{name}?token={self.token}&reset")
        # Run earlier, and the cells wait for a kernel for ever.
        page.wait_for_function(
            """() => { const widget = window.jupyterapp?.shell.currentWidget;
            return widget?.context?.isReady && widget.sessionContext?.isReady && widget.sessionContext.session?.kernel?.status === 'idle'; }""",
        )
        page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.info")
        return Notebook(page)


@dataclass
class Notebook:
    """An open notebook, used as a student uses it."""

    page: Any

    def command(self, name: str) -> None:
        """Run a command of JupyterLab, and wait until it is through."""
        self.page.evaluate("name => window.jupyterapp.commands.execute(name)", name)

    def run_all(self) -> None:
        """Run every cell, up to one that fails."""
        self.command("notebook:run-all-cells")

    def restart(self) -> None:
        """Restart the kernel, without being asked whether one is sure."""
        self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
        )

    def cell(self, code: str) -> Any:
        """The code cell that contains this line."""
        return self.page.locator(".jp-CodeCell", has=self.page.locator(".cm-line", has_text=code)).first

    def output(self, code: str) -> Any:
        """What stands below the cell that contains this line."""
        return self.cell(code).locator(".jp-OutputArea-output")

    def write(self, code: str, new: str) -> None:
        """Type over the cell that contains this line, and run it."""
        self.cell(code).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(
            new
        )  # typed letter by letter the editor would close brackets by itself
        self.run_selected()

    def run(self, code: str) -> None:
        """Run the cell that contains this line."""
        self.cell(code).locator(".cm-content").click()
        self.run_selected()

    def run_selected(self) -> None:
        """Run the cell that has the focus, and wait for its end."""
        self.command("notebook:run-cell")

    def counts(self) -> list[int | None]:
        """The execution count of each code cell."""
        return self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.widgets
            .filter(cell => cell.model.type === 'code').map(cell => cell.model.executionCount)"""
        )

    def errors(self) -> list[str]:
        """Everything on stderr and every exception in the page."""
        kinds = (
            '[data-mime-type="application/vnd.jupyter.error"]',
            '[data-mime-type="application/vnd.jupyter.stderr"]',
        )
        return [text for kind in kinds for text in self.page.locator(kind).all_inner_texts()]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server of its own: settings, caches and progress of the one who runs the tests stay as they are."""
    home = tmp_path_factory.mktemp("jupyter")
    folder, settings = home / "lectures", home / "settings" / "@jupyterlab"
    for path, text in {
        "apputils-extension/notification": NO_NEWS,
        # A cell out of sight would not be in the page.
        "notebook-extension/tracker": '{"windowingMode": "none"}',
    }.items():
        (settings / path).parent.mkdir(parents=True)
        (settings / f"{path}.jupyterlab-settings").write_text(text)
    folder.mkdir()
    places = {
        name: str(home / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
    }
    environment = kernel_environment(
        "ci",
        "browser",
        1,
        **places,
        JUPYTERLAB_SETTINGS_DIR=str(settings.parent),
        COURSE_CACHE=str(home / "cache"),
        COURSE_PROGRESS=str(home / "progress"),
        COURSE_NOTEBOOKS=str(ROOT / "notebooks"),
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, address = secrets.token_hex(16), f"http://127.0.0.1:{port}"
    options = (
        *("--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"),
        "--LabApp.expose_app_in_browser=True",
    )
    log = home / "server.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=out, stderr=out
        )
        try:
            _wait(address, server, log)
            yield Lab(folder, home / "progress", address, token)
        finally:
            server.terminate()
            server.wait(PATIENCE)


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(PATIENCE * 5):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{address}/api", timeout=PATIENCE).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture
def show(lab: Lab, browser: Any) -> Iterator[Callable[[Any, str], Notebook]]:
    """Opens a notebook; closes its page and its kernel at the end."""
    opened: list[Notebook] = []

    def open_(notebook: Any, name: str) -> Notebook:
        opened.append(lab.show(browser, notebook, name))
        return opened[-1]

    yield open_
    for notebook in opened:
        notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        notebook.page.close()


@pytest.fixture
def stored() -> Callable[[str], Any]:
    """A lecture as it is stored, by its number."""
    return lambda number: notebooks.read(notebooks.find([number])[0])


@pytest.fixture
def handed_out(stored: Callable[[str], Any]) -> Callable[[str], Any]:
    """A lecture as students get it, by its number."""
    return lambda number: versions.student(stored(number))
