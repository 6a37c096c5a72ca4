"""A TokenExplorer from Python: the page's half is in tests/browser."""

import json
import math
import re
from types import SimpleNamespace

import pandas as pd
import pytest
from ipywidgets.widgets.widget import _instances
from until import until

import nbllm
from nbllm import SamplingParams, StructuredOutputsParams
from nbllm.errors import NoModelError, ParamError, PromptError
from nbllm.views import MIME
from nbllm.widgets import TokenExplorer
from nbllm.widgets.branches import choices

GREEDY = SamplingParams(temperature=0, max_tokens=6, logprobs=3, ignore_eos=True)
LONG = SamplingParams(max_tokens=200, logprobs=2, ignore_eos=True, seed=1)


@pytest.fixture
def llm(resident_ascii_llm):
    return resident_ascii_llm


@pytest.fixture
def explore(llm):
    """f(…) → a TokenExplorer that has ended what it began with."""
    made = []

    def explore(*args, **named):
        made.append(TokenExplorer(*args, **named))
        return done(made[-1])

    yield explore
    for each in made:
        each.close()


def done(explorer):
    assert explorer.wait(30)
    assert explorer.error == ""
    return explorer


def branched(explorer, *args, **named):
    explorer.branch(*args, **named)
    return done(explorer).shown


def spelled(branch):
    """Its tokens, the special ones too."""
    return "".join(next(iter(p.values())).decoded_token for p in branch.logprobs)


def sent(view, monkeypatch):
    """The messages to the page from now on."""
    messages = []
    monkeypatch.setattr(view, "send", messages.append)
    return messages


def test_without_arguments(explore):
    explorer = explore()
    assert (explorer.prompt, explorer.branches, explorer.shown) == ("", [], None)
    assert len(explorer.df) == len(explorer.tokens_frame()) == 0
    assert list(explorer.df.columns)[:5] == ["branch", "name", "parent", "position", "token"]
    assert explorer.static()[0]["text/plain"] == "TokenExplorer: nothing has been explored"
    with pytest.raises(ParamError, match="there is no text yet"):
        explorer.branch(0)
    with pytest.raises(PromptError, match="empty"):
        explorer.generate()


def test_a_prompt_is_generated_from(explore, llm):
    explorer = explore("abc", GREEDY)
    [expected] = llm.generate("abc", GREEDY, use_tqdm=False)
    assert explorer.shown.token_ids == expected.outputs[0].token_ids
    assert explorer.shown.text == expected.outputs[0].text
    assert explorer.shown.logprobs == expected.outputs[0].logprobs
    assert explorer.shown.cumulative_logprob == pytest.approx(
        expected.outputs[0].cumulative_logprob, abs=1e-4
    )
    assert nbllm.last.outputs[0].outputs[0].token_ids == explorer.shown.token_ids
    assert explorer.view.result["completions"][0]["text"] == explorer.shown.text


def test_every_alternative_of_every_position_is_a_branch(explore, llm):
    """The tokens are those that the model generates behind the same tokens."""
    explorer = explore("abc", GREEDY)
    root = explorer.shown
    for position, known in enumerate(root.logprobs[:3]):
        for token in choices(known):
            branch = branched(explorer, position, token, of=1)
            ids = [*root.prompt_ids, *root.token_ids[:position], token]
            [made] = llm.generate([ids], GREEDY, use_tqdm=False)
            begun = position + 1
            assert branch.token_ids == [
                *root.token_ids[:position],
                token,
                *made.outputs[0].token_ids,
            ]
            assert branch.logprobs[position][token] == known[token]
            assert next(iter(branch.logprobs[position])) == token
            assert branch.logprobs[begun:] == made.outputs[0].logprobs
            assert branch.text == llm.tokenizer.decode(branch.token_ids)
            assert (branch.parent, branch.position, branch.num_given) == (root, position, begun)


def test_a_branch_of_a_branch(explore):
    explorer = explore("abc", GREEDY)
    first = branched(explorer, 2, choices(explorer.shown.logprobs[2])[1])
    second = branched(explorer, 5, choices(first.logprobs[5])[2])
    assert second.token_ids[:5] == first.token_ids[:5]
    assert second.parent is first
    lines = [(line["branch"], line["depth"]) for line in explorer.view.branches]
    assert lines == [(1, 0), (2, 1), (3, 2)]


