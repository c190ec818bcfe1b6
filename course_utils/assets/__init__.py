"""From the name of a data set or model to verified files on this machine."""

from course_utils.assets.catalogue import Asset, registry, size_text
from course_utils.assets.store import MADE, AssetError, Resolved, copy_to, remove, resolve, status
