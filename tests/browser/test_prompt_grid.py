"""A PromptGrid in JupyterLab with a kernel, used by mouse and by keyboard, and what it leaves."""

import json
import re

import pytest
from browser import axe, results
from browser import lab as driver
from browser.lab import comes_true
from until import until

pytestmark = pytest.mark.browser

HOSTILE = results.HOSTILE_LINK
SETUP = f"""
%load_ext nbllm
import nbllm, pandas as pd
from nbllm import SamplingParams, StructuredOutputsParams
from nbllm.widgets import PromptGrid
HOSTILE = {HOSTILE!r}
animals = pd.DataFrame({{"animal": ["fox", "owl", "cat", "dog", "whale"], "legs": [4, 2, 4, 4, 0]}})
def fill(params=None):
    "The grid as it was when it was made, and nothing made; params: of its second column."
    from dataclasses import replace
    g.runs.drop(); g.runs.wait(20)
    column = g.cells.columns[1]
    g.cells.columns[1] = replace(column, params=params or SamplingParams(temperature=1.2, max_tokens=12, seed=7))
    for each in g.cells: each.made = each.rating = None; each.error = each.note = ""
    g._judging.duels.clear(); g.end_blind(); g.sort()
    g.view.running, g.view.error, g.view.note = False, "", ""
    g.view.tell(g.cells); g._draw()
"""
CELLS = {
    "setup": SETUP,
    "magic": (
        '%%promptgrid g --over animals --setting "greedy -t 0" --setting "wild -t 1.2" -m 12 --seed 7\n'
        "Once there was a {{ animal }}"
    ),
    "busy": driver.BUSY,
    "big": (
        'big = PromptGrid([f"Once upon a time, number {i}" for i in range(2500)],'
        ' {"a": {"temperature": 0, "max_tokens": 6}, "b": {"temperature": 1, "max_tokens": 6}})\nbig'
    ),
    "closed": '%promptgrid --out c --grid temperature=0,1 -m 8 "The owl"',
    "load": 'PromptGrid.load("mine.jsonl")',
}  # fmt: skip
LONG = "SamplingParams(max_tokens=900, ignore_eos=True, temperature=1.0, seed=7)"
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def notebook(lab, page):
    """The page, with a notebook that shows the PromptGrid `g`."""
    driver.open_cells(page, lab, "grid.ipynb", CELLS.values(), map(cell, ("setup", "magic")))
    page.wait_for_selector(".nbllm-promptgrid .nbllm-grid-row")
    return page


def cell(name):
    return list(CELLS).index(name)


@pytest.fixture
def panel(notebook, kernel):
    """The widget, as it was made."""
    kernel("fill()")
    return shown(notebook, "magic")


def shown(page, name):
    return driver.output(page, cell(name)).locator(".nbllm-promptgrid")


def button(panel, name):
    return panel.get_by_role("button", name=name)


def run(panel, done=10):
    """Press Run, and wait for the end."""
    button(panel, "Run every").click()
    ended(panel, done)


def ended(panel, done):
    panel.get_by_text(f"{done} of ", exact=False).first.wait_for()
    panel.page.wait_for_function(
        "node => !node.querySelector('.nbllm-progress:not([hidden])')", arg=panel.element_handle()
    )


def cell_of(panel, row, column):
    return panel.locator(f'.nbllm-grid-cell[data-row="{row}"][data-column="{column}"]')


def grid_of(panel):
    return panel.get_by_role("grid")


def test_the_magic(notebook, kernel):
    said = driver.output(notebook, cell("magic")).first.inner_text()
    assert "no model was loaded: this is 'tiny', the bundled one" in said
    assert kernel("[(c.name, c.params.temperature, c.params.seed) for c in g.cells.columns]") == [
        ("greedy", 0.0, 7), ("wild", 1.2, 7),
    ]  # fmt: skip
    assert kernel("g.df.prompt.tolist()[::2]") == [
        f"Once there was a {a}" for a in ("fox", "owl", "cat", "dog", "whale")
    ]


def test_a_run_by_mouse(panel, kernel):
    run(panel)
    texts = kernel("g.df.text.tolist()")
    found = [
        cell_of(panel, i, j).locator(".nbllm-text").text_content()
        for i in range(5)
        for j in range(2)
    ]
    assert found == texts
    assert kernel("g.df.animal.tolist()[::2]") == ["fox", "owl", "cat", "dog", "whale"]
    assert kernel("nbllm.last is g")
    assert "12 tokens" in cell_of(panel, 0, 1).inner_text()


