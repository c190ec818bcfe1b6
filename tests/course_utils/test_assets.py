"""The asset store against a server on 127.0.0.1 that misbehaves in every way the course has to survive."""

import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from course_tools import PATIENCE
from course_utils.assets import (
    Asset,
    AssetError,
    copy_to,
    registry,
    remove,
    resolve,
    size_text,
    sources,
    status,
    store,
)

REVISION = "0123456789abcdef0123456789abcdef01234567"
CONTENT = b"ham\tsee you at seven\nspam\tWIN a prize\n" * 200
ROOT = Path(__file__).resolve().parents[2]


def make_asset(*sources, files=None, name="toy", **more) -> Asset:
    files = files or {"toy.txt": CONTENT}
    pins = {file: {"bytes": len(data), "sha256": sha256(data)} for file, data in files.items()}
    entry = {
        "title": "A toy",
        "licence": "CC0",
        "citation": "None.",
        "home": "http://toy.example",
        "files": pins,
    }
    return Asset.from_dict(name, entry | {"sources": sources} | more)


def standin(tmp_path, monkeypatch) -> dict:
    """What the registry says of a stand-in, whose file lies in a folder of data of its own."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "toy_standin.csv").write_text("text,label\n")
    monkeypatch.setattr(store, "data_folder", lambda: tmp_path / "data")
    return {"files": ["toy_standin.csv"], "licence": "CC BY 4.0", "citation": "Written for the course."}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


class Server:
    """Serves `pages`; `faults` maps a path to what goes wrong there; `requests` counts the GETs."""

    def __init__(self):
        self.pages: dict[str, bytes] = {}
        self.faults: dict[str, str] = {}
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if self.command == "GET":
                    outer.requests.append(self.path)
                fault = outer.faults.get(self.path)
                body = outer.pages.get(self.path)
                if body is None:
                    return self.send_error(404)
                if fault == "silent":
                    time.sleep(3)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                # What a hub sends with a file.
                self.send_header("X-Repo-Commit", REVISION)
                self.send_header("ETag", f'"{sha256(body)[:40]}"')
                self.end_headers()
                if self.command == "HEAD":
                    return None
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                if fault == "cut":
                    return self.connection.close()
                if fault == "slow":
                    time.sleep(1.5)
                return self.wfile.write(body[len(body) // 2 :])

            do_HEAD = do_GET

            def log_message(self, *args):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args):
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def zip(self, path: str, members: dict[str, bytes], fault: str = "") -> dict[str, str]:
        """Put an archive on the server; return the source that points at it."""
        self.pages[path], self.faults[path] = zipped(members), fault
        return {"kind": "zip", "url": self.url + path}


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "laptop")
    monkeypatch.setenv("COURSE_TIMEOUT", str(PATIENCE))
    monkeypatch.setattr(sources, "show_progress", lambda: False)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def impatient(monkeypatch, behaviour: str) -> None:
    """Give up soon what never answers."""
    if behaviour == "silent":
        monkeypatch.setenv("COURSE_TIMEOUT", "0.5")


@pytest.fixture
def cached(tmp_path):
    """A function: which files the cache holds (locks, which are empty, aside)."""

    def files() -> list[str]:
        root = tmp_path / "course-cache"
        found = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")
        return [path.relative_to(root).as_posix() for path in found]

    return files


def in_process(asset_arguments: str, **environment) -> subprocess.Popen:
    """Resolve an asset in a fresh process; it prints `origin` or the error."""
    script = (
        "import json, sys; sys.path[:0] = json.loads(sys.argv[1])\n"
        "from course_utils.assets import AssetError, resolve\n"
        f"from test_assets import make_asset, CONTENT\nasset = make_asset({asset_arguments})\n"
        "try: print(resolve(asset).origin)\n"
        "except AssetError as error: print('AssetError', error)\n"
    )
    paths = json.dumps([str(ROOT), str(Path(__file__).parent)])
    return subprocess.Popen(
        [sys.executable, "-c", script, paths],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out.strip()


# The registry


def test_the_registry_pins_every_file():
    assert {"sms-spam", "minilm", "bert-base-uncased", "glove-6b-50d", "wikipedia-sample"} <= set(registry())
    for asset in registry().values():
        assert asset.files and asset.licence and asset.citation and asset.home.startswith("https://")
        for file in asset.files:
            assert len(file.sha256) == 64 and file.bytes > 0
        for source in asset.sources:
            assert (
                len(source["revision"]) == 40
                if "revision" in source
                else source["url"].startswith("https://")
            )


@pytest.mark.parametrize(
    "name", ["weights.pkl", "pytorch_model.bin", "../up.txt", "/etc/x.txt", "a\\..\\..\\b.txt", "C:\\x.txt"]
)
def test_a_registry_refuses_code_and_paths_that_leave_the_folder(name):
    with pytest.raises(ValueError, match="plain relative path"):
        make_asset(files={name: b"x"})


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no asset 'mini'.*minilm"):
        resolve("mini")


# The places on this machine, and their order


def test_the_mirror_comes_first_and_is_verified(mirror):
    found = resolve("sms-spam", profile="laptop")
    assert (found.origin, found.real) == ("mirror", True)
    assert found.path() == mirror / "sms-spam" / "SMSSpamCollection"
    with pytest.raises(ValueError, match="no file 'other'"):
        found.path("other")


def test_profile_ci_looks_at_wheel_and_stand_in_only(mirror, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sms_standin.csv").write_text("text,label,kind\n")
    monkeypatch.setattr(store, "data_folder", lambda: tmp_path / "data")
    found = resolve("sms-spam", profile="ci")
    assert (found.origin, found.real) == ("stand-in", False)


def test_order_and_damage(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_PROFILE", "laptop")
    monkeypatch.setenv("COURSE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    asset = make_asset(wheel={"package": "toy-wheel", "module": "toy_wheel", "folder": "data"})
    places = {
        "mirror": tmp_path / "mirror" / "toy" / "toy.txt",
        "cache": tmp_path / "course-cache" / "assets" / "toy" / "toy.txt",
        "wheel": tmp_path / "site" / "toy_wheel" / "data" / "toy.txt",
    }
    for path in places.values():
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT)
    # Were the wheel imported, this would fail.
    (tmp_path / "site" / "toy_wheel" / "__init__.py").write_text("raise RuntimeError('imported')")

    assert resolve(asset).origin == "mirror"
    places["mirror"].write_bytes(CONTENT[:-1] + b"!")
    assert resolve(asset).origin == "cache"
    assert "COURSE_MIRROR: toy.txt has the wrong SHA-256" in capsys.readouterr().out
    assert resolve(asset, profile="ci").origin == "wheel"
    places["cache"].unlink()
    places["mirror"].unlink()
    assert resolve(asset).origin == "wheel"
    assert capsys.readouterr().out == ""
    assert status(asset) == ("wheel", [])

    places["wheel"].write_bytes(CONTENT[:-1] + b"!")
    for profile in ("ci", "laptop"):
        with pytest.raises(AssetError) as error:
            resolve(asset, profile=profile)
        assert "wheel toy-wheel: toy.txt has the wrong SHA-256" in str(error.value)
        assert "pip install --force-reinstall --no-deps toy-wheel" in str(error.value)
    origin, damaged = status(asset)
    assert origin == "" and "wrong SHA-256" in damaged[0]


@pytest.mark.parametrize(
    "name",
    [
        "minilm", "glove-6b-50d", "wikipedia-sample", "google-analogies", "wordsim-353", "simlex-999",
        "multilingual-e5-4bit", "multilingual-e5-pieces", "smollm2-4bit", "django-messages",
    ],
)  # fmt: skip
def test_the_installed_wheels_are_what_the_registry_says(name, monkeypatch):
    module = registry()[name].wheel["module"]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {registry()[name].wheel['package']}: pip install .[offline]")
    loaded = set(sys.modules)
    found = resolve(name)
    assert found.origin == "wheel" and all(found.path(file).is_file() for file in found.files)
    assert module not in set(sys.modules) - loaded
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed twice in one process"))
    resolve(name)


# Downloads


def test_a_download_is_verified_cached_and_not_repeated(server, cached):
    asset = make_asset(server.zip("/a.zip", {"toy.txt": CONTENT, "readme": b"not pinned, not taken"}))
    assert status(asset) == ("", [])
    found = resolve(asset)
    assert (found.origin, found.path().read_bytes()) == ("download", CONTENT)
    assert cached() == ["assets/toy/toy.txt"]
    assert resolve(asset).origin == "cache"
    assert server.requests == ["/a.zip"]


FAULTS = {
    "404": (None, "", "HTTP 404"),
    "time-out": ({"toy.txt": CONTENT}, "silent", "no answer within 0.5 s"),
    "cut half way": ({"toy.txt": CONTENT}, "cut", "IncompleteRead"),
    "wrong digest": ({"toy.txt": CONTENT[:-1] + b"!"}, "", "toy.txt has the wrong SHA-256"),
    "file cut short": ({"toy.txt": CONTENT[:-1]}, "", f"{len(CONTENT) - 1} bytes instead of {len(CONTENT)}"),
    "bomb": ({"toy.txt": CONTENT * 1000}, "", f"{len(CONTENT) + 1} bytes instead of {len(CONTENT)}"),
    "file not in it": ({"other.txt": CONTENT}, "", "no item named 'toy.txt'"),
    "member ../": ({"toy.txt": CONTENT, "../../evil.txt": b"x"}, "", "refused"),
    "member \\..": ({"toy.txt": CONTENT, "..\\..\\evil.txt": b"x"}, "", "refused"),
    "absolute member": ({"toy.txt": CONTENT, "/tmp/evil-course-test.txt": b"x"}, "", "refused"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_source_leaves_nothing_behind_and_is_named(fault, server, cached, tmp_path, monkeypatch):
    members, behaviour, reason = FAULTS[fault]
    impatient(monkeypatch, behaviour)
    source = server.zip("/a.zip", members or {}, behaviour)
    if members is None:
        del server.pages["/a.zip"]
    with pytest.raises(AssetError) as error:
        resolve(make_asset(source))
    monkeypatch.setenv("COURSE_TIMEOUT", str(PATIENCE))
    message = str(error.value)
    assert f"{server.url}/a.zip: " in message and reason in message
    for part in (
        "COURSE_MIRROR: not there",
        "course cache: ",
        "COURSE_CACHE",
        "http://toy.example",
        "COURSE_MIRROR=FOLDER",
    ):
        assert part in message
    assert cached() == []
    assert not list(tmp_path.rglob("evil*")) and not Path("/tmp/evil-course-test.txt").exists()
    # The same source, mended, works at once; a second source would have stood in for it.
    mended = server.zip("/b.zip", {"toy.txt": CONTENT})
    assert resolve(make_asset(source, mended)).origin == "download"
    assert cached() == ["assets/toy/toy.txt"]


def test_files_can_lie_in_a_folder_of_the_archive(server, cached):
    source = server.zip("/a.zip", {"toy.txt": b"another one", "corpus/toy.txt": CONTENT})
    assert resolve(make_asset(source | {"folder": "corpus"})).path().read_bytes() == CONTENT
    assert cached() == ["assets/toy/toy.txt"]
    with pytest.raises(AssetError, match=r"no item named 'other/toy\.txt'"):
        resolve(make_asset(source | {"folder": "other"}, name="second"))


def test_a_page_that_is_no_archive_is_refused(server, cached):
    server.pages["/a.zip"] = b"<html>log in to the campus network</html>"
    with pytest.raises(AssetError, match="File is not a zip file"):
        resolve(make_asset({"kind": "zip", "url": server.url + "/a.zip"}))
    assert cached() == []


# Plain files below one address

PLAIN = {"train.conll": b"Kim\tB-person\n\n" * 300, "deep/test.annotated": b"ok\tO\n\n" * 500}


def serve_files(server: Server, folder: str, files: dict[str, bytes]) -> dict[str, str]:
    server.pages |= {f"{folder}/{name}": data for name, data in files.items()}
    return {"kind": "files", "url": server.url + folder}


def test_plain_files_are_fetched_one_by_one_and_only_where_the_cache_lacks_them(server, cached, tmp_path):
    asset = make_asset(serve_files(server, "/main", PLAIN), files=PLAIN)
    found = resolve(asset)
    assert found.origin == "download" and server.requests == [
        "/main/train.conll",
        "/main/deep/test.annotated",
    ]
    assert {name: found.path(name).read_bytes() for name in found.files} == PLAIN
    assert cached() == ["assets/toy/deep/test.annotated", "assets/toy/train.conll"]
    assert resolve(asset).origin == "cache" and len(server.requests) == 2
    found.path("train.conll").unlink()
    assert resolve(asset).origin == "download" and server.requests[2:] == ["/main/train.conll"]


@pytest.mark.parametrize(
    ("damage", "behaviour", "reason"),
    [
        (lambda data: data[:-1] + b"!", "", "deep/test.annotated has the wrong SHA-256"),
        (lambda data: data, "cut", "IncompleteRead"),
        (lambda data: data[:-1], "", "deep/test.annotated has 2999 bytes instead of 3000"),
        (lambda data: None, "", "HTTP 404"),
        (lambda data: data, "silent", "no answer within 0.5 s"),
    ],
    ids=["wrong digest", "cut half way", "file cut short", "404", "time-out"],
)
def test_a_faulty_plain_file_leaves_nothing_behind_and_is_named(
    damage, behaviour, reason, server, cached, monkeypatch
):
    """The second of two files is at fault: the first, whole one must not stay either."""
    impatient(monkeypatch, behaviour)
    source = serve_files(server, "/main", PLAIN)
    server.pages["/main/deep/test.annotated"] = damage(PLAIN["deep/test.annotated"])
    server.faults["/main/deep/test.annotated"] = behaviour
    with pytest.raises(AssetError) as error:
        resolve(make_asset(source, files=PLAIN))
    monkeypatch.setenv("COURSE_TIMEOUT", str(PATIENCE))
    assert f"{server.url}/main: " in str(error.value) and reason in str(error.value)
    assert "/main/deep/test.annotated" in server.requests and cached() == []
    mended = serve_files(server, "/copy", PLAIN)
    assert resolve(make_asset(source, mended, files=PLAIN)).origin == "download"
    assert cached() == ["assets/toy/deep/test.annotated", "assets/toy/train.conll"]


def test_a_damaged_file_in_the_cache_is_replaced_or_removed(server, cached, tmp_path, capsys):
    path = tmp_path / "course-cache" / "assets" / "toy" / "toy.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:100])
    with pytest.raises(AssetError, match=r"toy\.txt has 100 bytes"):
        resolve(make_asset({"kind": "zip", "url": server.url + "/none.zip"}))
    assert cached() == []
    path.write_bytes(CONTENT[:100])
    assert resolve(make_asset(server.zip("/a.zip", {"toy.txt": CONTENT}))).origin == "download"
    assert path.read_bytes() == CONTENT
    assert "course cache: toy.txt has 100 bytes" in capsys.readouterr().out


def test_the_stand_in_is_used_visibly_and_downloads_are_not_tried_again(
    server, tmp_path, monkeypatch, capsys
):
    asset = make_asset(
        {"kind": "zip", "url": server.url + "/none.zip"}, stand_in=standin(tmp_path, monkeypatch)
    )
    found = resolve(asset)
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and "stand-in written for this course" in line and ": HTTP 404)" in line
    assert (found.origin, found.real, found.citation) == ("stand-in", False, "Written for the course.")
    assert resolve(asset) == found
    assert server.requests == ["/none.zip"] and capsys.readouterr().out == ""
    other = make_asset(stand_in=asset.stand_in, name="other")
    monkeypatch.setenv("COURSE_MIRROR", "usb")
    monkeypatch.chdir(tmp_path)
    assert not resolve(other).real  # where was it looked for?
    assert f"COURSE_MIRROR: no folder {tmp_path / 'usb' / 'other'}" in capsys.readouterr().out
    assert resolve(asset, profile="ci") == found and capsys.readouterr().out == ""


def test_a_mirror_is_filled_with_whole_files_only_and_serves_without_a_network(
    server, cached, tmp_path, monkeypatch
):
    asset, mirror = make_asset(server.zip("/a.zip", {"toy.txt": CONTENT})), tmp_path / "stick"
    (mirror / "toy").mkdir(parents=True)
    (mirror / "toy" / "toy.txt").write_bytes(CONTENT[:50])  # what a copy that was broken off left
    assert copy_to(asset, mirror).origin == "download"
    assert [path.name for path in mirror.rglob("*") if path.is_file()] == ["toy.txt"]
    assert (mirror / "toy" / "toy.txt").read_bytes() == CONTENT
    assert remove(asset) == len(CONTENT) and cached() == [] and remove(asset) == 0
    monkeypatch.setenv("COURSE_MIRROR", str(mirror))
    assert resolve(asset).origin == "mirror" and remove(asset) == 0
    assert (mirror / "toy" / "toy.txt").read_bytes() == CONTENT and server.requests == ["/a.zip"]


def test_a_stand_in_is_not_put_on_a_mirror(server, tmp_path, monkeypatch):
    asset = make_asset(
        {"kind": "zip", "url": server.url + "/none.zip"}, stand_in=standin(tmp_path, monkeypatch)
    )
    with pytest.raises(AssetError, match="real files could not be had"):
        copy_to(asset, tmp_path / "stick")
    assert not (tmp_path / "stick").exists()


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file" / "cache"))
    asset = make_asset(server.zip("/a.zip", {"toy.txt": CONTENT}))
    with pytest.raises(AssetError, match=r"cannot be used.*\n(.*\n)*.*set COURSE_CACHE to a folder"):
        resolve(asset)
    assert server.requests == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX resource limits")
@pytest.mark.parametrize("limit", [100, 4000], ids=["in the archive", "in the file"])
def test_a_full_disk(limit, server, cached):
    """A limit on the size of files: a write fails half way, as it does on a full disk."""
    import resource

    server.zip("/a.zip", {"toy.txt": CONTENT})
    assert 100 < len(server.pages["/a.zip"]) < 4000 < len(CONTENT)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    script = (
        "import json, resource, sys; sys.path[:0] = json.loads(sys.argv[1])\n"
        "from course_utils.assets import resolve; from test_assets import make_asset; import pooch, requests\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {hard}))\n"
        f"resolve(make_asset(dict(kind='zip', url={server.url + '/a.zip'!r})))"
    )
    result = subprocess.run(
        [sys.executable, "-B", "-c", script, json.dumps([str(ROOT), str(Path(__file__).parent)])],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert result.returncode == 1
    assert "AssetError" in result.stderr and "File too large" in result.stderr and "B free" in result.stderr
    assert cached() == []


def test_two_processes_fetch_once(server, cached):
    source = server.zip("/a.zip", {"toy.txt": CONTENT}, "slow")
    processes = [in_process(repr(source), COURSE_TIMEOUT=str(PATIENCE)) for _ in range(2)]
    assert sorted(output(process) for process in processes) == ["cache", "download"]
    assert server.requests == ["/a.zip"]
    assert cached() == ["assets/toy/toy.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_killed_half_way_leaves_no_half_file(server, cached):
    source = server.zip("/a.zip", {"toy.txt": CONTENT}, "slow")
    process = in_process(repr(source), COURSE_TIMEOUT=str(PATIENCE))
    while not server.requests:
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert "assets/toy/toy.txt" not in cached()
    assert resolve(make_asset(server.zip("/b.zip", {"toy.txt": CONTENT}))).origin == "download"
    assert cached() == ["assets/toy/toy.txt"]


# The hub: huggingface_hub reads its environment once, at import; hence fresh processes.

HUB = {"kind": "hub", "repo": "org/toy", "revision": REVISION}
HUB_FILES = {"toy.txt": CONTENT, "config.json": b"{}"}


def hub_environment(server: Server, tmp_path: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
        "COURSE_TIMEOUT": str(PATIENCE),
    }


HUB_ASSET = f"{HUB!r}, files={{'toy.txt': CONTENT, 'config.json': b'{{}}'}}"


def test_the_hub_gives_files_at_the_pinned_commit(server, cached, tmp_path):
    for name, data in HUB_FILES.items():
        server.pages[f"/org/toy/resolve/{REVISION}/{name}"] = data
    environment = hub_environment(server, tmp_path)
    assert output(in_process(HUB_ASSET, **environment)) == "download"
    assert cached() == ["assets/toy/config.json", "assets/toy/toy.txt"]
    assert output(in_process(HUB_ASSET, **environment | {"HF_HUB_OFFLINE": "1"})) == "cache"


def test_the_hub_gives_a_file_of_a_data_set_in_its_folder(server, cached, tmp_path):
    server.pages[f"/datasets/org/toy/resolve/{REVISION}/raw/toy.txt"] = CONTENT
    source = HUB | {"repo_type": "dataset"}
    arguments = f"{source!r}, files={{'raw/toy.txt': CONTENT}}"
    assert output(in_process(arguments, **hub_environment(server, tmp_path))) == "download"
    assert cached() == ["assets/toy/raw/toy.txt"]


def test_the_hub_gives_a_wrong_file(server, cached, tmp_path):
    server.pages[f"/org/toy/resolve/{REVISION}/toy.txt"] = CONTENT[:-1] + b"!"
    server.pages[f"/org/toy/resolve/{REVISION}/config.json"] = b"{}"
    message = output(in_process(HUB_ASSET, **hub_environment(server, tmp_path)))
    assert (
        message.startswith("AssetError") and "hub org/toy@01234567: toy.txt has the wrong SHA-256" in message
    )
    assert cached() == []


def test_the_hub_lacks_a_file(server, cached, tmp_path):
    server.pages[f"/org/toy/resolve/{REVISION}/config.json"] = b"{}"
    message = output(in_process(HUB_ASSET, **hub_environment(server, tmp_path)))
    assert "hub org/toy@01234567: HTTP 404" in message
    assert cached() == []


def test_the_hub_is_offline_but_its_own_cache_is_used(server, cached, tmp_path):
    environment = hub_environment(server, tmp_path) | {"HF_HUB_OFFLINE": "1"}
    message = output(in_process(HUB_ASSET, **environment))
    assert message.startswith("AssetError") and "offline" in message.lower()
    assert cached() == [] and server.requests == []
    snapshot = tmp_path / "hf" / "hub" / "models--org--toy" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    for name, data in HUB_FILES.items():
        (snapshot / name).write_bytes(data)
    assert output(in_process(HUB_ASSET, **environment)) == "download"
    assert cached() == ["assets/toy/config.json", "assets/toy/toy.txt"]


def test_a_table_on_the_hub_gives_the_original_file(server, tmp_path, mirror, monkeypatch):
    """The SMS table as the hub's builder made it (line ends kept), rebuilt: the same bytes as the original file."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    original = (mirror / "sms-spam" / "SMSSpamCollection").read_bytes()
    monkeypatch.delenv("COURSE_MIRROR")
    rows = [line.split("\t") for line in original.decode().removesuffix("\n").split("\n")]
    table = {"sms": [text + "\n" for _, text in rows], "label": [int(label == "spam") for label, _ in rows]}
    buffer = io.BytesIO()
    pq.write_table(pa.table(table), buffer)
    source = dict(registry()["sms-spam"].sources[-1], revision=REVISION)
    server.pages[f"/datasets/ucirvine/sms_spam/resolve/{REVISION}/{source['table']}"] = buffer.getvalue()
    pin = {"bytes": len(original), "sha256": sha256(original)}
    assert pin["sha256"] == registry()["sms-spam"].files[0].sha256
    arguments = f"{source!r}, name='sms', files={{'SMSSpamCollection': open({str(mirror / 'sms-spam/SMSSpamCollection')!r}, 'rb').read()}}"
    assert output(in_process(arguments, **hub_environment(server, tmp_path))) == "download"
    rebuilt = tmp_path / "course-cache" / "assets" / "sms" / "SMSSpamCollection"
    assert rebuilt.read_bytes() == original


