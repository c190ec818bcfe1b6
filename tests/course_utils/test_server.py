"""The server of a filter: every text gets its own answer, whatever comes; what is too much gets a sentence; nothing is lost."""

import asyncio
import json
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1]))
from hashed_filter import HashedFilter, score_of

from course_tools import PATIENCE
from course_utils.production import client
from course_utils.production.server import Buckets, Gatherer, Limits, Refused, create_app, read_texts

TEXTS = st.lists(st.text("abcdefgh ", min_size=1, max_size=40), min_size=1, max_size=6)
CODES = {400, 408, 413, 422, 429}


def gathered(work, *, most=8, wait=0.0, room=10_000, score=None):
    """What ``work(gatherer)`` returns while the gatherer runs; and the filter, which knows its batches."""
    filter_ = HashedFilter()

    async def both():
        gatherer = Gatherer(score or filter_.scores, most=most, wait=wait, room=room)
        running = asyncio.create_task(gatherer.run())
        try:
            return await asyncio.wait_for(work(gatherer), 20)  # runs out where a text is lost
        finally:
            gatherer.close()
            await running

    return asyncio.run(both()), filter_


# --- the gatherer


@settings(deadline=None, max_examples=40)
@given(st.lists(TEXTS, min_size=1, max_size=12), st.integers(1, 9), st.sampled_from([0.0, 0.001]))
def test_every_text_gets_its_own_score_in_the_order_of_its_request(requests, most, wait):
    found, filter_ = gathered(
        lambda it: asyncio.gather(*(it.ask(texts) for texts in requests)), most=most, wait=wait
    )
    assert found == [[score_of(text) for text in texts] for texts in requests]
    assert sum(map(len, filter_.batches)) == sum(map(len, requests))
    assert max(map(len, filter_.batches)) <= most


def test_a_text_that_nobody_follows_is_scored_after_its_patience():
    async def late(gatherer):
        begin = time.monotonic()
        return await gatherer.ask(["alone"]), time.monotonic() - begin

    (scores, seconds), filter_ = gathered(late, wait=0.05)
    assert scores == [score_of("alone")] and seconds >= 0.045 and filter_.batches == [["alone"]]


def test_a_full_batch_does_not_wait():
    texts = [f"text {n}" for n in range(16)]
    found, filter_ = gathered(lambda it: it.ask(texts), most=8, wait=3600)
    assert found == [score_of(text) for text in texts] and [len(batch) for batch in filter_.batches] == [8, 8]


def test_texts_alike_in_length_go_together_and_the_oldest_is_always_among_them():
    texts = ["x" * n for n in (50, 1, 2, 51, 3, 49)]
    found, filter_ = gathered(lambda it: it.ask(texts), most=3, wait=3600)
    assert [sorted(map(len, batch)) for batch in filter_.batches] == [[49, 50, 51], [1, 2, 3]]
    assert found == [score_of(text) for text in texts]


def test_a_long_text_and_a_short_one_never_share_a_batch_and_the_oldest_comes_first():
    texts = ["x" * n for n in (100, 400, 1, 99, 180, 30, 3, 500)]
    found, filter_ = gathered(lambda it: it.ask(texts))
    assert [list(map(len, batch)) for batch in filter_.batches] == [[100, 99, 180], [400, 500], [1, 3], [30]]
    assert found == [score_of(text) for text in texts]


def test_what_does_not_fit_into_the_room_is_refused_as_a_whole():
    async def crowd(gatherer):
        first = asyncio.create_task(gatherer.ask(["a", "b", "c"]))
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="full") as refusal:
            await gatherer.ask(["d", "e"])
        assert refusal.value.status == 503 and refusal.value.again > 0
        waiting = len(gatherer.waiting)
        gatherer.close()
        return waiting, await first

    (waiting, scores), _ = gathered(crowd, room=4, wait=3600)
    assert waiting == 3 and len(scores) == 3


def test_once_closed_what_was_accepted_is_answered_and_nothing_more_is_taken():
    async def stop(gatherer):
        accepted = asyncio.create_task(gatherer.ask(["accepted"]))
        await asyncio.sleep(0)
        gatherer.close()
        with pytest.raises(Refused, match="stop"):
            await gatherer.ask(["too late"])
        return await accepted

    assert gathered(stop, wait=3600)[0] == [score_of("accepted")]


@pytest.mark.parametrize("mistake", ["raises", "too few"])
def test_the_filter_s_own_mistake_is_told_to_those_who_asked_and_the_next_are_served(mistake):
    def score(texts):
        if "poison" not in texts:
            return [score_of(text) for text in texts]
        if mistake == "raises":
            raise OverflowError("poison")
        return [0.5] * (len(texts) - 1)

    async def ask(gatherer):
        found = await asyncio.gather(gatherer.ask(["poison", "bystander"]), return_exceptions=True)
        return found[0], await gatherer.ask(["next"])

    (error, after), _ = gathered(ask, score=score)
    assert isinstance(error, OverflowError if mistake == "raises" else ValueError)
    assert after == [score_of("next")]


