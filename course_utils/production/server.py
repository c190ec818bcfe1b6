"""A filter behind HTTP: texts wait a few milliseconds for company, are scored as one batch, and each gets its own answer.

    python -m course_utils.production.server FOLDER --port 8000

serves a folder that ``save_filter`` has written, on this machine alone (127.0.0.1). It needs the extra ``serve``.
"""

import argparse
import asyncio
import json
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.requests import ClientDisconnect

SEND = 'Send {"texts": ["a message", "another"]} as JSON in UTF-8.'


class Filter(Protocol):
    """What is served: the probability of spam for each text, (n,), and the threshold from which a text is blocked."""

    threshold: float

    def scores(self, texts: Sequence[str]) -> np.ndarray: ...  # noqa: D102


@dataclass(frozen=True)
class Limits:
    """What a client may ask for. Beyond it: a sentence, and a status that says whether asking again helps."""

    characters: int = 5000  # in a text
    texts: int = 64  # in a request
    body: int = 1_000_000  # bytes of a request
    seconds: float = 10.0  # until all of a request has arrived
    room: int = 256  # texts that may wait to be scored
    rate: float = 2000.0  # texts a second from one address; as many at once after a rest


class Refused(Exception):
    """A request that gets no answer: the status, a sentence, and the seconds after which to ask again (0: never)."""

    def __init__(self, status: int, sentence: str, again: float = 0):
        super().__init__(sentence)
        self.status, self.again = status, math.ceil(again)


@dataclass
class Job:
    """A text that waits, since when, and the promise of its score."""

    text: str
    since: float
    score: asyncio.Future[float]


class Gatherer:
    """Texts of many requests become one batch: it is scored when ``most`` wait, or the oldest has waited ``wait`` seconds."""

    def __init__(self, score: Callable[[list[str]], Any], *, most: int, wait: float, room: int):
        self.score, self.most, self.wait, self.room = score, most, wait, room
        self.waiting: list[Job] = []
        self.news, self.closed = asyncio.Event(), False

    async def ask(self, texts: Sequence[str]) -> list[float]:
        """The scores of a request's texts, in their order; all of them are accepted, or none."""
        if self.closed or len(self.waiting) + len(texts) > self.room:
            raise Refused(503, "The server is full or about to stop. Ask again in a second.", again=1)
        loop = asyncio.get_running_loop()
        jobs = [Job(text, loop.time(), loop.create_future()) for text in texts]
        self.waiting += jobs
        self.news.set()
        return await asyncio.gather(*(job.score for job in jobs))

    def next_batch(self) -> list[Job]:
        """The oldest text, and those nearest to it in length: up to about twice as long or as short, since padding is read, too."""
        oldest = len(self.waiting[0].text)
        near = sorted(self.waiting, key=lambda job: abs(len(job.text) - oldest))
        ends = [sorted((len(job.text), oldest)) for job in near]
        alike = [job for job, (short, long) in zip(near, ends, strict=True) if long <= 2 * short + 20]
        batch = alike[: self.most]
        self.waiting = [job for job in self.waiting if job not in batch]
        return batch

    async def run(self) -> None:
        """Score batch after batch, in a thread so that new texts can arrive; once closed, go on until nobody waits."""
        while self.waiting or not self.closed:
            self.news.clear()
            patience = (
                self.waiting[0].since + self.wait - asyncio.get_running_loop().time()
                if self.waiting
                else None
            )
            if not self.closed and len(self.waiting) < self.most and (patience is None or patience > 0):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.news.wait(), patience)
                continue
            batch = self.next_batch()
            try:
                scores = await asyncio.to_thread(self.score, [job.text for job in batch])
                answers: list[float | Exception] = [float(score) for score in scores]
                if len(answers) != len(batch):
                    raise ValueError(f"{len(answers)} scores for {len(batch)} texts")
            except Exception as error:
                answers = [error] * len(batch)  # told to all who asked; the next batch goes on
            for job, answer in zip(batch, answers, strict=True):
                if job.score.done():  # who asked has gone
                    continue
                if isinstance(answer, Exception):
                    job.score.set_exception(answer)
                else:
                    job.score.set_result(answer)

    def close(self) -> None:
        """Accept nothing more; what was accepted is still answered."""
        self.closed = True
        self.news.set()


class Buckets:
    """For each client a bucket that fills by ``rate`` tokens a second, up to ``most``; every text takes one."""

    def __init__(self, rate: float, most: float, clock: Callable[[], float] = time.monotonic):
        self.rate, self.most, self.clock = rate, most, clock
        self.levels: dict[str, tuple[float, float]] = {}  # the client that was longest silent comes first

    def take(self, client: str, count: int) -> float:
        """0 if ``count`` tokens could be taken; else none is, and these are the seconds until they can."""
        now = self.clock()
        level, since = self.levels.pop(client, (self.most, now))
        level = min(self.most, level + (now - since) * self.rate)
        late = max(0.0, (count - level) / self.rate)
        self.levels[client] = (level if late else level - count), now
        if len(self.levels) > 10_000:
            del self.levels[next(iter(self.levels))]
        return late