def test_the_sum_of_a_branch_is_what_score_says(explore, llm):
    explorer = explore("abc", GREEDY)
    branch = branched(explorer, 3, choices(explorer.shown.logprobs[3])[1])
    [score] = llm.score([branch.prompt_ids], [branch.token_ids], use_tqdm=False)
    assert branch.cumulative_logprob == pytest.approx(score.cumulative_logprob, abs=1e-4)


def test_any_text_can_be_written(explore, llm):
    explorer = explore("abc", GREEDY)
    branch = branched(explorer, 2, "zyx", of=1)
    begun = 2 + len(llm.tokenizer.encode("zyx", add_special_tokens=False))
    assert branch.text.startswith(explorer.branches[0].text[:2] + "zyx")
    assert branch.num_given == begun
    assert len(branch.logprobs) == begun + 6
    [score] = llm.score([branch.prompt_ids], [branch.token_ids], use_tqdm=False)
    values = [next(iter(p.values())).logprob for p in branch.logprobs]
    assert values == pytest.approx(score.logprobs, abs=1e-4)


def test_the_text_of_an_alternative_is_that_token(explore):
    explorer = explore("abc", GREEDY)
    known = explorer.shown.logprobs[1]
    token = choices(known)[2]
    assert branched(explorer, 1, known[token].decoded_token).token_ids[1] == token


def test_going_on_and_drawing_again(explore):
    explorer = explore("abc", SamplingParams(temperature=1.5, max_tokens=8, logprobs=2))
    first = explorer.shown
    more = branched(explorer)
    assert more.token_ids[: len(first.token_ids)] == first.token_ids
    assert more.position == len(first.token_ids)
    again = [branched(explorer, 0, of=1).token_ids for _ in range(3)]
    assert len({tuple(ids) for ids in [first.token_ids, *again]}) > 1


def test_n_branches_at_once(explore):
    explorer = explore("abc", SamplingParams(n=3, max_tokens=5, logprobs=2, ignore_eos=True))
    assert [b.number for b in explorer.branches] == [1, 2, 3]
    branched(explorer, 2, of=2)
    assert [b.parent and b.parent.number for b in explorer.branches[3:]] == [2, 2, 2]
    assert [b.running for b in explorer.branches] == [False] * 6
    assert nbllm.replay(explorer).identical


def test_a_token_that_ends_the_text_ends_the_branch(explore, llm):
    explorer = explore("abc", GREEDY)
    known = explorer.shown.logprobs[2]
    stop, eos = choices(known)[1], next(iter(llm.intake.eos_ids))
    explorer.params = SamplingParams(temperature=0, max_tokens=6, logprobs=3, stop_token_ids=[stop])
    branch = branched(explorer, 2, stop, of=1)
    assert (branch.token_ids[2:], branch.finish_reason, branch.running) == ([stop], "stop", False)
    # one that is no alternative is scored
    ended = branched(explorer, 4, eos, of=1)
    assert (ended.token_ids[4:], ended.finish_reason, ended.running) == ([eos], "stop", False)
    assert ended.cumulative_logprob < explorer.branches[0].logprob_after(0)
    explorer.params = GREEDY
    assert len(branched(explorer, 4, eos, of=1).token_ids) == 11


def test_settings_hold_for_what_comes(explore):
    explorer = explore("abc", GREEDY)
    stop = explorer.shown.text[3]
    explorer.params = SamplingParams(temperature=0, max_tokens=2, logprobs=1, ignore_eos=True)
    assert len(branched(explorer, 4).token_ids) == 6
    explorer.params = SamplingParams(temperature=0, max_tokens=9, logprobs=1, stop=[stop])
    cut = branched(explorer, 1, of=1)
    assert cut.finish_reason == "stop"
    assert cut.text == explorer.branches[0].text[:3]


@pytest.mark.parametrize(
    ("position", "token", "said"),
    [(7, None, "from 0 to 6"), (-1, None, "from 0 to 6"), (0, 10**9, "outside the vocabulary")],
)
def test_wrong_places_and_tokens(explore, position, token, said):
    explorer = explore("abc", GREEDY)
    with pytest.raises((ParamError, PromptError), match=said):
        explorer.branch(position, token)
    assert len(explorer.branches) == 1


