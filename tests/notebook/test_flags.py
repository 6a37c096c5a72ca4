"""Flags: every field of SamplingParams, grids, structured output, what does not fit."""

import json
from dataclasses import fields

import pandas as pd
import pytest

from nbllm import SamplingParams, StructuredOutputsParams
from nbllm.notebook.grid import gathered, settings
from nbllm.notebook.sampling_flags import SAMPLING
from nbllm.notebook.structured import STRUCTURED_FLAGS

NOT_FLAGS = {"output_kind"}
"""What a stream yields is the magic's business."""


def sent(llm):
    """The parameters of the last call's first prompt."""
    return llm.calls[-1][1][0]


def test_every_field_has_a_flag(shell):
    names = {f.name for f in fields(SamplingParams)} - NOT_FLAGS
    assert names == {*SAMPLING, "structured_outputs", "logits_processors"}
    parser = shell.find_cell_magic("generate").__self__.generate.parser
    dests = {action.dest for action in parser._actions}
    assert set(SAMPLING) <= dests
    own = {f.name for f in fields(StructuredOutputsParams)}
    assert own <= dests
    assert STRUCTURED_FLAGS


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--presence-penalty 0.5 --frequency-penalty -0.5 -r 1.2",
         {"presence_penalty": 0.5, "frequency_penalty": -0.5, "repetition_penalty": 1.2}),
        ("--stop-token-ids 1,2 --allowed-token-ids '[3, 4]'",
         {"stop_token_ids": [1, 2], "allowed_token_ids": [3, 4]}),
        ("--logit-bias 5=-100,7=2.5", {"logit_bias": {5: -100.0, 7: 2.5}}),
        ("--bad-words 'a b' --bad-words c", {"bad_words": ["a b", "c"]}),
        ("--prompt-logprobs 2 -l 3 --truncate-prompt-tokens 9",
         {"prompt_logprobs": 2, "logprobs": 3, "truncate_prompt_tokens": 9}),
        ("--no-detokenize --no-skip-special-tokens --no-spaces-between-special-tokens",
         {"detokenize": False, "skip_special_tokens": False,
          "spaces_between_special_tokens": False}),
        ("-s x --include-stop-str-in-output", {"stop": ["x"], "include_stop_str_in_output": True}),
        ("--regex '[a-d]+'", {"structured_outputs": StructuredOutputsParams(regex="[a-d]+")}),
        ("-c yes -c no", {"structured_outputs": StructuredOutputsParams(choice=["yes", "no"])}),
        ("--choices names", {"structured_outputs": StructuredOutputsParams(choice=["x", "y"])}),
        ("--json schema", {"structured_outputs": StructuredOutputsParams(json={"type": "object"})}),
        ("""--json '{"type": "array"}' --whitespace-pattern ' ?'""",
         {"structured_outputs": StructuredOutputsParams(
             json={"type": "array"}, whitespace_pattern=" ?")}),
        ("--json-object", {"structured_outputs": StructuredOutputsParams(json_object=True)}),
        ("--grammar lark", {"structured_outputs": StructuredOutputsParams(grammar='start: "a"')}),
    ],
)  # fmt: skip
def test_flags_become_parameters(run, llm, shell, flags, expected):
    shell.user_ns.update(names=pd.Series(["x", "y"]), schema={"type": "object"}, lark='start: "a"')
    result = run(f"%%generate -m 3 {flags}\nhi there")
    assert {name: getattr(sent(llm), name) for name in expected} == expected
    # the record is JSON, whatever was asked for
    data, metadata = result._repr_mimebundle_()
    json.dumps([data, metadata, result.df.attrs["nbllm"]], allow_nan=False)


def test_processors_of_logits(run, llm, shell):
    def twice(token_ids, logits):
        return 2 * logits

    shell.user_ns["twice"] = twice
    result = run("%%generate -m 1 --logits-processors twice\nhi")
    assert sent(llm).logits_processors == [twice]
    assert "twice" in json.dumps(result._repr_mimebundle_()[1])


