"""A TokenExplorer in JupyterLab with a kernel, used by mouse and by keyboard."""

import json
import re

import pytest
from browser import axe, results
from browser import lab as driver
from browser.lab import button

pytestmark = pytest.mark.browser

HOSTILE = results.HOSTILE_LINK
SETUP = f"""
%load_ext nbllm
import nbllm
from nbllm import SamplingParams, StructuredOutputsParams
from nbllm.widgets import TokenExplorer
from nbllm.widgets.branches import choices
HOSTILE = {HOSTILE!r}
LONG = SamplingParams(max_tokens=1500, ignore_eos=True, logprobs=3)
def reset(prompt="Once upon a time, there was a", **params):
    "One branch, of that prompt."
    e.runs.drop(); e.runs.wait(20); e._run = None
    for b in e.branches:
        if b.parent is None: e.remove(b.number)
    e.params = SamplingParams(**({{"temperature": 0, "max_tokens": 12, "logprobs": 3, "ignore_eos": True}} | params))
    e.prompt = prompt
    e.generate(); e.wait(20)
    e.view.error = e.view.note = ""
"""
CELLS = {
    "setup": SETUP,
    "magic": "%%tokenexplorer e -t 0 -m 12 --logprobs 3\nOnce upon a time, there was a",
    "busy": driver.BUSY,
    "closed": "q = TokenExplorer('The owl', SamplingParams(temperature=0, max_tokens=8, logprobs=2)); q",
}
WIDGET = "application/vnd.jupyter.widget-view+json"
MIME = "application/vnd.nbllm.v1+json"


def cell(name):
    return list(CELLS).index(name)


@pytest.fixture(scope="module")
def notebook(lab, page):
    """The page, with a notebook that shows the TokenExplorer `e`."""
    driver.open_cells(page, lab, "explorer.ipynb", CELLS.values(), map(cell, ("setup", "magic")))
    page.wait_for_selector(".nbllm-tokenexplorer .nbllm-branch")
    return page


@pytest.fixture
def panel(notebook, kernel):
    """The widget, with one branch of twelve tokens."""
    kernel("reset()")
    notebook.mouse.move(0, 0)
    driver.select_cell(notebook, cell("magic"))
    panel = notebook.locator(".nbllm-tokenexplorer")
    ended(panel, 12)
    return panel


def tokens(panel):
    return panel.locator(".nbllm-branch-text .nbllm-token")


def dialog(panel):
    return panel.page.get_by_role("dialog")


def ended(panel, count):
    """Wait until a branch of so many tokens is shown, and has ended."""
    said = re.compile(rf"\b{count} tokens · log-probability")
    panel.locator(".nbllm-branch-text").get_by_text(said).wait_for()
    panel.page.wait_for_selector(".nbllm-branch-text .nbllm-completions:not(.nbllm-running)")


def text_of(nodes):
    """The text of tokens without their marks."""
    script = "nodes => nodes.map(node => [...node.childNodes].filter(c => c.nodeType === 3).map(c => c.data).join('')).join('')"
    return nodes.evaluate_all(script)


def focused(node):
    return node.evaluate("node => node === document.activeElement")


def test_the_magic_generates_at_once(notebook, kernel):
    said = driver.output(notebook, cell("magic")).first.inner_text()
    assert "no model was loaded: this is 'tiny', the bundled one" in said
    assert kernel("(e.params.temperature, e.params.max_tokens, len(e.branches))") == (0, 12, 1)


def test_clicking_an_alternative_branches(panel, kernel):
    before = kernel("e.shown.token_ids")
    tokens(panel).nth(4).click()
    dialog(panel).locator(".nbllm-row").nth(1).click()
    ended(panel, 17)
    assert kernel("(e.shown.parent.token_ids, e.shown.position)") == (before, 4)
    assert kernel("e.shown.token_ids[4] == choices(e.shown.parent.logprobs[4])[1]")
    assert kernel("e.shown.token_ids[:4]") == before[:4]
    assert text_of(tokens(panel)).startswith(kernel("e.shown.text"))
    made = "nbllm.current().generate([e.shown.prompt_ids + e.shown.token_ids[:5]], e.params, use_tqdm=False)[0]"
    assert kernel("e.shown.token_ids[5:]") == kernel(f"{made}.outputs[0].token_ids")
    assert panel.locator(".nbllm-branch").count() == 2
    assert "branch 2 · from" not in panel.locator(".nbllm-branch").last.inner_text()
    assert kernel("nbllm.last.outputs[0].outputs[0].token_ids == e.shown.token_ids[5:]")


