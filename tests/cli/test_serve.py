"""`nbllm serve` as a process."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import httpx
import openai
import pytest

from nbllm.entrypoints.cli import main, parser
from nbllm.entrypoints.cli.serve import build
from nbllm.entrypoints.openai import Limits, Options, Server


@pytest.fixture
def serve():
    """Start `nbllm serve …`; (process, its address, lines it has said)."""
    started = []

    def serve(*argv, **environ):
        command = [sys.executable, "-m", "nbllm", "serve", "tiny", "--port", "0", *argv]
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environ}
        )
        started.append(process)
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"serving (\S+),", line):
                threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True).start()
                return process, found[1], lines
        raise AssertionError(lines)

    yield serve
    for process in started:
        process.kill()
        process.wait()


def test_serves_and_ends_at_ctrl_c(serve):
    """With a name of its own, and a key from the environment, where no list of processes shows it."""
    process, url, lines = serve("--served-model-name", "mine", NBLLM_API_KEY="s3cret")
    assert url.startswith("http://127.0.0.1:")
    assert httpx.get(url + "/models").status_code == 401
    with openai.OpenAI(base_url=url, api_key="s3cret") as client:
        made = client.completions.create(
            model="mine", prompt="The capital of France is", temperature=0, max_tokens=2
        )
    assert made.choices[0].text == " Paris."
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 130
    assert "Traceback" not in "".join(lines)


@pytest.mark.slow
def test_requests_under_way_get_to_finish(serve):
    process, url, _ = serve()
    found = []
    body = {"prompt": "a", "max_tokens": 150, "ignore_eos": True, "stream": True}

    def ask():
        with httpx.stream("POST", url + "/completions", json=body, timeout=60) as response:
            for line in response.iter_lines():
                found.append(line)

    asking = threading.Thread(target=ask)
    asking.start()
    while len(found) < 6:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    asking.join(30)
    assert found[-2] == "data: [DONE]"
    assert "error" not in "".join(found)
    assert process.wait(20) == -signal.SIGTERM


def test_a_port_that_is_taken_is_known_before_a_model_is_loaded(capsys):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "no/such/model", "--port", port]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"nbllm: cannot listen on 127.0.0.1, port {port}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "warned"), [([], False), (["--host", "0.0.0.0"], True), (["--host", "0.0.0.0", "--api-key", "k"], False)]
)  # fmt: skip
def test_what_others_can_reach(monkeypatch, capsys, argv, warned):
    monkeypatch.setattr(Server, "run", lambda self: self.stop())
    assert main(["serve", "--port", "0", *argv]) == 0
    said = capsys.readouterr().err
    assert "tiny is loaded" in said
    assert ("nobody needs a key: --api-key asks for one" in said) is warned


def test_every_server_flag_arrives():
    line = (
        "serve --host localhost --port 0 --api-key a --api-key b --allowed-host x --max-body-bytes 9 "
        "--max-batch 2 --max-queue 3 --max-requests 4 --trust-request-chat-template"
    )
    server = build(parser().parse_args(line.split()))
    server.stop()
    assert server.options == Options(
        api_keys=["a", "b"], allowed_hosts=["x"], trust_templates=True,
        limits=Limits(max_body_bytes=9, max_batch=2, max_queue=3, max_requests=4),
    )  # fmt: skip


def test_without_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nbllm.entrypoints.openai", None)
    assert main(["serve"]) == 1
    assert "pip install 'nbllm[server]'" in capsys.readouterr().err
