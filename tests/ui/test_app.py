"""The server of the stand-alone app: who may call it, what it keeps, and how it ends."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.ui import take_maker
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.settings import SETTINGS
from distill_prior_gen.ui.take_maker import TakeMaker
from distill_prior_gen.ui.take_view import remove_take
from distill_prior_gen.ui.temporary_files import make_room
from tests.helpers.models import write_model
from tests.ui.test_ui import VALUES, make

pytestmark = pytest.mark.slow

PATIENCE_S = 60


class Server:
    def __init__(self, folder, *options, **variables):
        self.log = folder / f"log-{time.monotonic_ns()}"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "distill_prior_gen", "ui", "--no-open", *options],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(folder), **variables},
            )
        self.url = wait_for(self._url)

    def _url(self):
        assert self.process.poll() is None, self.said()
        found = re.search(r"http://\S*:(\d+)", self.said())
        return found and found[0].replace("0.0.0.0", "127.0.0.1")

    def said(self):
        return self.log.read_text()


def wait_for(condition):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError(condition)


@pytest.fixture(scope="module")
def start(tmp_path_factory, model_path):
    started = []

    def start(*options, folder=None, **variables):
        if folder is None:
            folder = tmp_path_factory.mktemp("server")
            shutil.copy(model_path, folder / "small.distill")
        write_model(folder / "slow.distill", hidden_size=256, num_layers=8)
        server = Server(folder, "--models", ".", "--device", "cpu", *options, **variables)
        started.append(server.process)
        return server

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(start):
    """Behind a proxy that does not answer, as far as its environment goes."""
    proxy = "http://127.0.0.1:9"
    return start(http_proxy=proxy, HTTP_PROXY=proxy, all_proxy=proxy, no_proxy="", NO_PROXY="")


def test_calls_that_bypass_the_queue_are_refused_and_the_page_still_answers(server):
    api = f"{server.url}/gradio_api"
    with httpx.Client(timeout=PATIENCE_S) as client:
        names = client.get(f"{api}/info").json()["named_endpoints"]
        for number in range(60):
            name = list(names)[number % len(names)]
            assert client.post(f"{api}/run{name}", json={"data": [None] * 30}).status_code == 404
            client.post(f"{api}/call{name}", json={"data": [[], {}, "x", number]})
        assert client.get(server.url).status_code == 200
    make(Client(server.url, verbose=False), duration=1)


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1.example.org", "", "[", "0.0.0.0"])
def test_a_name_that_was_redirected_here_is_not_served(server, host):
    for path in ("", "/config", "/gradio_api/queue/data?session_hash=x"):
        answer = httpx.get(f"{server.url}{path}", headers={"Host": host})
        assert answer.status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:7860", "LOCALHOST:80"])
def test_local_names_are_served(server, host):
    assert httpx.get(f"{server.url}/config", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://example.org", "null", "http://127.0.0.1:1"])
def test_other_pages_cannot_upload_or_call(server, origin):
    headers = {"Origin": origin}
    upload = f"{server.url}/gradio_api/upload"
    files = {"files": ("x.wav", b"x")}
    assert httpx.post(upload, files=files, headers=headers).status_code == 403
    call = f"{server.url}/gradio_api/call/generate_prior_take"
    assert httpx.post(call, json={"data": []}, headers=headers).status_code == 403
    assert httpx.post(upload, files=files, headers={"Origin": server.url}).status_code == 200


def test_the_page_cannot_be_framed_by_others(server):
    headers = httpx.get(server.url).headers
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "SAMEORIGIN"


def test_an_upload_says_how_long_it_is(server):
    answer = httpx.post(f"{server.url}/gradio_api/upload", content=iter([b"x"]))
    assert answer.status_code == 411
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port)) as connection:
        connection.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 1000000000000\r\n\r\n"
        )
        assert b" 413 " in connection.recv(100)


def test_nothing_is_fetched_from_addresses_and_errors_of_users_print_no_traceback(server):
    client, before = Client(server.url, verbose=False), len(server.said())
    file = {"path": "https://example.org/x.wav", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError, match="uploaded here"):
        make(client, prompt=file)
    with pytest.raises(AppError, match="uploaded here"):
        client.predict(file, api_name="/upload_prior_model")
    with pytest.raises(AppError, match="There is no model"):
        make(client, model="nothing")
    assert "Traceback" not in server.said()[before:]


def test_telemetry_and_run_history_are_off(server):
    config = httpx.get(f"{server.url}/config").json()
    assert not config.get("run_history")
    assert not config["analytics_enabled"]


@pytest.mark.posix
def test_a_closed_page_ends_its_work(server):
    values = VALUES | {"model": "slow.distill", "duration": 30, "count": 8}
    call = {"data": [*values.values(), None], "session_hash": "page"}
    api = f"{server.url}/gradio_api"
    with httpx.Client(timeout=PATIENCE_S) as page:
        (call["fn_index"],) = (
            each["id"]
            for each in page.get(f"{server.url}/config").json()["dependencies"]
            if each["api_name"] == "generate_prior_take"
        )
        with page.stream("GET", f"{api}/heartbeat/page"):
            page.post(f"{api}/queue/join", json=call).raise_for_status()
            with page.stream("GET", f"{api}/queue/data?session_hash=page") as events:
                # Progress of a chunk tells that the work is under way.
                next(line for line in events.iter_lines() if "hunk" in line)
            assert not _idle(server.process.pid)
    wait_for(lambda: _idle(server.process.pid))


def _idle(pid):
    """Whether a process computes nothing for half a second."""

    def ticks():
        with open(f"/proc/{pid}/stat") as file:
            return sum(map(int, file.read().rpartition(")")[2].split()[11:13]))

    before = ticks()
    time.sleep(0.5)
    return ticks() - before < 5


@pytest.mark.longest
@pytest.mark.posix
def test_temporary_files_are_private_and_go_at_the_end_or_at_the_next_start(start, tmp_path):
    (tmp_path / "gradio").touch()  # Gradio's own folder, which may be that of another user
    killed, ended = start(folder=tmp_path), start(folder=tmp_path)
    upload = f"{ended.url}/gradio_api/upload"
    httpx.post(upload, files={"files": ("x.wav", b"x")}).raise_for_status()
    folders = list(tmp_path.glob("distill-prior-ui-*"))
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o700, 0o700]
    assert len(list(tmp_path.rglob("x.wav"))) == 1
    killed.process.kill()
    killed.process.wait()
    hung_up = start(folder=tmp_path)
    assert len(list(tmp_path.glob("distill-prior-ui-*"))) == 2
    assert len(list(tmp_path.rglob("x.wav"))) == 1
    for server, end in ((ended, signal.SIGTERM), (hung_up, signal.SIGHUP)):
        server.process.send_signal(end)
        server.process.wait(PATIENCE_S)
    assert not list(tmp_path.glob("distill-prior-ui-*"))


@pytest.mark.posix
def test_a_password_of_the_environment_counts_and_ipv6_is_served(start):
    try:
        server = start("--host", "::1", DISTILL_PRIOR_AUTH="me:secret")
    except AssertionError as error:
        if "Cannot find empty port" in str(error) or "Errno 99" in str(error):
            pytest.skip("this machine has no ::1")
        raise
    assert server.url.startswith("http://[::1]:")
    assert httpx.get(f"{server.url}/config").status_code == 401


@pytest.mark.posix
def test_others_see_names_of_files_without_the_folders_of_the_server(start, tmp_path, model_path):
    shutil.copy(model_path, tmp_path / "small.distill")
    password = tmp_path / "password"
    password.write_text("me:secret\n")
    server = start(
        "--host", "0.0.0.0", "--auth-file", str(password), "--output", "takes", folder=tmp_path
    )
    assert "no password" not in server.said()
    assert httpx.get(f"{server.url}/config").status_code == 401
    client = Client(server.url, auth=("me", "secret"), verbose=False)
    (tmp_path / "x.wav").write_bytes(b"no sound")
    command = make(client, duration=1)[2]
    assert command.startswith("distill-prior sample small.distill ")
    with pytest.raises(AppError) as error:
        make(client, prompt=handle_file(tmp_path / "x.wav"))
    assert "x.wav" in str(error.value)
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("text", [b"me", b"", b"\xff:\xfe"])
def test_a_file_without_user_and_password_is_refused(tmp_path, text):
    (tmp_path / "password").write_bytes(text)
    command = [sys.executable, "-m", "distill_prior_gen", "ui", "--auth-file", "password"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2
    assert "must hold USER:PASSWORD" in " ".join(result.stderr.split())


@pytest.fixture
def maker(tmp_path, model_path):
    shutil.copy(model_path, tmp_path / "small.distill")
    return TakeMaker(ModelList(TabContext((tmp_path,), tmp_path, device="cpu")))


def page(**values):
    return [(VALUES | values)[name] for name in SETTINGS]


def silently(share, desc):
    pass


def test_the_oldest_takes_of_all_sessions_go_when_memory_is_short(maker, monkeypatch):
    first, second = Session(), Session()
    maker.make_takes("small.distill", page(duration=1), 3, first, "first", silently)
    remove_take(1, first)
    size = first.takes[2].size
    assert size > 8000 * 4
    monkeypatch.setattr(take_maker, "MAX_MEMORY_BYTES", 3 * size)
    maker.make_takes("small.distill", page(duration=1), 2, second, "second", silently)
    assert (list(first.takes), first.removed, list(second.takes)) == ([3], [], [1, 2])


def test_the_takes_of_a_closed_page_go(maker):
    session = Session()
    maker.make_takes("small.distill", page(duration=1), 2, session, "me", silently)
    remove_take(1, session)
    maker.leave("me")
    assert not session.all_takes()


def test_a_call_that_waits_for_another_can_be_stopped_and_few_wait(maker):
    with maker.working:
        waiting = []
        for number in range(20):
            given = "small.distill", page(duration=1), 1, Session(), str(number), silently
            thread = threading.Thread(target=_quietly, args=(maker.make_takes, *given), daemon=True)
            thread.start()
            waiting.append(thread)
        wait_for(lambda: sum(thread.is_alive() for thread in waiting) <= 8)
        for number in range(20):
            maker.stop(str(number))
        for thread in waiting:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def _quietly(function, *given):
    with suppress(gr.Error):
        function(*given)


def test_the_oldest_files_go_when_there_are_too_many(tmp_path):
    for number in range(5):
        file = tmp_path / str(number) / "x.wav"
        file.parent.mkdir()
        file.write_bytes(b"x" * 10)
        os.utime(file, (number, number))
    make_room(tmp_path, 25)
    assert sorted(file.parent.name for file in tmp_path.rglob("*.wav")) == ["3", "4"]
