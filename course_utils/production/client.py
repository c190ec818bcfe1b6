"""The other side of the server: a client that asks again, load from a second process, and a server as a process to kill.

python -m course_utils.production.client URL < texts.json > answers.json
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pandas as pd
import psutil

PATIENCE = 120.0  # seconds until a client gives up; a server that starts reads its weights first


class Connection:
    """One client's connection to a server, opened when it is needed: HTTP by hand, which leaves the cores to the server.

    (A comfortable library such as httpx takes 3 ms of a core for a request here, as much as a small encoder for its answer.)
    """

    def __init__(self, url: str):
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, content: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer; OSError or EOFError if the connection breaks before it is complete."""
        reader, writer = self.open = self.open or await asyncio.open_connection(self.host, self.port)
        head = f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return int(status.split()[1]), headers, body

    def close(self) -> None:
        """Let the connection go; the next request opens another."""
        if self.open:
            self.open[1].close()
        self.open = None


async def ask(server: Connection, text: str, patience: float = PATIENCE) -> tuple[float, int]:
    """The score of a text, and how often it was sent; sent again where the server is full, or not there.

    Asking twice does no harm: a score changes nothing on the server, and is the same each time (the request is *idempotent*).
    A server that names the seconds until then (``Retry-After``) is not asked before.

    Raises:
        RuntimeError: with the server's sentence, where asking again does not help, or the patience is used up.
    """
    until, tries, pause = time.monotonic() + patience, 0, 0.02
    while True:
        tries, after = tries + 1, 0
        try:
            status, headers, body = await server.post("/score", json.dumps({"texts": [text]}).encode())
            if status == 200:
                return json.loads(body)["answers"][0]["probability"], tries
            why = json.loads(body)["error"]
            if (named := headers.get("retry-after")) is None:
                raise RuntimeError(why)
            after = int(named) if named.isdecimal() else 0  # it may also be a date
        except (OSError, EOFError) as error:  # broken, or refused
            server.close()
            why = f"{type(error).__name__} {error}"
        wait = max(pause, after)
        if time.monotonic() + wait > until:
            raise RuntimeError(f"no answer within {patience:g} seconds, and {wait:g} more to wait: {why}")
        await asyncio.sleep(wait)
        pause = min(2 * pause, 0.5)


async def _load(
    url: str, texts: Sequence[str], clients: int, rate: float, seed: int
) -> list[dict[str, float]]:
    gaps = np.random.default_rng(seed).exponential(1 / rate, len(texts)) if rate else np.zeros(len(texts))
    rows: list[dict[str, float]] = [{} for _ in texts]
    jobs, began = iter(zip(rows, texts, np.cumsum(gaps).tolist(), strict=True)), time.perf_counter()

    async def client() -> None:
        server = Connection(url)
        for row, text, due in jobs:  # shared: each client takes the next text that nobody has
            await asyncio.sleep(max(0.0, due - (time.perf_counter() - began)))
            start = began + due if rate else time.perf_counter()
            row["probability"], row["tries"] = await ask(server, text)
            row |= {"seconds": (end := time.perf_counter()) - start, "end": end - began}
        server.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return rows


def load(
    url: str, texts: Sequence[str], *, clients: int = 32, rate: float = 0, seed: int = 0
) -> subprocess.Popen[str]:
    """Begin to ask for all texts from a second process; :func:`answers` waits for it.

    Args:
        url: of the server.
        texts: one request each, in this order.
        clients: so many ask at a time, each over a connection of its own.
        rate: texts a second, at random times (a Poisson process); a text's seconds then count from the moment at which it was
            *due*: a client that is kept busy by a slow server must not make the server look fast. 0: each client sends its next
            text as soon as it has an answer.
        seed: of the random times.
    """
    options = [url, f"--clients={clients}", f"--rate={rate}", f"--seed={seed}"]
    command = [sys.executable, "-m", "course_utils.production.client", *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    process.stdin.write(json.dumps(list(texts)))
    process.stdin.close()
    process.stdin = None
    return process


def answers(process: subprocess.Popen[str]) -> pd.DataFrame:
    """What :func:`load` got, a row a text: ``probability``, ``tries``, ``seconds`` and ``end``, seconds since the beginning.

    Raises:
        RuntimeError: if a text got no answer.
    """
    said = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(
            "The second process stopped before it had all answers; its last words stand above."
        )
    return pd.DataFrame(json.loads(said))


def simulated(due: np.ndarray, cost: Callable[[int], float], *, most: int, wait: float) -> np.ndarray:
    """A server in ten lines: seconds from due to answered, (n,), if a batch of k texts keeps its one core for ``cost(k)`` seconds.

    The oldest texts come first; ``due`` are times in order, ``most`` and ``wait`` as for ``create_app``.
    """
    done, first, free = np.empty(len(due)), 0, -np.inf
    while first < len(due):
        full = due[first + most - 1] if first + most <= len(due) else np.inf
        start = max(free, min(due[first] + wait, full))
        stop = min(first + most, int(np.searchsorted(due, start, side="right")))
        done[first:stop] = free = start + cost(stop - first)
        first = stop
    return done - due


def start_server(
    *arguments: str, module: str = "course_utils.production.server"
) -> tuple[subprocess.Popen[str], str]:
    """Start the server with these arguments in a process of its own; returns that and the URL once it says that it is ready."""
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    url, until = process.stdout.readline().strip(), time.monotonic() + PATIENCE
    while url and process.poll() is None and time.monotonic() < until:
        try:
            with urlopen(f"{url}/health"):
                return process, url
        except OSError:  # not yet
            time.sleep(0.02)
    process.kill()
    raise RuntimeError("The server did not start; its last words stand above.")


def core_seconds(process: subprocess.Popen[str]) -> float:
    """Seconds of a core that a server has used so far; what else the machine does makes answers late, and leaves these alone."""
    used = psutil.Process(process.pid).cpu_times()
    return used.user + used.system


def stop_server(process: subprocess.Popen[str]) -> None:
    """Ask a server to stop (SIGTERM), and wait until it has answered what it had accepted."""
    process.terminate()
    process.communicate()


def main() -> None:
    """Ask for the texts on standard input, from the command line."""
    parser = argparse.ArgumentParser(description="Ask a server for the scores of a JSON list of texts.")
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rows = asyncio.run(_load(given.url, json.load(sys.stdin), given.clients, given.rate, given.seed))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
