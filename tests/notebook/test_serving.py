"""`%nbllm serve`: the loaded models for other programs, while cells go on."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from real_kernel import running


@pytest.fixture
def url(run, llm, capsys):
    """Of a server over the fake model."""
    run("%nbllm serve --port 0")
    yield re.search(r"serving fake at (\S+);", capsys.readouterr().out)[1]
    run("%nbllm serve --stop")


def test_serve_and_stop(run, llm, capsys):
    run("%nbllm serve --port 0")
    said = capsys.readouterr().out
    url = re.fullmatch(r"serving fake at (\S+/v1); %nbllm serve --stop ends it\n", said)[1]
    assert httpx.get(url.replace("/v1", "/health")).status_code == 200
    run("%nbllm status")
    assert capsys.readouterr().out.endswith(f"serving {url}\n")
    run("%nbllm serve --stop")
    assert capsys.readouterr().out == f"stopped {url}\n"
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    run("%nbllm serve --stop")
    assert capsys.readouterr().out == "nothing is served\n"


def test_twice(url, fails):
    assert f"{url} is served already; %nbllm serve --stop ends it" in fails("%nbllm serve")


def test_a_port_that_is_taken(url, fails, shell):
    port = url.rpartition(":")[2].removesuffix("/v1")
    magics = shell.magics_manager.registry["Nbllm"]
    server, magics.server = magics.server, None
    assert f"cannot listen on 127.0.0.1, port {port}" in fails(f"%nbllm serve --port {port}")
    magics.server = server


def test_a_key_from_a_variable(run, llm, shell, capsys):
    shell.user_ns["secret"] = "k3y"
    run("%nbllm serve --port 0 --api-key {{ secret }}")
    said = capsys.readouterr().out
    url = re.search(r"http\S+/v1", said)[0]
    assert "k3y" not in said
    assert httpx.get(url + "/models").status_code == 401
    assert httpx.get(url + "/nothing", headers={"authorization": "Bearer k3y"}).status_code == 404
    run("%nbllm serve --stop")


def test_what_others_can_reach(run, llm, capsys):
    run("%nbllm serve --port 0 --host 0.0.0.0")
    assert "others can reach this server, and nobody needs a key" in capsys.readouterr().out
    run("%nbllm serve --stop")


def test_the_bundled_model_where_none_is_loaded(run, shell, capsys):
    run("%nbllm serve --port 0")
    assert "no model was loaded" in capsys.readouterr().out
    run("%nbllm serve --stop")


def test_unloading_the_extension_ends_it(url, shell):
    before = len(servers())
    shell.run_line_magic("unload_ext", "nbllm")
    assert len(servers()) == before - 1
    with pytest.raises(httpx.ConnectError):
        httpx.get(url + "/models")
    shell.run_line_magic("load_ext", "nbllm")


def servers():
    return [thread for thread in threading.enumerate() if thread.name == "nbllm-server"]


def test_a_mistake_is_one_line(fails, llm):
    assert "unknown option --prot; did you mean '--port'" in fails("%nbllm serve --prot 1")


def test_help_and_completion(run, shell, capsys):
    from nbllm.notebook.completion import candidates

    run("%nbllm")
    assert "%nbllm serve          the loaded models" in capsys.readouterr().out
    magics = shell.magics_manager.registry["Nbllm"]
    assert {"--port", "--api-key", "--stop"} <= set(candidates(magics, "%nbllm serve --"))


@pytest.mark.timeout(200)
def test_in_a_kernel(environment):
    """Clients and cells at once, an interrupt of a cell, and an end."""
    setup = "%load_ext nbllm\n%nbllm load tiny\n%nbllm serve --port 0"
    with running(environment, setup) as kernel, ThreadPoolExecutor() as pool:
        reply, messages = kernel.run("%nbllm status")
        said = "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")
        url = re.search(r"serving (\S+)", said)[1]
        client = openai.OpenAI(base_url=url, api_key="-", max_retries=0, timeout=60)
        body = {"ignore_eos": True}
        asked = {"model": "tiny", "prompt": "a", "temperature": 0, "max_tokens": 300}

        def text():
            stream = client.completions.create(**asked, stream=True, extra_body=body)
            return "".join(c.choices[0].text for c in stream)

        alone = text()
        going = [pool.submit(text) for _ in range(3)]
        reply, _ = kernel.run("%%generate cell -m 20 --ignore-eos\nOnce")
        assert reply["status"] == "ok"
        assert kernel.value("int(cell.num_tokens.iloc[0])") == "20"
        reply, _ = kernel.run(
            "%%generate -m 1500 --ignore-eos\nOnce",
            interrupt_when=lambda message: message["msg_type"] == "display_data",
        )
        assert reply["status"] == "error"
        assert [future.result() for future in going] == [alone] * 3
        reply, _ = kernel.run("%nbllm serve --stop")
        assert reply["status"] == "ok"
        with pytest.raises(openai.APIConnectionError):
            client.models.list()
        threads = kernel.value("sorted({t.name for t in __import__('threading').enumerate()})")
        assert "nbllm-server" not in threads
        assert "nbllm-pump" not in threads
