"""Tab."""

import re
from pathlib import Path

import pandas as pd
import pytest

from nbllm import resident


@pytest.fixture
def complete(shell, llm):
    from IPython.core import completer

    if not hasattr(completer, "context_matcher"):
        pytest.skip("this IPython has no context matchers")

    def complete(text: str) -> list[str]:
        # what ipykernel calls
        with completer.provisionalcompleter():
            return [found.text for found in shell.Completer.completions(text, len(text))]

    return complete


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%generate --te", ["--temperature"]),
        ("%%generate out --max", ["--max-tokens"]),
        ("x = %chat --sys", ["--system"]),
        ("x = 1\n%nbllm lo", ["load"]),
        ("%nbllm load tiny --d", ["--deterministic", "--device", "--dtype"]),
        ("%generate --model fa", ["fake"]),
        ("%nbllm unload ", ["fake"]),
        ("%%generate --over pla", ["places"]),
        ("%%generate --json sch", ["schema"]),
        ("%%choose --choices na", ["names"]),
        ("%chat --name tu", ["tutor"]),
        ("c = %chatui --name tu", ["tutor"]),
        ("%chatui --tem", ["--temperature", "--template"]),
        ("%chat --from ta", ["talk"]),
        ("%tokenexplorer --from pla", ["places"]),
        ("%tokenexplorer --ro", ["--row"]),
        ("%%generate --grid pres", ["presence_penalty="]),
        ("%%generate --grid top_k=1,2 pres", ["presence_penalty="]),
        ("%%beam --early-stopping n", ["never"]),
        ("%%generate --over places\nSay {{ cou", ["country"]),
        ("%%choose a --over=places -c x\n{{ x }} {{cou", ["country"]),
        ("%%generate --over places\nSay {{ x }} cou", []),
        ("%%generate\nSay {{ cou", []),
        ("%nbllm load tin", ["tiny"]),
        ("%nbllm load tiny --dtype b", ["bfloat16"]),
        ("%nbllm config max", ["max_tokens="]),
        ("%nbllm ver", ["verify"]),
        ("%nbllm sleep --le", ["--level"]),
        ("%%score --cont", ["--continuation"]),
        ("%%compare --set", ["--setting"]),
        ("%%beam out --wi", ["--width"]),
        ("%chat --template too", ["tool_use"]),
        ("%chat --template mi", ["mine.jinja"]),
        ("x = %beam --num", ["--num-beam-groups", "--num-return-sequences"]),
    ],
)
def test_completes(shell, complete, text, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.jinja").touch()
    shell.run_cell("%chat --name tutor -m 1 hi")
    places = pd.DataFrame({"country": ["x"], "a b": [1], 7: [2]})
    shell.user_ns.update(places=places, planet="x", schema={}, names=["a"])
    shell.user_ns["talk"] = [{"role": "user", "content": "hi"}]
    assert sorted(complete(text)) == expected


def test_elsewhere_it_stays_out_of_the_way(shell, complete):
    shell.user_ns["minutes"] = 3
    assert "minutes" in complete("minu")
    assert not any("--" in word for word in complete("x --te"))
    # a prompt is prose
    assert not any("--" in word for word in complete("%generate the te"))


def test_without_the_hook_loading_works(fake, bare_shell, monkeypatch):
    class Old:
        pass

    monkeypatch.setattr(bare_shell, "Completer", Old())
    bare_shell.run_line_magic("load_ext", "nbllm")
    resident.load("fake")
    assert bare_shell.run_cell("%generate hi").success
    bare_shell.run_line_magic("unload_ext", "nbllm")


def test_every_cell_magic_is_known_everywhere():
    """To completion, and to JupyterLab's highlighting."""
    from nbllm.notebook.magics import Nbllm
    from nbllm.notebook.prompt_names import CELL_MAGICS

    assert {*CELL_MAGICS} == {name for name, m in vars(Nbllm).items() if hasattr(m, "parser")}
    source = (Path(__file__).parents[2] / "labextension" / "src" / "prompt.ts").read_text()
    listed = source[source.index("const MAGICS = [") : source.index("];")]
    assert re.findall(r"'(\w+)'", listed) == [*CELL_MAGICS]
