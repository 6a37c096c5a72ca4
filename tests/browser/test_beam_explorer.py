"""A BeamExplorer in JupyterLab with a kernel, used by mouse and by keyboard."""

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
import nbllm
from nbllm import BeamSearchParams, StructuredOutputsParams
HOSTILE = {HOSTILE!r}
BEGIN = BeamSearchParams(beam_width=4, max_tokens=16)
def reset(**params):
    "The widget as it was when it was made."
    e.runs.drop(); e.prompt = "Once upon a time"; e.view.error = ""
    e.params = BeamSearchParams(**params) if params else BEGIN
    e.wait(30); e.unselect(); e.go(e.output.history.num_steps); e.view.note = ""
def searched(**params):
    "What the model itself finds."
    return nbllm.current().beam_search(e.prompt, BeamSearchParams(**params))[0].to_frame()
"""
CELLS = {
    "setup": SETUP,
    "magic": "%%beamexplorer e --width 4 -m 16\nOnce upon a time",
    "closed": "%beamexplorer --out gone -w 3 -m 6 The fox",
    "busy": driver.BUSY,
}
WIDGET = "application/vnd.jupyter.widget-view+json"
MIME = "application/vnd.nbllm.v1+json"


@pytest.fixture(scope="module")
def notebook(lab, page):
    """The page, with a notebook that shows the BeamExplorer `e`."""
    driver.open_cells(
        page, lab, "beams.ipynb", CELLS.values(), map(cell, ("setup", "magic", "closed"))
    )
    panel_of(page, "magic").get_by_text("step 16 of 16").wait_for()
    return page


def cell(name):
    return list(CELLS).index(name)


def panel_of(page, name):
    return driver.output(page, cell(name)).locator(".nbllm-beamexplorer")


@pytest.fixture
def panel(notebook, kernel):
    """The widget, as it was made."""
    kernel("reset()")
    notebook.mouse.move(0, 0)
    panel = panel_of(notebook, "magic")
    panel.get_by_text("step 16 of 16").wait_for()
    return panel


def slider(panel, name):
    return panel.get_by_role("slider", name=name, exact=True)


def box_of(locator):
    """Where it is on the screen."""
    locator.scroll_into_view_if_needed()
    return locator.bounding_box()


def shown_texts(panel):
    return panel.locator(".nbllm-sequences tbody .nbllm-text").all_text_contents()


def test_the_magic_searches_at_once(panel, kernel):
    texts = kernel("list(searched(beam_width=4, max_tokens=16).text)")
    assert kernel("list(e.df.text)") == texts
    assert kernel("nbllm.replay(e.result).identical")
    # of a long common beginning only the end is shown
    assert all(
        text.endswith(shown.removeprefix("… "))
        for text, shown in zip(texts, shown_texts(panel), strict=True)
    )
    assert "tiny · 4 beams · 16 steps" in panel.inner_text()


def test_steps_by_keyboard(panel, kernel):
    steps = slider(panel, "step of the search")
    steps.focus()
    for _ in range(6):
        panel.page.keyboard.press("ArrowLeft")
    panel.get_by_text("step 10 of 16").wait_for()
    comes_true(kernel, "e.step == 10")
    expected = kernel("[str(t) for t in e.trace[e.trace.step == 10].token[:5]]")
    rows = panel.locator(".nbllm-candidates tbody tr:not(.nbllm-spacer)")
    shown = [rows.nth(i).locator("td").nth(1).text_content() for i in range(5)]
    assert [text.replace("⏎", "\n") for text in shown] == expected
    kernel("e.go(3)")
    panel.get_by_text("step 3 of 16").wait_for()


def test_steps_by_mouse(panel, kernel):
    box = box_of(slider(panel, "step of the search"))
    mouse, middle = panel.page.mouse, box["y"] + box["height"] / 2
    mouse.move(box["x"] + box["width"] - 5, middle)
    mouse.down()
    mouse.move(box["x"] + box["width"] / 2, middle, steps=8)
    mouse.up()
    panel.get_by_text("step 8 of 16").wait_for()
    comes_true(kernel, "e.step == 8")
    button(panel, "play").click()
    panel.get_by_text("step 16 of 16").wait_for()
    comes_true(kernel, "e.step == 16")


def test_a_path_by_keyboard(panel, kernel):
    active = driver.active_cell(panel.page)
    tree, keyboard = panel.locator(".nbllm-tree"), panel.page.keyboard
    tree.focus()
    for key in ("Home", "ArrowDown", "ArrowRight", "ArrowRight"):
        keyboard.press(key)
    said = panel.locator(".nbllm-spoken").inner_text()
    assert said.startswith("step ")
    step, rank = map(int, re.match(r"step (\d+), rank (\d+)", said).groups())
    keyboard.press("Enter")
    comes_true(kernel, "len(e.selected) == 1")
    assert kernel("(int(e.selected.num_tokens[0]), e.selected.text[0])") == (
        step,
        panel.locator(".nbllm-path").text_content(),
    )
    score = kernel(
        f"float(e.trace[(e.trace.step == {step}) & (e.trace['rank'] == {rank})].score.iloc[0])"
    )
    assert kernel("float(e.selected.score[0])") == pytest.approx(score)
    keyboard.press("Enter")
    comes_true(kernel, "len(e.selected) == 0")
    assert driver.active_cell(panel.page) == active


def test_a_path_by_mouse(panel, kernel):
    kernel("e.go(3)")
    panel.get_by_text("step 3 of 16").wait_for()
    box = box_of(panel.locator(".nbllm-tree"))
    mouse = panel.page.mouse
    x, y = box["x"] + 3 * 116 + 60, box["y"] + 20 + 11
    mouse.move(x, y)
    first = kernel("[str(t) for t in e.trace[e.trace.step == 3].token][0]")
    panel.locator(".nbllm-about").get_by_text(f"step 3, rank 1 of 32 · “{first}”").wait_for()
    mouse.click(x, y)
    mouse.move(0, 0)
    button(panel, "select this path").click()
    comes_true(kernel, "len(e.selected) == 1")
    button(panel, "unselect this path").wait_for()
    assert kernel("e.selected.text[0]") == panel.locator(".nbllm-path").text_content()


def test_sequences_to_a_dataframe(panel, kernel):
    panel.get_by_role("checkbox", name="select sequence 2").check()
    # its answer draws all rows again
    panel.get_by_text("1 of 4 selected").wait_for()
    third = panel.get_by_role("checkbox", name="select sequence 3")
    third.focus()
    panel.page.keyboard.press("Space")
    panel.get_by_text("2 of 4 selected").wait_for()
    assert third.evaluate("node => node === document.activeElement")
    name = panel.get_by_role("textbox", name="variable for the DataFrame")
    name.fill("mine")
    name.press("Enter")
    panel.get_by_role("status").get_by_text("mine is a DataFrame of 2 rows").wait_for()
    assert kernel("list(mine.text) == list(e.df.text[1:3])")
    name.fill("not a name")
    button(panel, "to DataFrame: what is selected, else all sequences").click()
    panel.get_by_role("alert").get_by_text("'not a name' is not a variable name").wait_for()
    name.fill("sequences")


def test_the_length_penalty_ranks_again(panel, kernel):
    before = kernel("nbllm.current().engine.stats.num_generated")
    slider(panel, "length_penalty").focus()
    for _ in range(10):
        panel.page.keyboard.press("ArrowLeft")
    panel.get_by_text("re-ranked from the recorded search").wait_for()
    comes_true(kernel, "e.params.length_penalty == 0 and e.params == e.output.history.params")
    assert kernel("nbllm.current().engine.stats.num_generated") == before
    assert kernel("list(e.df.text)") == kernel(
        "list(searched(beam_width=4, max_tokens=16, length_penalty=0.0).text)"
    )
    # a score is now the log-probability
    cells = panel.locator(".nbllm-sequences tbody tr").first.locator(".nbllm-number")
    panel.page.wait_for_function(
        "([a, b]) => a.textContent === b.textContent",
        arg=[cells.nth(1).element_handle(), cells.nth(2).element_handle()],
    )


def test_width_by_mouse_searches_again(panel, kernel):
    handle = slider(panel, "beam_width")
    box = box_of(handle)
    mouse = panel.page.mouse
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse.down()
    mouse.move(box["x"] + 45, box["y"] + 5, steps=5)
    mouse.up()
    comes_true(
        kernel, "e.params.beam_width > 5 and e.wait(30) and e.params == e.output.history.params"
    )
    width = kernel("e.params.beam_width")
    panel.get_by_text(f"tiny · {width} beams").wait_for()
    assert kernel(f"list(e.df.text) == list(searched(beam_width={width}, max_tokens=16).text)")
    assert panel.locator(".nbllm-sequences tbody tr").count() == width
    handle.focus()
    panel.page.keyboard.press("Home")
    comes_true(kernel, "len(e.df) == 1")
    assert kernel("list(e.df.text) == list(searched(beam_width=1, max_tokens=16).text)")


def test_it_grows_and_stops(panel, kernel):
    kernel("setattr(e, 'params', BeamSearchParams(beam_width=4, max_tokens=1500, ignore_eos=True))")
    panel.page.wait_for_function(
        "() => / of (\\d+)$/.exec(document.querySelector('.nbllm-where').textContent)?.[1] > 20"
    )
    assert kernel("e.view.running")
    button(panel, "Stop").focus()
    panel.page.keyboard.press("Enter")
    panel.get_by_text(", interrupted").wait_for()
    assert kernel("20 < e.output.history.num_steps < 1500")
    assert kernel("set(e.df.finish_reason)") == {"abort"}
    assert kernel("nbllm.current().requests()") == []


def test_a_search_while_a_cell_runs(lab, panel, kernel):
    kernel("setattr(e.view, 'facts', '')")
    with driver.while_busy(panel.page, lab, cell("busy")):
        prompt = panel.get_by_role("textbox", name="prompt", exact=True)
        prompt.fill("The little dog")
        button(panel, "Search").click()
        # said of a search that has ended
        panel.get_by_text("tiny · 4 beams · 16 steps").wait_for()
        slider(panel, "step of the search").focus()
        panel.page.keyboard.press("Home")
        panel.get_by_text("the prompt, before 16 steps").wait_for()
    assert kernel("e.wait(30) and e.output.prompt") == "The little dog"
    # the kernel hears of it when the step has come to rest: not in the middle of the next test
    comes_true(kernel, "e.step == 0")


def test_errors_are_shown_inside(panel, kernel):
    prompt = panel.get_by_role("textbox", name="prompt", exact=True)
    prompt.fill("")
    button(panel, "Search").click()
    alert = panel.get_by_role("alert")
    alert.get_by_text("there is no prompt").wait_for()
    prompt.fill("word " * 3000)
    button(panel, "Search").click()
    alert.get_by_text("leaves no room").wait_for()
    # what there was is still there
    assert panel.locator(".nbllm-sequences tbody tr").count() == 4
    prompt.fill("Once upon a time")
    before = panel.locator(".nbllm-sequences tbody tr").first.element_handle()
    button(panel, "Search").click()
    alert.wait_for(state="hidden")
    # the first step of this search is drawn
    panel.page.wait_for_function("row => !row.isConnected", arg=before)
    assert kernel("e.wait(30) and e.error") == ""


def test_untrusted_text_is_inert(panel, kernel):
    kernel(
        "reset(beam_width=2, max_tokens=200, structured_outputs=StructuredOutputsParams(choice=[HOSTILE]))"
    )
    assert kernel("e.df.text[0] == HOSTILE")
    panel.locator(".nbllm-sequences").get_by_text("<img src=x onerror").first.wait_for()
    panel.locator(".nbllm-tree").focus()
    for key in ("End", "ArrowUp", "ArrowLeft"):
        panel.page.keyboard.press(key)
    everything = panel.inner_text()
    assert "␛[31m \\u202eevil\\x9b" in everything
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", everything)
    assert panel.locator("img, script, a").count() == 0
    assert panel.page.evaluate("window.hacked") is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_readable_and_accessible(panel, kernel, shots, theme):
    if reason := axe.missing():
        pytest.skip(reason)
    driver.set_theme(panel.page, f"JupyterLab {theme.title()}")
    kernel("(e.select(1), e.go(12)) and None")
    panel.get_by_text("step 12 of 16").wait_for()
    panel.locator(".nbllm-tree").focus()
    panel.page.keyboard.press("ArrowDown")
    panel.page.set_viewport_size({"width": 1280, "height": 1250})
    panel.page.wait_for_timeout(300)
    panel.page.screenshot(path=shots / f"beam-explorer-{theme}.png")
    panel.page.set_viewport_size({"width": 1280, "height": 900})
    assert axe.violations(panel.page, ".nbllm-beamexplorer") == []
    # the canvas has the theme's colours
    script = "node => getComputedStyle(node).backgroundColor"
    back = panel.locator(".nbllm-tree").evaluate(script)
    assert (sum(map(int, re.findall(r"\d+", back)[:3])) < 380) is (theme == "dark")
    kernel("setattr(e.view, 'error', 'there is no prompt')")
    panel.get_by_role("alert").wait_for()
    assert axe.violations(panel.page, ".nbllm-beamexplorer") == []


def test_in_a_narrow_cell(panel, shots):
    panel.page.set_viewport_size({"width": 460, "height": 1250})
    panel.page.wait_for_timeout(300)
    panel.screenshot(path=shots / "beam-explorer-narrow-cell.png")
    assert panel.evaluate("node => node.scrollWidth <= node.clientWidth + 1")
    panel.page.set_viewport_size({"width": 1280, "height": 900})


def saved(lab):
    """name → the outputs of that cell, as saved."""
    cells = json.loads((lab.root / "beams.ipynb").read_text())["cells"]
    return dict(zip(CELLS, (c["outputs"] for c in cells), strict=True))


def test_what_is_left(lab, panel, kernel):
    gone = panel_of(panel.page, "closed")
    button(gone, "Close, and keep what is shown").click()
    gone.wait_for(state="detached")
    left = driver.output(panel.page, cell("closed")).last
    assert kernel("gone.df.text[0]").strip() in left.inner_text()
    comes_true(kernel, "gone.comm is None")
    text = kernel("e.df.text[0]")
    comes_true(kernel, f"e.view.stand_in['data'][{MIME!r}]['searches'][0]['num_steps'] == 16")
    driver.command(panel.page, "docmanager:save")
    for name, steps in {"magic": 16, "closed": 6}.items():
        data = saved(lab)[name][-1]["data"]
        assert WIDGET not in data
        [search] = data[MIME]["searches"]
        assert search["num_steps"] == steps
        assert saved(lab)[name][-1]["metadata"]["nbllm"]["kind"] == "beam"
    assert saved(lab)["magic"][-1]["data"][MIME]["searches"][0]["sequences"][0]["text"] == text


def test_without_its_kernel(lab, panel, shots):
    page = panel.page
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    panel.get_by_text("The kernel has ended").wait_for()
    assert not button(panel, "Search").is_visible()
    # what needs no kernel goes on
    slider(panel, "step of the search").focus()
    page.keyboard.press("Home")
    panel.get_by_text("the prompt, before 16 steps").wait_for()
    button(panel, "▶ one step further").click()
    panel.get_by_text("step 1 of 16").wait_for()
    panel.screenshot(path=shots / "beam-explorer-ended.png")
    assert not button(panel, "select this path").is_visible()
    # and in a notebook that is opened again there is the static tree
    driver.command(page, "docmanager:save")
    assert driver.value(page, "1 + 1") == 2
    driver.command(page, "application:close")
    driver.open_notebook(page, "beams.ipynb")
    for name in ("magic", "closed"):
        shown = driver.output(page, cell(name)).last
        assert "the search: " in shown.inner_text()
    page.screenshot(path=shots / "beam-explorer-reopened.png")
    assert page.get_by_text("model not found").count() == 0


def test_nbconvert_shows_the_static_view(lab, notebook):
    from nbconvert import HTMLExporter

    html, _ = HTMLExporter().from_filename(str(lab.root / "beams.ipynb"))
    assert html.count('<div class="nbllm nbllm-beam">') == 2
    assert WIDGET not in html


def test_nothing_went_wrong(notebook, errors):
    assert errors == []
