"""Loading, reloading and unloading the extension."""

import subprocess
import sys

import pytest

from nbllm import notebook, resident


def magics(shell):
    """What the names of our magics mean."""
    tables = shell.magics_manager.magics
    names = ("generate", "chat", "nbllm")
    return {(kind, name): tables[kind].get(name) for kind in tables for name in names}


def test_loading_again_keeps_everything(run, shell, llm):
    run("%config Nbllm.max_tokens = 3")
    run("%load_ext nbllm")
    notebook.load_ipython_extension(shell)
    assert sum(type(c).__name__ == "Nbllm" for c in shell.configurables) == 1
    assert run("%generate a b c d e").outputs[0].outputs[0].text == " a b c"


def test_reloading_keeps_the_model(run, shell, llm, capsys):
    run("%reload_ext nbllm")
    assert resident.current() is llm
    assert not llm.closed
    run("%generate hi")
    assert len(shell.Completer.custom_matchers) <= 1
    run("%config Nbllm.max_tokens = 3")
    assert sum(type(c).__name__ == "Nbllm" for c in shell.configurables) == 1


def test_unloading_restores_magics_of_the_same_names(fake, bare_shell):
    shell = bare_shell
    shell.register_magic_function(lambda line: "mine", "line", "generate")
    before = magics(shell)
    for _ in range(2):
        shell.run_line_magic("load_ext", "nbllm")
        resident.load("fake")
        assert shell.run_cell("%generate -m 1 hi").result.text == " hi"
        shell.run_line_magic("unload_ext", "nbllm")
        assert magics(shell) == before
        assert shell.run_cell("%generate hi").result == "mine"
        assert "Nbllm" not in dict(shell.magics_manager.registry)
    assert resident.current().name == "fake"
    notebook.unload_ipython_extension(shell)


def test_an_unknown_option_of_config_names_the_nearest(shell):
    with pytest.warns(UserWarning, match="Did you mean `max_tokens`"):
        shell.run_cell("%config Nbllm.max_token = 3")


def test_an_old_ipython_is_refused_in_one_line(bare_shell, monkeypatch, capsys):
    monkeypatch.setattr("IPython.version_info", (5, 1, 0, ""))
    assert not bare_shell.run_cell("%load_ext nbllm").success
    output = "".join(capsys.readouterr())
    assert "nbllm needs IPython 7.34, this is" in output
    assert len(output.splitlines()) == 1


def test_loading_takes_no_torch_and_no_pandas():
    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance()\n"
        "s.run_line_magic('load_ext', 'nbllm'); s.run_line_magic('nbllm', 'status')\n"
        "print({'torch', 'pandas', 'jinja2', 'transformers'} & set(sys.modules))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.splitlines()[-1] == "set()"