def test_who_asked_may_leave():
    async def leave(gatherer):
        gone = asyncio.create_task(gatherer.ask(["gone"]))
        await asyncio.sleep(0)
        gone.cancel()
        return await gatherer.ask(["here"])

    assert gathered(leave, wait=0.01)[0] == [score_of("here")]


# --- limits


def test_a_bucket_fills_at_its_rate_up_to_its_size():
    now = [0.0]
    buckets = Buckets(rate=2, most=4, clock=lambda: now[0])
    assert buckets.take("a", 3) == 0 and buckets.take("a", 2) == 0.5  # one left, one more in half a second
    assert buckets.take("b", 4) == 0  # everybody has a bucket of their own
    now[0] = 0.5
    assert buckets.take("a", 2) == 0 and buckets.take("a", 1) == 0.5
    now[0] = 1000
    assert buckets.take("a", 4) == 0 and buckets.take("a", 1) == 0.5  # no more than four, after any rest


def test_no_crowd_of_addresses_fills_the_memory():
    buckets = Buckets(1, 1)
    for number in range(10_050):
        buckets.take(str(number), 1)
    assert len(buckets.levels) == 10_000 and "10049" in buckets.levels and "0" not in buckets.levels


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("texts"), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=80) | ANYTHING.map(lambda it: json.dumps(it).encode())
       | st.lists(ANYTHING, max_size=4).map(lambda it: json.dumps({"texts": it}).encode()))  # fmt: skip
def test_any_body_is_texts_that_can_be_read_or_is_refused_with_a_sentence(body):
    try:
        texts = read_texts(body, Limits(characters=30, texts=3))
    except Refused as refused:
        assert refused.status in CODES and str(refused).endswith((".", "UTF-8.")) and len(str(refused)) < 300
    else:
        assert 1 <= len(texts) <= 3
        for text in texts:
            assert isinstance(text, str) and text.strip() and "\0" not in text and len(text) <= 30
            text.encode()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (json.dumps({"texts": ["x" * 100_000]}).encode(), 413, "100000 characters"),
        (b'{"texts": ["a\\u0000b"]}', 422, "NUL"),
        (b'{"texts": ["caf\xe9"]}', 400, "UTF-8"),
        (b'{"texts": ["\\ud83d"]}', 422, "half a character"),
        (b"[" * 100_000, 400, "not JSON"),
        (b'{"texts": [' + b"9" * 6000 + b"]}", 400, "not JSON"),  # Python reads no number so long
        (b'{"texts": [1]}', 422, "no string"),
        (b'{"texts": "hello"}', 422, "a list"),
        (b'{"texts": []}', 422, "1 to 64"),
        (json.dumps({"texts": ["x"] * 65}).encode(), 413, "1 to 64"),
        (b'{"texts": ["x"], "threshold": 0}', 422, "nothing else"),
        (b'{"texts": [" "]}', 422, "blank"),
        (b"", 400, "not JSON"),
    ],
)
def test_each_hostile_body_gets_its_sentence(body, status, words):
    with pytest.raises(Refused, match=words) as refusal:
        read_texts(body, Limits())
    assert refusal.value.status == status


def test_all_of_unicode_but_its_halves_is_read():
    texts = ["☃ 🦊 Ünïcödé", "\u200b.", "\x85x", "a" * 5000]
    assert read_texts(json.dumps({"texts": texts}).encode(), Limits()) == texts


# --- the app


@pytest.fixture
def app():
    with TestClient(create_app(HashedFilter(), wait=0.0), raise_server_exceptions=False) as http:
        yield http


def test_a_score_and_its_verdict(app):
    texts = ["hello", "free prize", "a"]
    reply = app.post("/score", json={"texts": texts})
    expected = [{"spam": score_of(text) >= 0.5, "probability": score_of(text)} for text in texts]
    assert reply.status_code == 200 and reply.json() == {"answers": expected}
    assert {each["spam"] for each in expected} == {True, False}  # or the test would show nothing


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=60) | ANYTHING.map(lambda it: json.dumps(it).encode()))
def test_no_body_brings_the_server_down(body):
    with TestClient(create_app(HashedFilter(), wait=0.0), raise_server_exceptions=False) as http:
        reply = http.post("/score", content=body)
        assert reply.status_code in {200, *CODES} and (reply.status_code == 200 or reply.json()["error"])
        assert http.get("/health").status_code == 200


def test_what_is_too_much_is_refused_and_says_when_to_ask_again():
    limits = Limits(rate=3, texts=3, body=200)
    with TestClient(create_app(HashedFilter(), limits, wait=0.0)) as http:
        assert http.post("/score", json={"texts": ["x", "y", "z"]}).status_code == 200
        reply = http.post("/score", json={"texts": ["x", "y", "z"]})
        assert reply.status_code == 429 and int(reply.headers["retry-after"]) >= 1
        assert http.post("/score", content=b"x" * 300).status_code == 413


