"""%nbllm: what it shows, sets and forgets."""

import inspect
import json
import re

import pytest

# the tests of this folder put a fake into its place
from nbllm.llm import LLM as REAL_LLM
from nbllm.notebook.commands import PARSERS


def test_status_says_what_the_engine_does(run, llm, capsys):
    run("%nbllm status")
    said = capsys.readouterr().out
    assert "prefix cache    25 % of 200 prompt tokens were there" in said
    assert "generated       1,234 tokens, 100 tokens/s lately" in said
    assert "requests        0 running, 0 waiting" in said
    assert re.search(
        r"host memory: [\d.]+ .iB in this process, [\d.]+ .iB of [\d.]+ .iB free", said
    )


def test_sleep_and_wake(run, llm, capsys):
    run("%nbllm sleep --level 2")
    assert llm.asleep == 2
    run("%nbllm status")
    assert capsys.readouterr().out.splitlines()[1].endswith("float32 on cpu; asleep")
    run("%nbllm wake fake")
    assert llm.asleep == 0
    assert capsys.readouterr().out.splitlines()[-1] == "fake is awake"


def test_sleep_without_a_model(run, shell, capsys):
    run("%nbllm sleep")
    assert capsys.readouterr().out == "no model is loaded\n"


def test_config(run, llm, fails, shell, capsys):
    run("%nbllm config")
    assert "top_k        None" in capsys.readouterr().out
    run("%nbllm config max_tokens=9 temperature=0.5")
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["max_tokens", "9"],
        ["temperature", "0.5"],
    ]
    run("%generate hi")
    assert llm.calls[-1][1][0].max_tokens == 9
    run("%nbllm config max_tokens=None")
    assert "did you mean 'max_tokens'" in fails("%nbllm config max_token=9")
    assert "max_tokens: 'many' is not a value for it" in fails("%nbllm config max_tokens=many")
    line = "temperature: '5' is not a value for it, 0 at least, 2 at most"
    assert line in fails("%nbllm config temperature=5")
    shell.run_cell("%config Nbllm.temperature = 5")
    assert shell.magics_manager.registry["Nbllm"].temperature == 0.5
    capsys.readouterr()


def test_reset(run, llm, shell, capsys):
    run("%chat one")
    run("%nbllm reset")
    assert "forgot 1 conversation and" in capsys.readouterr().out
    assert len(run("%chat two").messages) == 2
    assert llm.num_resets == 1


def test_models_lists_the_cache(run, shell, capsys, tmp_path, monkeypatch):
    snapshot = tmp_path / "models--some--model" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.utils._cache_manager.HF_HUB_CACHE", str(tmp_path))
    run("%nbllm models")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["tiny", "bundled"]
    assert lines[1][0] == "some/model"
    assert lines[1][-1] == "LlamaForCausalLM"


def test_help_names_every_command(run, shell, capsys):

    run("%nbllm")
    said = capsys.readouterr().out
    assert all(f"%nbllm {name}" in said for name in PARSERS if name != "help")


@pytest.mark.parametrize("magic", ["generate", "chat", "beam", "score", "choose", "compare"])
def test_help_of_every_magic_is_complete(shell, magic):
    method = getattr(shell.find_cell_magic(magic).__self__, magic)
    text = shell.find_cell_magic(magic).__doc__
    assert all(name in text for a in method.parser._actions for name in a.option_strings)
    assert all(a.help for a in method.parser._actions)


def test_every_option_that_a_line_can_say_is_a_flag_of_load(run, shell, capsys):
    from nbllm import resident

    run("%nbllm load --help")
    said = capsys.readouterr().out
    actions = PARSERS["load"]._actions
    assert all(
        f"{flag} " in said or f"{flag}\n" in said for a in actions for flag in a.option_strings
    )
    assert all(action.help for action in actions)
    assert resident.loaded() == {}
    known = {*inspect.signature(REAL_LLM).parameters}
    flags = {action.dest for action in actions}
    assert known - flags == {"override_generation_config", "hf_overrides", "task", "others"}
    assert flags - known == {"name"}
    run(
        "%nbllm load tiny --gpu-memory-utilization 0.5 --deterministic --no-prefix-caching "
        "--revision main --max-num-seqs {{ 2 + 2 }}"
    )
    assert resident.current().options == {
        "revision": "main", "max_num_seqs": 4, "gpu_memory_utilization": 0.5,
        "deterministic": True, "enable_prefix_caching": False,
    }  # fmt: skip


@pytest.mark.parametrize("command", PARSERS)
def test_a_command_explains_itself(run, capsys, command):
    run(f"%nbllm {command} --help")
    said = capsys.readouterr().out
    actions = PARSERS[command]._actions
    assert said.startswith(f"usage: %nbllm {command}\n\n")
    assert all(action.help and action.help[:30] in said for action in actions)


@pytest.mark.parametrize("line", ["%nbllm --help", "%nbllm -h", "%nbllm help"])
def test_help_is_where_people_look_for_it(run, shell, capsys, line):
    run(line)
    assert "%nbllm load MODEL" in capsys.readouterr().out
