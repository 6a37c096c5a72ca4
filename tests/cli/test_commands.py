"""`nbllm` in a shell: what each command says, and how mistakes are told."""

import inspect
import io
import json
import re
import subprocess
import sys

import pytest

from nbllm import LLM, SamplingParams
from nbllm.entrypoints.cli import COMMANDS, main, model_flags, parser
from nbllm.entrypoints.cli.chat import Talk
from nbllm.errors import GenerationInterrupted
from nbllm.sampling_params import StructuredOutputsParams


@pytest.fixture
def nbllm(capsys):
    """Run the command line: (exit status, standard output, standard error)."""

    def run(*argv):
        capsys.readouterr()
        status = main(argv)
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def says(monkeypatch):
    """Type lines on standard input, which is no terminal."""
    return lambda *lines: monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))


NAMES = [module.__name__.rpartition(".")[2] for module in COMMANDS]


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert re.findall(r"^    (\w+) ", text, re.MULTILINE) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_help_explains_every_flag(capsys, name):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: nbllm {name}")
    actions = parser()._subparsers._group_actions[0].choices[name]._actions
    assert all(action.help for action in actions)
    assert all(action.metavar or action.nargs == 0 or action.choices or action.dest in ("host", "port", "prompt") for action in actions)  # fmt: skip


def test_help_is_fast():
    code = (
        "import sys; from nbllm.entrypoints.cli import main\n"
        "try: main(['serve', '--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'pandas', 'IPython', 'starlette', 'numpy'} & set(sys.modules)))"
    )
    out = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert out.splitlines()[-1] == "[]"


def test_as_a_module_and_as_a_script():
    out = subprocess.check_output([sys.executable, "-m", "nbllm", "--version"], text=True)
    assert re.fullmatch(r"nbllm \d+\.\d+\.\d+\n", out)


def test_generate(nbllm):
    status, out, _ = nbllm("generate", "The capital of France is", "-t", "0", "-m", "2")
    assert (status, out) == (0, " Paris.\n")


def test_generate_several(nbllm):
    _, out, _ = nbllm("generate", "Once", "-n", "2", "-m", "4", "--seed", "3")
    assert re.fullmatch(r"--- 1 of 2\n.+\n--- 2 of 2\n.+\n", out)
    assert nbllm("generate", "Once", "-n", "2", "-m", "4", "--seed", "3")[1] == out


def test_generate_from_standard_input(nbllm, says):
    for argv in (["generate", "-"], ["generate"]):
        says("What is 2 + 3?")
        _, out, _ = nbllm(*argv, "--chat", "-t", "0", "--system", "Be brief.")
        assert "5" in out


def test_generate_of_a_shape(nbllm, tmp_path):
    schema = {"type": "object", "properties": {"age": {"type": "integer", "maximum": 9}},
              "required": ["age"], "additionalProperties": False}  # fmt: skip
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    for given in (json.dumps(schema), str(file)):
        _, out, _ = nbllm("generate", "x", "--json", given, "-t", "0")
        assert set(json.loads(out)) == {"age"}
    assert nbllm("generate", "x", "--regex", "a{3}")[1] == "aaa\n"
    assert nbllm("generate", "x", "-c", "up", "-c", "down")[1] in ("up\n", "down\n")
    (tmp_path / "g").write_text('start: "yes"')
    assert nbllm("generate", "x", "--grammar", str(tmp_path / "g"))[1] == "yes\n"


def test_every_sampling_flag_arrives():
    from nbllm.entrypoints.cli.sampling_flags import sampling_params

    line = (
        "generate x -n 2 -t 0.5 -p 0.9 -k 5 --min-p 0.1 -m 9 --min-tokens 2 --seed 7 --ignore-eos "
        "--presence-penalty 0.5 --frequency-penalty 0.25 -r 1.5 -s END -s STOP --regex a+"
    )
    params = sampling_params(parser().parse_args(line.split()), SamplingParams())
    assert params == SamplingParams(
        n=2, temperature=0.5, top_p=0.9, top_k=5, min_p=0.1, max_tokens=9, min_tokens=2, seed=7,
        ignore_eos=True, presence_penalty=0.5, frequency_penalty=0.25, repetition_penalty=1.5,
        stop=["END", "STOP"], structured_outputs=StructuredOutputsParams(regex="a+"),
    )  # fmt: skip


def test_every_model_flag_arrives(monkeypatch):
    known = set(inspect.signature(LLM).parameters)
    seen = {}
    monkeypatch.setattr("nbllm.llm.LLM", lambda model, **options: seen.update(options, model=model))
    line = ["serve", "some/model", "--deterministic", "--no-enable-prefix-caching"]
    wanted = {"model": "some/model", "deterministic": True, "enable_prefix_caching": False}
    for name, (kind, _, _) in model_flags.OPTIONS.items():
        wanted[name] = "x" if kind is str else kind(1)
        line += ["--" + name.replace("_", "-"), str(wanted[name])]
    model_flags.load(parser().parse_args(line))
    assert seen == wanted
    assert set(seen) <= known