def test_a_table_in_the_hubs_own_cache_is_used(tmp_path, monkeypatch):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"text": ["see you\n", "WIN"], "label": [0, 1]}), tmp_path / "cached.parquet")
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda **_: str(tmp_path / "cached.parquet")
    )
    source = HUB | {"kind": "hub-table", "table": "plain/train.parquet", "text": "text", "label": "label"}
    (tmp_path / "into").mkdir()
    sources.fetch(source | {"labels": ["ham", "spam"]}, list(make_asset().files), tmp_path / "into")
    assert (tmp_path / "into" / "toy.txt").read_bytes() == b"ham\tsee you\nspam\tWIN\n"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 kB"), (45_300, "45 kB"), (91_600_000, "91.6 MB"), (1_234_500_000, "1,234.5 MB")]
)
def test_sizes_are_told_as_for_downloads(size, text):
    assert size_text(size) == text


# Files that nobody registered, and files that were changed


def test_only_registered_files_reach_a_loader(tmp_path, monkeypatch):
    """MiniLM from a mirror, beside a file that Transformers reads, too: it would exchange [CLS] and [MASK]."""
    wheel = resolve("minilm")
    folder = tmp_path / "mirror" / "minilm"
    folder.mkdir(parents=True)
    for name in wheel.files:
        shutil.copyfile(wheel.path(name), folder / name)
    exchanged = {"cls_token": "[MASK]", "mask_token": "[CLS]"}
    (folder / "special_tokens_map.json").write_text(json.dumps(exchanged))
    (folder / "added_tokens.json").write_text(json.dumps({"you": 7}))
    (folder / "adapter_config.json").write_text("{}")
    monkeypatch.setenv("COURSE_MIRROR", str(tmp_path / "mirror"))
    found = resolve("minilm", profile="laptop")
    assert found.origin == "mirror" and {path.name for path in found.folder.iterdir()} == set(found.files)
    assert all(found.path(name).read_bytes() == wheel.path(name).read_bytes() for name in found.files)
    assert resolve("minilm", profile="laptop").folder == found.folder  # one folder a process
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(found.folder, local_files_only=True)
    assert tokenizer.convert_ids_to_tokens(tokenizer("see you")["input_ids"]) == [
        "[CLS]",
        "see",
        "you",
        "[SEP]",
    ]
    assert tokenizer.mask_token == "[MASK]"