def test_grid(run, llm, shell):
    shell.user_ns["f"] = pd.DataFrame({"x": ["a b", "c"], "note": [1, 2]})
    run("%%generate out --over f --grid temperature=0,0.7 top_p=0.5,1 -m 2\n{{ x }}")
    out, params = shell.user_ns["out"], llm.calls[-1][1]
    assert out.columns[-2:].tolist() == ["temperature", "top_p"]
    assert out.temperature.tolist() == [0, 0, 0.7, 0.7] * 2
    assert out.top_p.tolist() == [0.5, 1, 0.5, 1] * 2
    assert out.note.tolist() == [1] * 4 + [2] * 4
    assert out.index.tolist() == [0] * 4 + [1] * 4
    assert [p.temperature for p in params] == out.temperature.tolist()
    # settings share the seed of their prompt
    assert [p.seed - params[0].seed for p in params] == [0] * 4 + [1] * 4


def test_grid_of_seeds_and_several_completions(run, llm):
    result = run("%%generate --grid seed=1..3 n=1,2 -m 1\nhi")
    assert [p.seed for p in llm.calls[-1][1]] == [1, 1, 2, 2, 3, 3]
    assert result.df.n.tolist() == [1, 2, 2] * 3
    assert result.df.output.tolist() == [0, 0, 1] * 3
    html = result._repr_mimebundle_()[0]["text/html"]
    assert "seed=3, n=2" in html
    assert html.count("nbllm-prompt") >= 1


def test_a_grid_ends_where_the_prompt_begins():
    assert gathered(["--grid", "a=1", "b=2", "say", "x=1"]) == ["--grid", "a=1\0b=2", "say", "x=1"]
    assert settings(None) == [{}]
    assert settings("seed=4..2") == [{"seed": 4}, {"seed": 3}, {"seed": 2}]
    assert settings("max-tokens=1,None\0stop=a,\\n") == [
        {"max_tokens": m, "stop": s} for m in (1, None) for s in ("a", "\n")
    ]
    assert settings("ignore_eos=true,false") == [{"ignore_eos": True}, {"ignore_eos": False}]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("%%generate --grid temprature=1\nhi", "no setting 'temprature'; did you mean 'temperature'"),
        ("%%generate --grid temperature=hot\nhi", "--grid temperature: invalid float value: 'hot'"),
        ("%%generate --grid ignore_eos=1\nhi", "--grid ignore_eos: true or false, got '1'"),
        ("%%generate --grid temperature=0,1 -n 2\nhi", "n must be 1 when temperature is 0"),
        ("%%generate --grid temperature=7\nhi", "temperature must lie in [0, 2]"),
        ("%%generate --json nope\nhi", "--json nope: there is no such variable"),
        ("%%generate --json '{'\nhi", "--json takes a variable's name or a JSON schema"),
        ("%%generate --regex a --choice b\nhi", "takes exactly one of"),
        ("%%generate --choices text\nhi", "--choices text: that is a str, a list of texts"),
        ("%%generate --append\nhi", "--append adds to a DataFrame: say to which"),
        ("%%generate text --append\nhi", "--append: text is a str, a DataFrame is needed"),
        ("%%generate --logit-bias x\nhi", "argument --logit-bias: invalid biases value: 'x'"),
        ("%%generate --checkpoint /nowhere/x.jsonl\nhi", "there is no folder '/nowhere'"),
        ("%%generate --checkpoint /\nhi", "--checkpoint /: Is a directory"),
        ("%%generate --help\nhi", "%generate? explains every flag"),
        ("%%generate --presense-penalty 1\nhi", "did you mean '--presence-penalty'"),
    ],
)  # fmt: skip
def test_mistakes(fails, llm, shell, source, message):
    shell.user_ns["text"] = "words"
    assert message in fails(source)
    assert llm.calls == []


def test_append(run, llm, shell):
    run("%%generate out --append -m 1\na")
    run("%%generate out --append -m 1 -n 2\nb")
    out = shell.user_ns["out"]
    assert out.prompt.tolist() == ["a", "b", "b"]
    assert out.index.tolist() == [0, 1, 2]
    assert out.attrs["nbllm"]["appended_to"] == 1
    assert "n" not in out
    run("%%generate out --append --grid top_k=1,2 -m 1\nc")
    run("%%generate out --append -m 1 -k 9 --temperature 0.5\nc")
    out = shell.user_ns["out"]
    assert out.top_k.tolist() == [0, 0, 0, 1, 2, 9]
    assert out.temperature.tolist() == [0.7, 0.7, 0.7, 0.7, 0.7, 0.5]
    assert out.columns[-2:].tolist() == ["top_k", "temperature"]
    assert out.attrs["nbllm"]["varied"] == ["top_k", "temperature"]


