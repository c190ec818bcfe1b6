"""The asset store: a name goes in, a folder of verified files comes out.

A name is looked up in this order: the folder that ``COURSE_MIRROR`` names (``<mirror>/<name>/<file>``), the
course cache, the course's own data, an installed wheel, a download, and last the stand-in. Profile ``ci`` looks
at data, wheel and stand-in only, so that its results do not depend on what a machine happens to hold.

Every real file is compared with its SHA-256 in ``registry.toml``. A download is verified in a folder of its own,
then moved into the cache by a rename: whatever interrupts it, the cache holds whole files or none. Nothing is
unpickled, and no name from inside an archive is ever used as a path.

Environment: ``COURSE_MIRROR``, ``COURSE_CACHE``, ``COURSE_TIMEOUT`` (seconds without an answer before a source is given up,
20), and ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE`` as huggingface_hub knows them.
"""

import atexit
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlparse

from filelock import FileLock

from course_utils.assets import sources
from course_utils.assets.catalogue import Asset, registry, size_text
from course_utils.files import read_sealed, replace_file
from course_utils.session import cache_folder, current_profile, data_folder, named_path

LOCK_SECONDS = 3600  # how long a second process waits for the first one's download
# In an asset's folder in the cache: text that was made from its files, below its SHA-256. The number goes up
# when the making changes.
MADE = "made-1.txt"


class AssetError(RuntimeError):
    """No source could provide an asset; the message names each one tried, and what to do; ``short`` says why on one line."""

    def __init__(self, message: str, short: str = "only the stand-in is here"):
        super().__init__(message)
        self.short = short


class Failure(NamedTuple):
    """Why one source did not provide an asset."""

    source: str
    reason: str
    kind: str = "failed"  # "absent": never there; "damaged": files are there, and not what they should be
    mend: str = ""  # what to do where files are damaged

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass(frozen=True)
class Resolved:
    """Where an asset was found: ``origin`` is mirror, cache, course, wheel, download or stand-in."""

    name: str
    folder: Path
    origin: str
    files: tuple[str, ...]
    licence: str
    citation: str

    @property
    def real(self) -> bool:
        """False for a stand-in: every figure made from it has to say so."""
        return self.origin != "stand-in"

    def path(self, file: str | None = None) -> Path:
        """The path of one file; without a name, of the only one.

        Raises:
            ValueError: if the asset has no such file, or several and no name was given.
        """
        if file is None and len(self.files) == 1:
            file = self.files[0]
        if file not in self.files:
            raise ValueError(f"{self.name} ({self.origin}) has {', '.join(self.files)}, no file {file!r}.")
        return self.folder / file


def resolve(name: str | Asset, *, profile: str | None = None) -> Resolved:
    """Find an asset, downloading it where the profile allows that, and verify every file.

    Where the real files cannot be had and a stand-in exists, one line says what failed and that the stand-in is used; in
    profile ``ci``, where the stand-in is the plan, nothing is printed. This process does not try again.

    Args:
        name: a name from the registry, or an :class:`Asset` of your own.
        profile: ``ci``, ``laptop`` or ``gpu``; by default the one in force.

    Raises:
        AssetError: if no source has the asset and it has no stand-in.
        ValueError: if the name or the profile is unknown.
    """
    asset = _asset(name)
    profile = current_profile(profile)
    failures: list[Failure] = []
    here = (asset.name, cache_folder())
    download = profile != "ci" and here not in _gave_up
    real = _look(asset, profile, failures) or (_download(asset, failures) if download else None)
    if real is not None:
        for failure in failures:
            if failure.kind == "damaged":
                print(f"{asset.name}: not used: {failure}. The {real.origin} is used instead.")
        return real
    stand_in = _stand_in(asset)
    if stand_in is None:
        raise AssetError(_advice(asset, profile, failures), _reasons(failures))
    if download:
        _gave_up.add(here)
        used = f"{asset.name}: a stand-in written for this course is used"
        print(f"{used}, the real files could not be had ({_reasons(failures)}).")
    return stand_in


