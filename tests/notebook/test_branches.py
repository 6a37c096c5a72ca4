"""Steps back and branches of a conversation; conversations as objects."""

import json

import pytest

from nbllm.results.conversation import Conversation


def said(reply):
    return [m["content"] for m in reply.messages]


@pytest.fixture
def two_turns(run, llm):
    run("%chat -m 1 one")
    return run("%chat -m 1 two")


def test_undo(run, llm, two_turns, capsys):
    assert run("%chat --undo") is None
    assert "1 message of yours" in capsys.readouterr().out
    assert said(run("%chat -m 1 three")) == ["one", " one", "three", " three"]
    assert said(run("%chat --undo -m 1 four")) == ["one", " one", "four", " four"]


def test_retry_keeps_the_answer_it_replaces(run, llm, two_turns, capsys):
    reply = run("%chat --retry -m 2")
    assert said(reply) == ["one", " one", "two", " two two"]
    assert "--name chat-1" in capsys.readouterr().out
    assert said(run("%chat --name chat-1 -m 1 more")) == [
        "one",
        " one",
        "two",
        " two",
        "more",
        " more",
    ]
    assert said(run("%chat -m 1 here")) == ["one", " one", "two", " two two", "here", " here"]


def test_edit_branches_off(run, llm, two_turns):
    assert said(run("%chat --edit 1 -m 1 uno")) == ["uno", " uno"]
    assert said(run("%chat --edit 1 -m 1 eins")) == ["eins", " eins"]
    assert said(run("%chat --name chat-1 -m 1 x"))[:4] == ["one", " one", "two", " two"]
    assert said(run("%chat --name chat-2 -m 1 x"))[:2] == ["uno", " uno"]


def test_continue(run, llm, two_turns):
    reply = run("%chat --continue -m 2")
    assert llm.stream_options == {"continue_final_message": True}
    assert said(reply)[:3] == ["one", " one", "two"]
    assert said(reply)[3] == " two two two"
    assert reply.df.num_tokens.tolist()[-1] == 3
    assert reply.df.cumulative_logprob.tolist()[-1] == -1.5


def test_fork_from_and_json(run, llm, shell, two_turns):
    shell.user_ns["start"] = two_turns.fork(2)
    assert said(run("%chat --from start --name side -m 1 zwei")) == ["one", " one", "zwei", " zwei"]
    assert len(two_turns.messages) == 4
    text = two_turns.to_json()
    assert json.loads(text)["messages"] == two_turns.messages
    again = Conversation.from_json(text)
    assert again.messages == two_turns.messages
    shell.user_ns["text"] = text
    assert said(run("%chat --from text --name saved -m 1 drei"))[4:] == ["drei", " drei"]
    assert repr(again) == "<Conversation: 4 messages>"
    assert again._repr_mimebundle_()["text/plain"].startswith("user: one\nassistant:  one\n")
    shell.user_ns["plain"] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]
    assert said(run("%chat --from plain --name p -m 1 c"))[:3] == ["a", "b", "c"]


def test_a_template_belongs_to_the_conversation(run, llm, tmp_path):
    file = tmp_path / "t.jinja"
    file.write_text("{{ messages[-1].content }}")
    run(f"%chat --template {file} -m 1 one")
    assert llm.stream_options == {"chat_template": "{{ messages[-1].content }}"}
    run("%chat -m 1 two")
    assert llm.stream_options == {"chat_template": "{{ messages[-1].content }}"}
    run("%chat --reset -m 1 three")
    assert llm.stream_options == {}
    # by the name of one that the model brings
    run("%chat --template tool_use -m 1 four")
    assert llm.stream_options == {"chat_template": "{{ 2 }}"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--retry hello", "--retry takes no message"),
        ("--undo --retry", "--undo and --retry do not go together"),
        ("--edit 7 hello", "there is no number 7"),
        ("--edit 1", "--edit 1: what shall the message be instead?"),
        ("--name empty --retry", "nothing to answer again"),
        ("--name empty --undo", "nothing to undo"),
        ("--name empty --continue", "nothing to continue"),
        ("--from nope hello", "--from nope: there is no such variable"),
        ("--from words hello", "a conversation as text is what its to_json() wrote"),
        ("--from number hello", "a conversation is a list of messages with"),
        ("--template nope.jinja hello", "nope.jinja"),
        ("--grid seed=1,2 hello", "--grid needs --over"),
    ],
)  # fmt: skip
def test_mistakes(fails, run, llm, shell, two_turns, line, message):
    shell.user_ns.update(words="Hello!", number=7)
    assert message in fails(f"%chat {line}")
    assert len(run("%chat -m 1 three").messages) == 6


def test_an_interrupted_retry_without_a_word_changes_nothing(shell, run, llm, two_turns):
    def at_step(step):
        raise KeyboardInterrupt

    llm.at_step = at_step
    assert not shell.run_cell("%chat --retry").success
    llm.at_step = lambda step: None
    assert said(run("%chat -m 1 three"))[:4] == ["one", " one", "two", " two"]
    assert "chat-1" not in shell.magics_manager.registry["Nbllm"].conversations