def test_cells_stream_stop_and_resume(panel, kernel):
    kernel(f"fill({LONG})")
    button(panel, "Run every").click()
    text = cell_of(panel, 1, 1).locator(".nbllm-text")
    panel.locator(
        '.nbllm-grid-cell[data-row="1"][data-column="1"][data-state="running"]'
    ).wait_for()
    first = len(text.text_content())
    panel.page.wait_for_function(
        "([node, length]) => node.textContent.length > length + 40",
        arg=[text.element_handle(), first],
    )
    button(panel, "Stop").click()
    panel.get_by_text("stopped: what is done stays, Run does the rest").wait_for()
    assert kernel("g.df.finish_reason.value_counts().to_dict()") == {"length": 5, "abort": 5}
    assert kernel("nbllm.current().requests()") == []
    assert "abort" in cell_of(panel, 1, 1).inner_text()
    kernel("g.cells.columns[1].params.__setattr__('max_tokens', 8)")
    run(panel)
    assert kernel("set(g.df.finish_reason)") == {"length"}


def test_everything_by_keyboard(panel, kernel):
    keyboard = panel.page.keyboard
    active = driver.active_cell(panel.page)
    button(panel, "Run every").focus()
    keyboard.press("Enter")
    ended(panel, 10)
    for _ in range(10):
        if grid_of(panel).evaluate("node => node === document.activeElement"):
            break
        keyboard.press("Tab")
    for key in ("ArrowDown", "4", "ArrowRight", "2", "ArrowDown", "5", "ArrowUp", "n"):
        keyboard.press(key)
    keyboard.type("too wild")
    keyboard.press("Enter")
    cell_of(panel, 1, 1).get_by_role("img", name="rated 2 of 5, with a note").wait_for()
    rated = "g.df[g.df.rating.notna()]"
    assert kernel(f"({rated}.rating.tolist(), {rated}.setting.tolist(), {rated}.row.tolist())") == (
        [4, 2, 5], ["greedy", "wild", "wild"], [1, 1, 2],
    )  # fmt: skip
    assert kernel("g.df.note.tolist()[3]") == "too wild"
    keyboard.press("0")
    cell_of(panel, 1, 1).get_by_role("img", name="with a note", exact=True).wait_for()
    assert kernel("g.df.rating.isna().tolist()[3]")
    # none of it was a shortcut of the notebook
    assert driver.active_cell(panel.page) == active
    assert kernel("len(g.df)") == 10


def test_sort_and_filter(panel, kernel):
    run(panel)
    kernel("[g.rate(i, 'wild', r) for i, r in enumerate([3, 1, 5])] and None")
    panel.get_by_label("sort by").select_option("rating")
    panel.get_by_label("of which column").select_option("wild")
    button(panel, "↓ the greatest first").click()
    prompts = panel.locator(".nbllm-grid-prompt .nbllm-text")
    panel.page.wait_for_function(
        "node => [...node.querySelectorAll('.nbllm-grid-row')].find(r => r.ariaRowIndex === '2')?.textContent.includes('cat')",
        arg=panel.element_handle(),
    )
    assert kernel("g.view.rows") == [2, 0, 1, 3, 4]
    panel.get_by_label("show rows containing").fill("OWL")
    panel.get_by_text("1 of 5 rows").wait_for()
    until(lambda: prompts.all_inner_texts() == ["Once there was a owl"])
    assert [
        row["prompt"] for row in kernel("g.static()[0]['application/vnd.nbllm.v1+json']['rows']")
    ] == ["Once there was a owl"]


def test_judging_blind(panel, kernel):
    run(panel)
    button(panel, "judge blind").click()
    blind = panel.locator(".nbllm-blind")
    blind.wait_for()
    assert blind.evaluate("node => node === document.activeElement")
    assert not re.search("greedy|wild", blind.inner_text())
    rows = kernel("g.view.duel['of']")
    for i, key in enumerate((["ArrowLeft", "ArrowRight", "ArrowDown", "t", "ArrowLeft"])[:rows]):
        panel.page.keyboard.press(key)
        blind.get_by_text(f"{i + 1} of {rows} rows judged").wait_for()
    panel.page.keyboard.press("u")
    blind.get_by_text(f"{rows - 1} of {rows} rows judged").wait_for()
    button(blind, "→ right is better").click()
    blind.get_by_text(f"{rows} of {rows} rows judged").wait_for()
    button(blind, "reveal").click()
    blind.locator(".nbllm-counts").wait_for()
    assert kernel("g.view.duel['outcome']['text']") in blind.inner_text()
    assert "Wilson interval" in blind.inner_text()
    assert kernel("g.choices.choice.tolist()")[:3] == ["left", "right", "tie"]
    for left, a, b, choice, winner in kernel(
        "g.choices.fillna('')[['left', 'a', 'b', 'choice', 'winner']].values.tolist()"
    ):
        right = b if left == a else a
        assert choice == "tie" or winner == {"left": left, "right": right}[choice]
    button(blind, "back to the grid").click()
    grid_of(panel).wait_for()


