"""A Chat in JupyterLab with a kernel, used by mouse and by keyboard."""

import json
import re

import pytest
from browser import axe, results
from browser import lab as driver
from browser.lab import button, comes_true

pytestmark = pytest.mark.browser

HOSTILE = results.HOSTILE_LINK
SETUP = f"""
%load_ext nbllm
%nbllm load tiny
import nbllm
from nbllm import SamplingParams, StructuredOutputsParams
from nbllm.results.conversation import Conversation
HOSTILE = {HOSTILE!r}
def reset(*said, **params):
    "The widget with a conversation of these messages, of the user and the model in turn."
    c.runs.drop(); c.runs.wait(20)
    roles = ("user", "assistant")
    c.conversations.pop("", None)
    c.conversations[""] = Conversation.of({{"role": roles[i % 2], "content": text}} for i, text in enumerate(said))
    c.name, c.trim, c.tokens = "", False, True
    c.params = SamplingParams(**dict(dict(temperature=0, max_tokens=12, logprobs=3, seed=7), **params))
    c.view.error = c.view.note = ""
"""
CELLS = {
    "setup": SETUP,
    "magic": "%chatui --out c -t 0 -m 12 --seed 7 --logprobs 3",
    "cell": "%%chat -t 0 -m 8\nWhat is 2 + 3?",
    "busy": driver.BUSY,
    "code": "1",
}
LONG = "max_tokens=1500, ignore_eos=True, temperature=1.0"


@pytest.fixture(scope="module")
def notebook(lab, page):
    """The page, with a notebook that shows the Chat `c`."""
    driver.open_cells(page, lab, "chat.ipynb", CELLS.values(), map(cell, ("setup", "magic")))
    page.wait_for_selector(".nbllm-chat .nbllm-composer")
    return page


def cell(name):
    return list(CELLS).index(name)


@pytest.fixture
def panel(notebook, kernel):
    """The widget, with nothing said."""
    kernel("reset()")
    notebook.mouse.move(0, 0)
    driver.select_cell(notebook, cell("magic"))
    panel = notebook.locator(".nbllm-chat")
    panel.get_by_text("Nothing was said yet.").wait_for()
    return panel


def field(panel):
    return panel.get_by_role("textbox", name="message", exact=True)


def say(panel, text):
    """Type and press Enter, wait for the end of the answer; the texts that are shown."""
    count = panel.locator(".nbllm-message").count()
    field(panel).fill(text)
    field(panel).press("Enter")
    return answered(panel, count + 2)


def answered(panel, count):
    """Wait until so many messages are shown and nothing grows; their texts."""
    panel.page.wait_for_function(
        """count => document.querySelectorAll('.nbllm-chat .nbllm-message').length === count
            && !document.querySelector('.nbllm-chat .nbllm-running')""",
        arg=count,
    )
    panel.locator(".nbllm-conversation[aria-busy=false]").wait_for()
    return texts(panel)


def texts(panel):
    """What is shown of each message, without marks of tokens."""
    script = """nodes => nodes.map(node => {
        const copy = node.cloneNode(true);
        copy.querySelectorAll('.nbllm-mark').forEach(mark => mark.remove());
        return copy.textContent;
    })"""
    return panel.locator(".nbllm-said > .nbllm-text").evaluate_all(script)


def grown(panel, count=5):
    """Wait until so many tokens of an answer are there."""
    panel.locator(".nbllm-running .nbllm-token").nth(count).wait_for()


def which(panel):
    return panel.locator(".nbllm-which").all_inner_texts()


def test_the_magic(panel, kernel):
    fields = ["temperature", "max_tokens", "seed", "logprobs"]
    assert kernel(f"[getattr(c.params, f) for f in {fields}]") == [0, 12, 7, 3]
    assert panel.get_by_role("combobox", name="conversation").input_value() == "the usual one"


