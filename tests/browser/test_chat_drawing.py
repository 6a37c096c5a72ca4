"""What a Chat draws, with no kernel and no JupyterLab: the fake model says what Python would."""

import re

import pytest
from browser import axe, results
from browser.esm import mount

from nbllm import views
from nbllm.widgets.modules import css, esm

pytestmark = pytest.mark.browser

HOSTILE = results.HOSTILE_LINK
[STORY] = results.story()[views.MIME]["outputs"][0]["completions"]
TOKENS = STORY["tokens"]
CHAT = {
    "messages": [], "growing": False, "running": False, "ahead": False, "tokens": True, "facts": "",
    "code": "",
}  # fmt: skip


def user(place, content="Tell me a story.", *, turn=1, branch=1, branches=1):
    return {
        "role": "user", "content": content, "place": place, "turn": turn, "branch": branch,
        "branches": branches,
    }  # fmt: skip


def answer(place, content=STORY["text"], *, tokens=TOKENS, **more):
    completion = {
        "text": content, "finish_reason": "stop", "num_tokens": 10, "cumulative_logprob": -12.345,
        **({"tokens": tokens} if tokens else {}),
    }  # fmt: skip
    said = {**user(place, content), "role": "assistant", "completion": completion}
    return {**said, **more}


def token(text):
    return {"text": text, "logprob": -0.5, "rank": 1, "entropy": 0.5, "top": []}


def more(view, start, *texts, content=None, tokens=True, **words):
    view.message(
        {
            "kind": "more", "run": 1, "start": start, "reasoning": None,
            "tokens": [token(text) for text in texts] if tokens else None,
            "content": "".join(texts) if content is None else content, **words,
        }
    )  # fmt: skip


@pytest.fixture
def chat(bare):
    """A Chat's view in which nothing was said."""
    return mount(bare, esm("chat"), css("frame", "tokens", "chat"), CHAT)


@pytest.fixture
def two(chat):
    """A question and an answer."""
    chat.set(messages=[user(0), answer(1)])
    return chat


def button(chat, name):
    return chat.page.get_by_role("button", name=name, exact=True)


def field(chat):
    return chat.page.get_by_role("textbox", name="message", exact=True)


def focused(chat):
    return chat.page.evaluate(
        "document.activeElement.ariaLabel ?? document.activeElement.textContent"
    )


def test_messages(two):
    items = two.find(".nbllm-message")
    assert [i.get_attribute("data-role") for i in items.all()] == ["user", "assistant"]
    assert items.nth(0).locator(".nbllm-text").inner_text() == "Tell me a story."
    assert items.nth(1).locator(".nbllm-token").count() == len(TOKENS)
    assert items.nth(1).locator(".nbllm-facts").inner_text() == (
        "stop · 10 tokens · log-probability −12.35"
    )
    assert not two.find(".nbllm-branches button").count()
    two.set(facts="tiny · seed 3")
    assert two.page.get_by_text("tiny · seed 3").is_visible()


def test_tokens_or_text(two):
    two.find(".nbllm-token").nth(3).hover()
    assert two.find(".nbllm-alternatives").is_visible()
    two.set(tokens=False)
    assert two.find(".nbllm-token").count() == 0
    assert two.find(".nbllm-message").nth(1).locator(".nbllm-text").text_content() == STORY["text"]
    two.set(tokens=True)
    assert two.find(".nbllm-token").count() == len(TOKENS)


def test_an_answer_grows(chat):
    chat.set(messages=[user(0)], growing=True, running=True)
    more(chat, 0, "The", " sea")
    first = chat.find(".nbllm-token").first.element_handle()
    more(chat, 2, " is", content="The sea is")
    assert (
        chat.find(".nbllm-message").nth(1).locator(".nbllm-tokens").text_content() == "The sea is"
    )
    whole = answer(1, "The sea is", tokens=[token(t) for t in ("The", " sea", " is")])
    chat.set(messages=[user(0), whole], growing=False, running=False)
    # nothing was drawn twice
    assert first.evaluate("node => node.isConnected")
    assert chat.find(".nbllm-token").count() == 3
    assert chat.find(".nbllm-running").count() == 0
    assert chat.sent() == []