def test_unknown_branches(explore):
    explorer = explore("abc", GREEDY)
    branched(explorer, 1)
    with pytest.raises(ParamError, match=r"7 is no branch; there are: 1 \('branch 1'\), 2"):
        explorer.show(7)
    explorer.rename("same", 1)
    explorer.rename("same", 2)
    with pytest.raises(ParamError, match="'same' is the name of several"):
        explorer.show("same")
    with pytest.raises(ParamError, match="empty"):
        explorer.rename("  ")


def test_structured_outputs_hold_for_the_whole_text(explore):
    wanted = StructuredOutputsParams(regex="x[a-c]{4}y")
    explorer = explore("x", SamplingParams(structured_outputs=wanted, max_tokens=9, logprobs=2))
    root = explorer.shown.text
    other = "a" if root[2] != "a" else "b"
    branch = branched(explorer, 2, other)
    assert re.fullmatch("x[a-c]{4}y", branch.text)
    assert branch.text[:3] == root[:2] + other
    assert branch.finish_reason == "stop"
    assert nbllm.replay(explorer).identical
    explorer.branch(2, "z")
    assert explorer.wait(30)
    assert "structured_outputs, after" in explorer.error
    assert [b.number for b in explorer.branches] == [1, 2]


def test_the_page_gets_what_is_given_at_once_and_then_new_tokens(explore, monkeypatch):
    explorer = explore("abc", LONG)
    messages = sent(explorer.view, monkeypatch)
    with explorer.runs.lock:
        explorer.view._handle_custom_msg(
            {"action": "branch", "of": 1, "position": 20, "choice": 1}, []
        )
        assert explorer.view.shown == 2
        tokens = explorer.view.result["completions"][0]["tokens"]
        assert len(tokens) == 21
        assert explorer.view.running
    done(explorer)
    count = 21
    for part in (part for message in messages for part in message["parts"]):
        assert part["start"] == count
        count += len(part["tokens"])
    assert len(explorer.view.result["completions"][0]["tokens"]) == 221
    assert messages
    assert {m["run"] for m in messages} == {explorer.view.result["run"]}


def test_stop_keeps_what_there_is(explore, monkeypatch):
    explorer = explore("abc", LONG)
    messages = sent(explorer.view, monkeypatch)
    explorer.branch(3)
    until(lambda: messages)
    explorer.stop()
    done(explorer)
    assert explorer.shown.number == 2
    assert explorer.shown.finish_reason == "abort"
    assert explorer.df.finish_reason.tolist() == ["length", "abort"]
    assert len(explorer.shown.token_ids) == len(explorer.shown.logprobs)


def test_branching_off_what_still_grows(explore, llm, monkeypatch):
    """Nothing is lost: it ends where it is, and its tokens are those that were shown."""
    explorer = explore()
    explorer.params = LONG
    explorer.prompt = "abc"
    messages = sent(explorer.view, monkeypatch)
    explorer.generate()
    until(lambda: sum(len(p["tokens"]) for m in messages for p in m["parts"]) > 5)
    explorer.branch(2)
    done(explorer)
    first, second = explorer.branches
    assert first.finish_reason == "abort"
    assert second.parent is first
    assert second.token_ids[:2] == first.token_ids[:2]
    until(lambda: llm.engine.num_unfinished == 0)


def test_looking_at_another_branch_lets_the_run_go_on(explore, monkeypatch):
    explorer = explore("abc", LONG)
    explorer.branch(10, choices(explorer.shown.logprobs[10])[1])
    explorer.show(1)
    assert not explorer.view.running
    assert [line["reason"] for line in explorer.view.branches] == ["length", "running"]
    explorer.show(2)
    done(explorer)
    assert len(explorer.view.result["completions"][0]["tokens"]) == 211
    explorer.branch(20)
    explorer.show(1)
    done(explorer)
    assert explorer.view.shown == 1
    assert [line["num_tokens"] for line in explorer.view.branches] == [200, 211, 220]


