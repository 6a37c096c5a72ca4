"""The cell that does what a widget did, run by the magics themselves."""

from dataclasses import fields, replace

import pytest

import nbllm
from nbllm import SamplingParams, StructuredOutputsParams
from nbllm.errors import ParamError
from nbllm.results.work import MAX_TOKENS
from nbllm.widgets import Playground
from nbllm.widgets.cell import generate_cell


def usual(llm):
    return replace(llm.get_default_sampling_params(), max_tokens=MAX_TOKENS)


def run(shell, cell):
    shell.run_cell(cell).raise_error()
    return nbllm.last


PARAMS = {
    "defaults": {},
    "numbers": {
        "temperature": 0.35, "top_p": 0.5, "top_k": 7, "min_p": 0.05, "max_tokens": 5, "min_tokens": 2,
        "seed": 3, "n": 2, "presence_penalty": -0.5, "frequency_penalty": 1.5,
        "repetition_penalty": 1.2, "logprobs": 2, "prompt_logprobs": 1, "truncate_prompt_tokens": 3,
    },
    "lists": {
        "stop": ["\n", "it's", 'say "x"', "\\n", "{{ x }}"], "stop_token_ids": [1, 2],
        "bad_words": ["a b", "c"], "allowed_token_ids": [5, 6, 7, 8], "max_tokens": 3,
    },
    "bias": {"logit_bias": {5: -100.0, 6: 2.5}, "max_tokens": 3},
    "switches": {
        "ignore_eos": True, "skip_special_tokens": False, "include_stop_str_in_output": True,
        "spaces_between_special_tokens": False, "max_tokens": 3,
    },
    "no text": {"detokenize": False, "max_tokens": 3},
    "regex": {"structured_outputs": StructuredOutputsParams(regex="[a-c]{2}'\"x"), "max_tokens": 9},
    "choice": {"structured_outputs": StructuredOutputsParams(choice=["a b", "c"]), "max_tokens": 9},
    "json": {
        "structured_outputs": StructuredOutputsParams(json={"type": "integer", "maximum": 9}),
        "max_tokens": 9,
    },
    "object": {"structured_outputs": StructuredOutputsParams(json_object=True), "max_tokens": 9},
}  # fmt: skip


@pytest.mark.parametrize("name", PARAMS)
def test_every_parameter_comes_through(shell, ascii_llm, name):
    defaults = usual(ascii_llm)
    params = replace(defaults, **{"seed": 1, **PARAMS[name]})
    result = run(shell, generate_cell("abcdef", params, defaults))
    sent = result.work.params_of(0)
    for field in fields(SamplingParams):
        if field.name != "structured_outputs":
            assert getattr(sent, field.name) == getattr(params, field.name), field.name
    if params.structured_outputs is not None:
        mine, its = vars(params.structured_outputs), vars(sent.structured_outputs)
        assert its == mine


@pytest.mark.parametrize(
    "prompt",
    ["abc", " a", "a\n", "a\n\n", "\n\na", "a\nb", "%x !y ?", "{{ x }} {x} $x", "a #b", "'\"\\"],
    ids=repr,
)
def test_every_prompt_comes_through(shell, ascii_llm, prompt):
    defaults = usual(ascii_llm)
    params = replace(defaults, max_tokens=1)
    assert run(shell, generate_cell(prompt, params, defaults)).work.requests == [prompt]


def test_what_a_playground_shows_is_made_again(shell):
    playground = Playground("a{{ x }}b", SamplingParams(max_tokens=9), variables={"x": "-"})
    playground.run()
    assert playground.wait(30)
    shown = playground.result
    assert run(shell, playground.code()).outputs[0].outputs == shown.outputs[0].outputs
    # after a change it is the cell of what is set now
    playground.params = SamplingParams(max_tokens=4, temperature=0.5)
    assert "--seed" not in playground.code()
    playground.close()


def test_what_config_says_is_undone_where_it_differs(shell):
    shell.run_cell(
        "%config Nbllm.top_k = 3\n%config Nbllm.temperature = 0.5\n%config Nbllm.seed = 9"
    )
    wanted = SamplingParams(max_tokens=5, temperature=0.5, logprobs=0)
    playground = Playground("abc", wanted)
    cell = playground.code()
    assert "--top-k 0" in cell
    sent = run(shell, cell).work.params
    assert (sent.top_k, sent.temperature) == (0, 0.5)
    assert sent.seed != 9
    playground.close()


def test_functions_have_no_flag(ascii_llm):
    params = SamplingParams(logits_processors=[lambda ids, logits: logits])
    with pytest.raises(ParamError, match="the name of a variable"):
        generate_cell("a", params, usual(ascii_llm))


def test_what_does_not_fit_a_line(ascii_llm):
    grammar = StructuredOutputsParams(grammar='start: "a"\nb: "c"')
    with pytest.raises(ParamError, match="line"):
        generate_cell("a", SamplingParams(structured_outputs=grammar), usual(ascii_llm))


def test_the_magic_makes_a_playground(shell):
    playground = shell.run_cell("%%playground p -t 0.5 -m 7 --live\nabc {{ x }}").result
    assert playground is shell.user_ns["p"]
    assert (playground.prompt, playground.live) == ("abc {{ x }}", True)
    assert (playground.params.temperature, playground.params.max_tokens) == (0.5, 7)
    playground.close()
    playground = shell.run_cell("%config Nbllm.top_k = 3\n%playground --out q some words").result
    assert playground is shell.user_ns["q"]
    assert (playground.prompt, playground.live, playground.params.top_k) == ("some words", False, 3)
    assert playground.params.max_tokens == 256
    playground.close()
    empty = shell.run_cell("%playground").result
    assert empty.prompt == ""
    empty.close()


def test_the_magic_shows_the_engines(shell, capsys):
    status = shell.run_cell("%enginestatus").result
    assert [m["name"] for m in status.models] == ["ascii"]
    status.close()
    assert not shell.run_cell("%enginestatus tiny").success
    assert "takes nothing, got 'tiny'" in "".join(capsys.readouterr())


def test_mistakes_are_one_line(shell, capsys):
    assert not shell.run_cell("%playground --temprature 1").success
    said = "".join(capsys.readouterr())
    assert "did you mean '--temperature'" in said
    assert len(said.strip().splitlines()) == 1