MISTAKES = [
    (["generate", "x", "-t", "5"], "temperature must lie in [0, 2], got 5.0"),
    (["generate", ""], "a prompt is empty"),
    (["generate", "x", "--model", "no/such/folder"], "no/such/folder"),
    (["generate", "x", "--json", "{"], "--json: that is no JSON"),
    (["generate", "x", "--json", "/no/such"], "--json: cannot read '/no/such'"),
    (["generate", "x", "--system", "y"], "--system goes with --chat"),
    (["generate", "x", "--fresh"], "--fresh goes with --in and --out"),
    (["generate", "--in", "a.csv"], "--in and --out go together"),
    (["generate", "x", "--in", "a.csv", "--out", "b.csv"], "a prompt and --in: give one of them"),
    (["serve", "--port", "99999"], "a port is a number from 0 to 65535"),
    (["serve", "--api-key", ""], "--api-key: a key must not be empty"),
    (["serve", "--max-batch", "0"], "max_batch must be at least 1"),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "said"), MISTAKES)
def test_a_mistake_is_one_line(nbllm, argv, said):
    status, out, err = nbllm(*argv)
    assert (status, out) == (1, "")
    assert err.startswith("nbllm: ")
    assert said in err
    assert err.count("\n") == 1


def test_generate_without_a_prompt(nbllm, monkeypatch):
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    assert "generate what?" in nbllm("generate")[2]


def test_chat(nbllm, says):
    says(
        "What is 2 + 3?",
        "",
        "/retry",
        "/undo",
        "/reset",
        "/nonsense",
        "/help",
        "What is 4 + 4?",
        "/exit",
        "never",
    )
    status, out, err = nbllm("chat", "-t", "0", "-m", "30", "--system", "You are helpful.")
    assert status == 0
    answers = [line for line in out.replace("> ", "").splitlines() if line]
    assert answers[0] == answers[1]
    assert "5" in answers[0]
    assert "8" in answers[-1]
    assert "there is no /nonsense" in err
    assert "/reset   forget the conversation" in err
    assert "never" not in out


def test_chat_goes_on_after_a_mistake(nbllm, says):
    says("word " * 3000, "What is 1 + 1?")
    status, out, err = nbllm("chat", "-t", "0")
    assert status == 0
    assert "leaves no room for an answer" in err
    assert "2" in out


def test_chat_keeps_what_was_said():
    with LLM() as llm:
        talk = Talk(llm, SamplingParams(temperature=0, max_tokens=40), None)
        stream = llm.stream

        def interrupted(*args):
            for i, output in enumerate(stream(*args)):
                if i == 3:
                    raise GenerationInterrupted([output])
                yield output

        llm.stream = interrupted
        assert talk.hear("Tell me a story about a fox.")
        assert [t["role"] for t in talk.turns] == ["user", "assistant"]
        assert 0 < len(talk.turns[1]["content"]) < 40
        llm.stream = stream
        talk.hear("/undo")
        assert talk.turns == []
        assert not talk.hear("/exit")


def test_info(nbllm):
    _, out, _ = nbllm("info")
    assert re.search(r"^nbllm +\d", out)
    assert "devices " in out
    assert re.search(r"server +installed", out)
    found = json.loads(nbllm("info", "tiny", "--as-json")[1])
    assert found["model"]["architecture"] == "LlamaForCausalLM"
    assert found["extras"]["grammar"] == "installed"


def test_info_says_what_is_missing(nbllm, monkeypatch):
    from nbllm.entrypoints.cli import info

    known = info.version
    monkeypatch.setattr(
        info, "version", lambda name: known("no-such-thing" if name == "uvicorn" else name)
    )
    assert "needs uvicorn: pip install 'nbllm[server]'" in nbllm("info")[1]


def test_bench(nbllm):
    line = [
        "bench",
        "--rounds",
        "1",
        "--input-len",
        "8",
        "--output-len",
        "4",
        "--num-prompts",
        "2",
        "--beam-width",
        "2",
    ]
    _, out, _ = nbllm(*line)
    assert [row.split("  ")[0] for row in out.splitlines()] == [
        "load", "first token of a prompt of 8", "one prompt, 4 tokens",
        "2 prompts, 4 tokens each", "beam search, width 2, 4 steps",
    ]  # fmt: skip
    found = json.loads(nbllm(*line, "--as-json")[1])
    assert len(found["figures"]) == 5
    assert all(f["figure"] > 0 for f in found["figures"])


def test_demo(nbllm):
    status, out, err = nbllm("demo")
    assert status == 0
    assert ">>> llm.beam_search(" in out
    assert "La chanteuse aime son chien." in out
    assert "%load_ext nbllm" in err


def test_a_reader_that_has_seen_enough():
    """`nbllm generate … | head -c 1` ends without a traceback."""
    command = (
        f"{sys.executable} -m nbllm generate 'Once upon a time' -m 60 --ignore-eos | head -c 1"
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr


def test_control_characters_stay_visible(monkeypatch, capsys):
    """A model's output is untrusted: a terminal must not obey it."""
    from nbllm.entrypoints.cli.terminal import say

    say("a\x1b[2Jb\n")
    assert capsys.readouterr().out == "a\x1b[2Jb\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    say("a\x1b[2Jb\tc\n\r\x07")
    assert capsys.readouterr().out == "a\\x1b[2Jb\tc\n\\x0d\\x07"
