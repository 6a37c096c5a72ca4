"""What a TokenExplorer may begin with."""

from dataclasses import replace

import pandas as pd
import pytest

from nbllm import BeamSearchParams, SamplingParams
from nbllm.errors import ParamError, PromptError
from nbllm.results.generation import Generation
from nbllm.results.provenance import Provenance
from nbllm.results.work import Work
from nbllm.widgets import TokenExplorer

GREEDY = SamplingParams(temperature=0, max_tokens=6, logprobs=3, ignore_eos=True)


@pytest.fixture
def llm(resident_ascii_llm):
    return resident_ascii_llm


@pytest.fixture
def explore(llm):
    made = []

    def explore(*args, **named):
        made.append(TokenExplorer(*args, **named))
        assert made[-1].wait(30)
        assert made[-1].error == ""
        return made[-1]

    yield explore
    for each in made:
        each.close()


def output(llm, prompt="abc", **changes):
    [made] = llm.generate(prompt, replace(GREEDY, **changes), use_tqdm=False)
    return made


def generation(llm, prompts=("abc",), **changes):
    params = replace(GREEDY, **changes)
    work = Work(kind="completions", prompts=list(prompts), requests=list(prompts), params=params)
    work.seed(7)
    outputs = llm.generate(list(prompts), work.params_of(0), use_tqdm=False)
    made = Provenance.of(llm.info(), work.params, kind="completions")
    return Generation(outputs=outputs, work=work, provenance=made, seconds=0.1)


def test_an_output(explore, llm):
    made = output(llm)
    explorer = explore(made)
    [branch] = explorer.branches
    assert branch.logprobs == made.outputs[0].logprobs
    assert (branch.prompt, branch.text, branch.finish_reason) == (
        "abc", made.outputs[0].text, "length",
    )  # fmt: skip
    assert (explorer.prompt, explorer.params.max_tokens) == ("abc", 256)


def test_an_output_without_alternatives_is_scored(explore, llm):
    for logprobs in (None, 0):
        made = output(llm, logprobs=logprobs, n=1)
        [branch] = explore(made).branches
        known = output(llm, logprobs=5).outputs[0].logprobs
        assert [list(p) for p in branch.logprobs] == [list(p) for p in known]
        assert branch.cumulative_logprob == pytest.approx(
            made.outputs[0].cumulative_logprob, abs=1e-4
        )
        assert branch.finish_reason == "length"


def test_several_completions_are_siblings(explore, llm):
    made = output(llm, n=3, temperature=1.0, seed=3, logprobs=None)
    explorer = explore(made)
    assert [b.text for b in explorer.branches] == [c.text for c in made.outputs]
    assert [b.scored for b in explorer.branches] == [True] * 3


def test_a_completion_needs_its_prompt(explore, llm):
    made = output(llm)
    with pytest.raises(ParamError, match="give the RequestOutput, or prompt="):
        TokenExplorer(made.outputs[0])
    for prompt in ("abc", made.prompt_token_ids, {"prompt": "abc"}):
        [branch] = explore(made.outputs[0], prompt=prompt).branches
        assert (branch.prompt_ids, branch.text) == (made.prompt_token_ids, made.outputs[0].text)
    with pytest.raises(ParamError, match="a RequestOutput knows its prompt"):
        TokenExplorer(made, prompt="abc")


def test_a_result_brings_its_parameters(explore, llm):
    made = generation(llm, temperature=0.7, max_tokens=4, logprobs=2)
    explorer = explore(made)
    assert (explorer.params.temperature, explorer.params.max_tokens) == (0.7, 4)
    # or drawing again would draw the same
    assert explorer.params.seed is None
    assert explorer.df.seed.tolist() == [7]
    assert explore(made, GREEDY).params.temperature == 0
    from nbllm import replay

    assert replay(explorer).identical


def test_children_of_a_result_are_made_again_one_by_one(explore, llm):
    from nbllm import replay

    explorer = explore(generation(llm, temperature=1.0, n=3, logprobs=2))
    assert explorer.df.seed.tolist() == [7, 8, 9]
    assert explorer.params.n == 1
    assert replay(explorer).identical


def test_one_prompt_at_a_time(llm):
    made = generation(llm, ("abc", "xyz"))
    with pytest.raises(ParamError, match="one prompt is explored at a time, got 2 outputs"):
        TokenExplorer(made)
    with pytest.raises(ParamError, match="got 2 outputs"):
        TokenExplorer(made.outputs)
    with pytest.raises(ParamError, match="got 2 prompts"):
        TokenExplorer(["abc", "xyz"])


def test_a_list_of_one_output_will_do(explore, llm):
    assert explore([output(llm)]).shown.text == output(llm).outputs[0].text