def read_texts(body: bytes, limits: Limits) -> list[str]:
    """The texts of a request.

    Raises:
        Refused: if it is anything but ``{"texts": [...]}`` with strings that can be read, or goes beyond a limit.
    """
    try:
        asked = json.loads(body.decode())
    except UnicodeDecodeError as error:
        raise Refused(400, f"Byte {error.start} of the body is not UTF-8. {SEND}") from error
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The body is not JSON. {SEND}") from error
    if not isinstance(asked, dict) or asked.keys() != {"texts"} or not isinstance(asked["texts"], list):
        raise Refused(422, f"The body must hold a list, texts, and nothing else. {SEND}")
    texts = asked["texts"]
    if not 1 <= len(texts) <= limits.texts:
        raise Refused(413 if texts else 422, f"{len(texts)} texts: send 1 to {limits.texts} in a request.")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise Refused(422, f"Text {place} is no string. {SEND}")
        if len(text) > limits.characters:
            raise Refused(413, f"Text {place} has {len(text)} characters: send {limits.characters} at most.")
        if not text.strip():
            raise Refused(422, f"Text {place} is blank: there is nothing to judge.")
        if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
            raise Refused(422, f"Text {place} holds a NUL or half a character: it was damaged on its way.")
    return texts


async def read_body(request: Request, limits: Limits) -> bytes:
    """All bytes of a request; one that is too long, or too slow, is given up before it is read to its end."""
    body = b""
    try:
        async with asyncio.timeout(limits.seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.body:
                    raise Refused(413, f"The body is longer than {limits.body} bytes. Send fewer texts.")
    except (TimeoutError, ClientDisconnect) as error:
        raise Refused(408, f"The body did not arrive within {limits.seconds:g} seconds.") from error
    return body


def create_app(
    spam_filter: Filter, limits: Limits = Limits(), *, most: int = 32, wait: float = 0.004
) -> FastAPI:
    """The server: ``POST /score``, ``GET /health`` and ``GET /metrics`` (in Prometheus's format).

    Args:
        spam_filter: what scores texts; it is called in a thread, with one batch at a time.
        limits: see :class:`Limits`.
        most, wait: a batch has so many texts at most; the first waits so many seconds for the others.
    """
    registry = CollectorRegistry()
    requests = Counter("filter_requests", "Requests by status.", ["status"], registry=registry)
    seconds = Histogram("filter_seconds", "From request to answer.", registry=registry)
    sizes = Histogram(
        "filter_batch", "Texts in a batch.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry
    )
    seen = Histogram("filter_score", "Scores.", buckets=[n / 10 for n in range(1, 11)], registry=registry)

    def scored(texts: list[str]) -> np.ndarray:
        sizes.observe(len(texts))
        return spam_filter.scores(texts)

    gatherer = Gatherer(scored, most=most, wait=wait, room=limits.room)
    buckets = Buckets(limits.rate, max(limits.rate, limits.texts))
    Gauge("filter_waiting", "Texts that wait.", registry=registry).set_function(lambda: len(gatherer.waiting))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.running = asyncio.create_task(gatherer.run())
        yield
        gatherer.close()
        await app.state.running

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    async def answer(request: Request) -> dict[str, Any]:
        texts = read_texts(await read_body(request, limits), limits)
        if late := buckets.take(request.client.host if request.client else "", len(texts)):
            raise Refused(429, f"More than {limits.rate:g} texts a second. Ask again later.", again=late)
        scores = await gatherer.ask(texts)
        for score in scores:
            seen.observe(score)
        return {
            "answers": [{"spam": score >= spam_filter.threshold, "probability": score} for score in scores]
        }

    @app.post("/score")
    async def score(request: Request) -> JSONResponse:
        with seconds.time():
            try:
                status, content, headers = 200, await answer(request), None
            except Refused as refused:
                headers = {"Retry-After": str(refused.again)} if refused.again else None
                status, content = refused.status, {"error": str(refused)}
            except Exception as error:  # the filter's own mistake: no trace of it goes out
                status, content, headers = (
                    500,
                    {"error": f"The filter failed ({type(error).__name__})."},
                    None,
                )
        requests.labels(status).inc()
        return JSONResponse(content, status, headers)

    @app.get("/health")
    async def health() -> JSONResponse:
        ready = not (gatherer.closed or app.state.running.done())
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(generate_latest(registry))

    return app


def serve(app: FastAPI, port: int = 0, host: str = "127.0.0.1") -> None:
    """Serve until SIGTERM, then answer what was accepted, and return; prints its address first. Port 0: any free one."""
    config = uvicorn.Config(
        app, host, port, log_level="warning", access_log=False, timeout_graceful_shutdown=30
    )
    listener = config.bind_socket()
    print(f"http://{host}:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


def main() -> None:
    """Serve a folder, from the command line."""
    parser = argparse.ArgumentParser(description="Serve a filter that save_filter has written.")
    parser.add_argument("folder")
    parser.add_argument("--runtime", default="torch", help="torch, onnx or int8")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 in a container")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--most", type=int, default=32, help="texts in a batch")
    parser.add_argument("--wait", type=float, default=4.0, help="milliseconds that a text waits for others")
    given = parser.parse_args()
    os.environ.setdefault(
        "OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1))
    )  # a core is left to the event loop
    from course_utils.production.export import load_filter

    spam_filter = load_filter(given.folder, runtime=given.runtime)
    serve(create_app(spam_filter, most=given.most, wait=given.wait / 1000), given.port, given.host)


if __name__ == "__main__":
    main()
