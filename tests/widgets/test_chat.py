"""A Chat from Python: the page's half is in tests/browser."""

import json
from dataclasses import replace
from threading import Event

import pytest
from ipywidgets.widgets.widget import _instances
from until import until

import nbllm
from nbllm import SamplingParams, StructuredOutputsParams
from nbllm.errors import NoModelError, ParamError, TemplateError
from nbllm.results.conversation import Conversation
from nbllm.sampling_params import RequestOutputKind
from nbllm.views import MIME
from nbllm.widgets import Chat

GREEDY = SamplingParams(temperature=0, max_tokens=6, logprobs=2, ignore_eos=True)
LONG = SamplingParams(max_tokens=200, logprobs=1, ignore_eos=True, seed=1)
MORE = SamplingParams(temperature=1.0, max_tokens=6, ignore_eos=True)


@pytest.fixture
def llm(resident_ascii_llm):
    return resident_ascii_llm


@pytest.fixture
def chat(llm):
    chat = Chat(params=GREEDY)
    yield chat
    chat.close()


def done(chat, error=""):
    assert chat.wait(30)
    assert chat.error.startswith(error) if error else chat.error == ""
    return chat.result


def said(chat, text):
    chat.say(text)
    return done(chat)


def texts(chat):
    return [m["content"] for m in chat.messages]


def shown(chat):
    return [(m["content"], f"{m['branch']}/{m['branches']}") for m in chat.view.messages]


def sent(chat, monkeypatch):
    """The messages to the page from now on."""
    messages = []
    monkeypatch.setattr(chat.view, "send", messages.append)
    return messages


def page(chat, action, **fields):
    """What a click does."""
    chat.view._handle_custom_msg({"action": action, **fields}, [])


def test_without_arguments(llm):
    chat = Chat()
    assert chat.params.max_tokens is None
    assert chat.params.temperature == llm.get_default_sampling_params().temperature
    assert (chat.name, chat.system, chat.template, chat.trim, chat.tokens) == (
        "", "", None, False, True,
    )  # fmt: skip
    assert (chat.messages, chat.branches, chat.result) == ([], [], None)
    assert chat.df.columns.tolist() == [
        "role", "content", "finish_reason", "num_tokens", "cumulative_logprob",
    ]  # fmt: skip
    assert chat.static()[0]["text/plain"] == "nothing was said"
    chat.close()


def test_an_answer_is_what_chat_makes(chat, llm):
    result = said(chat, "hello")
    [expected] = llm.chat([{"role": "user", "content": "hello"}], GREEDY, use_tqdm=False)
    answer = expected.outputs[0]
    assert result.outputs[0].outputs[0].token_ids == answer.token_ids
    assert chat.messages == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": answer.text},
    ]
    assert chat.df.num_tokens.tolist()[1] == 6
    assert nbllm.last is result
    assert nbllm.replay(result).identical
    said(chat, "and")
    assert [m["role"] for m in chat.messages] == ["user", "assistant"] * 2
    assert chat.result.work.requests[0] == chat.messages[:3]


def test_the_page_gets_new_tokens_and_all_of_the_text(chat, monkeypatch):
    chat.params = LONG
    messages = sent(chat, monkeypatch)
    said(chat, "hi")
    count = 0
    for message in messages:
        assert message["kind"] == "more"
        assert message["start"] == count
        count += len(message["tokens"])
    assert len(messages) > 1
    assert messages[-1]["content"] == texts(chat)[-1]
    tokens = chat.view.messages[-1]["completion"]["tokens"]
    assert [t["text"] for m in messages for t in m["tokens"]] == [t["text"] for t in tokens]
    assert count == 200


def test_a_page_that_came_late_gets_everything(chat, monkeypatch):
    chat.params = LONG
    messages = sent(chat, monkeypatch)
    chat.say("hi")
    until(lambda: messages)
    with chat.runs.lock:
        known = sum(len(m["tokens"]) for m in messages)
        messages.clear()
        page(chat, "draw")
        assert len(messages[0]["tokens"]) == known
        assert messages[0]["start"] == 0
    assert [m["content"] for m in chat.view.messages] == ["hi"]
    assert (chat.view.growing, chat.view.running) == (True, True)
    done(chat)
    assert (chat.view.growing, chat.view.running) == (False, False)
    page(chat, "draw")


