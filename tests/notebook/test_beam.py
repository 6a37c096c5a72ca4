"""%beam and %%beam, as a user types them."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from beam_outputs import Words, searched

import nbllm
from nbllm.frames import BEAM_COLUMNS, TRACE_COLUMNS
from nbllm.notebook.search_flags import SEARCH
from nbllm.sampling_params import BeamSearchParams, StructuredOutputsParams
from nbllm.views import MIME


def params(llm):
    return llm.calls[-1][1]


def test_without_a_name_the_result_is_the_value(run, llm, shell):
    result = run("%%beam --width 2 --max-tokens 3\none two three")
    assert llm.calls[-1][0] == ["one two three"]
    assert result.text == " one two three"
    assert result is shell.user_ns["_"] is nbllm.last
    assert list(result.df.columns) == list(BEAM_COLUMNS)
    assert result.df.equals(nbllm.to_frame(result.outputs))
    assert result.df["rank"].tolist() == [1, 2]
    assert repr(result) == f"<Found: 2 sequences, {result.df.num_tokens.sum()} tokens>"
    assert list(result.trace.columns) == TRACE_COLUMNS


@pytest.mark.parametrize("line", ["%%beam out -m 2", "%%beam --out out -m 2", "%%beam out << -m 2"])
def test_a_name_gets_the_frame(run, llm, shell, capsys, line):
    """The search is shown as well, unless --quiet: a frame does not say how it went."""
    shown = run(f"{line}\na b c")
    out = shell.user_ns["out"]
    assert shown.df.equals(out)
    capsys.readouterr()
    assert run(f"{line} --quiet\na b c") is None
    out = shell.user_ns["out"]
    assert out.text[0] == " a b"
    assert capsys.readouterr().out == ""
    provenance = out.attrs["nbllm"]
    assert provenance["kind"] == "beam"
    assert provenance["params"] == {"beam_width": 5, "max_tokens": 2}
    assert provenance["model"] == {
        "name": "fake",
        "fingerprint": "f00d",
        "dtype": "float32",
    }
    # nothing is drawn
    assert provenance["seed"] is None


def test_a_line_is_a_prompt(run, llm, shell):
    shell.user_ns["what"] = "fox"
    assert run("%beam -m 2 -w 2 the {{ what }}").outputs[0].prompt == "the fox"
    run("%beam frame << -m 1 -w 2 hello there")
    assert shell.user_ns["frame"].prompt.unique().tolist() == ["hello there"]


def test_a_trace_is_bound_beside_the_frame(run, llm, shell):
    run("%%beam out --trace steps -w 2 -m 3\na b c")
    steps = shell.user_ns["steps"]
    assert steps.equals(nbllm.last.outputs[0].trace_frame())
    assert set(steps.state) == {"live", "pruned", "finished", "returned"}
    assert steps.attrs["nbllm"] == shell.user_ns["out"].attrs["nbllm"]
    # without a name for the frame the result is shown, and the trace bound all the same
    assert run("%%beam --trace again -w 2 -m 3\na b c") is nbllm.last
    assert shell.user_ns["again"].equals(steps)


def test_defaults_and_config(run, llm):
    run("%beam hi there")
    assert params(llm) == BeamSearchParams(beam_width=5, max_tokens=32)
    run("%config Nbllm.max_tokens = 9\n%config Nbllm.temperature = 0.3\n%beam hi there")
    # a temperature for drawing is none for searching
    assert params(llm) == BeamSearchParams(beam_width=5, max_tokens=9)


def test_every_parameter_has_a_flag(run, llm, shell):
    shell.user_ns.update(w=4, ids=[2, 3])
    run(
        r"%beam --width {{ w }} -m 6 --length-penalty 0.5 -n 3 -t 0.7 --stop '\n' --stop x "
        "--stop-token-ids {{ ids }} --ignore-eos --allowed-token-ids 1,2,3 "
        "--include-stop-str-in-output --no-skip-special-tokens --early-stopping never hi there"
    )
    assert params(llm) == BeamSearchParams(
        beam_width=4, max_tokens=6, length_penalty=0.5, num_return_sequences=3, temperature=0.7,
        stop=["\n", "x"], stop_token_ids=[2, 3], ignore_eos=True, allowed_token_ids=[1, 2, 3],
        include_stop_str_in_output=True, skip_special_tokens=False, early_stopping="never",
    )  # fmt: skip
    run("%beam --beam-width 4 --groups 2 --diversity-penalty 0.5 hi there")
    assert (params(llm).num_beam_groups, params(llm).diversity_penalty) == (2, 0.5)
    for text, value in (("true", True), ("False", False), ("{{ 'true' }}", True)):
        run(f"%beam --early-stopping {text} hi there")
        assert params(llm).early_stopping is value
    run("%beam --regex [a-z]+ hi there")
    assert params(llm).structured_outputs == StructuredOutputsParams(regex="[a-z]+")
    assert {f.name for f in fields(BeamSearchParams)} - {*SEARCH} == {"structured_outputs"}
    text = shell.find_cell_magic("beam").__doc__
    parser = shell.magics_manager.registry["Nbllm"].beam.parser
    flags = [action.option_strings for action in parser._actions if action.dest in SEARCH]
    assert len(flags) == len(SEARCH)
    assert all(flag[-1] in text for flag in flags)


def test_over_a_frame(run, llm, shell):
    places = pd.DataFrame({"city": ["Oslo", "Rome"], "rank": [7, 8]}, index=["n", "s"])
    shell.user_ns.update(places=places)
    run("%%beam out --over places -w 2 -m 2 --trace t\n{{ city }} is {{ rank }}")
    out, t = shell.user_ns["out"], shell.user_ns["t"]
    assert out.prompt.tolist() == ["Oslo is 7"] * 2 + ["Rome is 8"] * 2
    assert out.index.tolist() == ["n", "n", "s", "s"]
    assert out.columns[:2].tolist() == ["city", "rank_over"]
    assert out["rank"].tolist() == [1, 2, 1, 2]
    assert t.columns.tolist() == ["city", "rank_over", *TRACE_COLUMNS]
    assert set(t.index) == {"n", "s"}
    run("empty = places[:0]\n%beam none << --over empty --trace t {{ city }}")
    assert shell.user_ns["none"].shape == (0, 2 + len(BEAM_COLUMNS))
    assert shell.user_ns["t"].shape == (0, 2 + len(TRACE_COLUMNS))
    shown = run("%beam --over empty {{ city }}")._repr_mimebundle_()[0]
    assert shown["text/plain"] == "nothing was searched"
    assert "nothing was searched" in shown["text/html"]


def test_an_interrupt_keeps_the_best_so_far(fails, shell, llm):
    def at_step(step):
        if step == 3:
            raise KeyboardInterrupt

    llm.at_step = at_step
    line = fails("%%beam out --trace t -w 2 -m 9\na b c d")
    assert (
        line == "GenerationInterrupted: interrupted: 0 of 1 prompts finished, the rest is partial"
    )
    out = shell.user_ns["out"]
    assert (out.text[0], out.finish_reason[0], out.num_tokens[0]) == (" a b", "abort", 2)
    assert shell.user_ns["t"].step.max() == 2
    assert nbllm.last.df.equals(out)


@pytest.mark.parametrize("when", [1, 3])
def test_without_a_name_the_best_so_far_is_shown(shell, llm, monkeypatch, when):
    published = []
    monkeypatch.setattr(shell.display_pub, "publish", lambda **content: published.append(content))

    def at_step(step):
        if step == when:
            raise KeyboardInterrupt

    llm.at_step = at_step
    assert not shell.run_cell("%beam -w 2 -m 9 a b c d").success
    [content] = published
    assert "interrupted" in content["data"]["text/plain"]
    assert content["metadata"]["nbllm"]["params"]["beam_width"] == 2
    assert content["metadata"]["nbllm"]["kind"] == "beam"
    assert set(content["data"]) == {"text/plain", "text/html", MIME}
    assert nbllm.last.outputs[0].history.num_steps == when - 1


def test_autoload(run, fails, shell, capsys):
    run("%config Nbllm.autoload = False")
    assert fails("%beam hi there").startswith("NoModelError: no model is loaded")
    run("%config Nbllm.autoload = True")
    run("%beam out << -m 1 hi there")
    assert "'tiny'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("%beam --widht 3 hi", "unknown option --widht; did you mean '--width'?"),
        ("%beam --width many hi", "argument -w/--width/--beam-width: invalid int value: 'many'"),
        ("%beam --width {{ 'many' }} hi", "argument --beam-width: invalid int value: 'many'"),
        ("%beam --width 0 hi", "ParamError: beam_width must be ≥ 1, got 0"),
        ("%beam --early-stopping often hi", "True, False or 'never', got 'often'"),
        ("%beam --stop-token-ids x hi", "argument --stop-token-ids: invalid token ids value: 'x'"),
        ("%beam --groups 2 hi", "ParamError: num_beam_groups must divide beam_width=5, got 2"),
        ("%beam -n 9 hi", "ParamError: num_return_sequences must be at most beam_width=5, got 9"),
        ("%beam --top-p 0.9 hi", "unknown option --top-p"),
        ("%beam", "the prompt is empty"),
        ("%%beam\n{{ '' }}", "PromptError: a prompt is empty"),
        ("%%beam a --trace b-c\nhi", "'b-c' is not a variable name"),
        ("%%beam a --trace a\nhi", "two variables for the frame and its trace, got a for both"),
        ("%%beam --over nope\nhi", "--over nope: there is no such variable"),
        ("%%beam --model other\nhi", "NoModelError: no model called 'other' is loaded"),
    ],
)
def test_mistakes_are_one_line(fails, shell, llm, source, message):
    shell.user_ns.update(a="kept")
    assert message in fails(source)
    assert shell.user_ns["a"] == "kept"


def test_the_fake_searches_as_the_engine_does(ascii_llm):
    """What the other tests stand on: a plain search finds what the engine found."""
    wanted = BeamSearchParams(beam_width=3, max_tokens=4, ignore_eos=True)
    [output] = ascii_llm.beam_search("ab", wanted)
    vocabulary = range(ascii_llm.config.vocab_size)

    def choices(ids):
        before = {"prompt_token_ids": [*output.prompt_token_ids, *ids]}
        one = BeamSearchParams(beam_width=6, max_tokens=1, ignore_eos=True)
        [step] = ascii_llm.beam_search([before], one)
        table = step.trace_frame()
        return dict(zip(table.token_id, np.exp(table.logprob), strict=True))

    words = Words(*(str(i) for i in vocabulary[1:]))
    plain = searched(words, choices, wanted, prompt_ids=tuple(output.prompt_token_ids))
    assert [s.generated_token_ids for s in plain.sequences] == [
        s.generated_token_ids for s in output.sequences
    ]
    assert plain.trace_frame().state.tolist() == output.trace_frame().state.tolist()