def status(name: str | Asset, *, profile: str | None = None) -> tuple[str, list[str]]:
    """Where an asset would come from without a download, "" where nothing is here; and what is damaged, a line each."""
    asset, profile = _asset(name), current_profile(profile)
    failures: list[Failure] = []
    resolved = _look(asset, profile, failures) or (_stand_in(asset) if profile == "ci" else None)
    damaged = [f"{failure}. What helps: {failure.mend}" for failure in failures if failure.kind == "damaged"]
    made = cache_folder() / "assets" / asset.name / MADE
    if os.path.exists(made) and read_sealed(made) is None:
        damaged.append(f"course cache: {made} was changed. What helps: `course assets remove {asset.name}`")
    return resolved.origin if resolved else "", damaged


def remove(name: str | Asset) -> int:
    """Delete what the course cache holds of an asset, and return the number of bytes. Mirrors, wheels and data are left alone."""
    asset = _asset(name)
    folder = cache_folder() / "assets" / asset.name
    if not folder.is_dir():
        return 0
    with FileLock(folder.with_name(f".{asset.name}.lock"), timeout=LOCK_SECONDS):
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        shutil.rmtree(folder)
    return size


def copy_to(name: str | Asset, mirror: Path) -> Resolved:
    """Put an asset's real files into a folder that ``COURSE_MIRROR`` can name, downloading them if need be.

    Raises:
        AssetError: if only a stand-in can be had, or the folder cannot be written.
    """
    asset = _asset(name)
    resolved = resolve(asset, profile="laptop")
    if not resolved.real:
        raise AssetError(f"{asset.title} ({asset.name}): the real files could not be had.")
    try:
        for file in asset.files:
            if file.problem_in(mirror / asset.name):
                with replace_file(mirror / asset.name / file.name) as part:
                    shutil.copyfile(resolved.path(file.name), part)
    except OSError as error:
        why = f"{mirror} cannot be written ({error.strerror or error})"
        raise AssetError(f"{why}. Choose another folder, with {size_text(asset.bytes)} free.", why) from error
    return resolved


# Assets whose download failed in this process: asking again would cost the same time-outs at every call.
_gave_up: set[tuple[str, Path]] = set()


def _asset(name: str | Asset) -> Asset:
    if isinstance(name, Asset):
        return name
    if name not in registry():
        raise ValueError(f"There is no asset {name!r}; the course has {', '.join(registry())}.")
    return registry()[name]


def _real(asset: Asset, folder: Path, origin: str) -> Resolved:
    names = tuple(file.name for file in asset.files)
    if "config.json" in names and {path.name for path in folder.iterdir()} - {*names}:
        folder = _alone(folder, names)  # Transformers reads whatever lies in a model's folder
    return Resolved(asset.name, folder, origin, names, asset.licence, asset.citation)


@cache
def _alone(folder: Path, names: tuple[str, ...]) -> Path:
    """A folder with some files of another one, and no others."""
    alone = Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
    atexit.register(shutil.rmtree, alone, ignore_errors=True)
    for name in names:
        try:
            (alone / name).symlink_to(folder.absolute() / name)
        except OSError:  # Windows lets only some users make links
            shutil.copyfile(folder / name, alone / name)
    return alone


def _places(asset: Asset, profile: str) -> list[tuple[str, str, Path | None, str]]:
    """Where files may lie on this machine, in order: origin, its name in messages, folder, what mends them there."""
    name, places, data = asset.name, [], data_folder()
    if profile != "ci":
        mirror = named_path("COURSE_MIRROR")
        mend = f"copy it there again, or `course assets fetch {name} --to {mirror}`"
        places.append(("mirror", "COURSE_MIRROR", mirror and mirror / name, mend))
        mend = f"`course assets remove {name}`, then fetch it again"
        places.append(("cache", "course cache", cache_folder() / "assets" / name, mend))
    if asset.course:
        # Deleted first: Git takes a file for unchanged if only its line ends differ.
        mend = f"delete {data / asset.course}, then git checkout -- data/{asset.course}"
        mend += " (without a checkout, pip install --force-reinstall --no-deps transfer-learning-course)"
        places.append(("course", "the course's data", data / asset.course, mend))
    if asset.wheel:
        package = asset.wheel["package"]
        mend = f"pip install --force-reinstall --no-deps {package}"
        places.append(("wheel", f"wheel {package}", _wheel_folder(asset.wheel), mend))
    return places


