"""The sources of an asset on the network, each kind with a function that fetches files into a folder."""

import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from course_utils.assets.catalogue import AssetFile, is_inside, sha256_of
from course_utils.session import show_progress


def _timeout() -> float:
    return float(os.environ.get("COURSE_TIMEOUT") or 20)


def _get(url: str, path: Path) -> None:
    import pooch

    download = pooch.HTTPDownloader(progressbar=show_progress(), chunk_size=1 << 16, timeout=_timeout())
    download(url, str(path), None)


def _fetch_zip(source: Mapping[str, Any], files: list[AssetFile], folder: Path) -> None:
    archive = folder / "archive.zip"
    _get(source["url"], archive)
    with zipfile.ZipFile(archive) as members:
        if unsafe := [name for name in members.namelist() if not is_inside(name)]:
            raise ValueError(f"refused, the archive holds a path outside its folder: {unsafe[0]!r}")
        for file in files:
            inside = f"{source['folder']}/{file.name}" if "folder" in source else file.name
            with members.open(inside) as packed, (folder / file.name).open("wb") as out:
                # One byte more than expected is enough to see that the file is wrong, however much it unpacks to.
                out.write(packed.read(file.bytes + 1))


def _from_hub(source: Mapping[str, Any], name: str, kind: str, sha256: str, folder: Path) -> Path:
    """One file of a hub repository, from the hub's own cache where it holds the right one."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    where = {"repo_id": source["repo"], "filename": name, "repo_type": kind, "revision": source["revision"]}
    known = try_to_load_from_cache(**where)
    if isinstance(known, str) and sha256 in ("", sha256_of(Path(known))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copyfile(known, folder / name))
    # force_download: a wrong file in the hub's cache must not come back. token=False: a login that has expired makes
    # the hub refuse public files too.
    fresh: dict[str, Any] = {"force_download": True, "etag_timeout": _timeout(), "token": False}
    return Path(hf_hub_download(**where, local_dir=folder, **fresh))


def _fetch_hub_table(source: Mapping[str, Any], files: list[AssetFile], folder: Path) -> None:
    """Write a table's rows as ``label TAB text`` lines; a line end that the hub kept in the text is taken off.

    The result must have the original file's size and SHA-256: that settles rows, labels and every character.
    """
    import pyarrow.parquet

    path = _from_hub(source, source["table"], "dataset", "", folder)
    columns = pyarrow.parquet.read_table(path, columns=[source["label"], source["text"]]).to_pydict()
    with (folder / files[0].name).open("w", encoding="utf-8", newline="\n") as out:
        for label, text in zip(columns[source["label"]], columns[source["text"]], strict=True):
            out.write(f"{source['labels'][label]}\t{text.removesuffix(chr(10))}\n")


def fetch(source: Mapping[str, Any], files: list[AssetFile], folder: Path) -> None:
    """Fetch some files of an asset from one of its ``sources`` into a folder; they are still to be verified.

    Raises:
        Exception: whatever stands against this source, from any of the libraries that are used.
    """
    for file in files:
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
    match source["kind"]:
        case "files":
            for file in files:
                _get(f"{source['url']}/{file.name}", folder / file.name)
        case "zip":
            _fetch_zip(source, files, folder)
        case "hub":
            # The small files first: a fault shows before the long wait.
            for file in sorted(files, key=lambda file: file.bytes):
                _from_hub(source, file.name, source.get("repo_type", "model"), file.sha256, folder)
        case "hub-table":
            _fetch_hub_table(source, files, folder)


def address(source: Mapping[str, Any]) -> str:
    """Where a source is, for messages."""
    return source.get("url") or f"hub {source['repo']}@{source['revision'][:8]}"


def reason(error: BaseException) -> str:
    """An error in a few words, on one line."""
    cause: BaseException | None = error
    while cause is not None:  # back to where it began: libraries wrap the plain reason in general advice
        error, cause = cause, cause.__cause__
        if code := getattr(getattr(error, "response", None), "status_code", None):
            return f"HTTP {code}"
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if "timed out" in text.lower():
        return f"no answer within {_timeout():g} s"
    if re.search("Max retries exceeded|Name or service not known|getaddrinfo|No address associated", text):
        return "no connection"
    return text if len(text) <= 160 else f"{text[:60]} ... {text[-95:]}"  # what went wrong stands at the end
