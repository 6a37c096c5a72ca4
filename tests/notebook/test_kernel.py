"""A real kernel and real signals."""

import time

import pytest
from real_kernel import load_line, running


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def kernel(request, environment, tmp_path_factory):
    load = load_line(request.param, tmp_path_factory.mktemp("model"))
    with running(environment, f"%load_ext nbllm\n{load}") as kernel:
        kernel.run(
            "import pandas, nbllm\nrows = pandas.DataFrame({'x': [str(i) for i in range(400)]})"
        )
        yield kernel


def displayed(message):
    return message["msg_type"] == "display_data"


@pytest.mark.parametrize("twice", [False, True])
def test_an_interrupt_keeps_the_partial_frame_under_its_name(kernel, twice):
    reply, messages = kernel.run(
        "%%generate out --over rows --max-tokens 200 --ignore-eos\nrow {{ x }}",
        interrupt_when=displayed,
        again_after=twice,
    )
    assert reply["status"] == "error"
    assert reply["ename"] == "GenerationInterrupted"
    [error] = [m["content"] for m in messages if m["msg_type"] == "error"]
    assert len(error["traceback"]) == 1
    assert "of 400 prompts finished, the rest is partial" in error["traceback"][0]
    assert kernel.value(
        "(len(out), bool((out.finish_reason == 'abort').any()), list(out.x[:2]))"
    ) == ("(400, True, ['0', '1'])")
    assert kernel.value("nbllm.current().engine.num_unfinished") == "0"
    assert kernel.value("nbllm.current().info().num_free_pages == nbllm.current().info().num_pages")
    # the live display went away
    kinds = [m["msg_type"] for m in messages]
    assert kinds.count("clear_output") == 1
    assert "display_data" not in kinds[kinds.index("clear_output") :]
    reply, messages = kernel.run("%%generate --max-tokens 3 --ignore-eos\nthe next cell works")
    assert reply["status"] == "ok"
    [result] = [m["content"] for m in messages if m["msg_type"] == "execute_result"]
    assert result["metadata"]["nbllm"]["num_tokens"] == 3


def test_an_interrupted_cell_without_a_name_shows_what_there_is(kernel):
    code = "%%generate -n 8 --max-tokens 240 --ignore-eos --logprobs 5\nx"
    reply, messages = kernel.run(code, interrupt_when=displayed)
    assert reply["status"] == "error"
    shown = [m["content"] for m in messages if m["msg_type"] == "display_data"][-1]
    assert "abort" in shown["data"]["text/html"]
    assert shown["metadata"]["nbllm"]["params"]["n"] == 8
    assert (
        kernel.value("set(c.finish_reason for o in nbllm.last.outputs for c in o.outputs)")
        == "{'abort'}"
    )


def test_an_interrupted_search_keeps_the_best_so_far(kernel):
    kernel.run("%beam --width 8 -m 2 Once")  # the first one compiles on a GPU
    kernel.run("def later():\n    import os, signal, threading\n"
               "    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()")  # fmt: skip
    reply, messages = kernel.run(
        "later()\n%beam out << --width 8 -m 900 --ignore-eos --trace t Once"
    )
    assert reply["status"] == "error", reply
    assert reply["ename"] == "GenerationInterrupted"
    [error] = [m["content"] for m in messages if m["msg_type"] == "error"]
    assert len(error["traceback"]) == 1
    assert kernel.value("(len(out), set(out.finish_reason), set(out.num_tokens) == {t.step.max()})") == (
        "(8, {'abort'}, True)"
    )  # fmt: skip
    assert kernel.value("0 < t.step.max() < 900") == "True"
    assert kernel.value("nbllm.current().info().num_free_pages == nbllm.current().info().num_pages")
    reply, messages = kernel.run("%%beam --width 3 -m 4\nthe next cell works")
    assert reply["status"] == "ok"
    [result] = [m["content"] for m in messages if m["msg_type"] == "execute_result"]
    assert set(result["data"]) == {"text/plain", "text/html", "application/vnd.nbllm.v1+json"}
    assert result["metadata"]["nbllm"]["params"]["beam_width"] == 3


