"""Several models in one kernel, each with its own pages; a model object of the user's among them."""

import pytest
from tiny_models import write_model

import nbllm
from nbllm import resident
from nbllm.errors import NoModelError


@pytest.fixture
def shell_of_its_own(bare_shell):
    bare_shell.run_line_magic("load_ext", "nbllm")
    yield bare_shell
    resident.unload()
    bare_shell.run_line_magic("unload_ext", "nbllm")


def said(shell, line: str, capsys) -> str:
    capsys.readouterr()
    shell.run_line_magic("nbllm", line)
    return capsys.readouterr().out


def test_use_switches_between_models(shell_of_its_own, tmp_path, capsys):
    shell = shell_of_its_own
    for kind in ("llama", "opt"):
        (tmp_path / kind).mkdir()
        write_model(kind, tmp_path / kind)
        assert f"{kind}: " in said(shell, f"load {tmp_path / kind} --name {kind}", capsys)
    models = resident.loaded()
    assert list(models) == ["llama", "opt"]
    assert models["llama"].engine.runner.kv is not models["opt"].engine.runner.kv
    assert resident.current() is models["opt"]
    assert said(shell, "use llama", capsys).startswith("llama: LlamaForCausalLM")
    assert resident.current() is models["llama"]
    status = said(shell, "status", capsys)
    assert [line for line in status.splitlines() if line.endswith("(current)")] == [
        line for line in status.splitlines() if line.startswith("llama: ")
    ]
    with pytest.raises(
        NoModelError, match=r"no model called 'lama' is loaded.*did you mean 'llama'"
    ):
        shell.run_line_magic("nbllm", "use lama")
    assert resident.current() is models["llama"]


def test_a_model_object_for_the_magics(shell_of_its_own, tmp_path, capsys):
    shell = shell_of_its_own
    model = write_model("llama", tmp_path)
    shell.push({"model": model, "folder": str(tmp_path)})
    shell.run_cell("import nbllm; nbllm.load(model, folder, max_model_len=128);")
    status = said(shell, "status", capsys)
    assert "of your model object, no copy" in status
    assert "a LlamaForCausalLM in this process" in status
    out = shell.run_line_magic("generate", "-m 3 --temperature 0 a b")
    assert len(out.outputs[0].outputs[0].token_ids) == 3
    assert nbllm.current().engine.runner.model.lm_head.weight.data_ptr() == (
        model.lm_head.weight.data_ptr()
    )
