"""%%generate and %%chat, as a user types them."""

import pandas as pd
import pytest

import nbllm
from nbllm import resident


def test_without_a_name_the_result_is_the_value(run, llm, shell):
    result = run("%%generate --max-tokens 3\nonce upon a time")
    assert result.text == " once upon a"
    assert result.outputs[0].prompt == "once upon a time"
    assert result is shell.user_ns["_"] is nbllm.last
    assert list(result.df.columns) == list(nbllm.to_frame([]).columns)


@pytest.mark.parametrize(
    "line",
    ["%%generate out -m 2", "%%generate --out out -m 2", "%%generate out << -m 2"],
)
def test_a_name_gets_the_frame_silently(run, llm, shell, capsys, line):
    assert run(f"{line}\na b c") is None
    assert shell.user_ns["out"].text.tolist() == [" a b"]
    assert capsys.readouterr().out == ""
    assert nbllm.last.text == " a b"


def test_a_line_is_a_prompt(run, llm, shell):
    assert (
        run('%generate Once --max-tokens 2 "upon a" time').outputs[0].prompt == "Once upon a time"
    )
    assert run("out = %generate -m 1 hello there") is None
    assert shell.user_ns["out"].text == " hello"
    run("%generate frame << -m 1 hello there")
    assert shell.user_ns["frame"].num_tokens.tolist() == [1]
    run("for word in ['x', 'y']:\n    %generate --out {{ word }} -m 1 say {{ word }}")
    assert shell.user_ns["y"].prompt.tolist() == ["say y"]


def test_the_prompt_is_literal(run, llm):
    text = '\n\n  {there} cost $5 \\frac{a}{b} {# no #} {% no %} {"json": [1]} don\'t ! ls\n\n'
    assert run(f"%%generate -m 1\n{text}\n").outputs[0].prompt == text


def test_templates(run, llm, shell):
    shell.user_ns.update(city="Oslo", m=2, ends=["x", "\n"], user={"name": "Ada"})
    result = run(
        "%%generate -m {{ m }} --stop '{{ ends[0] }}'\n{{ user.name }} in {{city}}, {city}"
    )
    assert result.outputs[0].prompt == "Ada in Oslo, {city}"
    assert (params := llm.calls[-1][1][0]).max_tokens == 2
    assert params.stop == ["x"]
    assert run("%%generate -m 1 --raw\n{{ nope }}").outputs[0].prompt == "{{ nope }}"


def test_local_variables_of_a_function_reach_a_line_magic(run, llm):
    run(
        "def ask(animal):\n    return get_ipython().run_line_magic('generate', '-m 1 a {{ animal }}')"
    )
    assert run("ask('fox')").outputs[0].prompt == "a fox"


def test_defaults_config_flags(run, llm):
    def params():
        return llm.calls[-1][1][0]

    run("%generate hi")
    assert (params().temperature, params().max_tokens) == (0.7, 256)
    run("%config Nbllm.max_tokens = 9\n%config Nbllm.temperature = 0.3\n%generate hi")
    assert (params().temperature, params().max_tokens) == (0.3, 9)
    run("%generate -t 0.2 --top-k 5 -p 0.9 --min-p 0.1 --min-tokens 2 --ignore-eos --seed 4 hi")
    p = params()
    assert (p.temperature, p.top_k, p.top_p, p.min_p) == (0.2, 5, 0.9, 0.1)
    assert (p.min_tokens, p.ignore_eos, p.seed, p.max_tokens) == (2, True, 4, 9)
    assert llm.defaults.temperature == 0.7
    run("%config Nbllm.max_tokens = None\n%chat hi")
    assert params().max_tokens is None


def test_stop_takes_escapes_and_repeats(run, llm):
    run(r"""%generate hi --stop '\n' -s "</s>" -s '\\n' -s "two words" """)
    assert llm.calls[-1][1][0].stop == ["\n", "</s>", "\\n", "two words"]