def test_an_answer_grows_as_text(chat):
    chat.set(messages=[user(0)], growing=True, running=True, tokens=False)
    more(chat, 0, "The", " sea")
    said = chat.find(".nbllm-message").nth(1).locator(".nbllm-text")
    assert said.inner_text() == "The sea"
    # turned on while it grows
    chat.set(tokens=True)
    assert chat.find(".nbllm-token").count() == 2
    more(chat, 2, " is", content="The sea is")
    assert chat.find(".nbllm-token").count() == 3


def test_reasoning_is_folded(chat):
    chat.set(messages=[user(0)], growing=True, running=True)
    more(chat, 0, "<think>")
    more(chat, 0, content="Yes", tokens=False, reasoning="hm")
    assert chat.find(".nbllm-token").count() == 0
    assert not chat.page.get_by_text("hm", exact=True).is_visible()
    chat.set(messages=[user(0), answer(1, "Yes", tokens=None, reasoning="hm, so")], growing=False)
    chat.find("summary").click()
    assert chat.page.get_by_text("hm, so", exact=True).is_visible()
    assert chat.find(".nbllm-said > .nbllm-text").last.inner_text() == "Yes"


def test_what_was_missed_is_asked_for(chat):
    chat.set(messages=[user(0)], growing=True, running=True)
    more(chat, 5, "late")
    assert chat.sent() == [{"action": "draw"}]
    assert chat.find(".nbllm-token").count() == 0
    more(chat, 0, *"abcdef")
    # what another page asked for
    more(chat, 0, *"abcdef")
    assert chat.find(".nbllm-token").all_inner_texts() == list("abcdef")


def test_enter_sends(chat):
    box = field(chat)
    box.press("Enter")
    box.fill("one")
    box.press("Shift+Enter")
    box.press_sequentially("two")
    box.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    assert chat.sent() == []
    box.press("Enter")
    assert chat.sent() == [{"action": "say", "text": "one\ntwo"}]
    assert box.input_value() == ""
    box.fill("three")
    button(chat, "send").click()
    assert chat.sent() == [{"action": "say", "text": "three"}]
    assert focused(chat) == "message"


def test_while_an_answer_is_under_way(two):
    two.set(growing=True, running=True)
    box = field(two)
    box.fill("next")
    box.press("Enter")
    # it waits
    assert two.sent() == []
    assert box.input_value() == "next"
    for name in ("send", "undo: take your last message and its answer back",
                 "retry: another answer instead of message 2"):  # fmt: skip
        assert button(two, name).is_disabled()
    box.press("Escape")
    button(two, "stop, and keep what there is").click()
    assert two.sent() == [{"action": "stop"}, {"action": "stop"}]
    two.set(growing=False, running=False)
    # not to nowhere, where keys would be JupyterLab's
    assert focused(two) == "message"
    box.press("Escape")
    assert two.sent() == []


def test_what_was_not_said_comes_back(chat):
    chat.message({"kind": "unsent", "text": "one"})
    assert field(chat).input_value() == "one"
    field(chat).fill("two")
    chat.message({"kind": "unsent", "text": "one"})
    assert field(chat).input_value() == "one\ntwo"


def test_edit(two):
    edit = button(two, "edit: say something else instead of message 1")
    edit.press("Enter")
    box = two.page.get_by_role("textbox", name="instead of this message")
    assert box.input_value() == "Tell me a story."
    assert focused(two) == "instead of this message"
    two.set(running=True)
    box.press("Escape")
    assert two.sent() == []
    assert box.count() == 0
    two.set(running=False)
    edit.click()
    two.page.keyboard.press("Escape")
    assert focused(two) == "edit: say something else instead of message 1"
    edit.click()
    box.fill("  ")
    box.press("Enter")
    box.fill("Sing.")
    box.press("Enter")
    assert two.sent() == [{"action": "edit", "turn": 1, "text": "Sing."}]
    assert focused(two) == "message"
    # if it is refused, the message is there as it was
    assert two.page.get_by_text("Tell me a story.").is_visible()