def test_a_conversation_by_keyboard(panel, kernel):
    active = driver.active_cell(panel.page)
    field(panel).focus()
    keyboard = panel.page.keyboard
    keyboard.type("What is the capital")
    keyboard.press("Shift+Enter")
    keyboard.type("of France?")
    keyboard.press("Enter")
    shown = answered(panel, 2)
    assert shown[0] == "What is the capital\nof France?"
    assert kernel("[m['content'] for m in c.messages]")[0] == shown[0]
    assert shown[1].startswith(kernel("c.messages[1]['content']"))
    assert kernel("nbllm.last is c.result")
    assert kernel("c.df.role.tolist()") == ["user", "assistant"]
    expected = "nbllm.current().chat(c.messages[:1], c.params, use_tqdm=False)[0].outputs[0].text"
    assert kernel("c.messages[1]['content']") == kernel(expected)
    # the keys were no commands of the notebook
    assert driver.active_cell(panel.page) == active
    assert panel.locator(".nbllm-news").text_content() == kernel("c.messages[1]['content']")
    # on with the Tab key
    names = []
    for _ in range(2):
        keyboard.press("Tab")
        names.append(panel.page.evaluate("document.activeElement.textContent"))
    assert names == ["send", "undo"]
    keyboard.press("Enter")
    panel.get_by_text("Nothing was said yet.").wait_for()
    assert kernel("c.messages") == []


def test_escape_stops_and_keeps_what_there_is(panel, kernel):
    kernel(f"reset({LONG})")
    field(panel).fill("Tell me a story.")
    field(panel).press("Enter")
    grown(panel)
    first = panel.locator(".nbllm-running .nbllm-token").first.element_handle()
    panel.page.keyboard.press("Escape")
    answered(panel, 2)
    assert first.evaluate("node => node.isConnected")
    assert kernel("c.df.finish_reason.tolist()[1]") == "abort"
    assert 5 < kernel("c.df.num_tokens.tolist()[1]") < 1500
    assert panel.locator(".nbllm-token").count() == kernel("c.df.num_tokens.tolist()[1]")
    assert kernel("nbllm.current().requests()") == []
    # and on with it
    button(panel, "continue this answer").click()
    grown(panel, panel.locator(".nbllm-token").count() + 5)
    button(panel, "stop, and keep what there is").click()
    answered(panel, 2)
    assert kernel("len(c.branches)") == 1


def test_branches_by_mouse_and_by_keyboard(panel, kernel):
    say(panel, "Say a word.")
    say(panel, "And another?")
    kernel("setattr(c, 'params', SamplingParams(temperature=1.5, max_tokens=12, seed=1))")
    button(panel, "retry: another answer instead of message 4").click()
    panel.get_by_text("2/2").wait_for()
    second = answered(panel, 4)
    assert kernel("[len(b.turns) for b in c.branches]") == [4, 4]
    previous = button(panel, "‹ previous of 2 branches here")
    previous.focus()
    panel.page.keyboard.press("Enter")
    panel.get_by_text("1/2").wait_for()
    first = texts(panel)
    assert first[3] != second[3]
    assert kernel("c.conversation is c.branches[0]")
    # the focus is where one can go back
    panel.page.keyboard.press("Enter")
    panel.get_by_text("2/2").wait_for()
    assert texts(panel) == second
    button(panel, "edit: say something else instead of message 1").click()
    panel.page.keyboard.press("Control+a")
    panel.page.keyboard.type("Say a number.")
    panel.page.keyboard.press("Enter")
    assert answered(panel, 2)[0] == "Say a number."
    assert which(panel) == ["2/2"]
    assert kernel("[b.turns[0].content for b in c.branches]") == ["Say a word."] * 2 + [
        "Say a number."
    ]
    button(panel, "‹ previous of 2 branches here").click()
    assert answered(panel, 4) == second
    button(panel, "undo: take your last message and its answer back").click()
    assert answered(panel, 2) == second[:2]
    assert kernel("len(c.messages)") == 2
    button(panel, "redo: say again what was taken back").click()
    assert answered(panel, 4) == second


def test_cells_and_the_panel_share_the_conversation(panel, kernel):
    say(panel, "What is the capital of France?")
    driver.run_cell(panel.page, cell("cell"))
    driver.select_cell(panel.page, cell("magic"))
    shown = answered(panel, 4)
    assert shown[2:] == ["What is 2 + 3?", kernel("nbllm.last.text")]
    say(panel, "And 3 + 3?")
    assert kernel("nbllm.last.messages == c.messages and len(c.messages) == 6")
    driver.run_cell(panel.page, cell("cell"))
    assert kernel("len(nbllm.last.messages)") == 8