def test_what_never_began_is_no_branch(explore, llm, monkeypatch):
    explorer = explore("abc", GREEDY)

    def refuse(*_):
        raise ParamError("no")

    with monkeypatch.context() as patched:
        patched.setattr(llm, "astream", refuse)
        explorer.branch(2)
        assert explorer.wait(30)
    assert explorer.error == "no"
    assert [b.number for b in explorer.branches] == [1]
    assert explorer.shown is explorer.branches[0]
    assert explorer.view.shown == 1
    # what went wrong before is no longer shown
    branched(explorer, 2)


def test_stopped_before_anything(explore):
    explorer = explore("abc", GREEDY)
    with explorer.runs.lock:
        explorer.branch(1)
        explorer.stop()
    assert explorer.wait(30)
    if len(explorer.branches) == 1:
        assert explorer.view.note == "stopped before anything was generated"
    else:
        assert explorer.shown.finish_reason in ("abort", "length")


def test_removing(explore):
    explorer = explore("abc", GREEDY)
    branched(explorer, 1)
    branched(explorer, 4)
    branched(explorer, 2, of=1)
    explorer.pin("A", 3)
    explorer.pin("B", 1)
    explorer.show(3)
    explorer.remove(2)
    assert [b.number for b in explorer.branches] == [1, 4]
    assert list(explorer.pins) == list(explorer.view.pins) == ["B"]
    assert explorer.shown.number == explorer.view.shown == 1
    assert branched(explorer, 3).number == 5
    explorer.remove(1)
    assert (explorer.branches, explorer.shown, explorer.view.shown) == ([], None, 0)
    assert explorer.view.result == {}


def test_names(explore):
    explorer = explore("abc", GREEDY)
    explorer.rename(" the first ")
    assert explorer.df.name.tolist() == ["the first"]
    assert branched(explorer, 1, of="the first").parent.name == "the first"
    assert explorer.view.facts.startswith("branch 2 · from the first at 1, “")


def test_comparing(explore):
    explorer = explore("abc", GREEDY)
    branch = branched(explorer, 2, choices(explorer.shown.logprobs[2])[1])
    spans = explorer.compare(1, 2)
    root = explorer.branches[0]
    assert "".join(spans.text_a) == spelled(root)
    assert "".join(spans.text_b) == spelled(branch)
    assert spans.logprob_a.sum() == pytest.approx(root.cumulative_logprob)
    assert spans.logprob_b.sum() == pytest.approx(branch.cumulative_logprob)
    assert (spans.text_a == spans.text_b)[spans.shared].all()
    assert spans.shared.iloc[0]
    assert spans.position_b.iloc[1] == 2
    pins = explorer.view.pins
    assert [pins[n]["branch"] for n in "AB"] == [1, 2]
    assert pins["B"]["shared"] == 2
    assert pins["B"]["after"] == pytest.approx(branch.logprob_after(2), abs=1e-3)
    assert pins["B"]["differs"][0][0] == 2
    for name, text in {"A": "text_a", "B": "text_b"}.items():
        said = [
            "".join(t["text"] for t in pins[name]["tokens"][i:j]) for i, j in pins[name]["differs"]
        ]
        assert said == spans[text][~spans.shared].tolist()
    with pytest.raises(ParamError, match="as A or B, got 'C'"):
        explorer.pin("C")
    explorer.unpin("A")
    assert explorer.view.pins["B"]["differs"] is None


def test_a_pinned_branch_that_grows_is_compared_when_it_has_ended(explore):
    explorer = explore("abc", GREEDY)
    explorer.pin("A", 1)
    with explorer.runs.lock:
        explorer.branch(2)
        explorer.pin("B", 2)
        assert explorer.view.pins["B"]["num_tokens"] == 2
    done(explorer)
    assert explorer.view.pins["B"]["num_tokens"] == 8