def test_branches(chat):
    chat.set(messages=[user(0, branch=1, branches=2), answer(1, branch=2, branches=3)])
    assert chat.find(".nbllm-which").all_inner_texts() == ["1/2", "2/3"]
    first, second = chat.find(".nbllm-branches").all()
    assert first.get_by_role("button", name="‹ previous of 2 branches here").is_disabled()
    following = second.get_by_role("button", name="› next of 3 branches here")
    following.press("Enter")
    assert chat.sent() == [{"action": "switch", "place": 1, "branch": 3}]
    other = [user(0, branch=1, branches=2), answer(1, "other", tokens=None, branch=3, branches=3)]
    chat.set(messages=other)
    # at the end the focus goes to the button beside, so that one can go back
    assert focused(chat) == "‹ previous of 3 branches here"
    chat.page.keyboard.press("Enter")
    assert chat.sent() == [{"action": "switch", "place": 1, "branch": 2}]
    chat.set(messages=[other[0], answer(1, branch=2, branches=3)])
    assert focused(chat) == "‹ previous of 3 branches here"


def test_what_can_be_done_with_an_answer(chat):
    chat.set(messages=[user(0), answer(1), user(2, "More.", turn=2), answer(3, turn=2)])
    assert button(chat, "continue this answer").count() == 1
    for name in ("retry: another answer instead of message 2", "continue this answer"):
        button(chat, name).click()
        assert focused(chat) == "message"
    assert chat.sent() == [{"action": "retry", "turn": 1}, {"action": "continue"}]
    copy = button(chat, "copy message 3")
    copy.click()
    copy.filter(has_text="copied").wait_for()


def test_a_question_without_an_answer(chat):
    chat.set(messages=[user(0), answer(1), user(2, "More.", turn=2)])
    button(chat, "answer message 3, which has no answer yet").click()
    assert chat.sent() == [{"action": "retry", "turn": 2}]
    chat.set(running=True, growing=True)
    assert chat.page.get_by_role("button", name="answer message").count() == 0


def test_what_has_the_focus_keeps_it(chat):
    said = [user(0), answer(1, "Yes", tokens=None, reasoning="hm")]
    chat.set(messages=said)
    chat.find("summary").focus()
    chat.set(messages=[*said, user(2, "More.", turn=2), answer(3, turn=2)])
    assert chat.page.evaluate("document.activeElement.tagName") == "SUMMARY"
    chat.find(".nbllm-token").first.focus()
    chat.set(running=True)
    assert chat.page.evaluate("document.activeElement.className") == "nbllm-token"


def test_what_can_be_done_with_the_conversation(chat):
    undo = button(chat, "undo: take your last message and its answer back")
    redo = button(chat, "redo: say again what was taken back")
    assert undo.is_disabled()
    assert redo.is_disabled()
    assert button(chat, "to variable: the conversation, for cells").is_disabled()
    chat.set(messages=[user(0), answer(1)], ahead=True)
    undo.click()
    redo.click()
    name = chat.page.get_by_role("textbox", name="variable for the conversation")
    name.fill("mine")
    name.press("Enter")
    button(chat, "to code: the program that makes this answer again").click()
    assert chat.sent() == [
        {"action": "undo"}, {"action": "redo"}, {"action": "export", "name": "mine"}, {"action": "code"},
    ]  # fmt: skip
    chat.set(code="import nbllm\n  x")
    assert chat.find(".nbllm-code").inner_text() == "import nbllm\n  x"


def test_every_answer_is_announced_once(chat):
    news = chat.find(".nbllm-news")
    assert news.get_attribute("role") == "status"
    chat.set(messages=[user(0), answer(1)])
    # what was there before is no news
    assert news.inner_text() == ""
    chat.set(messages=[user(0)], growing=True, running=True)
    more(chat, 0, "A", "b")
    assert news.text_content() == ""
    chat.set(messages=[user(0), answer(1, "Ab")], growing=False, running=False)
    assert news.text_content() == "Ab"
    assert chat.find("[aria-live], [role=log]").count() == 0
    box = news.bounding_box()
    assert box["width"] <= 1
    assert box["height"] <= 1