def test_system_prompt_and_template(panel, kernel):
    system = panel.get_by_role("textbox", name="system")
    system.fill("Answer in one word.")
    system.press("Tab")
    say(panel, "Hello")
    assert kernel("c.messages[0]") == {"role": "system", "content": "Answer in one word."}
    assert kernel("c.result.work.requests[0][0]['role']") == "system"
    panel.get_by_role("button", name="settings").click()
    template = panel.get_by_role("combobox", name="template")
    template.fill("no-such-file")
    template.press("Tab")
    alert = panel.get_by_role("alert")
    alert.get_by_text("cannot open the chat template 'no-such-file'").wait_for()
    template.fill("{{ messages[-1].content }}:")
    template.press("Tab")
    say(panel, "The fox")
    assert not alert.is_visible()
    assert kernel("c.result.outputs[0].prompt") == "The fox:"
    top_k = panel.get_by_label("top_k", exact=True)
    top_k.fill("5")
    top_k.press("Tab")
    panel.get_by_role("button", name="settings").click()
    comes_true(kernel, "c.params.top_k == 5")


def test_conversations_by_name(panel, kernel):
    say(panel, "One")
    panel.get_by_role("textbox", name="new", exact=True).fill("side")
    button(panel, "begin").click()
    panel.get_by_text("Nothing was said yet.").wait_for()
    shown = say(panel, "Two")
    assert kernel("c.conversations['side'].messages[0]['content']") == "Two"
    chosen = panel.get_by_role("combobox", name="conversation")
    chosen.select_option("the usual one")
    panel.get_by_text("One", exact=True).wait_for()
    chosen.select_option("side")
    panel.get_by_text("Two", exact=True).wait_for()
    assert texts(panel) == shown
    kernel("c.conversations.pop('side') and None")


def test_to_variable_and_to_code(panel, kernel):
    kernel("reset(temperature=0.9, max_tokens=10)")
    say(panel, "Hello")
    say(panel, "And you?")
    name = panel.get_by_role("textbox", name="variable for the conversation")
    name.fill("talk")
    name.press("Enter")
    panel.get_by_role("status").get_by_text("talk is a Conversation of 4 messages").wait_for()
    assert kernel("talk is c.conversation")
    button(panel, "to code: the program that makes this answer again").click()
    button(panel, "copy this program").click()
    panel.page.wait_for_function(
        "async code => await navigator.clipboard.readText() === code", arg=kernel("c.code()")
    )
    source = panel.page.evaluate("navigator.clipboard.readText()")
    assert source == kernel("c.code()")
    panel.page.evaluate(
        "([i, s]) => window.jupyterapp.shell.currentWidget.content.widgets[i].model.sharedModel.setSource(s)",
        [cell("code"), source],
    )
    driver.run_cell(panel.page, cell("code"))
    assert kernel("_ == c.messages[-1]['content']")


def test_what_does_not_fit(panel, kernel):
    kernel("reset(*['word ' * 700, 'yes', 'word ' * 700, 'no'])")
    answered(panel, 4)
    field(panel).fill("word " * 700)
    field(panel).press("Enter")
    alert = panel.get_by_role("alert")
    alert.get_by_text(
        "which leaves no room for an answer in the model's context of 2,048"
    ).wait_for()
    assert "switch on trim" in alert.inner_text()
    # what was typed is not lost
    assert field(panel).input_value() == "word " * 700
    assert len(texts(panel)) == 4
    panel.get_by_label("trim").check()
    field(panel).press("Enter")
    answered(panel, 6)
    assert "oldest messages were left out" in panel.get_by_role("status").first.inner_text()
    assert not alert.is_visible()
    assert kernel("(len(c.messages), len(c.result.work.requests[0]))") == (6, 3)


def test_while_a_cell_runs(lab, panel, kernel):
    kernel(f"reset({LONG})")
    with driver.while_busy(panel.page, lab, cell("busy")):
        field(panel).fill("Tell me a story.")
        button(panel, "send").click()
        grown(panel)
        button(panel, "stop, and keep what there is").click()
        answered(panel, 2)
    assert 5 < kernel("c.df.num_tokens.tolist()[1]") < 1500


