"""Encoded vectors, kept on disk: what was computed once is read back."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch


class VectorStore:
    """Vectors on disk, one SQLite file for each encoder with its settings.

    SQLite brings what a cache needs: a killed process leaves the last complete transaction, several processes may read and
    write at once. Each vector has a checksum, and a damaged one counts as absent. Where the disk is full or may not be
    written to, one line says so, and only the caching is lost.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]):
        name = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        self.file = folder / f"{name[:32]}.sqlite"
        self.usable = True

    def read(self, sizes: Mapping[bytes, int]) -> dict[bytes, np.ndarray]:
        """The vectors that are stored under some of these keys, each float32 (size,)."""
        vectors, damaged = {}, 0
        with self._guarded():
            if not self.file.exists():
                return {}
            with closing(self._connect()) as database:
                for key, size in sizes.items():
                    query = "SELECT vector, checksum FROM vectors WHERE key = ?"
                    for vector, checksum in database.execute(query, (key,)):
                        if isinstance(vector, bytes) and (_checksum(key, vector), 4 * size) == (
                            checksum,
                            len(vector),
                        ):
                            vectors[key] = np.frombuffer(vector, dtype="<f4")
                        else:
                            damaged += 1
        if damaged:
            print(f"{damaged} cached feature vectors were damaged and are computed again.")
        return vectors

    def write(self, vectors: dict[bytes, np.ndarray]) -> None:
        """Store some vectors, all of them or none."""
        if not self.usable:
            return
        blobs = {key: vector.astype("<f4").tobytes() for key, vector in vectors.items()}
        rows = ((key, blob, _checksum(key, blob)) for key, blob in blobs.items())
        with self._guarded():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as database, database:
                database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.file, timeout=60)
        columns = "key BLOB PRIMARY KEY, vector BLOB, checksum BLOB"
        database.execute(f"CREATE TABLE IF NOT EXISTS vectors ({columns})")
        return database

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """A cache may fail, and what it would have saved is computed again."""
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            self.usable = False
            print(f"Features are not cached: {self.file.parent} cannot be used ({error}).")
        except sqlite3.DatabaseError as error:
            print(f"Cached features were damaged and are computed again ({error}).")
            for file in (self.file, Path(f"{self.file}-journal")):
                file.unlink(missing_ok=True)


def _checksum(key: bytes, vector: bytes) -> bytes:
    return hashlib.blake2b(key + vector, digest_size=8).digest()


def weights_checksum(model: torch.nn.Module) -> list[int]:
    """A checksum per parameter of what is in memory now: a model that was trained further is another encoder."""
    integers = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.int8}
    # Sums of whole numbers are exact, so they do not depend on the order in which threads add up.
    weights = (p.detach().cpu() if p.device.type == "xla" else p.detach() for p in model.parameters())
    return [int(p.contiguous().view(integers[p.element_size()]).sum()) for p in weights]