@pytest.mark.parametrize("cell", ["%%generate FLAGS\nx", "%generate FLAGS x"])
def test_updates_are_few_and_in_one_display(kernel, cell):
    code = cell.replace("FLAGS", "-n 8 --max-tokens 120 --ignore-eos --seed 1")
    reply, messages = kernel.run(code)
    assert reply["status"] == "ok"
    kinds = [m["msg_type"] for m in messages]
    # then the saved notebook is the same whether or not there was time for one
    assert "clear_output" in kinds[kinds.index("display_data") :]
    live = [m for m in messages if m["msg_type"] in ("display_data", "update_display_data")]
    assert len({m["content"]["transient"]["display_id"] for m in live}) == 1
    seconds = (live[-1]["header"]["date"] - live[0]["header"]["date"]).total_seconds()
    assert len(live) <= 20 * seconds + 2
    data = next(m["content"]["data"] for m in messages if m["msg_type"] == "execute_result")
    assert set(data) == {"text/plain", "text/html", "application/vnd.nbllm.v1+json"}


def test_no_tensor_lives_in_the_last_traceback(kernel):
    kernel.run("%generate -n 8 -m 240 --ignore-eos x", interrupt_when=displayed)
    code = """
import sys, torch
tb, found = sys.last_value.__traceback__, []
while tb:
    found += [name for name, value in tb.tb_frame.f_locals.items() if isinstance(value, torch.Tensor)]
    files = tb.tb_frame.f_code.co_filename
    found += [files] if "engine" in files or "llm.py" in files else []
    tb = tb.tb_next
found.append(sys.last_value.__context__)
"""
    kernel.run(code)
    assert (
        kernel.value("(type(sys.last_value).__name__, found)")
        == "('GenerationInterrupted', [None])"
    )


class Control:
    """The comm `nbllm.control` as JupyterLab opens it: on a subshell, beside the cell that runs."""

    def __init__(self, client):
        self.client = client
        request = client.session.msg("create_subshell_request", {})
        client.control_channel.send(request)
        self.subshell = client.get_control_msg(timeout=30)["content"]["subshell_id"]
        self._send("comm_open", target_name="nbllm.control", data={"period": 0.2})

    def ask(self, name):
        self._send("comm_msg", data={"id": name, "ask": name})

    def _send(self, kind, **content):
        message = self.client.session.msg(kind, {"comm_id": "control", **content})
        message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)


def test_stop_reaches_a_running_cell_and_it_succeeds(kernel):
    import ipykernel

    if ipykernel.version_info < (7,):
        pytest.skip("subshells came with ipykernel 7")
    control, begun, asked = Control(kernel.client), [], []

    def stop():
        control.ask("stop")
        asked.append(time.monotonic())

    def shown_for_a_while(message):
        begun.extend([time.monotonic()] * displayed(message))
        return bool(begun) and time.monotonic() > begun[0] + 0.5

    code = "%%generate out -n 8 --max-tokens 900 --ignore-eos\nx"
    reply, messages = kernel.run(code, interrupt_when=shown_for_a_while, interrupt=stop)
    # it takes a few milliseconds on a machine that does nothing else
    assert time.monotonic() - asked[0] < 2
    assert reply["status"] == "ok"
    [said] = [m["content"]["text"] for m in messages if m["msg_type"] == "stream"]
    assert said == "stopped: 0 of 1 prompts finished, the rest is partial\n"
    assert kernel.value("(set(out.finish_reason), bool(out.num_tokens.max() < 900))") == (
        "({'abort'}, True)"
    )
    assert kernel.value("nbllm.current().engine.num_unfinished") == "0"
    said = [m["content"]["data"] for m in messages + kernel.others if m["msg_type"] == "comm_msg"]
    assert {"id": "stop", "answer": {"ended": True, "busy": True}} in said
    # told while the cell ran, without being asked
    models = [s["status"]["models"][0] for s in said if "status" in s]
    requests = [request for model in models for request in model["requests"]]
    assert ("running", "x") in [(r["state"], r["prompt"]) for r in requests]