def test_a_run_while_a_cell_runs(lab, panel, kernel):
    kernel(f"fill({LONG})")
    with driver.while_busy(panel.page, lab, cell("busy")):
        button(panel, "Run every").click()
        panel.locator('.nbllm-grid-cell[data-column="0"][data-state="done"]').nth(4).wait_for()
        cell_of(panel, 0, 0).click()
        panel.page.keyboard.press("3")
        panel.get_by_role("img", name="rated 3 of 5").wait_for()
        button(panel, "Stop").click()
        panel.get_by_text("stopped: what is done stays").wait_for()
    assert kernel("g.df.rating.tolist()[0]") == 3


def test_errors_are_shown_inside(panel, kernel):
    kernel("fill(SamplingParams(logprobs=9999))")
    button(panel, "Run every").click()
    cell_of(panel, 0, 1).get_by_text("logprobs").wait_for()
    panel.get_by_text("5 of 10 cells done · 5 failed").wait_for()
    file = panel.get_by_label("file for ratings")
    file.fill("grid.ipynb")
    button(panel, "save").click()
    panel.get_by_role("alert").get_by_text("grid.ipynb is there already").wait_for()
    assert "nbformat" in kernel("open('grid.ipynb').read()")


def test_to_dataframe(panel, kernel):
    run(panel)
    button(panel, "to DataFrame").click()
    panel.get_by_role("status").get_by_text("cells is a DataFrame of 10 rows").wait_for()
    assert kernel("cells.equals(g.df)")


def test_untrusted_text_is_inert(panel, kernel):
    wanted = "structured_outputs=StructuredOutputsParams(choice=[HOSTILE])"
    kernel(f"fill(SamplingParams({wanted}, max_tokens=300))")
    run(panel)
    kernel("g.annotate(0, 1, HOSTILE)")
    cell_of(panel, 0, 1).click()
    panel.locator(".nbllm-detail").get_by_text("wild").first.wait_for()
    assert kernel("g.df.text.tolist()[1] == HOSTILE")
    assert "\u241b[31m \\u202eevil\\x9b" in panel.inner_text()
    assert panel.locator("img, script, a").count() == 0
    button(panel, "judge blind").click()
    panel.locator(".nbllm-blind").wait_for()
    assert panel.locator("img, script, a").count() == 0
    assert panel.page.evaluate("window.hacked") is None