def test_everything_by_keyboard(panel, kernel):
    keyboard, active = panel.page.keyboard, driver.active_cell(panel.page)
    tokens(panel).first.focus()
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    assert panel.locator(".nbllm-branch-text [role=tooltip]").is_visible()
    keyboard.press("Enter")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    ended(panel, 15)
    assert kernel("e.shown.token_ids[2] == choices(e.shown.parent.logprobs[2])[2]")
    # and on from there
    assert focused(tokens(panel).nth(2))
    keyboard.press("ArrowRight")
    keyboard.press("Enter")
    for _ in range(3):
        keyboard.press("ArrowDown")
    keyboard.type(" red")
    keyboard.press("Enter")
    ended(panel, 16)
    number = kernel("e.shown.number")
    assert kernel("(e.shown.parent.number, e.shown.position)") == (number - 1, 3)
    assert " red" in kernel("e.shown.text")
    keyboard.press("Enter")
    keyboard.press("Escape")
    assert focused(tokens(panel).nth(3))
    assert driver.active_cell(panel.page) == active
    # the tree, and a name
    for _ in range(12):
        keyboard.press("Tab")
        if focused(panel.get_by_role("textbox", name="name of the branch")):
            break
    keyboard.press("Control+a")
    keyboard.type("the red one")
    keyboard.press("Enter")
    panel.locator(".nbllm-branch").get_by_text("the red one").first.wait_for()
    assert kernel("e.df.name.iloc[-1]") == "the red one"
    first = panel.locator(".nbllm-branch").first.get_by_role("button").first
    first.focus()
    keyboard.press("Enter")
    ended(panel, 12)
    assert focused(first)
    assert kernel("e.shown.parent") is None


def test_generate_score_and_stop_buttons(panel, kernel):
    field = panel.get_by_role("textbox", name="prompt", exact=True)
    field.fill("The cat and the dog")
    button(panel, "Score text").click()
    panel.get_by_text(re.compile("· given$")).wait_for()
    assert kernel("(e.shown.scored, e.shown.finish_reason)") == (True, None)
    assert text_of(tokens(panel)) == kernel("e.shown.text")
    score = "nbllm.current().score('The cat and the dog', use_tqdm=False)[0].cumulative_logprob"
    assert kernel("e.shown.cumulative_logprob") == pytest.approx(kernel(score), abs=1e-3)
    button(panel, "Generate").click()
    ended(panel, 12)
    assert kernel("(e.shown.prompt, e.shown.parent)") == ("The cat and the dog", None)
    kernel("setattr(e, 'params', LONG)")
    button(panel, "Generate").click()
    tokens(panel).nth(20).wait_for()
    button(panel, "Stop").click()
    panel.page.wait_for_selector(".nbllm-branch-text .nbllm-completions:not(.nbllm-running)")
    assert kernel("e.shown.finish_reason") == "abort"
    assert kernel("len(e.shown.token_ids)") == tokens(panel).count()
    assert kernel("nbllm.current().requests()") == []


def test_branching_off_what_still_grows(panel, kernel):
    kernel("setattr(e, 'params', LONG)")
    button(panel, "Generate").click()
    tokens(panel).nth(30).wait_for()
    old = tokens(panel).nth(20).element_handle()
    tokens(panel).nth(3).click()
    dialog(panel).locator(".nbllm-row").nth(1).click()
    panel.page.wait_for_function("token => !token.isConnected", arg=old)
    panel.locator(".nbllm-parts-here").wait_for()
    tokens(panel).nth(15).wait_for()
    button(panel, "Stop").click()
    panel.page.wait_for_selector(".nbllm-branch-text .nbllm-completions:not(.nbllm-running)")
    assert kernel("[b.finish_reason for b in e.branches][-2:]") == ["abort", "abort"]
    assert kernel("e.shown.parent is e.branches[-2] and len(e.branches[-2].token_ids) > 30")


def test_a_branch_while_a_cell_runs(lab, panel, kernel):
    with driver.while_busy(panel.page, lab, cell("busy")):
        tokens(panel).nth(5).click()
        dialog(panel).locator(".nbllm-row").nth(1).click()
        ended(panel, 18)
        # the button counts the tokens that the tree says there are
        panel.locator(".nbllm-branch").last.get_by_text("18 tokens").wait_for()
        button(panel, "continue: go on at the end of this branch").click()
        ended(panel, 30)
    assert kernel("e.df.position.tolist()[-2:]") == [5, 18]