def test_stop_keeps_what_there_is(chat, monkeypatch):
    chat.params = LONG
    messages = sent(chat, monkeypatch)
    chat.say("hi")
    until(lambda: messages)
    page(chat, "stop")
    done(chat)
    assert chat.df.finish_reason.tolist()[1] == "abort"
    assert 0 < chat.df.num_tokens.tolist()[1] < 200


def test_stopped_before_anything_was_said_nothing_was(chat, llm, monkeypatch):
    messages, loaded = sent(chat, monkeypatch), Event()
    monkeypatch.setattr(chat, "llm", lambda: loaded.wait(30) and llm)
    chat.say("hi")
    chat.stop()
    done(chat)
    loaded.set()
    assert chat.messages == [] == chat.view.messages
    assert chat.view.note == "stopped before anything was said"
    assert messages[-1] == {"kind": "unsent", "text": "hi"}


def test_retry_edit_and_switch(chat):
    said(chat, "one")
    said(chat, "two")
    chat.params = MORE
    chat.retry()
    done(chat)
    assert [which for _, which in shown(chat)] == ["1/1", "1/1", "1/1", "2/2"]
    chat.edit(1, "uno")
    done(chat)
    assert shown(chat)[0] == ("uno", "2/2")
    assert len(chat.messages) == 2
    chat.switch(0, 1)
    assert [which for _, which in shown(chat)] == ["1/2", "1/1", "1/1", "2/2"]
    chat.switch(3, 1)
    assert [len(branch.turns) for branch in chat.branches] == [4, 4, 2]
    assert chat.conversation is chat.branches[0]
    # of an answer before the last, too
    chat.retry(1)
    done(chat)
    assert [which for _, which in shown(chat)] == ["1/2", "2/2"]
    with pytest.raises(ParamError, match="has 1 messages of yours, there is no number 5"):
        chat.edit(5, "x")


def test_a_seed_counts_on(chat, llm):
    chat.params = SamplingParams(temperature=1.0, max_tokens=6, ignore_eos=True, seed=7)
    for seed in (7, 8, 9):
        chat.retry() if chat.messages else chat.say("one")
        result = done(chat)
        assert result.work.params.seed == seed
        assert nbllm.replay(result).identical
    assert len({branch.turns[1].content for branch in chat.branches}) == 3
    assert chat.params.seed == 7
    # of a question without an answer it is as it is
    chat.undo()
    chat.conversations[""] = chat.conversation.asked("two")
    chat.retry()
    assert done(chat).work.params.seed == 7


def test_results_are_those_of_what_is_shown(chat):
    first = said(chat, "one")
    chat.params = MORE
    chat.retry()
    second = done(chat)
    assert second is not first
    chat.switch(1, 1)
    assert chat.result is first
    assert f"seed {first.work.params.seed}" in chat.view.facts
    assert "context " in chat.view.facts
    assert " of 256 tokens" in chat.view.facts


def test_undo_and_redo(chat):
    said(chat, "one")
    said(chat, "two")
    full = chat.messages
    chat.undo()
    assert (chat.messages, chat.view.ahead) == (full[:2], True)
    chat.undo()
    assert chat.messages == []
    chat.redo()
    assert chat.messages == full[:2]
    chat.redo()
    assert (chat.messages, chat.view.ahead) == (full, False)
    chat.undo()
    said(chat, "other")
    assert shown(chat)[2] == ("other", "2/2")


def test_continue(chat, llm):
    said(chat, "one")
    first = texts(chat)[-1]
    chat.continue_()
    result = done(chat)
    assert texts(chat)[-1].startswith(first)
    assert chat.df.num_tokens.tolist()[1] == 12
    assert len(chat.branches) == 1
    assert len(chat.view.messages[-1]["completion"]["tokens"]) == 12
    assert nbllm.replay(result).identical