def test_the_filter_s_mistake_is_a_500_that_tells_nothing():
    class Broken(HashedFilter):
        def scores(self, texts):
            raise RuntimeError("/secret/path")

    with TestClient(create_app(Broken(), wait=0.0), raise_server_exceptions=False) as http:
        reply = http.post("/score", json={"texts": ["x"]})
    assert reply.status_code == 500 and "secret" not in reply.text and "RuntimeError" in reply.text


def test_metrics_count_what_happened(app):
    app.post("/score", json={"texts": ["a", "b"]})
    app.post("/score", content=b"no")
    page = app.get("/metrics").text
    for line in ('filter_requests_total{status="200"} 1.0', 'filter_requests_total{status="400"} 1.0',
                 "filter_batch_count 1.0", "filter_batch_sum 2.0", "filter_score_count 2.0", "filter_waiting 0.0"):  # fmt: skip
        assert line in page.splitlines()


# --- processes


@pytest.fixture
def served(monkeypatch):
    """Start servers of the hashed filter: ``served(port=0, seconds a batch, texts a second)``; all are gone at the end."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]))
    started = []

    def start(port=0, seconds=0.01, rate=None):
        given = (port, seconds) if rate is None else (port, seconds, rate)
        process, url = client.start_server(*map(str, given), module="hashed_filter")
        started.append(process)
        return process, url

    yield start
    for process in started:
        process.kill()
        process.wait(PATIENCE)
        process.stdout.close()


def waiting(url):
    with urlopen(f"{url}/metrics") as page:
        return float(page.read().decode().split("\nfilter_waiting ")[1].split()[0])


def until(true):
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_nothing_is_lost_or_wrong_when_the_server_is_killed_and_comes_back(served):
    texts = [f"message {n} " + "x" * (n % 50) for n in range(400)]
    process, url = served(seconds=0.05)
    load = client.load(url, texts, clients=16)
    until(lambda: waiting(url) > 0)
    process.kill()
    process.communicate()
    served(port=url.rsplit(":", 1)[1], seconds=0.01)
    found = client.answers(load)
    np.testing.assert_allclose(found.probability, [score_of(text) for text in texts])
    assert (found.tries > 1).any() and (found.seconds > 0).all()


def test_a_server_that_is_asked_to_stop_answers_what_it_has_accepted(served):
    process, url = served(seconds=0.3)
    crowd = [[f"{who} {n}" for n in range(60)] for who in ("one", "two")]

    def post(texts):
        with urlopen(f"{url}/score", json.dumps({"texts": texts}).encode()) as reply:
            return [each["probability"] for each in json.load(reply)["answers"]]

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(post, texts) for texts in crowd]
        until(lambda: waiting(url) > 64)
        client.stop_server(process)
        assert [one.result() for one in asked] == [[score_of(text) for text in texts] for texts in crowd]
    with pytest.raises(OSError):
        urlopen(f"{url}/health")


def test_a_body_that_never_ends_is_given_up(served):
    _, url = served()
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.settimeout(PATIENCE)
        slow.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert b" 408 " in slow.recv(4096)


def test_at_a_rate_seconds_count_from_when_a_text_was_due(served):
    _, url = served(seconds=0.05)
    found = client.answers(client.load(url, ["x"] * 40, clients=1, rate=200))
    # One client, 50 ms and more an answer, due every 5 ms: the last is answered long after it was due.
    assert found.seconds.iloc[-1] > 1 and (found.tries == 1).all()


def test_a_server_that_says_when_is_not_asked_before(served):
    _, url = served(rate=1)
    found = client.answers(client.load(url, ["a", "b", "c"], clients=1))
    # Asked again after 20, 40, 80, ... milliseconds, each text but the first would be sent six times.
    assert found.probability.tolist() == [score_of(text) for text in "abc"]
    assert found.tries.max() <= 2


def test_who_would_wait_longer_than_the_patience_gives_up_at_once(served):
    _, url = served(rate=1 / 3600)

    async def ask_twice():
        server = client.Connection(url)
        assert await client.ask(server, "a") == (score_of("a"), 1)
        with pytest.raises(RuntimeError, match=r"3[56]\d\d more to wait: More than"):
            await client.ask(server, "b")
        server.close()

    asyncio.run(ask_twice())


def test_a_refusal_that_cannot_be_mended_ends_the_load(served, capfd):
    _, url = served()
    with pytest.raises(RuntimeError, match="second process"):
        client.answers(client.load(url, ["\0"]))
    assert "NUL" in capfd.readouterr().err


def test_a_server_that_does_not_start_says_so():
    with pytest.raises(RuntimeError, match="did not start"):
        client.start_server("/no/such/folder")
