"""%%score, %%choose and %compare over frames."""

import pandas as pd
import pytest
from html_page import HOSTILE, Page

from nbllm import views


@pytest.fixture
def reviews(shell):
    shell.user_ns["reviews"] = pd.DataFrame(
        {"review": ["great soup", "cold tea", "so so"], "rank": [3, 1, 2]}, index=list("abc")
    )


def test_score_a_continuation_or_the_text(run, llm, shell, reviews):
    run("%%score out --over reviews -c ' {{ rank }} of five'\n{{ review }}")
    out = shell.user_ns["out"]
    assert out.continuation.tolist() == [" 3 of five", " 1 of five", " 2 of five"]
    assert out["rank"].tolist() == [3, 1, 2]
    assert out.index.tolist() == list("abc")
    assert out.cumulative_logprob.tolist() == [-1.5] * 3
    result = run("%score the text itself")
    assert result.df.continuation.isna().all()
    assert result.df.perplexity[0] == pytest.approx(1.6487, abs=1e-4)
    assert "−1.50" in result._repr_mimebundle_()[0]["text/plain"]


def test_choose(run, llm, shell, reviews):
    run('%%choose out --over reviews -c " good" -c " terrible"\nReview: {{ review }}\nIt is')
    out = shell.user_ns["out"]
    assert out.choice.tolist() == [" good", " terrible"] * 3
    assert out["rank"].tolist() == [1, 2] * 3
    assert out.rank_over.tolist() == [3, 3, 1, 1, 2, 2]
    assert out.groupby(level=0).probability.sum().tolist() == pytest.approx([1, 1, 1])
    shell.user_ns["names"] = ["no", "yes"]
    run("%%choose best --over reviews --choices names --best\n{{ review }}")
    best = shell.user_ns["best"]
    assert best.choice.tolist() == ["no"] * 3
    assert best.index.tolist() == list("abc")
    result = run("%choose -c a -c '{{ 1 + 1 }}bc' which")
    assert result.df.choice.tolist() == ["a", "2bc"]
    assert result.text == "a"


def test_no_rows(run, llm, shell):
    shell.user_ns["none"] = pd.DataFrame({"x": []})
    run("%%score out --over none\n{{ x }}")
    assert shell.user_ns["out"].shape == (0, 8)
    run("%%choose out --over none -c a\n{{ x }}")
    assert shell.user_ns["out"].shape == (0, 8)


@pytest.mark.parametrize("magic", ["score", "choose -c 'a b' -c c"])
def test_an_interrupt_keeps_the_parts_before(run, fails, shell, llm, monkeypatch, capsys, magic):
    monkeypatch.setattr("nbllm.notebook.labels.AT_ONCE", 2)
    shell.user_ns["f"] = pd.DataFrame({"x": ["a b", "b c", "c d", "d e", "e f"]})
    calls = []

    def at_step(step):
        calls.append(step)
        if len(calls) == 3:
            raise KeyboardInterrupt

    llm.at_step = at_step
    cell = f"%%{magic} out --over f\n{{{{ x }}}}"
    assert "4 of 5 prompts were done; run the cell again to do the rest" in fails(cell)
    part = shell.user_ns["out"]
    assert part.x.drop_duplicates().tolist() == ["a b", "b c", "c d", "d e"]
    # a row that has changed is done again, the others are not
    shell.user_ns["f"].loc[1, "x"] = "x y"
    run(cell)
    assert "going on: 3 of 5 prompts were done" in capsys.readouterr().out
    assert len(calls) == 4
    whole = shell.user_ns["out"]
    assert whole.x.drop_duplicates().tolist() == ["a b", "x y", "c d", "d e", "e f"]
    assert whole.prompt.tolist() == whole.x.tolist()
    run(cell)
    assert len(calls) == 7


@pytest.mark.parametrize("magic", ["score", "choose -c 'a b' -c c --best"])
def test_a_checkpoint_goes_on_in_another_kernel(
    run, fails, shell, llm, monkeypatch, magic, tmp_path
):
    monkeypatch.setattr("nbllm.notebook.labels.AT_ONCE", 2)
    shell.user_ns["f"] = pd.DataFrame({"x": ["a b", "b c", "c d", "d e", "e f"]})
    cell = f"%%{magic} out --over f --checkpoint {tmp_path / 'labels'}\n{{{{ x }}}}"
    run(cell)
    whole, calls = shell.user_ns["out"], []
    lines = (tmp_path / "labels").read_text().splitlines(keepends=True)
    (tmp_path / "labels").write_text("".join(lines[:4]) + lines[4][:20])
    shell.run_line_magic("reload_ext", "nbllm")
    llm.at_step = calls.append
    run(cell)
    assert len(calls) == 1
    pd.testing.assert_frame_equal(shell.user_ns["out"], whole)
    other = cell.replace("%%score", "%%score -c z").replace("--best", "--best --normalize")
    if "choose" in magic:
        assert "is of another run: normalize is False there, True here" in fails(other)