def test_nothing_to_do_is_said(chat):
    for action, message in {
        "retry": "nothing to answer", "continue_": "nothing to continue", "undo": "nothing to undo",
        "redo": "nothing to redo", "code": "nothing to make again",
    }.items():  # fmt: skip
        with pytest.raises(ParamError, match=message):
            getattr(chat, action)()
    with pytest.raises(ParamError, match="the message is empty"):
        chat.say(" \n")


def test_one_answer_at_a_time(chat, monkeypatch):
    said(chat, "one")
    chat.params = LONG
    chat.say("two")
    for action, arguments in {
        "say": ["x"], "edit": [1, "x"], "retry": [], "undo": [], "switch": [0, 1],
    }.items():  # fmt: skip
        with pytest.raises(ParamError, match="an answer is under way"):
            getattr(chat, action)(*arguments)
    messages = sent(chat, monkeypatch)
    page(chat, "say", text="what I typed")
    assert {"kind": "unsent", "text": "what I typed"} in messages
    assert chat.error.startswith("an answer is under way")
    chat.stop()
    assert chat.wait(30)


def test_the_system_prompt(chat):
    chat.system = "be brief"
    assert chat.messages == [{"role": "system", "content": "be brief"}]
    assert chat.view.messages == []
    said(chat, "one")
    assert chat.result.work.requests[0][0] == {"role": "system", "content": "be brief"}
    chat._controls.system.value = "be long"
    assert texts(chat)[0] == "be long"
    assert shown(chat)[0] == ("one", "1/1")
    chat.system = ""
    assert [m["role"] for m in chat.messages] == ["user", "assistant"]


def test_a_system_prompt_that_changes_meanwhile_stays(chat):
    chat.params = LONG
    with chat.runs.lock:
        chat.say("one")
        chat.system = "be brief"
        assert chat.view.growing
    done(chat)
    assert [m["role"] for m in chat.messages] == ["system", "user", "assistant"]


def test_templates(chat, tmp_path, llm):
    file = tmp_path / "mine.jinja"
    file.write_text("own:{{ messages[-1].content }}")
    chat._controls.template.value = str(file)
    assert chat.template == "own:{{ messages[-1].content }}"
    assert chat._controls.template.value == str(file)
    assert said(chat, "one").outputs[0].prompt == "own:one"
    chat.template = "{{ messages[-1].content }}!"
    assert chat._controls.template.value.startswith("template ")
    assert said(chat, "two").outputs[0].prompt == "two!"
    chat._controls.template.value = "no-such-file"
    assert chat.error.startswith("cannot open the chat template 'no-such-file'")
    assert chat.template == "{{ messages[-1].content }}!"
    assert chat._controls.template.value.startswith("template ")
    chat._controls.template.value = "default"
    assert said(chat, "three").outputs[0].prompt.startswith("<bos><user>")
    chat._controls.template.value = ""
    assert chat.template is None
    with pytest.raises(TemplateError):
        chat.template = "nowhere"


def test_names(chat):
    said(chat, "one")
    chat.begin()
    assert (chat.name, chat.messages) == ("chat-1", [])
    said(chat, "two")
    chat._controls.new_name.value = "mine"
    chat._controls.new.click()
    assert chat.name == "mine"
    assert [value for _, value in chat._controls.name.options] == ["", "chat-1", "mine"]
    chat._controls.name.value = ""
    assert texts(chat)[0] == "one"
    assert shown(chat)[0] == ("one", "1/1")
    chat.name = "chat-1"
    assert chat._controls.name.value == "chat-1"
    with pytest.raises(ParamError, match="called 'mine' already"):
        chat.begin("mine")


def test_an_answer_goes_on_where_it_was_asked(chat, monkeypatch):
    chat.params = LONG
    chat.say("one")
    chat.begin("other")
    assert (chat.view.growing, chat.view.running, chat.view.messages) == (False, True, [])
    assert chat.view.facts == "an answer is under way in the conversation 'the usual one'"
    messages = sent(chat, monkeypatch)
    with pytest.raises(ParamError, match="under way"):
        chat.say("two")
    done(chat)
    assert chat.view.facts == ""
    assert messages == []
    assert chat.messages == []
    chat.name = ""
    assert len(chat.messages) == 2