def test_the_frame_of_branches(explore):
    explorer = explore("abc", GREEDY)
    token = choices(explorer.shown.logprobs[2])[1]
    branched(explorer, 2, token)
    explorer.params = SamplingParams(temperature=0.9, seed=5, max_tokens=3, logprobs=2)
    branched(explorer)
    frame = explorer.df
    assert frame.branch.tolist() == [1, 2, 3]
    assert frame.parent.isna().tolist() == [True, False, False]
    assert frame.parent.tolist()[1:] == [1, 2]
    assert frame.position.tolist() == [0, 2, 9]
    assert frame.token.iloc[1] == explorer.branches[0].logprobs[2][token].decoded_token
    assert frame.prompt.tolist() == ["abc"] * 3
    assert frame.text.tolist() == [b.text for b in explorer.branches]
    assert frame.num_tokens.tolist()[:2] == [6, 9]
    assert frame.cumulative_logprob.tolist() == [b.cumulative_logprob for b in explorer.branches]
    assert frame.temperature.tolist() == [0, 0, 0.9]
    assert frame.seed.iloc[2] == 5
    assert "ignore_eos" in frame.columns
    assert "top_p" not in frame.columns


def test_the_frame_of_tokens(explore):
    explorer = explore("abc", GREEDY)
    branched(explorer, 2, choices(explorer.shown.logprobs[2])[1])
    tokens = explorer.tokens_frame()
    assert tokens.groupby("branch").size().tolist() == [6, 9]
    assert tokens.groupby("branch").logprob.sum().tolist() == pytest.approx(
        explorer.df.cumulative_logprob.tolist()
    )
    second = tokens[tokens.branch == 2]
    assert second.inherited.tolist() == [True] * 2 + [False] * 7
    assert second.position.tolist() == list(range(9))
    assert (second["rank"] >= 1).all()
    assert second.top_tokens.map(len).tolist() == [3] * 9
    assert second.token_id.tolist() == explorer.shown.token_ids


def test_frames_at_any_moment(explore, monkeypatch):
    explorer = explore("abc", LONG)
    messages = sent(explorer.view, monkeypatch)
    explorer.branch(3)
    until(lambda: messages)
    frame, tokens = explorer.df, explorer.tokens_frame()
    assert len(frame) == 2
    assert set(tokens.branch) == {1, 2}
    done(explorer)


def test_frames_are_bound_by_name(explore, monkeypatch):
    explorer, names = explore("abc", GREEDY), {}
    monkeypatch.setattr("nbllm.widgets.binding.get_ipython", lambda: None)
    with pytest.raises(ParamError, match="no notebook"):
        explorer.to_frame("mine")
    shell = SimpleNamespace(user_ns=names)
    monkeypatch.setattr("nbllm.widgets.binding.get_ipython", lambda: shell)
    explorer.to_frame("mine")
    assert names["mine"].equals(explorer.df)
    assert len(names["mine_tokens"]) == 6
    assert (
        explorer.view.note == "mine is a DataFrame of 1 row, mine_tokens is a DataFrame of 6 rows"
    )
    with pytest.raises(ParamError, match="not a variable name"):
        explorer.to_frame("not one")


def test_all_branches_can_be_made_again(explore, tmp_path):
    from nbllm.replays import replayed
    from nbllm.replays.notebook import recordings

    explorer = explore("abc", SamplingParams(temperature=0.8, max_tokens=6, logprobs=2))
    branched(explorer, 3)
    branched(explorer, 2, "zy")
    explorer.explore(text="a text of somebody")
    done(explorer)
    assert nbllm.replay(explorer).identical
    assert nbllm.replay(nbllm.last).identical
    # and from the notebook that was saved
    bundles = [explorer.static(), nbllm.last._repr_mimebundle_()]
    outputs = [{"data": data, "metadata": metadata} for data, metadata in bundles]
    path = tmp_path / "saved.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "outputs": outputs}]}))
    [(_, recording), (_, last)] = recordings(path)
    assert replayed(last).identical
    assert [len(each) for each in recording.expected] == [1, 1, 1, 0]
    assert replayed(recording).identical
    recording.expected[1][0].token_ids[2] += 1
    assert not replayed(recording).identical