def test_two_branches_compared(panel, kernel):
    kernel("(e.branch(2, choices(e.shown.logprobs[2])[1]), e.wait(20)) and None")
    ended(panel, 15)
    button(panel, "pin B").click()
    row = panel.locator(".nbllm-branch").first
    pin = row.get_by_role("button", name=re.compile("^A: pin"))
    pin.focus()
    panel.page.keyboard.press("Enter")
    sides = panel.locator(".nbllm-side")
    sides.nth(1).wait_for()
    # the button that was pressed has the focus still
    assert panel.page.evaluate("document.activeElement.textContent") == "A"
    texts = [text_of(side.locator(".nbllm-token")) for side in sides.all()]
    spelled = "''.join(next(iter(p.values())).decoded_token for p in e.pins[{!r}].logprobs)"
    assert texts == [kernel(spelled.format(name)) for name in "AB"]
    spans = kernel("e.compare(e.pins['A'].number, e.pins['B'].number).to_dict('list')")
    gone = "".join(text_of(sides.nth(0).locator("del .nbllm-token")))
    new = "".join(text_of(sides.nth(1).locator("ins .nbllm-token")))
    differs = [i for i, same in enumerate(spans["shared"]) if not same]
    assert gone == "".join(spans["text_a"][i] for i in differs)
    assert new == "".join(spans["text_b"][i] for i in differs)
    assert "The same for 2 tokens, then A goes on with" in panel.inner_text()
    sums = kernel("[round(e.pins[n].cumulative_logprob, 2) for n in 'AB']")
    for side, total in zip(sides.all(), sums, strict=True):
        assert f"log-probability −{-total:.2f}" in side.inner_text()
    button(panel, "unpin A").click()
    sides.nth(1).wait_for(state="detached")


def test_to_dataframe_and_remove(panel, kernel):
    kernel("(e.branch(2, choices(e.shown.logprobs[2])[1]), e.wait(20)) and None")
    ended(panel, 15)
    name = panel.get_by_role("textbox", name="variable for the DataFrame")
    name.fill("mine")
    name.press("Enter")
    panel.get_by_role("status").get_by_text("mine is a DataFrame of 2 rows").wait_for()
    assert kernel("mine.equals(e.df) and len(mine_tokens) == 27")
    assert kernel("mine.cumulative_logprob.tolist()") == kernel(
        "[b.cumulative_logprob for b in e.branches]"
    )
    button(panel, "remove").click()
    button(panel, "really remove?").click()
    ended(panel, 12)
    assert kernel("len(e.branches)") == 1


def test_errors_are_shown_inside(panel, kernel):
    kernel("setattr(e, 'params', SamplingParams(max_tokens=5, logprobs=2, bad_words=['x']))")
    kernel("setattr(e, 'model', 'gone')")
    tokens(panel).nth(1).click()
    dialog(panel).locator(".nbllm-row").nth(1).click()
    alert = panel.get_by_role("alert")
    alert.get_by_text("no model called 'gone' is loaded").wait_for()
    kernel("setattr(e, 'model', None)")
    tokens(panel).nth(1).click()
    dialog(panel).locator(".nbllm-row").nth(1).click()
    ended(panel, 7)
    assert not alert.is_visible()


def test_untrusted_text_is_inert(panel, kernel):
    wanted = "structured_outputs=StructuredOutputsParams(choice=[HOSTILE])"
    kernel(f"reset(HOSTILE, {wanted}, max_tokens=300, temperature=1.0)")
    kernel("e.rename(HOSTILE)")
    button(panel, "pin A").click()
    panel.locator(".nbllm-side").first.wait_for()
    tokens(panel).nth(2).click()
    dialog(panel).wait_for()
    everything = panel.inner_text()
    assert everything.count("<img src=x onerror") >= 4
    assert "\u241b[31m \\u202eevil\\x9b" in everything
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", everything)
    assert panel.locator("img, script, a").count() == 0
    assert panel.page.evaluate("window.hacked") is None
    panel.page.keyboard.press("Escape")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_readable_and_accessible(panel, kernel, shots, theme):
    if reason := axe.missing():
        pytest.skip(reason)
    driver.set_theme(panel.page, f"JupyterLab {theme.title()}")
    kernel("reset(max_tokens=60, logprobs=5)")
    kernel("(e.branch(4, choices(e.shown.logprobs[4])[1]), e.wait(20)) and None")
    kernel("(e.branch(20, ' red'), e.wait(20)) and None")
    kernel(
        "(e.branch(9, choices(e.branches[0].logprobs[9])[2], of=e.branches[0].number), e.wait(20)) and None"
    )
    kernel("(e.pin('A', e.branches[0].number), e.pin('B', e.branches[1].number)) and None")
    kernel("e.show(e.branches[1].number)")
    panel.locator(".nbllm-side").nth(1).wait_for()
    panel.page.set_viewport_size({"width": 1280, "height": 1300})
    driver.select_cell(panel.page, cell("magic"))
    panel.page.screenshot(path=shots / f"token-explorer-{theme}.png")
    tokens(panel).nth(4).click()
    dialog(panel).wait_for()
    panel.page.screenshot(path=shots / f"token-explorer-choices-{theme}.png")
    assert axe.violations(panel.page, ".nbllm-tokenexplorer") == []
    panel.page.keyboard.press("Escape")
    kernel("setattr(e.view, 'error', 'position is from 0 to 60')")
    panel.get_by_role("alert").wait_for()
    assert axe.violations(panel.page, ".nbllm-tokenexplorer") == []
    panel.page.set_viewport_size({"width": 1280, "height": 900})


