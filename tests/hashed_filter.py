"""A filter whose scores everybody can compute, as a server of its own: ``python -m hashed_filter PORT [SECONDS A BATCH [TEXTS A SECOND]]``."""

import sys
import time
import zlib

import numpy as np

from course_utils.production.server import Limits, create_app, serve


def score_of(text: str) -> float:
    return zlib.crc32(text.encode()) / 2**32


class HashedFilter:
    threshold = 0.5

    def __init__(self, seconds: float = 0.0):
        self.seconds, self.batches = seconds, []

    def scores(self, texts):
        self.batches.append(list(texts))
        time.sleep(self.seconds)
        return np.array([score_of(text) for text in texts], dtype=np.float64)


if __name__ == "__main__":
    port, seconds = int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.01
    slow = {"rate": float(sys.argv[3]), "texts": 1} if len(sys.argv) > 3 else {}
    serve(create_app(HashedFilter(seconds), Limits(seconds=1.0, **slow)), port)