def test_the_end_is_in_view_unless_somebody_looks_elsewhere(chat):
    region = chat.page.get_by_role("region", name="Conversation")
    at_end = "n => Math.abs(n.scrollHeight - n.scrollTop - n.clientHeight) < 2"
    lines = "line\n" * 60

    def settled():
        chat.page.evaluate("() => new Promise(r => requestAnimationFrame(() => setTimeout(r, 50)))")

    chat.set(messages=[user(0, lines)], growing=True, running=True)
    settled()
    assert region.evaluate(at_end)
    more(chat, 0, content=lines, tokens=False)
    settled()
    assert region.evaluate(at_end)
    region.evaluate("n => { n.scrollTop = 100; }")
    settled()
    more(chat, 0, content=lines * 2, tokens=False)
    settled()
    assert region.evaluate("n => n.scrollTop") == 100
    # it can be scrolled with the keyboard
    region.focus()
    chat.page.keyboard.press("End")
    chat.page.wait_for_function(at_end, arg=region.element_handle())


def test_long_conversations_say_what_is_left_out(chat):
    chat.set(messages=[user(1200), answer(1201)])
    assert "… 1,200 earlier messages" in chat.find(".nbllm-conversation").inner_text()


def test_untrusted_text_is_inert(chat):
    hostile = answer(
        1, HOSTILE, tokens=[{**token(HOSTILE), "top": [[HOSTILE, -0.5]]}], role=HOSTILE
    )
    hostile["completion"]["finish_reason"] = HOSTILE
    plain = answer(2, HOSTILE, tokens=None, reasoning=HOSTILE)
    state = {"facts": HOSTILE, "code": HOSTILE, "error": HOSTILE, "note": HOSTILE}
    chat.set(messages=[user(0, HOSTILE), hostile, plain], **state)
    chat.find("summary").click()
    chat.find(".nbllm-token").first.hover()
    chat.set(growing=True, running=True)
    more(chat, 0, HOSTILE)
    grown = answer(1, HOSTILE, tokens=None)
    chat.set(messages=[user(0, HOSTILE), grown], growing=False, running=False)
    chat.set(messages=[user(0, HOSTILE), hostile, plain])
    assert chat.find("img, script, a, iframe").count() == 0
    assert chat.page.evaluate("window.hacked") is None
    text = chat.page.locator("body").inner_text()
    assert text.count("<img src=x onerror") >= 8
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    button(chat, "edit: say something else instead of message 1").click()
    # in a field it is what it is, to be sent again
    assert (
        "\u202e" in chat.page.get_by_role("textbox", name="instead of this message").input_value()
    )


def test_nothing_is_left(two):
    two.set(growing=True, running=True)
    assert two.done() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_and_accessible(bare, shots, scheme):
    """Colours of the system, as elsewhere than in JupyterLab; and 360 pixels wide."""
    if reason := axe.missing():
        pytest.skip(reason)
    bare.emulate_media(color_scheme=scheme)
    bare.evaluate("scheme => { document.documentElement.style.colorScheme = scheme; }", scheme)
    state = {
        **CHAT, "messages": [user(0, branch=1, branches=2), answer(1, branch=2, branches=3)],
        "facts": "tiny · seed 3", "code": "import nbllm", "error": "no such model", "ahead": True,
    }  # fmt: skip
    for width in ("900px", "360px"):
        view = mount(bare, esm("chat"), css("frame", "tokens", "chat"), state, width=width)
        assert axe.violations(bare, ".nbllm-panel") == []
        button(view, "edit: say something else instead of message 1").click()
        view.set(running=True, growing=True)
        more(view, 0, "The", " sea", " is", " wide")
        bare.screenshot(path=shots / f"chat-bare-{width}-{scheme}.png")
        assert axe.violations(bare, ".nbllm-panel") == []
        panel = bare.locator(".nbllm-panel")
        assert panel.evaluate("node => node.scrollWidth <= node.clientWidth")
    bare.emulate_media(color_scheme=None)


def test_nothing_went_wrong(bare, errors):
    assert errors == []