def test_mistakes(fails, llm):
    assert "choose among what?" in fails("%choose which")
    assert "use one" in fails("%choose -c a --choices b which")
    assert "what is to be compared?" in fails("%compare hi")
    assert "--setting x: flags only, got 'hello'" in fails("%compare --setting 'x hello' hi")
    assert "unknown option --hot" in fails("%compare --setting 'x --hot 3' hi")
    assert "--setting x: --over is for the whole" in fails("%compare --setting 'x --over f' hi")
    assert "--setting ' ' needs a name first" in fails("%compare --setting ' ' hi")


def bundles(result):
    data, _ = result._repr_mimebundle_()
    return Page(data["text/html"]), data


def test_the_views_are_safe_and_script_free(run, llm, shell):
    shell.user_ns["bad"] = pd.DataFrame({"x": [HOSTILE, "ok then"]})
    shown = [
        bundles(run("%%score --over bad\n{{ x }} more")),
        bundles(run("%%choose --over bad -c '{{ x }}' -c b\n{{ x }} more")),
    ]
    for page, data in shown:
        assert "script" not in page.tags
        assert not any(name.startswith("on") for name, _ in page.attributes)
        for text in (page.text, data["text/plain"]):
            assert "\x1b" not in text
            assert "\u202e" not in text
        assert "<script>" in page.text
        assert data[views.MIME]["version"] == 1


def test_many_settings_of_one_prompt_stand_below_each_other(run, llm):
    def heads(cell):
        page, data = bundles(run(cell))
        return page.text, data["text/html"].partition("<thead>")[2].partition("</thead>")[0]

    few, head = heads("%%compare -m 2 --grid top_k=1..4\nsay it")
    assert head.count("<th>") == 5
    assert few.index("top_k=4") < few.index("length")
    many, head = heads("%%compare -m 2 --grid top_k=1..5\nsay it")
    assert head == "<tr><th>setting</th><th>text</th></tr>"
    assert many.count("say it") == 1 + 5
    assert many.index("top_k=1") < many.index("length") < many.index("top_k=2")


@pytest.fixture
def real(bare_shell):
    """A shell over the bundled model."""
    from nbllm import resident

    bare_shell.run_line_magic("load_ext", "nbllm")
    llm = resident.load("tiny")
    yield bare_shell
    bare_shell.run_line_magic("unload_ext", "nbllm")
    resident.unload()
    del llm


def test_compare(real):
    cell = (
        "%%compare out -m 6 --setting 'greedy -t 0' --setting 'warm -t 1.2 -n 2' "
        "--setting 'beam --width 2' --grid top_k=1,5\nOnce upon a time"
    )
    real.run_cell(cell).raise_error()
    out = real.user_ns["out"]
    names = ["greedy", "warm", "warm", "beam", "beam", "top_k=1", "top_k=5"]
    assert out.setting.tolist() == names
    assert out.num_tokens.max() <= 6
    assert {"distinct_1", "mean_logprob", "temperature", "beam_width"} <= set(out.columns)
    from nbllm import last, replay

    page, data = bundles(last)
    assert data[views.MIME]["columns"] == ["greedy", "warm", "beam", "top_k=1", "top_k=5"]
    assert "warm" in page.text
    assert replay(last).identical


def test_flags_of_the_comparison_hold_for_searches_too(real):
    real.run_cell(
        "%%compare -t 0.3 -m 6 --stop . --setting 'a -m 4' --setting 'b --width 2' "
        "--setting 'c --width 2 -m 3 --stop x'\nOnce upon a time"
    ).raise_error()
    from nbllm import last

    a, b, c = last.settings.values()
    assert (a.temperature, a.max_tokens, a.stop) == (0.3, 4, ["."])
    assert (b.temperature, b.max_tokens, b.stop) == (0, 6, ["."])
    assert (c.max_tokens, c.stop) == (3, ["x"])


def test_an_interrupt_of_the_scores_keeps_what_was_generated(real, monkeypatch):
    from nbllm import LLM

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    # only a search by logits / T has to be scored
    monkeypatch.setattr(LLM, "score", interrupted)
    cell = "%%compare out -m 3 --setting 'a -t 0' --setting 'b --width 2 -t 0.5'\nOnce upon"
    assert not real.run_cell(cell).success
    out = real.user_ns["out"]
    assert out.setting.tolist() == ["a", "b", "b"]
    assert out.cumulative_logprob.isna().tolist() == [False, True, True]
    from nbllm import last

    assert all(output.finished for output in last.outputs)


def test_compare_models(real):
    real.run_cell("%nbllm load tiny --name other").raise_error()
    real.run_cell("%compare out << --models tiny,other -t 0 -m 4 The capital of France is")
    out = real.user_ns["out"]
    assert out.model.tolist() == ["tiny", "other"]
    assert out.text[0] == out.text[1]