def test_in_a_narrow_cell(panel, kernel, shots):
    kernel("(e.branch(2, choices(e.shown.logprobs[2])[1]), e.wait(20)) and None")
    panel.page.set_viewport_size({"width": 460, "height": 1100})
    driver.select_cell(panel.page, cell("magic"))
    panel.screenshot(path=shots / "token-explorer-narrow.png")
    assert panel.evaluate("node => node.scrollWidth <= node.clientWidth + 1")
    tokens(panel).nth(3).click()
    box = dialog(panel).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 460
    panel.page.keyboard.press("Escape")
    panel.page.set_viewport_size({"width": 1280, "height": 900})


def test_closed_saved_and_without_its_kernel_the_branches_stay(lab, panel, kernel, shots):
    kernel("(e.branch(2, choices(e.shown.logprobs[2])[1]), e.wait(20)) and None")
    notebook = panel.page
    texts = kernel("[b.text for b in e.branches]")
    driver.run_cell(notebook, cell("closed"))
    kernel("q.wait(20)")
    closed = driver.output(notebook, cell("closed")).locator(".nbllm-panel")
    closed.locator(".nbllm-branch").wait_for()
    closed.get_by_role("button", name="Close, and keep what is shown").click()
    left = driver.output(notebook, cell("closed")).locator(
        "xpath=self::*[contains(@class, 'nbllm-result')]"
    )
    left.wait_for()
    assert kernel("q.shown.text") in left.inner_text()
    driver.command(notebook, "docmanager:save")
    cells = json.loads((lab.root / "explorer.ipynb").read_text())["cells"]
    saved = cells[cell("magic")]["outputs"][-1]
    assert WIDGET not in saved["data"]
    assert [o["completions"][0]["text"] for o in saved["data"][MIME]["outputs"]] == texts
    assert "from branch" in "".join(saved["data"]["text/html"])
    kernel("get_ipython().run_line_magic('nbllm', 'verify explorer.ipynb')")
    session = "window.jupyterapp.shell.currentWidget.sessionContext.session"
    notebook.evaluate(f"{session}.kernel.restart()")
    driver.select_cell(notebook, cell("magic"))
    panel.get_by_text("The kernel has ended").wait_for()
    assert panel.get_by_role("button").count() == 0
    assert tokens(panel).count() == 15
    tokens(panel).nth(2).hover()
    assert panel.locator(".nbllm-branch-text [role=tooltip]").is_visible()
    tokens(panel).nth(2).click()
    assert not dialog(panel).is_visible()
    notebook.screenshot(path=shots / "token-explorer-kernel-ended.png")
    driver.command(notebook, "docmanager:save")
    assert driver.value(notebook, "1 + 1") == 2
    driver.command(notebook, "application:close")
    driver.open_notebook(notebook, "explorer.ipynb")
    shown = driver.output(notebook, cell("magic")).last
    assert "nbllm-result" in shown.get_attribute("class")
    for text in texts:
        assert text.strip()[:40] in shown.inner_text()
    notebook.screenshot(path=shots / "token-explorer-reopened.png")
    assert notebook.get_by_text("model not found").count() == 0


def test_nbconvert_shows_all_branches(lab):
    from nbconvert import HTMLExporter

    html, _ = HTMLExporter().from_filename(str(lab.root / "explorer.ipynb"))
    assert html.count('<div class="nbllm">') == 2
    assert "from branch" in html
    assert "Loading widget" not in html


def test_nothing_went_wrong(notebook, errors):
    assert errors == []