def test_too_long(chat):
    chat.params = SamplingParams(max_tokens=60, ignore_eos=True, seed=1)
    for text in ("a" * 60, "b" * 60):
        said(chat, text)
    before = chat.messages
    chat.say("c" * 30)
    done(chat, "the conversation has 2")
    assert "no room for an answer in the model's context of 256: switch on trim" in chat.error
    assert chat.messages == before
    chat.trim = True
    result = said(chat, "c" * 30)
    assert chat.view.note == "the conversation did not fit; its 2 oldest messages were left out"
    assert len(result.work.requests[0]) == 3
    assert len(chat.messages) == 6
    chat.say("d" * 300)
    done(chat, "the last message alone does not fit the context; shorten it")


def test_one_message_that_is_too_long(chat, monkeypatch):
    messages = sent(chat, monkeypatch)
    chat.say("c" * 300)
    done(chat, "a prompt of 30")
    assert messages == [{"kind": "unsent", "text": "c" * 300}]


def test_cells_and_panels_share_conversations(shell):
    shell.run_cell("panel = __import__('nbllm').widgets.Chat()").raise_error()
    chat = shell.user_ns["panel"]
    chat.params = GREEDY
    shell.run_cell("%chat -m 3 -t 0 one").raise_error()
    until(lambda: len(chat.view.messages) == 2)
    assert chat.result is None
    assert chat.conversation.turns[-1] is nbllm.last.conversation.turns[-1]
    said(chat, "two")
    shell.run_cell("%chat -m 3 -t 0 three").raise_error()
    assert len(nbllm.last.messages) == 6
    shell.run_cell("%chat --edit 1 -m 3 -t 0 uno").raise_error()
    until(lambda: shown(chat)[0] == ("uno", "2/2"))
    until(lambda: ("chat-1", "chat-1") in chat._controls.name.options)
    chat.switch(0, 1)
    shell.run_cell("%chat -m 3 -t 0 four").raise_error()
    assert len(nbllm.last.messages) == 8
    shell.run_cell("%nbllm reset").raise_error()
    until(lambda: chat.view.messages == [])
    assert chat.messages == []
    chat.close()


def test_two_panels_at_once(llm):
    first = Chat(params=LONG)
    second = Chat(params=GREEDY, conversations=first.conversations)
    first.say("one")
    second.say("two")
    done(second)
    done(first)
    until(lambda: len(first.view.messages) == len(second.view.messages) == 2)
    # both were asked of the same conversation
    assert shown(first)[0][1] == "2/2"
    assert first.messages == second.messages
    first.close()
    said(second, "three")
    second.close()


def test_what_it_begins_with(llm):
    begun = Conversation().with_system("s").asked("one")
    parts = [{"role": "user", "content": [{"type": "text", "text": "one"}]}]
    for given in (begun, begun.messages, [begun.messages[0], *parts]):
        chat = Chat(given, GREEDY)
        assert chat.messages == begun.messages
        # a question without an answer gets one
        chat.retry()
        reply = done(chat)
        chat.close()
    again = Chat(reply, system="t", template="{{ messages[-1].content }}", name="x", trim=True)
    assert (again.name, again.system, again.trim) == ("x", "t", True)
    assert texts(again)[1:] == [m["content"] for m in reply.messages[1:]]
    again.close()


def test_mistakes_leave_no_widget(llm):
    before = set(_instances)
    for mistake, error in [
        ({"model": "asci"}, NoModelError),
        ({"params": SamplingParams(n=2)}, ParamError),
        ({"conversation": ["x"]}, ParamError),
        ({"conversation": [{"role": "user", "content": 3}]}, TemplateError),
        ({"template": "nowhere"}, TemplateError),
    ]:
        with pytest.raises(error):
            Chat(**mistake)
    assert set(_instances) == before


def test_one_answer(chat):
    with pytest.raises(ParamError, match="one answer, got n=3"):
        chat.params = SamplingParams(n=3)
    assert chat._settings.controls["n"].widget.layout.display == "none"


