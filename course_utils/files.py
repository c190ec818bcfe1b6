"""Files that appear whole or not at all."""

import glob
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
        # Another process may remove it first, or put it in its place.
        try:
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()
        except OSError:
            continue
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