def _look(asset: Asset, profile: str, failures: list[Failure]) -> Resolved | None:
    """Look for the real files in the places on this machine, and note why each was no use."""
    if profile == "ci":
        failures.append(Failure("mirror, cache and download", "not used in profile ci", "absent"))
    for origin, label, folder, mend in _places(asset, profile):
        try:
            if folder is None or not folder.is_dir():
                kind = "failed" if folder and origin == "mirror" else "absent"
                failures.append(Failure(label, f"no folder {folder}" if folder else "not there", kind))
            elif problems := [problem for file in asset.files if (problem := file.problem_in(folder))]:
                kind = "failed" if all(problem.endswith("is missing") for problem in problems) else "damaged"
                failures.append(Failure(label, f"{', '.join(problems)} in {folder}", kind, mend))
            else:
                return _real(asset, folder, origin)
        except OSError as error:
            failures.append(Failure(label, sources.reason(error)))
    return None


def _wheel_folder(wheel: Mapping[str, str]) -> Path | None:
    """The data folder of an installed package, found without importing (that is, running) the package."""
    spec = importlib.util.find_spec(wheel["module"])
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) / wheel["folder"] if places else None


def _stand_in(asset: Asset) -> Resolved | None:
    # Not pinned: a stand-in is part of the course itself and changes with it, under the same version control.
    entry, folder = asset.stand_in, data_folder()
    if entry is None or not all((folder / file).is_file() for file in entry["files"]):
        return None
    files = tuple(entry["files"])
    return Resolved(asset.name, folder, "stand-in", files, entry["licence"], entry["citation"])


def _download(asset: Asset, failures: list[Failure]) -> Resolved | None:
    """Fetch what the cache lacks, from the first source that has it, one process at a time."""
    if not asset.sources:
        return None
    root = cache_folder() / "assets"
    folder, partial = root / asset.name, root / ".partial" / asset.name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{asset.name}.lock", timeout=LOCK_SECONDS):
            wanted = [file for file in asset.files if file.problem_in(folder)]
            if not wanted:  # another process fetched it while this one waited
                return _real(asset, folder, "cache")
            for file in wanted:
                (folder / file.name).unlink(missing_ok=True)
            for source in asset.sources:
                try:
                    shutil.rmtree(partial, ignore_errors=True)  # also what a killed process left
                    partial.mkdir(parents=True)
                    sources.fetch(source, wanted, partial)
                    if problems := [problem for file in wanted if (problem := file.problem_in(partial))]:
                        failures.append(Failure(sources.address(source), ", ".join(problems), "damaged"))
                        continue
                    for file in wanted:
                        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
                        os.replace(partial / file.name, folder / file.name)
                    return _real(asset, folder, "download")
                except Exception as error:
                    # Whatever a library raises is the reason against this source; the next one is tried.
                    failures.append(Failure(sources.address(source), sources.reason(error)))
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        failures.append(Failure(f"course cache {root}", f"cannot be used ({sources.reason(error)})"))
    return None


def _reasons(failures: list[Failure]) -> str:
    """Why an asset could not be had, on one line: each reason once, after the servers or folders that gave it."""
    places: dict[str, list[str]] = {}
    for failure in failures:
        place = urlparse(failure.source).netloc or failure.source
        if failure.kind != "absent" and place not in places.setdefault(failure.reason, []):
            places[failure.reason].append(place)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in places.items())


def _advice(asset: Asset, profile: str, failures: list[Failure]) -> str:
    """What was tried, and what can be done about it."""
    steps = [mend for origin, _, _, mend in _places(asset, profile) if origin in ("course", "wheel")]
    if asset.sources and profile == "ci":
        steps.append("allow downloads: COURSE_PROFILE=laptop (or gpu)")
    elif asset.sources:
        steps.append("check the connection and run again")
        steps.append(f"if it is the cache, set COURSE_CACHE to a folder with {size_text(asset.bytes)} free")
    names = ", ".join(file.name for file in asset.files)
    mirror = f"put {names} (from {asset.home}) into FOLDER/{asset.name} and set COURSE_MIRROR=FOLDER"
    steps.append(mirror + (" in profile laptop or gpu" if profile == "ci" else ""))
    tried = "".join(f"\n  - {failure}" for failure in failures)
    todo = "".join(f"\n  - {step}" for step in steps)
    why = _reasons(failures) or "it is not here"
    return (
        f"{asset.title} ({asset.name}) was not found: {why}.\nTried:{tried}\nWhat helps (one of these):{todo}"
    )
