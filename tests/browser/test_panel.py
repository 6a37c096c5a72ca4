"""What the engine does, in the status bar and in the side panel: of the notebook in focus, while it runs."""

import re

import pytest
from browser import lab as driver

pytestmark = pytest.mark.browser

LONG = "%%generate out -n 4 -m 1900 --ignore-eos\n<img src=x onerror=window.hacked=1>Once upon"
TWO = "%%generate out --over rows -m 1900 --ignore-eos\n{{ text }}"
CELLS = [LONG, TWO, "rows = pandas.DataFrame({'text': ['First', 'Second']})", "%nbllm load tiny"]
PROMPT, OVER, ROWS, LOAD = range(1, 5)
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


@pytest.fixture(scope="module")
def notebook(lab, page):
    driver.open_prompts(page, lab, "panel.ipynb", CELLS)
    driver.run_cell(page, ROWS)
    return page


@pytest.fixture(scope="module")
def item(notebook):
    return notebook.locator(".nbllm-status button")


@pytest.fixture(scope="module")
def panel(notebook, item):
    """The panel, opened by a click on the item of the status bar."""
    item.click()
    panel = notebook.locator("#nbllm-engine")
    panel.wait_for()
    return panel


@pytest.fixture
def running(notebook):
    """f(index) → runs that cell, which is stopped at the end of the test."""

    def run(index):
        driver.run_cell(notebook, index, wait=False)
        driver.output(notebook, index).locator("text=tokens").first.wait_for(timeout=60_000)

    yield run
    driver.command(notebook, "nbllm:stop")
    notebook.wait_for_function("!window.cellRuns", timeout=60_000)


def says(locator, pattern):
    """Waits until it says so: the kernel tells once a second."""
    locator.filter(has_text=re.compile(pattern)).first.wait_for(timeout=30_000)


def test_the_model_is_in_the_status_bar(item, notebook):
    says(item, "tiny · idle")
    assert item.get_attribute("aria-label") == "nbllm: tiny · idle; show the engine"


def test_what_it_holds(panel, notebook):
    text = panel.inner_text()
    parameters = driver.value(notebook, "nbllm.current().info().num_parameters")
    assert f"{parameters / 1e6:.1f}M parameters · float32 on cpu · 2,048 tokens of context" in text
    pages = driver.value(notebook, "nbllm.current().info().num_pages")
    assert f"of {pages:,} pages in use" in text
    parts = panel.locator("dt").all_inner_texts()
    assert parts == ["weights", "KV cache", "others", "free"]
    assert panel.get_by_role("meter", name="Pages of the KV cache in use").count() == 1


def test_a_key_opens_it(notebook, panel, item):
    driver.command(notebook, "application:toggle-right-area")
    assert not panel.is_visible()
    item.focus()
    notebook.keyboard.press("Enter")
    panel.wait_for()


def test_it_follows_a_cell_that_runs(notebook, panel, item, running, shots):
    running(PROMPT)
    says(item, r"tiny · [\d,]+ tokens/s")
    says(panel.locator("output"), r"tokens/s")
    request = panel.get_by_role("listitem")
    says(request, r"running, [\d,]+ of 7,600")
    assert "<img src=x onerror=window.hacked=1>Once upon" in request.inner_text()
    assert notebook.evaluate("window.hacked") is None
    # being told is no work of the kernel: it looks as busy as it is
    for _ in range(10):
        status = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status"
        assert notebook.evaluate(status) == "busy"
        notebook.wait_for_timeout(100)
    for name, theme in THEMES.items():
        driver.set_theme(notebook, theme)
        notebook.screenshot(path=shots / f"panel-{name}.png")


def test_afterwards_it_says_what_was_made(notebook, panel, item):
    says(item, "tiny · idle")
    metrics = "{m.name: getattr(m, 'value', 0) for m in nbllm.current().get_metrics()}"
    count = driver.value(notebook, f"{metrics}['nbllm:generation_tokens']")
    says(panel, f"{count:,} tokens generated")
    says(panel.locator("h3"), "Requests none")
    assert panel.locator("polyline").get_attribute("points")


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_one_request_is_ended_and_the_others_go_on(notebook, panel, running, by):
    running(OVER)
    button = panel.get_by_role("button", name="Stop First")
    button.wait_for(timeout=30_000)
    if by == "mouse":
        button.click()
    else:
        button.focus()
        notebook.keyboard.press("Enter")
    button.wait_for(state="detached", timeout=30_000)
    assert panel.get_by_role("button", name="Stop Second").is_visible()
    assert notebook.evaluate("window.cellRuns") is True


def test_what_was_ended_keeps_what_it_has_made(notebook):
    reasons, lengths = driver.value(
        notebook, "(out.finish_reason.tolist(), out.num_tokens.tolist())"
    )
    # the second one was ended with the cell
    assert reasons == ["abort", "abort"]
    assert 0 < lengths[0] < lengths[1]


def test_a_kernel_without_nbllm_has_no_engine(lab, notebook, panel, item):
    driver.write_notebook(lab.root / "other.ipynb", ["1 + 1"])
    driver.open_notebook(notebook, "other.ipynb", kernel=False)
    panel.get_by_text("%load_ext nbllm").wait_for()
    item.wait_for(state="hidden")
    driver.open_notebook(notebook, "panel.ipynb")
    says(item, "tiny")


def test_it_sleeps_and_wakes_up(notebook, panel, item):
    panel.get_by_role("button", name="Sleep").click()
    says(item, "tiny · asleep")
    assert driver.value(notebook, "nbllm.current().is_sleeping()") is True
    button = panel.get_by_role("button", name="Wake up")
    button.focus()
    notebook.keyboard.press("Enter")
    says(item, "tiny · idle")
    assert driver.value(notebook, "nbllm.current().is_sleeping()") is False


def test_it_is_unloaded(notebook, panel, item):
    panel.get_by_role("button", name="Unload").click()
    says(item, "nbllm · no model")
    panel.get_by_text("No model is loaded").wait_for()
    assert driver.value(notebook, "list(nbllm.resident.loaded())") == []
    driver.run_cell(notebook, LOAD)
    says(item, "tiny · idle")


def test_it_goes_with_the_extension(notebook, panel, item):
    driver.value(notebook, "get_ipython().run_line_magic('unload_ext', 'nbllm')")
    item.wait_for(state="hidden")
    panel.get_by_text("%load_ext nbllm").wait_for()
    driver.run_cell(notebook, 0)
    says(item, "tiny · idle")


def test_a_page_that_is_loaded_again_finds_the_kernel(lab, notebook, item):
    driver.command(notebook, "docmanager:save")
    notebook.goto(lab.url, wait_until="domcontentloaded")
    driver.wait_until_ready(notebook)
    driver.open_notebook(notebook, "panel.ipynb")
    # no cell was run
    says(item, "tiny · idle")


def test_nothing_went_wrong(notebook, errors):
    # ipywidgets 8.1 trips over any notebook without a kernel
    assert [error for error in errors if "/@jupyter-widgets/" not in error] == []