def test_untrusted_text_is_inert(panel, kernel):
    wanted = "structured_outputs=StructuredOutputsParams(choice=[HOSTILE])"
    kernel(f"reset({wanted}, max_tokens=300, temperature=1.0)")
    say(panel, HOSTILE)
    assert kernel("c.messages[1]['content'] == HOSTILE")
    kernel("setattr(c, 'system', HOSTILE)")
    button(panel, "to code: the program that makes this answer again").click()
    panel.locator(".nbllm-code").wait_for()
    panel.get_by_label("tokens", exact=True).uncheck()
    panel.locator(".nbllm-token").first.wait_for(state="detached")
    everything = panel.inner_text()
    assert everything.count("<img src=x onerror") >= 2
    assert "\u241b[31m \\u202eevil\\x9b" in everything
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", everything)
    assert panel.locator("img, script, a").count() == 0
    assert panel.page.evaluate("window.hacked") is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_readable_and_accessible(panel, kernel, shots, theme):
    if reason := axe.missing():
        pytest.skip(reason)
    page = panel.page
    driver.set_theme(page, f"JupyterLab {theme.title()}")
    assert axe.violations(page, ".nbllm-chat") == []
    kernel("reset(max_tokens=120, temperature=0.8)")
    say(panel, "Tell me a story about a fox.")
    say(panel, "What is the capital of France?")
    button(panel, "retry: another answer instead of message 4").click()
    panel.get_by_text("2/2").wait_for()
    answered(panel, 4)
    button(panel, "to code: the program that makes this answer again").click()
    panel.locator(".nbllm-code").wait_for()
    panel.get_by_role("button", name="settings").click()
    panel.locator(".nbllm-token").nth(4).hover()
    page.set_viewport_size({"width": 1280, "height": 1500})
    page.screenshot(path=shots / f"chat-{theme}.png")
    page.set_viewport_size({"width": 1280, "height": 900})
    assert axe.violations(page, ".nbllm-chat") == []
    panel.get_by_role("button", name="settings").click()
    button(panel, "edit: say something else instead of message 1").click()
    kernel("setattr(c.view, 'error', 'the message is empty')")
    panel.get_by_role("alert").wait_for()
    assert axe.violations(page, ".nbllm-chat") == []
    button(panel, "cancel").click()


def test_in_a_narrow_cell(panel, kernel, shots):
    page = panel.page
    kernel("reset('Tell me a story about a fox.', 'There was a fox, and she lived by the sea.')")
    answered(panel, 2)
    page.set_viewport_size({"width": 460, "height": 900})
    page.wait_for_timeout(300)
    panel.screenshot(path=shots / "chat-narrow.png")
    assert panel.evaluate("node => node.scrollWidth <= node.clientWidth + 1")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_what_is_left(lab, panel, kernel):
    page = panel.page
    say(panel, "What is the capital of France?")
    said = kernel("[m['content'] for m in c.messages]")
    # until it is kept for the notebook
    kernel("c.wait(20)")
    driver.command(page, "docmanager:save")
    saved = json.loads((lab.root / "chat.ipynb").read_text())["cells"][cell("magic")]["outputs"][-1]
    assert "application/vnd.jupyter.widget-view+json" not in saved["data"]
    record = saved["data"]["application/vnd.nbllm.v1+json"]
    assert [m["content"] for m in record["messages"]] == said
    shown = re.sub(r"<[^>]*>", "", "".join(saved["data"]["text/html"]))
    assert all(text in shown for text in said)
    kernel("get_ipython().run_line_magic('nbllm', 'verify chat.ipynb')")
    # the kernel ends: what was said stays, what needs it goes
    driver.restart_kernel(page)
    panel.get_by_text("The kernel has ended").wait_for()
    assert panel.get_by_text(said[0]).first.is_visible()
    assert panel.get_by_role("button").count() == 0
    assert not field(panel).is_visible()
    # and a new one that is closed leaves its conversation
    for name in ("setup", "magic"):
        driver.run_cell(page, cell(name))
    panel.locator(".nbllm-composer").wait_for()
    shown = say(panel, "Hello")
    button(panel, "Close, and keep what is shown").click()
    panel.wait_for(state="detached")
    left = driver.output(page, cell("magic")).last
    assert shown[0] in left.inner_text()
    assert kernel("c.messages[0]['content']") == "Hello"
    comes_true(kernel, "c.comm is None")


def test_nothing_went_wrong(notebook, errors):
    assert errors == []
