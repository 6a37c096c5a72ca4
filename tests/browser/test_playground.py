"""A Playground in JupyterLab with a kernel, used by mouse and by keyboard."""

import re

import pytest
from browser import axe, results
from browser import lab as driver
from browser.lab import button, comes_true
from until import until

pytestmark = pytest.mark.browser

HOSTILE = results.HOSTILE_LINK
SETUP = f"""
%load_ext nbllm
import nbllm
from nbllm import SamplingParams, StructuredOutputsParams
HOSTILE = {HOSTILE!r}
BEGIN = SamplingParams(temperature=0, max_tokens=12, logprobs=3, seed=7)
def reset(prompt="Once upon a time", **params):
    "The widget as it was when it was made, but for its history."
    p.runs.drop(); p.runs.wait(20)
    p.live = False
    for name in list(p.pins): p.unpin(name)
    p.params = BEGIN.clone() if not params else SamplingParams(**params)
    p.prompt = prompt
    p.view.error = p.view.note = ""
"""
CELLS = {
    "setup": SETUP,
    "magic": "%%playground p -t 0 -m 12 --seed 7 --logprobs 3\nOnce upon a time, there was a {{ animal }}",
    "busy": driver.BUSY,
    "code": "1",
}
NEW = ".nbllm-running:not(.nbllm-stale)"
LONG = "max_tokens=1500, ignore_eos=True, temperature=1.0"


@pytest.fixture(scope="module")
def notebook(lab, page):
    """The page, with a notebook that shows the Playground `p`."""
    driver.open_cells(page, lab, "playground.ipynb", CELLS.values(), map(cell, ("setup", "magic")))
    page.wait_for_selector(".nbllm-playground .nbllm-view .nbllm-bar")
    return page


def cell(name):
    return list(CELLS).index(name)


@pytest.fixture
def panel(notebook, kernel):
    """The widget, as it was made."""
    kernel("reset()")
    notebook.mouse.move(0, 0)
    driver.select_cell(notebook, cell("magic"))
    return notebook.locator(".nbllm-playground")


def run(panel, kernel):
    """Press Run, and wait for the end; the text."""
    before = kernel("len(p.history)")
    button(panel, "Run").click()
    return ended(panel, before + 1)


def ended(panel, number):
    """Wait for the end of the run of this number; the text."""
    panel.get_by_text(re.compile(f"^run {number} ·")).wait_for()
    panel.page.wait_for_selector(".nbllm-completions:not(.nbllm-running)")
    # said last, of every completion
    panel.locator(".nbllm-completion .nbllm-facts", has_text="token").first.wait_for()
    return text_of(panel)


def text_of(panel):
    """What is shown of the first completion, without its marks."""
    tokens = panel.locator(".nbllm-completion").first.locator(".nbllm-token")
    script = "nodes => nodes.map(node => [...node.childNodes].filter(c => c.nodeType === 3).map(c => c.data).join('')).join('')"
    return tokens.evaluate_all(script)


def slider(panel, name):
    return panel.get_by_role("slider", name=name, exact=True)


def test_the_magic_loads_the_bundled_model_and_says_so(notebook, kernel):
    said = driver.output(notebook, cell("magic")).first.inner_text()
    assert "no model was loaded: this is 'tiny', the bundled one" in said
    fields = ["temperature", "max_tokens", "seed", "logprobs"]
    assert kernel(f"[getattr(p.params, f) for f in {fields}]") == [0, 12, 7, 3]
    assert kernel("sorted(p.variables)") == ["animal"]


def test_a_run_by_mouse(panel, kernel):
    text = run(panel, kernel)
    assert text.startswith(kernel("p.result.text"))
    assert kernel("nbllm.last is p.result")
    expected = (
        "nbllm.current().generate('Once upon a time', BEGIN, use_tqdm=False)[0].outputs[0].text"
    )
    assert kernel("p.result.text") == kernel(expected)
    assert "length · 12 tokens · log-probability" in panel.locator(".nbllm-completion").inner_text()