def test_append_to_a_frame_of_the_users(run, shell):
    mine = pd.DataFrame({"text": ["by hand"], "temperature": [21.5]}, index=["mon"])
    mine.attrs["source"] = "the thermometer"
    shell.user_ns["mine"] = mine
    run("%%generate mine --append -m 1 -t 0\na")
    grown = shell.user_ns["mine"]
    assert grown.text.tolist() == ["by hand", " a"]
    assert grown.temperature.isna().tolist() == [False, True]
    assert grown.attrs["source"] == "the thermometer"


def test_trim_keeps_the_end_and_says_so(run, llm, shell, capsys):
    llm.max_model_len = 40
    shell.user_ns["long"] = " ".join(f"w{i}" for i in range(60))
    result = run("%%generate -m 5 --trim\n{{ long }}")
    assert sent(llm).truncate_prompt_tokens == 35
    assert (
        "the prompt did not fit; 25 tokens of the beginning were left out"
        in capsys.readouterr().out
    )
    assert result.df.attrs["nbllm"]["tails"] == {"0": 35}
    run("%%generate -m 5 --trim\nshort")
    assert sent(llm).truncate_prompt_tokens is None
    assert "trim" not in capsys.readouterr().out


def test_trim_drops_the_oldest_turns(run, llm, capsys):
    llm.max_model_len = 40
    run("%chat -m 3 --system 'be brief' one two three")
    for _ in range(6):
        run("%chat -m 3 --trim four five six")
    [messages] = llm.calls[-1][0]
    assert messages[0] == {"role": "system", "content": "be brief"}
    assert messages[1]["role"] == "user"
    assert len(messages) < 14
    assert "oldest messages were left out" in capsys.readouterr().out
    # the conversation itself is whole
    assert len(run("%chat -m 1 --trim seven").messages) == 17


def test_what_does_not_fit_says_which_row_and_the_way_out(fails, llm, shell):
    llm.max_model_len = 40
    rows = pd.DataFrame({"x": ["short", "long " * 60]})
    shell.user_ns["rows"] = rows
    line = fails("%%generate --over rows\n{{ x }}")
    assert line == (
        "PromptError: row 1: a prompt of 60 tokens leaves no room for an answer in max_model_len=40; "
        "--trim sends its end, or shorten it"
    )
    assert "--trim leaves the oldest turns out" in fails("%%chat\n{{ rows.x[1] }}")
    assert "the last message alone does not fit" in fails("%%chat --trim\n{{ rows.x[1] }}")
    # before anything has run
    assert llm.calls == []


def test_over_takes_an_expression(run, llm, shell):
    shell.user_ns["rows"] = pd.DataFrame({"x": ["a", "b", "c"]})
    run("%%generate -m 1 --over rows.head(2)\n{{ x }}")
    assert llm.calls[-1][0] == ["a", "b"]
    run("%%generate -m 1 --over 'rows[[v in \"bc\" for v in rows.x]]'\n{{ x }}")
    assert llm.calls[-1][0] == ["b", "c"]
    run("%%generate -m 1 --choices rows.x.tolist()[1:]\nwhich")
    assert sent(llm).structured_outputs.choice == ["b", "c"]


def test_words_behind_two_dashes(run, llm):
    run("%generate -m 1 -t 0 -- The -x of -- all --seed 3")
    assert llm.calls[-1][0] == ["The -x of -- all --seed 3"]
    run("%generate one -m 1 -- -two")
    assert llm.calls[-1][0] == ["one -two"]


def test_stream_and_no_stream(run, llm, shell, monkeypatch):
    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    run("%%generate out -m 2 --grid seed=1..80\nhi")
    assert llm.stream_options == {"concurrency_limit": 1024}
    run("%%generate out -m 2 --grid seed=1..80 --stream\nhi")
    assert llm.stream_options == {}