def test_of_another_model(llm):
    made = generation(llm)
    made.provenance.model["fingerprint"] = "other"
    with pytest.raises(ParamError, match=r"this was made with .* load that one"):
        TokenExplorer(made)
    foreign = output(llm)
    foreign.outputs[0].token_ids[0] = 10**6
    with pytest.raises(PromptError, match="not in the vocabulary of this model"):
        TokenExplorer(foreign)


def test_a_row_of_a_frame(explore, llm):
    made = generation(llm)
    row = made.df.iloc[0]
    for source in (row, made.df):
        [branch] = explore(source).branches
        assert (branch.prompt, branch.text) == ("abc", row.text)
        assert branch.finish_reason == "length"
        assert branch.cumulative_logprob == pytest.approx(row.cumulative_logprob, abs=1e-3)
    chat = made.df.copy()
    chat.attrs["nbllm"] = {"kind": "chat"}
    with pytest.raises(ParamError, match="has the message, not the prompt"):
        TokenExplorer(chat.iloc[0])
    with pytest.raises(ParamError, match="the frame has 2 rows"):
        TokenExplorer(pd.concat([made.df, made.df]))
    with pytest.raises(
        ParamError, match="needs a column text, and prompt before it; this one has a"
    ):
        TokenExplorer(pd.DataFrame({"a": [1]}))


def test_a_beam_search(explore, llm):
    [found] = llm.beam_search("abc", BeamSearchParams(beam_width=3, max_tokens=5))
    explorer = explore(found)
    assert [b.text for b in explorer.branches] == [s.generated_text for s in found.sequences]
    assert explorer.df.cumulative_logprob.tolist() == pytest.approx(
        [s.cum_logprob for s in found.sequences], abs=1e-4
    )


def test_a_text(explore, llm):
    explorer = explore(text="hello there")
    [branch] = explorer.branches
    [score] = llm.score("hello there", use_tqdm=False)
    assert branch.token_ids == score.token_ids
    assert branch.cumulative_logprob == pytest.approx(score.cumulative_logprob, abs=1e-4)
    assert explorer.prompt == "hello there"
    assert explorer.view.facts == "branch 1 · given"
    # it is a prompt like any other
    explorer.params = GREEDY
    explorer.generate()
    assert explorer.wait(30)
    assert explorer.shown.text == output(llm, "hello there").outputs[0].text


def test_a_text_behind_a_prompt(explore, llm):
    explorer = explore(text=" there", prompt="hello")
    [score] = llm.score("hello", " there", use_tqdm=False)
    assert explorer.shown.token_ids == score.token_ids
    assert explorer.shown.cumulative_logprob == pytest.approx(score.cumulative_logprob, abs=1e-4)
    assert (explorer.prompt, explorer.shown.text) == ("hello", " there")
    with pytest.raises(ParamError, match="goes without a source"):
        TokenExplorer("hello", text=" there")
    with pytest.raises(PromptError, match="no token to score"):
        TokenExplorer(text="")


def test_the_text_in_the_field_is_scored(explore, llm):
    explorer = explore()
    explorer.prompt = "hello there"
    explorer.score()
    assert explorer.wait(30)
    assert explorer.shown.scored
    assert explorer.prompt == "hello there"


def test_token_ids_and_messages(explore, llm):
    ids = llm.tokenizer.encode("abc")
    assert explore(ids, GREEDY).shown.text == output(llm).outputs[0].text
    explorer = explore({"prompt_token_ids": ids}, GREEDY)
    assert explorer.shown.prompt_ids == ids
    # generated from once more they are the same ids, whatever their text would be
    explorer.generate()
    assert explorer.wait(30)
    assert explorer.shown.prompt_ids == ids


def test_messages(explore, llm, monkeypatch):
    template = "{% for m in messages %}<{{ m.content }}>{% endfor %}"
    monkeypatch.setattr(llm, "_chat_template", template)
    explorer = explore([{"role": "user", "content": "hi"}], GREEDY)
    assert explorer.prompt == "<hi>"
    assert explorer.shown.text == output(llm, explorer.shown.prompt_ids).outputs[0].text


def test_what_is_nothing_to_explore(llm):
    with pytest.raises(PromptError):
        TokenExplorer(3.5)


def test_two_trees_in_one_widget(explore, llm):
    explorer = explore("abc", GREEDY)
    explorer.explore(output(llm, "xyz"))
    assert explorer.wait(30)
    assert explorer.df.prompt.tolist() == ["abc", "xyz"]
    spans = explorer.compare(1, 2)
    assert spans.logprob_b.sum() == pytest.approx(explorer.shown.cumulative_logprob)
    assert explorer.view.pins["A"]["shared"] == 0