def test_tokens_arrive_while_it_runs(panel, kernel):
    kernel(f"reset({LONG})")
    before = kernel("len(p.history)")
    button(panel, "Run").click()
    tokens = panel.locator(f"{NEW} .nbllm-token")
    tokens.nth(10).wait_for()
    first, same = tokens.count(), tokens.first.element_handle()
    tokens.nth(first + 20).wait_for()
    # it grows: what was there stays what it was
    assert same.evaluate("node => node.isConnected")
    button(panel, "Stop").click()
    ended(panel, before + 1)
    assert same.evaluate("node => node.isConnected")
    assert panel.locator(".nbllm-token").count() == kernel("p.result.num_tokens")


def test_stop_keeps_what_there_is(panel, kernel):
    kernel(f"reset({LONG})")
    before = kernel("len(p.history)")
    button(panel, "Run").click()
    panel.locator(f"{NEW} .nbllm-token").nth(5).wait_for()
    button(panel, "Stop").focus()
    panel.page.keyboard.press("Enter")
    ended(panel, before + 1)
    assert kernel("p.history[-1].generation.outputs[0].outputs[0].finish_reason") == "abort"
    assert 5 < kernel("p.result.num_tokens") < 1500
    assert kernel("nbllm.current().requests()") == []
    assert "abort · " in panel.locator(".nbllm-completion").inner_text()


def test_everything_by_keyboard(panel, kernel):
    before = kernel("len(p.history)")
    keyboard = panel.page.keyboard
    panel.get_by_role("textbox", name="prompt", exact=True).focus()
    keyboard.press("Control+a")
    keyboard.type("The cat and the {{ other }}")
    panel.get_by_role("textbox", name="other").wait_for()
    keyboard.press("Tab")
    keyboard.type("dog")
    keyboard.press("Tab")
    assert slider(panel, "temperature").evaluate("node => node === document.activeElement")
    for _ in range(3):
        keyboard.press("ArrowRight")
    for _ in range(30):
        keyboard.press("Tab")
        if button(panel, "Run").evaluate("node => node === document.activeElement"):
            break
    keyboard.press("Enter")
    ended(panel, before + 1)
    assert kernel("p.result.prompts") == ["The cat and the dog"]
    assert kernel("round(p.params.temperature, 2)") == 0.03
    assert kernel("p.variables['other']") == "dog"


def test_tokens_by_keyboard(panel, kernel):
    run(panel, kernel)
    tokens, box = panel.locator(".nbllm-token"), panel.locator(".nbllm-alternatives")
    active = driver.active_cell(panel.page)
    tokens.first.focus()
    panel.page.keyboard.press("ArrowRight")
    panel.page.keyboard.press("ArrowRight")
    assert tokens.nth(2).evaluate("node => node === document.activeElement")
    assert box.is_visible()
    assert box.locator(".nbllm-row").count() == 3
    panel.page.keyboard.press("End")
    assert tokens.last.evaluate("node => node === document.activeElement")
    panel.page.keyboard.press("Escape")
    assert not box.is_visible()
    assert driver.active_cell(panel.page) == active


def test_pointing_at_a_token_shows_its_alternatives(panel, kernel):
    run(panel, kernel)
    panel.locator(".nbllm-token").nth(3).hover()
    chosen = panel.locator(".nbllm-chosen").inner_text()
    position = "list(p.result.outputs[0].outputs[0].logprobs[3].values())[0]"
    assert kernel(f"{position}.decoded_token").strip() in chosen
    assert f"rank {kernel(f'{position}.rank')}" in chosen