def test_seeds(run, llm):
    result = run("%%generate -n 3 -m 1 --over f\n{{ x }}" if False else "%%generate -n 3 -m 1\nhi")
    assert result.df.attrs["nbllm"]["seed"] == llm.calls[-1][1][0].seed
    run("f = __import__('pandas').DataFrame({'x': ['a', 'a']})")
    run("%%generate --over f -n 3 -m 1\n{{ x }}")
    first, second = (p.seed for p in llm.calls[-1][1])
    assert second == first + 3
    run("%%generate --over f -m 1 --seed 5\n{{ x }}")
    assert [p.seed for p in llm.calls[-1][1]] == [5, 5]


def test_over_a_frame(run, llm, shell):
    places = pd.DataFrame(
        {"city": ["Oslo", "Rome"], "text": ["o", "r"], "rank": [2, 1]}, index=["n", "s"]
    )
    shell.user_ns.update(places=places, rank="shadowed")
    run("%%generate out --over places -n 2 -m 1\n{{ city }} is {{ rank }}")
    out = shell.user_ns["out"]
    assert out.prompt.tolist() == ["Oslo is 2"] * 2 + ["Rome is 1"] * 2
    assert out.columns[:3].tolist() == ["city", "text_over", "rank"]
    assert out.text_over.tolist() == ["o", "o", "r", "r"]
    assert out.text.tolist() == [" Oslo", " Oslo", " Rome", " Rome"]
    assert out.index.tolist() == ["n", "n", "s", "s"]
    run("%%generate again --over out -m 1\n{{ text }}")
    assert {"text_over", "text_over_over"} <= set(shell.user_ns["again"].columns)
    assert places.columns.tolist() == ["city", "text", "rank"]


def test_over_no_rows(run, llm, shell):
    shell.user_ns["empty"] = pd.DataFrame({"city": []})
    run("%%generate out --over empty\n{{ city }}")
    assert shell.user_ns["out"].shape == (0, 8)
    assert (
        "nothing was generated"
        in run("%%generate --over empty\n{{ city }}")._repr_mimebundle_()[0]["text/html"]
    )


def test_autoload_says_so_once(run, shell, capsys):
    run("%generate out << -m 1 hi")
    assert "'tiny'" in capsys.readouterr().out
    run("%generate out << -m 1 hi")
    assert capsys.readouterr().out == ""


def test_autoload_can_be_off(run, fails):
    run("%config Nbllm.autoload = False")
    assert fails("%generate hi").startswith("NoModelError: no model is loaded")


def test_another_loaded_model(run, llm, capsys):
    run("%nbllm load other --name second")
    assert capsys.readouterr().out == "second: llama, 1.2M parameters, float32 on cpu\n"
    run("%generate -m 1 --model fake hi")
    assert len(llm.calls) == 1
    assert resident.current().name == "other"


def test_status_and_unload(run, llm, capsys):
    run("%nbllm status")
    said = capsys.readouterr().out
    assert "KV cache        4.0 MiB now, at most 16.0 MiB" in said
    assert "pages           4 of 64 in use" in said
    run("%nbllm unload")
    assert llm.closed
    run("%nbllm status")
    run("%nbllm unload")
    run("%nbllm")
    assert "%nbllm load MODEL" in capsys.readouterr().out


def test_load_passes_options(run):
    run("name = 'big'\n%nbllm load {{ name }} --dtype float16 --max-model-len 99 --device cpu")
    assert resident.current().name == "big"
    assert resident.current().options == {"dtype": "float16", "max_model_len": 99, "device": "cpu"}


def test_help_documents_every_flag(shell):
    text = shell.find_cell_magic("generate").__doc__
    assert all(flag in text for flag in ("--max-tokens", "--over", "--raw", "-n N", "{{ name }}"))
    assert "--system" in shell.find_cell_magic("chat").__doc__
