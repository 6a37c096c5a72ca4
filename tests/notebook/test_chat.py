"""Conversations: they go on, by name; a turn that fails never happened."""

from dataclasses import replace
from functools import partial

import pandas as pd

from nbllm import views
from nbllm.chat import Style, parse
from nbllm.errors import PromptError


def test_a_conversation_goes_on(run, llm):
    run("%%chat -m 2 --system 'Be brief.'\nhello there")
    reply = run("%%chat -m 1\nand now")
    assert reply.text == " and"
    assert reply.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello there"},
        {"role": "assistant", "content": " hello there"},
        {"role": "user", "content": "and now"},
        {"role": "assistant", "content": " and"},
    ]
    assert llm.calls[-1][0] == [reply.messages[:-1]]
    assert reply.df.role.tolist() == [message["role"] for message in reply.messages]
    assert reply.df.num_tokens.tolist() == [pd.NA, pd.NA, 2, pd.NA, 1]


def test_names_and_reset(run, llm):
    run("%chat one")
    run("%chat --name tutor two")
    assert len(run("%chat three").messages) == 4
    assert len(run("%chat --name tutor four").messages) == 4
    assert len(run("%chat --reset five").messages) == 2
    assert run("%chat --reset --system 'You are terse.'") is None
    assert [m["role"] for m in run("%chat six").messages] == ["system", "user", "assistant"]
    assert len(run("%chat --name tutor seven").messages) == 6


def test_a_new_system_text_replaces_the_old(run, llm):
    run("%chat --system one hi")
    messages = run("%chat --system two hi").messages
    assert [m["content"] for m in messages if m["role"] == "system"] == ["two"]
    assert messages[0]["role"] == "system"


def test_an_earlier_reply_keeps_its_conversation(run, llm):
    first = run("%chat one")
    run("%chat two")
    assert len(first.messages) == 2


def test_the_frame_is_the_conversation(run, llm, shell):
    run("%%chat talk -m 1\nhello")
    assert shell.user_ns["talk"].content.tolist() == ["hello", " hello"]
    assert shell.user_ns["talk"].attrs["nbllm"]["model"]["name"] == "fake"


def test_a_failed_turn_never_happened(run, shell, llm):
    run("%chat one")

    def refuse(step):
        raise PromptError("too long")

    llm.at_step = refuse
    assert not shell.run_cell("%chat --reset two").success
    llm.at_step = lambda step: None
    assert [m["content"] for m in run("%chat three").messages if m["role"] == "user"] == [
        "one",
        "three",
    ]


def test_an_interrupted_answer_is_kept_and_marked(run, shell, llm):
    def interrupt(step):
        if step == 3:
            raise KeyboardInterrupt

    llm.at_step = interrupt
    assert not shell.run_cell("%chat a b c d").success
    llm.at_step = lambda step: None
    reply = run("%chat -m 1 more")
    assert reply.df.content.tolist() == ["a b c d", " a b", "more", " more"]
    assert reply.df.finish_reason.dropna().tolist() == ["abort", "length"]


def test_interrupted_before_its_first_word_a_turn_never_happened(run, shell, llm):
    def interrupt(step):
        raise KeyboardInterrupt

    run("%chat -m 1 first")
    llm.at_step = interrupt
    assert not shell.run_cell("%chat --reset lost").success
    llm.at_step = lambda step: None
    contents = [m["content"] for m in run("%chat -m 1 more").messages]
    assert contents == ["first", " first", "more", " more"]


def test_a_conversation_per_row(run, shell, llm):
    run("%chat one")
    shell.user_ns["reviews"] = pd.DataFrame({"review": ["great food", "cold soup"]})
    run("%%chat labels --over reviews --system 'One word.' -m 1\nSentiment of: {{ review }}")
    assert shell.user_ns["labels"].review.tolist() == ["great food", "cold soup"]
    assert [messages[0]["content"] for messages in llm.calls[-1][0]] == ["One word."] * 2
    assert len(run("%chat two").messages) == 4
    # several questions are shown, the one of a cell is not
    for cell, shown in (("%%chat --over reviews", True), ("%%chat", False)):
        data = run(f"{cell} -m 1\nsay this")._repr_mimebundle_()[0]
        assert (data[views.MIME]["kind"] == "completions") is shown
        assert ("say this" in data["text/html"]) is shown


def test_reasoning_is_shown_and_left_out_of_the_next_turn(run, llm):
    whole, style = llm.stream, Style(reasons=True)

    def stream(prompts, params, **options):
        for output in whole(prompts, params, **options):
            answers = [replace(c, reader=partial(parse, c.text, style)) for c in output.outputs]
            yield replace(output, outputs=answers)

    llm.stream = stream
    reply = run("%%chat -m 4\n<think> hm </think> hi")
    assert reply.text == " <think> hm </think> hi"
    assert "hm" in reply._repr_mimebundle_()[0]["text/plain"]
    assert reply.messages[-1] == {"role": "assistant", "content": " hi"}
    assert reply.df.columns[:3].tolist() == ["role", "reasoning", "content"]
    assert reply.df.reasoning.isna().tolist() == [True, False]
    assert reply.df.reasoning[1] == " hm "
    assert (
        run("%%chat -m 2\n<think> more").messages[-1]["content"] == ""
    )  # no word of an answer yet
    run("%%chat -m 1\nbye")
    assert [m["content"] for m in llm.calls[-1][0][0]] == [
        "<think> hm </think> hi",
        " hi",
        "<think> more",
        "",
        "bye",
    ]