def test_every_variable_has_a_field(panel, kernel):
    kernel("reset('{{ a }}')")
    prompt = panel.get_by_role("textbox", name="prompt", exact=True)
    prompt.fill("{{ a }} met {{ b }}, {{ a }} and {{ ")
    fields = panel.locator(".nbllm-controls").first.get_by_role("textbox")
    panel.get_by_role("textbox", name="a", exact=True).fill("Tom")
    prompt.fill("{{ a }} met {{ b }}, {{ a }} and {{ c")
    prompt.fill("{{ a }} met {{ b }}, {{ a }} and {{ c }}")
    panel.get_by_role("textbox", name="c", exact=True).fill("Ann")
    panel.get_by_role("textbox", name="b", exact=True).fill("Eve")
    assert fields.count() == 3
    run(panel, kernel)
    assert kernel("p.result.prompts") == ["Tom met Eve, Tom and Ann"]


def test_a_variable_of_the_notebook_fills_its_field(panel, kernel):
    kernel("globals().update(hero='Ada', count=3)")
    kernel("reset('{{ hero }} has {{ count }}')")
    assert panel.get_by_role("textbox", name="hero").input_value() == "Ada"
    assert panel.get_by_role("textbox", name="count").input_value() == "3"


def test_controls_are_the_fields_of_sampling_params(panel, kernel):
    panel.get_by_role("button", name="more settings").click()
    for name, text in {
        "top_k": "5",
        "max_tokens": "9",
        "n": "1",
        "seed": "11",
        "min_tokens": "2",
    }.items():
        field = panel.get_by_label(name, exact=True)
        field.fill(text)
        field.press("Tab")
    panel.get_by_label("stop", exact=True).fill("\\n\nThe end")
    panel.get_by_label("ignore_eos").check()
    names = ["top_k", "max_tokens", "seed", "min_tokens", "stop", "ignore_eos"]
    expected = [5, 9, 11, 2, ["\n", "The end"], True]
    until(lambda: kernel(f"[getattr(p.params, n) for n in {names}]") == expected)
    for name, (low, high) in {"temperature": ("0", "2"), "presence_penalty": ("-2", "2")}.items():
        handle = slider(panel, name)
        assert float(handle.get_attribute("aria-valuemin")) == float(low)
        assert float(handle.get_attribute("aria-valuemax")) == float(high)
    panel.get_by_role("button", name="more settings").click()
    slider(panel, "presence_penalty").wait_for(state="hidden")


def test_dragging_a_slider(panel, kernel):
    box = slider(panel, "temperature").bounding_box()
    mouse = panel.page.mouse
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse.down()
    mouse.move(box["x"] + 30, box["y"] + 5, steps=4)
    mouse.up()
    shown = float(panel.get_by_role("textbox", name="temperature", exact=True).inner_text())
    assert 0.2 < shown < 2
    comes_true(kernel, f"abs(p.params.temperature - {shown}) < 0.006")


def test_live_runs_after_every_change_and_ends_the_old_run(panel, kernel):
    kernel(f"reset({LONG})")
    before = kernel("len(p.history)")
    panel.get_by_label("live").check()
    panel.locator(f"{NEW} .nbllm-token").nth(3).wait_for()
    prompt = panel.get_by_role("textbox", name="prompt", exact=True)
    prompt.press("End")
    prompt.press_sequentially(", there was", delay=20)
    comes_true(
        kernel, "[r.prompt.endswith('there was') for r in nbllm.current().requests()] == [True]"
    )
    # what was replaced is no run of the history
    assert kernel("len(p.history)") == before
    panel.get_by_label("live").uncheck()
    button(panel, "Stop").click()
    ended(panel, before + 1)
    assert kernel("p.result.prompts") == ["Once upon a time, there was"]


def test_errors_are_shown_inside(panel, kernel):
    kernel("reset(n=1, temperature=0, max_tokens=5)")
    n = panel.get_by_label("n", exact=True)
    n.fill("2")
    n.press("Tab")
    button(panel, "Run").click()
    alert = panel.get_by_role("alert")
    alert.get_by_text("n must be 1 when temperature is 0").wait_for()
    n.fill("1")
    n.press("Tab")
    run(panel, kernel)
    assert not alert.is_visible()
    panel.get_by_role("textbox", name="prompt", exact=True).fill("{{ 1 / 0 }}")
    button(panel, "Run").click()
    alert.get_by_text("ZeroDivisionError").wait_for()