def test_thousands_of_cells_do_not_freeze_the_page(notebook, kernel):
    driver.run_cell(notebook, cell("big"))
    panel = shown(notebook, "big")
    panel.locator(".nbllm-grid-row").first.wait_for()
    button(panel, "Run every").click()
    panel.locator('.nbllm-grid-cell[data-state="done"]').first.wait_for(timeout=120_000)
    scroll = """async grid => {
        const frames = [];
        let last = performance.now();
        for (let i = 0; i < 60; i++) {
            grid.scrollTop += 900;
            const now = await new Promise(requestAnimationFrame);
            frames.push(now - last);
            last = now;
        }
        return frames;
    }"""
    # nearly all of them, in the best of a few: two cores are shared with the model and the server
    tries = [sorted(grid_of(panel).evaluate(scroll)) for _ in range(3)]
    assert min(frames[len(frames) * 9 // 10] for frames in tries) < 500
    assert panel.locator(".nbllm-grid-cell").count() < 60
    button(panel, "Stop").click()
    panel.get_by_text("stopped: what is done stays").wait_for(timeout=120_000)
    assert 0 < kernel("big.view.progress['done']") < 5000
    kernel("big.close()")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_readable_and_accessible(panel, kernel, shots, theme):
    if reason := axe.missing():
        pytest.skip(reason)
    page = panel.page
    driver.set_theme(page, f"JupyterLab {theme.title()}")
    kernel("fill(SamplingParams(temperature=1.2, max_tokens=60, seed=7))")
    run(panel)
    kernel("[g.rate(i, i % 2, 1 + i) for i in range(5)] and g.annotate(1, 1, 'too short')")
    cell_of(panel, 1, 1).click()
    panel.locator(".nbllm-detail").get_by_text("wild").first.wait_for()
    page.set_viewport_size({"width": 1280, "height": 1200})
    page.screenshot(path=shots / f"prompt-grid-{theme}.png")
    assert axe.violations(page, ".nbllm-promptgrid") == []
    button(panel, "judge blind").click()
    panel.locator(".nbllm-blind").wait_for()
    page.keyboard.press("ArrowLeft")
    button(panel, "reveal").click()
    panel.locator(".nbllm-counts").wait_for()
    panel.screenshot(path=shots / f"prompt-grid-blind-{theme}.png")
    assert axe.violations(page, ".nbllm-promptgrid") == []
    kernel("g.end_blind() or setattr(g.view, 'error', 'n must be 1 when temperature is 0')")
    panel.get_by_role("alert").wait_for()
    assert axe.violations(page, ".nbllm-promptgrid") == []
    page.set_viewport_size({"width": 1280, "height": 900})


def test_in_a_narrow_cell(panel, kernel, shots):
    panel.page.set_viewport_size({"width": 460, "height": 1100})
    run(panel)
    cell_of(panel, 0, 0).click()
    panel.screenshot(path=shots / "prompt-grid-narrow.png")
    assert panel.evaluate("node => node.scrollWidth <= node.clientWidth + 1")
    panel.page.set_viewport_size({"width": 1280, "height": 900})


def saved(lab):
    """name → the outputs of that cell, as saved."""
    cells = json.loads((lab.root / "grid.ipynb").read_text())["cells"]
    return dict(zip(CELLS, (c["outputs"] for c in cells), strict=True))


def test_closing_leaves_the_result(notebook, kernel):
    driver.run_cell(notebook, cell("closed"))
    panel = shown(notebook, "closed")
    button(panel, "Run every").click()
    ended(panel, 2)
    text = kernel("c.df.text[0]")
    button(panel, "Close, and keep what is shown").click()
    panel.wait_for(state="detached")
    assert text.strip() in driver.output(notebook, cell("closed")).last.inner_text()
    comes_true(kernel, "c.comm is None")


def test_ratings_survive_a_restart(panel, kernel, lab):
    run(panel)
    kernel("g.rate(0, 'wild', 4)")
    file = panel.get_by_label("file for ratings")
    file.fill("mine.jsonl")
    file.press("Enter")
    panel.get_by_text("saved: mine.jsonl").wait_for()
    texts = kernel("g.df.text.tolist()")
    # beside the notebook
    assert (lab.root / "mine.jsonl").exists()
    page = panel.page
    panel.get_by_role("img", name="rated 4 of 5").wait_for()
    # a saved notebook has the ratings soon after they are made
    comes_true(kernel, "'★★★★☆' in g.view.stand_in['data']['text/html']")
    driver.restart_kernel(page)
    panel.get_by_text("The kernel has ended").wait_for()
    # what was drawn stays, and what needs the kernel goes
    assert texts[0] in cell_of(panel, 0, 0).inner_text()
    assert panel.get_by_role("button").count() == 0
    driver.run_cell(page, cell("setup"))
    driver.run_cell(page, cell("load"))
    again = shown(page, "load")
    again.get_by_role("img", name="rated 4 of 5").wait_for()
    found = [
        cell_of(again, i, j).locator(".nbllm-text").text_content()
        for i in range(5)
        for j in range(2)
    ]
    assert found == texts


def test_a_saved_notebook_shows_it_without_a_kernel(notebook, lab, shots):
    driver.command(notebook, "docmanager:save")
    for name in ("magic", "closed", "load"):
        data = saved(lab)[name][-1]["data"]
        assert WIDGET not in data
        assert {"text/plain", "text/html"} <= set(data)
    assert "★★★★☆" in "".join(saved(lab)["magic"][-1]["data"]["text/html"])
    from nbconvert import HTMLExporter

    html, _ = HTMLExporter().from_filename(str(lab.root / "grid.ipynb"))
    assert html.count("★★★★☆") == 2
    assert "Loading widget" not in html
    assert driver.value(notebook, "1 + 1") == 2
    driver.command(notebook, "application:close")
    driver.open_notebook(notebook, "grid.ipynb", kernel=False)
    for name in ("magic", "closed", "load"):
        assert "nbllm-result" in driver.output(notebook, cell(name)).last.get_attribute("class")
    driver.output(notebook, cell("magic")).last.get_by_text("wild").first.wait_for()
    notebook.screenshot(path=shots / "prompt-grid-reopened.png")
    assert notebook.get_by_text("model not found").count() == 0


def test_nothing_went_wrong(notebook, errors):
    assert errors == []