def test_export(chat):
    said(chat, "one")
    page(chat, "export", name="not a name")
    assert "'not a name' is not a variable name" in chat.error
    chat.attempt(chat.export, "talk")
    assert "there is no notebook to bind a variable in: use .conversation" in chat.error


def test_export_in_a_notebook(shell):
    chat = Chat(params=GREEDY)
    said(chat, "one")
    page(chat, "export", name="talk")
    assert shell.user_ns["talk"] is chat.conversation
    assert chat.view.note == "talk is a Conversation of 2 messages"
    shell.run_cell("%chat --from talk --name side -m 2 -t 0 more").raise_error()
    assert len(nbllm.last.messages) == 4
    chat.close()


CODE = {
    "plain": {"params": GREEDY},
    "drawn": {"params": MORE},
    "shaped": {
        "params": SamplingParams(
            structured_outputs=StructuredOutputsParams(regex="[a-c]{4}"), logit_bias={5: 1.0},
            max_tokens=9,
        )
    },
    "a template and a system prompt": {
        "params": GREEDY, "system": "it's\n'''\"", "template": "{{ messages[0].content }}!",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CODE)
def test_code_makes_the_same_answer(llm, name):
    chat = Chat(**CODE[name])
    said(chat, "one\n\u202e\\")
    said(chat, "two")
    *code, last = chat.code().split("\n")
    assert "\u202e" not in chat.code()
    space = {}
    exec("\n".join(code), space)
    assert eval(last, space) == texts(chat)[-1]
    page(chat, "code")
    assert chat.view.code == chat.code()
    if "drawn" in name:
        chat.continue_()
        result = done(chat)
        exec(chat.code().rpartition("\n")[0], space)
        assert space["answer"].outputs[0].text == result.text
    chat.close()


def test_code_of_an_answer_that_was_made_elsewhere(llm):
    begun = Conversation().asked("one")
    chat = Chat(begun, GREEDY, model="ascii")
    assert "nbllm.current('ascii').chat(messages, params, use_tqdm=False)" in chat.code()
    assert "temperature=0" in chat.code()
    chat.params = SamplingParams(logits_processors=[lambda ids, logits: logits])
    with pytest.raises(ParamError, match="functions"):
        chat.code()
    chat.close()


def test_the_static_view(chat, tmp_path):
    chat.system = "be brief"
    result = said(chat, "one")
    data, metadata = chat.static()
    assert [m["content"] for m in data[MIME]["messages"]] == texts(chat)
    assert data["text/plain"].splitlines()[:2] == ["system: be brief", "user: one"]
    assert chat.view.stand_in == {"data": data, "metadata": metadata}
    # and its last answer can be made again from the saved notebook
    from nbllm.replays import replayed
    from nbllm.replays.notebook import recordings

    cell = {"cell_type": "code", "outputs": [{"data": data, "metadata": metadata}]}
    path = tmp_path / "saved.ipynb"
    path.write_text(json.dumps({"cells": [cell]}))
    [(_, recording)] = recordings(path)
    assert recording.requests == [texts_of(result)]
    assert replayed(recording).identical


def texts_of(result):
    return result.work.requests[0]


def test_closing_leaves_the_conversation(llm, published):
    before = set(_instances)
    chat = Chat(params=GREEDY)
    chat._ipython_display_()
    said(chat, "one")
    chat.params = LONG
    chat.say("two")
    chat.close()
    assert set(_instances) == before
    assert published[-1][1] is True
    assert [m["content"] for m in published[-1][2][MIME]["messages"]] == texts(chat)
    until(lambda: llm.engine.num_unfinished == 0)
    # what others do to it does not reach it any more
    chat.conversations["x"] = Conversation()


def test_closed_while_it_answers_it_keeps_what_there_is(llm, published, monkeypatch):
    chat = Chat(params=LONG)
    chat._ipython_display_()
    messages = sent(chat, monkeypatch)
    chat.say("one")
    until(lambda: messages)
    chat.close()
    assert chat.df.finish_reason.tolist()[1] == "abort"
    assert nbllm.last is chat.result
    assert [m["content"] for m in published[-1][2][MIME]["messages"]] == texts(chat)
    until(lambda: llm.engine.num_unfinished == 0)


def test_whatever_the_output_kind_texts_grow(chat, llm):
    chat.params = replace(GREEDY, output_kind=RequestOutputKind.DELTA)
    said(chat, "hello")
    [expected] = llm.chat([{"role": "user", "content": "hello"}], GREEDY, use_tqdm=False)
    assert texts(chat)[1] == expected.outputs[0].text


def test_what_happens_elsewhere_leaves_the_code(chat):
    said(chat, "one")
    page(chat, "code")
    chat.conversations["other"] = Conversation().asked("x")
    until(lambda: ("other", "other") in chat._controls.name.options)
    assert chat.view.code
    said(chat, "two")
    assert not chat.view.code


def test_very_long_answers_are_shown_as_text(chat, monkeypatch):
    monkeypatch.setattr("nbllm.views.MAX_TOKENS", 50)
    messages = sent(chat, monkeypatch)
    chat.params = LONG
    said(chat, "one")
    assert sum(len(m["tokens"] or ()) for m in messages) <= 50
    assert messages[-1]["tokens"] is None
    assert "tokens" not in chat.view.messages[-1]["completion"]


def test_the_latest_messages_are_shown(chat, monkeypatch):
    monkeypatch.setattr("nbllm.widgets.chat_view.MAX_MESSAGES", 3)
    for text in "abc":
        said(chat, text)
    assert [m["place"] for m in chat.view.messages] == [3, 4, 5]
    assert [m["turn"] for m in chat.view.messages] == [2, 3, 3]


def test_a_vanished_model_is_an_error_inside(chat, monkeypatch):
    messages = sent(chat, monkeypatch)
    chat.model = "gone"
    chat.say("one")
    done(chat, "no model called 'gone' is loaded")
    assert messages == [{"kind": "unsent", "text": "one"}]
    assert not chat.view.running


def test_what_a_page_makes_up_is_an_error_inside(chat):
    page(chat, "edit", turn="x", text="y")
    assert chat.error
    page(chat, "switch", place=7, branch=1)
    assert "there is no branch 1 of message 7" in chat.error
    page(chat, "say", text=3)
    assert chat.error.startswith("AttributeError")
    page(chat, "nothing")


@pytest.mark.parametrize("line", ["%chatui p -t 0", "p = %chatui -t 0", "%chatui --out p -t 0"])
def test_the_magic(shell, line):
    shell.run_cell(line).raise_error()
    chat = shell.user_ns.get("p") or shell.user_ns["_"]
    assert chat.params.temperature == 0
    assert chat.conversations is shell.magics_manager.registry["Nbllm"].conversations
    if "ui p" in line:
        # on a line the words are a message
        done(chat)
        assert texts(chat)[0] == "p"
    chat.close()


def test_the_magic_with_everything(shell, tmp_path):
    (tmp_path / "t.jinja").write_text("{{ messages[-1].content }}")
    shell.user_ns.update(begun=[{"role": "user", "content": "zero"}], x=5)
    cell = (
        f"%%chatui p --name side --from begun --system brief --template {tmp_path}/t.jinja --trim "
        "-m 4 --seed 3\nsay {{ x }}"
    )
    shell.run_cell(cell).raise_error()
    chat = shell.user_ns["p"]
    result = done(chat)
    assert (chat.name, chat.system, chat.trim) == ("side", "brief", True)
    assert texts(chat)[:3] == ["brief", "zero", "say 5"]
    assert result.outputs[0].prompt == "say 5"
    assert (result.work.params.seed, result.work.params.max_tokens) == (3, 4)
    chat.close()
    # it was begun from nothing else but what flags say
    shell.run_cell("q = %chatui --name side").raise_error()
    assert texts(shell.user_ns["q"]) == texts(chat)
    shell.user_ns["q"].close()
    with pytest.raises(ParamError, match="got n=2"):
        shell.run_cell("%chatui --n 2").raise_error()