def test_a_run_while_a_cell_runs(lab, panel, kernel):
    kernel(f"reset({LONG})")
    with driver.while_busy(panel.page, lab, cell("busy")):
        button(panel, "Run").click()
        panel.locator(f"{NEW} .nbllm-token").nth(5).wait_for()
        button(panel, "Stop").click()
        panel.page.wait_for_selector(".nbllm-completions:not(.nbllm-running)")
    assert 5 < kernel("p.result.num_tokens") < 1500


def history_open(panel):
    details = panel.locator(".nbllm-history")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    return details


def test_history_and_restore(panel, kernel):
    kernel("reset('One {{ thing }}', temperature=0.5, max_tokens=6, logprobs=2)")
    panel.get_by_role("textbox", name="thing").fill("apple")
    first = run(panel, kernel)
    number = kernel("p.view.shown")
    kernel("reset('Two', temperature=0, max_tokens=4)")
    run(panel, kernel)
    history = history_open(panel)
    row = history.locator("tbody tr").nth(1)
    assert row.locator("td").nth(1).inner_text() == "One apple"
    assert "temperature=0.5" in row.locator("td").nth(2).inner_text()
    button(history, f"restore run {number}").click()
    panel.get_by_text(re.compile(f"^run {number} ·")).wait_for()
    until(lambda: text_of(panel) == first)
    assert (
        panel.get_by_role("textbox", name="prompt", exact=True).input_value() == "One {{ thing }}"
    )
    assert panel.get_by_role("textbox", name="thing").input_value() == "apple"
    assert kernel("(p.params.temperature, p.params.max_tokens)") == (0.5, 6)
    assert kernel("p.view.shown") == number


def test_two_runs_side_by_side(panel, kernel):
    run(panel, kernel)
    button(panel, "pin A").click()
    panel.get_by_role("textbox", name="prompt", exact=True).fill("Once upon a time, there was")
    run(panel, kernel)
    history = history_open(panel)
    button(history, f"B: pin run {kernel('p.view.shown')}").focus()
    panel.page.keyboard.press("Enter")
    sides = panel.locator(".nbllm-side")
    sides.nth(1).wait_for()
    # the button that was pressed has the focus still
    assert panel.page.evaluate("document.activeElement.textContent") == "B"
    a, b = kernel("(p.pins['A'].generation.text, p.pins['B'].generation.text)")
    texts = [
        side.locator(".nbllm-text").evaluate("node => node.textContent") for side in sides.all()
    ]
    assert texts == [a, b]
    gone = "".join(sides.nth(0).locator("del").all_inner_texts()).split()
    new = "".join(sides.nth(1).locator("ins").all_inner_texts()).split()
    assert gone or new
    assert set(gone) <= set(a.split())
    assert set(new) <= set(b.split())
    assert kernel("p.static()[1]['nbllm']['settings'] != []")
    button(panel, "unpin A").click()
    sides.nth(1).wait_for(state="detached")
    assert sides.locator("ins").count() == 0


def test_to_dataframe(panel, kernel):
    run(panel, kernel)
    name = panel.get_by_role("textbox", name="variable for the DataFrame")
    name.fill("mine")
    name.press("Enter")
    panel.get_by_role("status").get_by_text("mine is a DataFrame of").wait_for()
    assert kernel("len(mine) == len(p.history)")
    assert kernel("list(mine.columns)[:1] + list(mine.columns)[-1:]")[0] == "run"
    assert kernel("mine.text.iloc[-1] == p.result.text")
    name.fill("not a name")
    button(panel, "to DataFrame: all runs, in this variable").click()
    panel.get_by_role("alert").get_by_text("'not a name' is not a variable name").wait_for()
    name.fill("runs")