def test_where_links_are_not_allowed_files_are_copied(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(1314, "A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    asset = make_asset(files={"config.json": b"{}", "model.safetensors": CONTENT})
    folder = tmp_path / "course-cache" / "assets" / "toy"
    folder.mkdir(parents=True)
    for name, data in {"config.json": b"{}", "model.safetensors": CONTENT, "tokenizer.json": b"{}"}.items():
        (folder / name).write_bytes(data)
    found = resolve(asset, profile="laptop")
    assert sorted(path.name for path in found.folder.iterdir()) == ["config.json", "model.safetensors"]
    assert found.path("model.safetensors").read_bytes() == CONTENT and found.folder != folder


def test_what_was_damaged_says_what_mends_it_there(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "laptop")
    monkeypatch.setenv("COURSE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(store, "data_folder", lambda: tmp_path / "data")
    wheel = {"package": "damaged-wheel", "module": "damaged_wheel", "folder": "data"}
    asset = make_asset(wheel=wheel, course="checkpoints/toy")
    places = {
        tmp_path / "mirror" / "toy": f"course assets fetch toy --to {tmp_path / 'mirror'}",
        tmp_path / "course-cache" / "assets" / "toy": "course assets remove toy",
        tmp_path / "data" / "checkpoints" / "toy": "git checkout -- data/checkpoints/toy",
        tmp_path / "site" / "damaged_wheel" / "data": "pip install --force-reinstall --no-deps damaged-wheel",
    }
    for folder in places:
        folder.mkdir(parents=True)
        (folder / "toy.txt").write_bytes(CONTENT[:100])
    origin, damaged = status(asset)
    assert origin == "" and len(damaged) == len(places)
    for line, (folder, advice) in zip(damaged, places.items(), strict=True):
        assert str(folder) in line and advice in line.partition("What helps: ")[2]


def git(*arguments, cwd):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(
        command, cwd=cwd, check=True, capture_output=True, text=True, timeout=PATIENCE
    ).stdout


@pytest.fixture(scope="module")
def windows_clone(tmp_path_factory):
    """The course as Git for Windows clones it: with the setting that turns line ends into those of Windows."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs git and a checkout")
    folder = tmp_path_factory.mktemp("windows")
    git("clone", "-q", "--depth=1", "-c", "core.autocrlf=true", ROOT.as_uri(), "course", cwd=folder)
    return folder / "course"


def test_git_for_windows_leaves_every_file_what_it_should_be(windows_clone):
    for asset in registry().values():
        for file in asset.files if asset.course else ():
            assert file.problem_in(windows_clone / "data" / asset.course) is None
    assert b"\r\n" not in (windows_clone / "data" / "senses.csv").read_bytes()


def test_a_file_that_git_changed_is_mended_as_the_advice_says(tmp_path, monkeypatch):
    """A clone from before .gitattributes: Git finds nothing to do, whatever it is asked to check out."""
    upstream, clone = tmp_path / "upstream", tmp_path / "clone"
    folder = upstream / "data" / "checkpoints" / "toy"
    folder.mkdir(parents=True)
    config = b'{\n"units": 3}\n'
    (folder / "config.json").write_bytes(config)
    git("init", "-q", cwd=upstream)
    git("add", ".", cwd=upstream)
    git("commit", "-qm", "data", cwd=upstream)
    git("clone", "-q", "-c", "core.autocrlf=true", str(upstream), str(clone), cwd=tmp_path)
    shutil.copyfile(ROOT / ".gitattributes", upstream / ".gitattributes")
    git("add", ".", cwd=upstream)
    git("commit", "-qm", "line ends", cwd=upstream)
    git("pull", "-q", cwd=clone)
    monkeypatch.setattr(store, "data_folder", lambda: clone / "data")
    asset = make_asset(files={"config.json": config}, course="checkpoints/toy")
    git("checkout", "--", "data", cwd=clone)
    with pytest.raises(AssetError, match="has 16 bytes instead of 14") as error:
        resolve(asset)
    advice = re.search(r"delete (.*), then git (checkout -- \S+)", str(error.value))
    shutil.rmtree(advice[1])
    git(*advice[2].split(), cwd=clone)
    assert resolve(asset).origin == "course"


def test_a_reason_is_not_cut_off():
    reached = (
        "https://huggingface.co/datasets/Salesforce/wikitext/resolve/b08601e0/"
        + "deep/" * 30
        + "train.parquet"
    )
    told = sources.reason(
        RuntimeError(f"Cannot reach {reached}: offline mode is enabled. Unset HF_HUB_OFFLINE.")
    )
    assert told.endswith("offline mode is enabled. Unset HF_HUB_OFFLINE.") and len(told) <= 160


@pytest.mark.parametrize("place", ["/proc/x", "a file", "a full disk"])
def test_a_mirror_that_cannot_be_written_is_an_asset_error(server, tmp_path, monkeypatch, place):
    asset = make_asset(server.zip("/a.zip", {"toy.txt": CONTENT}))
    mirror = Path(place) if place == "/proc/x" else tmp_path / "mirror"
    if place == "a file":
        mirror.write_text("")
    if place == "a full disk":

        def full(source, target):
            Path(target).write_bytes(CONTENT[:10])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(
        AssetError, match=r"cannot be written .*\. Choose another folder, with 8 kB free"
    ) as error:
        copy_to(asset, mirror)
    assert str(mirror) in error.value.short
    assert not [path for path in tmp_path.rglob("mirror/**/*") if path.is_file()]
