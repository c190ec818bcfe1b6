"""From the name of a data set or model to verified files on this machine."""

from course_utils.assets.store import (
    Asset,
    AssetError,
    Resolved,
    copy_to,
    registry,
    remove,
    resolve,
    size_text,
    status,
)

__all__ = [
    "Asset",
    "AssetError",
    "Resolved",
    "copy_to",
    "registry",
    "remove",
    "resolve",
    "size_text",
    "status",
]
