"""What there is: every data set and weight of the course, and whether a file is the one that the registry describes."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import urlparse

# Formats that cannot carry code; no suffix counts as text. (.npy files must be read with NumPy's default, allow_pickle=False.)
SUFFIXES = (
    "", ".annotated", ".bz2", ".conll", ".conllu", ".csv", ".gguf", ".json", ".neg", ".npy", ".parquet", ".po", ".pos",
    ".safetensors", ".tsv", ".txt", ".cmn", ".deu", ".eng", ".est", ".fin", ".fra", ".spa", ".swh", ".tur",
)  # fmt: skip
# Other .bin files are pickles; these are read byte by byte, in course_utils.models.published.
PACKED = "-q4.bin"


@dataclass(frozen=True)
class AssetFile:
    """One file of an asset: its name, its size in bytes and its SHA-256."""

    name: str
    bytes: int
    sha256: str

    def problem_in(self, folder: Path) -> str | None:
        """Why the file in a folder cannot be used; None if it is what the registry describes."""
        path = folder / self.name
        if not path.is_file():
            return f"{self.name} is missing"
        # The size first: it names a cut-off file as such, and spares hashing it.
        if (size := path.stat().st_size) != self.bytes:
            return f"{self.name} has {size} bytes instead of {self.bytes}"
        if sha256_of(path) != self.sha256:
            return f"{self.name} has the wrong SHA-256"
        return None


@dataclass(frozen=True)
class Asset:
    """One entry of the registry. ``wheel``, ``sources`` and ``stand_in`` have the keys described in ``registry.toml``;
    ``course`` is a folder below ``data``, for weights that the course itself trained; ``untrained`` says of an encoder why its
    pooler must not be read, and ``prefix`` what every text begins with."""

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
    untrained: str | None = None
    prefix: str = ""

    @classmethod
    def from_dict(cls, name: str, entry: Mapping[str, Any]) -> Self:
        """Read one table of the registry.

        Raises:
            ValueError: for a file without a SHA-256, with a path outside its folder or in a format that can carry code.
        """
        files = tuple(AssetFile(file, **facts) for file, facts in entry["files"].items())
        for file in files:
            known = Path(file.name).suffix in SUFFIXES or file.name.endswith(PACKED)
            if not (is_inside(file.name) and known and len(file.sha256) == 64):
                raise ValueError(
                    f"Asset {name!r}: {file.name!r} must be a plain relative path in one of the formats "
                    f"{', '.join(filter(None, SUFFIXES))}, with a SHA-256 of 64 digits."
                )
        return cls(name, **entry | {"files": files, "sources": tuple(entry.get("sources", ()))})

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(file.bytes for file in self.files)

    @property
    def hosts(self) -> list[str]:
        """The addresses of the servers that have it, without a path."""
        from huggingface_hub.constants import ENDPOINT

        addresses = [urlparse(source.get("url", ENDPOINT)) for source in self.sources]
        return list(dict.fromkeys(f"{address.scheme}://{address.netloc}" for address in addresses))


@cache
def registry() -> Mapping[str, Asset]:
    """The course's assets by name, as ``registry.toml`` describes them."""
    entries = tomllib.loads(Path(__file__).with_name("registry.toml").read_text(encoding="utf-8"))
    return {name: Asset.from_dict(name, entry) for name, entry in entries.items()}


def size_text(size: int) -> str:
    """Bytes in words, as people count them for downloads: 91.6 MB, 45 kB."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"


def is_inside(name: str) -> bool:
    """Whether a file's name, in the registry or in an archive, stays inside the folder it is put into."""
    path = PurePosixPath(name.replace("\\", "/"))
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0]


def sha256_of(path: Path) -> str:
    """The digest of a file, computed once per process for each size and time of change."""
    facts = path.stat()
    return _sha256(path, facts.st_size, facts.st_mtime_ns)


@cache
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