def test_to_code(panel, kernel):
    kernel(
        "reset('Two words {{ more }}', temperature=0.9, max_tokens=10, stop=['\\n'], logprobs=2)"
    )
    panel.get_by_role("textbox", name="more").fill("and more")
    run(panel, kernel)
    button(panel, "to code: the cell that does the same").click()
    code = panel.locator(".nbllm-code")
    code.wait_for()
    button(panel, "copy this cell").click()
    panel.page.wait_for_function(
        "async code => await navigator.clipboard.readText() === code", arg=kernel("p.code()")
    )
    source = panel.page.evaluate("navigator.clipboard.readText()")
    assert source == code.evaluate("node => node.textContent") == kernel("p.code()")
    assert source.endswith("\nTwo words and more")
    text = kernel("p.result.text")
    index = cell("code")
    panel.page.evaluate(
        "([i, s]) => window.jupyterapp.shell.currentWidget.content.widgets[i].model.sharedModel.setSource(s)",
        [index, source],
    )
    driver.run_cell(panel.page, index)
    assert kernel("nbllm.last.text") == text


def test_untrusted_text_is_inert(panel, kernel):
    wanted = "structured_outputs=StructuredOutputsParams(choice=[HOSTILE])"
    kernel(f"reset(HOSTILE, {wanted}, max_tokens=300, logprobs=2, temperature=1.0)")
    text = run(panel, kernel)
    assert kernel("p.result.text == HOSTILE")
    button(panel, "pin A").click()
    button(panel, "pin B").click()
    panel.locator(".nbllm-side").nth(1).wait_for()
    button(panel, "to code: the cell that does the same").click()
    panel.locator(".nbllm-code").wait_for()
    history_open(panel)
    assert text.startswith("<img src=x onerror")
    everything = panel.inner_text()
    assert "\u241b[31m \\u202eevil\\x9b" in everything
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", everything)
    assert panel.locator("img, script, a").count() == 0
    assert panel.page.evaluate("window.hacked") is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_readable_and_accessible(panel, kernel, shots, theme):
    if reason := axe.missing():
        pytest.skip(reason)
    driver.set_theme(panel.page, f"JupyterLab {theme.title()}")
    kernel(
        "reset('Once upon a time, there was a {{ animal }}', temperature=0.8, max_tokens=60, logprobs=4, n=2)"
    )
    for name in ("A", "B"):
        run(panel, kernel)
        button(panel, f"pin {name}").click()
    panel.locator(".nbllm-side").nth(1).wait_for()
    button(panel, "to code: the cell that does the same").click()
    panel.get_by_role("button", name="more settings").click()
    history_open(panel)
    panel.locator(".nbllm-code").wait_for()
    panel.locator(".nbllm-token").nth(4).hover()
    panel.page.set_viewport_size({"width": 1280, "height": 1700})
    panel.page.screenshot(path=shots / f"playground-{theme}.png")
    panel.page.set_viewport_size({"width": 1280, "height": 900})
    assert axe.violations(panel.page, ".nbllm-playground") == []
    kernel("setattr(p.view, 'error', 'n must be 1 when temperature is 0')")
    panel.get_by_role("alert").wait_for()
    assert axe.violations(panel.page, ".nbllm-playground") == []
    panel.get_by_role("button", name="more settings").click()


def test_in_a_narrow_cell(panel, kernel, shots):
    panel.page.set_viewport_size({"width": 460, "height": 900})
    run(panel, kernel)
    panel.screenshot(path=shots / "playground-narrow.png")
    assert panel.evaluate("node => node.scrollWidth <= node.clientWidth + 1")
    panel.page.set_viewport_size({"width": 1280, "height": 900})


def test_nothing_went_wrong(panel, errors):
    assert errors == []
