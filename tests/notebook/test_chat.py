"""Conversations: they go on, by name; a turn that fails never happened."""

import pandas as pd

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