def test_the_static_view_has_the_tree(explore):
    explorer = explore("abc", GREEDY)
    data, _ = explorer.static()
    assert "setting" not in data[MIME]["outputs"][0]
    branched(explorer, 2, choices(explorer.shown.logprobs[2])[1])
    branched(explorer, 1, of=1)
    data, metadata = explorer.static()
    settings = [o["setting"] for o in data[MIME]["outputs"]]
    # in the order of the tree
    assert [s.split(":")[0] for s in settings] == ["branch 1", "branch 3", "branch 2"]
    assert settings[2].startswith("branch 2: from branch 1 at 2, “")
    assert [o["completions"][0]["text"] for o in data[MIME]["outputs"]] == [
        explorer.branches[i].text for i in (0, 2, 1)
    ]
    assert explorer.view.stand_in == {"data": data, "metadata": metadata}
    assert "<script" not in data["text/html"]


def test_closing_leaves_nothing(llm, published):
    before = set(_instances)
    explorer = TokenExplorer("abc", LONG)
    explorer._ipython_display_()
    explorer.close()
    assert set(_instances) == before
    assert [update for _, update, _, _ in published] == [False, True]
    until(lambda: llm.engine.num_unfinished == 0)


def test_closed_while_it_runs_it_leaves_what_there_is(llm, published, monkeypatch):
    explorer = TokenExplorer()
    explorer._ipython_display_()
    explorer.params, explorer.prompt = LONG, "abc"
    messages = sent(explorer.view, monkeypatch)
    explorer.generate()
    until(lambda: messages)
    explorer.close()
    [completion] = published[-1][2][MIME]["outputs"][0]["completions"]
    assert completion["finish_reason"] == "abort"
    assert 0 < completion["num_tokens"] < 200


def test_a_branch_reads_its_prefix_from_the_cache(explore, llm):
    explorer = explore("abcdefgh" * 18, GREEDY)
    branch = branched(explorer, 3, choices(explorer.shown.logprobs[3])[1])
    [made] = branch.made.outputs
    # all the whole pages of 64 tokens
    assert made.num_cached_tokens == len(made.prompt_token_ids) // 64 * 64 == 128
    assert re.search(
        r"first token after \d+ ms, .* 128 of 1\d\d tokens cached", explorer.view.facts
    )


def test_an_unknown_model_leaves_no_widget(llm):
    before = set(_instances)
    with pytest.raises(NoModelError, match="did you mean 'ascii'"):
        TokenExplorer("abc", model="asci")
    with pytest.raises(PromptError, match="empty"):
        TokenExplorer("")
    assert set(_instances) == before


def test_a_vanished_model_is_an_error_inside(explore):
    explorer = explore("abc", GREEDY)
    explorer.model = "gone"
    explorer.attempt(explorer.branch, 1)
    assert "no model called 'gone' is loaded" in explorer.error
    explorer.attempt(explorer.rename, "kept")
    assert explorer.df.name.tolist() == ["kept"]
    assert math.isfinite(explorer.df.cumulative_logprob[0])
    assert isinstance(explorer.df, pd.DataFrame)


def test_tokens_of_another_model_are_none_of_this_ones(explore, monkeypatch):
    explorer = explore("abc", GREEDY)
    explorer.branches[0].fingerprint = "other"
    with pytest.raises(ParamError, match=r"of another model than .*; set \.model to the name"):
        explorer.branch(1)
    explorer._typed.fingerprint = "other"
    explorer._typed.prompt_ids = [1, 2]
    explorer.generate()
    assert done(explorer).shown.prompt_ids != [1, 2]


def test_while_it_is_scored_a_text_is_a_text(explore, llm):
    explorer = explore()
    with explorer.runs.lock:
        explorer.explore(text="hello there")
        [shown] = explorer.view.result["completions"]
        assert shown["text"] == explorer.shown.text
        assert "tokens" not in shown
        assert explorer.df.cumulative_logprob.isna().tolist() == [True]
        assert explorer.tokens_frame().logprob.isna().all()
    done(explorer)
    assert len(explorer.view.result["completions"][0]["tokens"]) == len(explorer.shown.token_ids)


def test_very_long_branches_are_shown_as_text(explore, monkeypatch):
    monkeypatch.setattr("nbllm.views.MAX_TOKENS", 50)
    monkeypatch.setattr("nbllm.views.data.MAX_TOKENS", 50)
    explorer = explore("abc", LONG)
    assert "tokens" not in explorer.view.result["completions"][0]
    assert "use .branch(position, token)" in explorer.view.facts
    assert len(branched(explorer, 5).token_ids) == 205
