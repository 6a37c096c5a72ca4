"""Conversations by name, and their branches, as %%chat and the Chat widget see them."""

import pytest

from nbllm.errors import ParamError
from nbllm.results.conversation import Conversation, Message
from nbllm.results.conversations import Branches, Conversations, free_name


def answer(conversation, text):
    return Conversation((*conversation.turns, Message(role="assistant", content=text)))


def texts(conversation):
    return [m["content"] for m in conversation.messages]


@pytest.fixture
def branches():
    """Two questions; the first was asked in two ways, the second of one way answered twice."""
    branches = Branches()
    first = answer(Conversation().asked("u1"), "a1")
    second = first.asked("u2")
    for each in (first, answer(second, "a2"), answer(second, "b2")):
        branches.put(each)
    branches.put(answer(second.fork(1).asked("v1"), "c1"))
    return branches


def test_what_goes_on_is_no_branch_of_its_own(branches):
    assert [texts(each) for each in branches.all] == [
        ["u1", "a1", "u2", "a2"], ["u1", "a1", "u2", "b2"], ["v1", "c1"],
    ]  # fmt: skip
    assert texts(branches.shown) == ["v1", "c1"]


def test_columns_are_what_there_is_in_each_place(branches):
    columns = branches.columns(branches.all[0])
    assert [[m.content for m in column] for column in columns] == [
        ["u1", "v1"], ["a1"], ["u2"], ["a2", "b2"],
    ]  # fmt: skip
    asked = branches.all[0].fork(2).asked("w2")
    assert [m.content for m in branches.columns(asked)[2]] == ["u2", "w2"]


def test_switch(branches):
    branches.switch(0, 1)
    # the latest that begins with it
    assert texts(branches.shown) == ["u1", "a1", "u2", "b2"]
    branches.switch(3, 1)
    assert texts(branches.shown) == ["u1", "a1", "u2", "a2"]
    for place, branch in [(4, 1), (-1, 1), (3, 3), (3, 0)]:
        with pytest.raises(ParamError, match="there is no branch"):
            branches.switch(place, branch)


def test_equal_answers_are_two(branches):
    again = answer(branches.shown.unanswered(), "c1")
    branches.put(again)
    assert len(branches.columns(again)[1]) == 2


def test_a_step_back_loses_nothing(branches):
    branches.switch(0, 1)
    full = branches.shown
    branches.put(full.undone())
    assert texts(branches.shown) == ["u1", "a1"]
    assert len(branches.all) == 3
    assert branches.ahead is full
    branches.put(full.undone().undone())
    # what was taken back, not what was begun last
    assert texts(branches.ahead or Conversation()) == ["u1", "a1"]
    branches.put(full)
    assert branches.ahead is None


def test_a_longer_form_takes_the_place(branches):
    before = branches.shown
    longer = Conversation((before.turns[0], Message(role="assistant", content="c1 and more")))
    branches.put(longer, instead_of=before)
    assert branches.all[2] is longer
    assert len(branches.columns(longer)[1]) == 1
    # of one that others go on from it is another
    base = branches.all[0].fork(2)
    other = Conversation((base.turns[0], Message(role="assistant", content="a1 and more")))
    branches.put(other, instead_of=base)
    assert [m.content for m in branches.columns(other)[1]] == ["a1", "a1 and more"]


def test_a_new_system_prompt_is_no_branch(branches):
    said = branches.shown
    branches.put(said.with_system("be brief"))
    branches.put(branches.shown.with_system("be long").asked("more"))
    assert len(branches.all) == 3
    assert branches.shown.system == "be long"
    assert branches.shown.with_system("").said == branches.shown.with_system("").turns
    assert [len(column) for column in branches.columns(branches.shown)] == [2, 1, 1]


def test_who_watches_hears_of_every_change():
    heard = []
    known = Conversations()
    known.watch(heard.append)
    known["a"] = Conversation().asked("x")
    known.put("b", Conversation().asked("y"))
    known["a"] = Conversation().asked("z")
    known.switch("a", 0, 1)
    assert texts(known["a"]) == ["x"]
    assert heard == ["a", "b", "a", "a"]
    assert known == {"a": known["a"], "b": known["b"]}
    known.clear()
    assert sorted(heard[4:]) == ["a", "b"]
    assert known.branches("a").all == []
    known.unwatch(heard.append)
    known["c"] = Conversation()
    assert len(heard) == 6


def test_a_free_name():
    assert free_name("", {}) == "chat-1"
    assert free_name("x", {"x-1", "x-2"}) == "x-3"


def test_cells_branch_off(run, llm, shell):
    run("%chat -m 1 one")
    run("%chat --retry -m 2")
    run("%chat --continue -m 1")
    run("%chat --edit 1 -m 1 uno")
    branches = shell.magics_manager.registry["Nbllm"].conversations.branches("")
    assert [texts(each) for each in branches.all] == [
        ["one", " one"], ["one", " one one one"], ["uno", " uno"],
    ]  # fmt: skip
    run("%chat --undo")
    assert len(branches.all) == 3
    assert texts(branches.ahead) == ["uno", " uno"]
