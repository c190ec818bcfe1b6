"""Files that appear whole or not at all."""

import glob
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STALE_SECONDS = 3600  # nothing that is still being written is older


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a path beside the file to write to; what was written takes the file's place when the block ends.

    Other processes see the old file or the new one, never a part. Where the block raises, the old file stays and the part
    goes; what a killed process left is removed by a later call. Folders that are missing are made.

    Raises:
        OSError: if the folder cannot be made, or the file cannot be put in its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError):  # another process may remove it first, or put it in its place
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_sealed(path: Path, text: str) -> None:
    """Write a text below its SHA-256, so that :func:`read_sealed` sees whether it is whole."""
    with replace_file(path) as part:
        part.write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}", encoding="utf-8")


def read_sealed(path: Path) -> str | None:
    """The text that :func:`write_sealed` wrote; None if it is not there, or no longer what it was."""
    try:
        seal, _, text = path.read_text(encoding="utf-8").partition("\n")
    except (OSError, ValueError):
        return None
    return text if seal == hashlib.sha256(text.encode()).hexdigest() else None
