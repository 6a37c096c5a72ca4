"""EngineStatus in JupyterLab with a kernel: what it shows is true, and its buttons work."""

import re

import pytest
from browser import axe
from browser import lab as driver
from browser.lab import button, comes_true

pytestmark = pytest.mark.browser

CELLS = {
    "setup": "%load_ext nbllm\nimport nbllm\nfrom nbllm import SamplingParams",
    "status": "status = %enginestatus\nstatus",
    "long": "%%generate out -m 1500 --ignore-eos -n 16\nOnce upon a time",
}


def cell(name):
    return list(CELLS).index(name)


@pytest.fixture(scope="module")
def notebook(lab, page):
    """The page, with a notebook that shows an EngineStatus."""
    driver.open_cells(page, lab, "status.ipynb", CELLS.values(), map(cell, ("setup", "status")))
    page.wait_for_selector(".nbllm-enginestatus .nbllm-view .nbllm-body")
    return page


@pytest.fixture
def panel(notebook):
    notebook.mouse.move(0, 0)
    driver.select_cell(notebook, cell("status"))
    return notebook.locator(".nbllm-enginestatus")


@pytest.fixture
def loaded(panel, kernel):
    """With the bundled model."""
    kernel("nbllm.load() and None")
    panel.get_by_text("tiny (current)").wait_for()
    return panel


def long_cell(panel):
    """A cell generates, and the panel shows it."""
    driver.run_cell(panel.page, cell("long"), wait=False)
    panel.get_by_role("row").get_by_text("running").wait_for()


def finished(panel):
    panel.page.wait_for_function("!window.cellRuns", timeout=60_000)
    panel.get_by_role("row").nth(1).wait_for(state="hidden")


def test_without_a_model_it_offers_one(panel, kernel):
    panel.get_by_text("No model is loaded.").wait_for()
    assert kernel("list(nbllm.resident.loaded())") == []
    button(panel, "load the bundled model").click()
    # it imports torch first
    panel.get_by_text("tiny (current)").wait_for(timeout=120_000)
    assert kernel("nbllm.current().name") == "tiny"
    assert not panel.get_by_text("No model is loaded.").is_visible()


def test_what_it_shows_is_true(loaded, kernel):
    kernel(
        "nbllm.current().generate(['ab ' * 70] * 2, SamplingParams(max_tokens=8), use_tqdm=False) and None"
    )
    shown = kernel("nbllm.current().info().num_pages")
    loaded.get_by_text(f"0 of {shown:,} in use").wait_for()
    values = kernel(
        "{m.name[6:]: getattr(m, 'value', None) for m in nbllm.current().get_metrics()}"
    )
    loaded.get_by_text(f"{values['generation_tokens']:,} tokens", exact=False).first.wait_for()
    rate = 100 * values["prefix_cache_hits"] / values["prefix_cache_queries"]
    assert (
        f"{rate:.0f} % of {values['prefix_cache_queries']:,} prompt tokens" in loaded.inner_text()
    )
    bar = loaded.locator(".nbllm-memory-bar")
    label = bar.get_attribute("aria-label")
    weights = kernel("sum(nbllm.current().info().memory[k] for k in ('weights', 'tables'))")
    assert f"weights {weights / 2**20:.1f} MiB" in label
    assert [part.split()[0] for part in label.removeprefix("Memory: ").split(", ")] == [
        "weights", "KV", "other", "free",
    ]  # fmt: skip


def test_a_running_cell_is_seen_and_stopped_by_mouse(loaded, kernel):
    long_cell(loaded)
    row = loaded.get_by_role("row").nth(1)
    assert "Once upon a time" in row.inner_text()
    loaded.page.wait_for_function(
        "document.querySelector('.nbllm-sparkline').ariaLabel.match(/^[1-9]/)", timeout=10_000
    )
    row.get_by_role("button", name=re.compile("stop call")).click()
    finished(loaded)
    # the cell has succeeded, with what there was
    assert kernel("set(out.finish_reason)") == {"abort"}
    assert kernel("0 < int(out.num_tokens.max()) < 1500")
    assert kernel("nbllm.current().requests()") == []


def test_stop_all_by_keyboard(loaded, kernel):
    long_cell(loaded)
    stop = button(loaded, "stop all calls of tiny")
    stop.focus()
    loaded.page.wait_for_timeout(1200)
    # it is drawn twice a second, and what has the focus keeps it
    assert stop.evaluate("node => node === document.activeElement")
    loaded.page.keyboard.press("Enter")
    finished(loaded)
    assert kernel("set(out.finish_reason)") == {"abort"}


def test_sleep_and_wake(loaded, kernel):
    sleep = button(loaded, "sleep: tiny gives its memory back until it is used again")
    sleep.focus()
    loaded.page.keyboard.press("Space")
    wake = button(loaded, "wake tiny up")
    wake.wait_for()
    assert kernel("nbllm.current().is_sleeping()")
    assert "asleep" in loaded.locator(".nbllm-model .nbllm-facts").first.inner_text()
    wake.click()
    sleep.wait_for()
    assert not kernel("nbllm.current().is_sleeping()")


def test_sleep_is_refused_while_somebody_runs(loaded):
    long_cell(loaded)
    button(loaded, "sleep: tiny gives its memory back until it is used again").click()
    alert = loaded.get_by_role("alert")
    alert.get_by_text("which would wake tiny up at once: stop that first").wait_for()
    # an error stays until the next wish
    loaded.page.wait_for_timeout(1200)
    assert alert.is_visible()
    button(loaded, "stop all calls of tiny").click()
    finished(loaded)
    assert not alert.is_visible()


def test_unload_asks_once_more(loaded, kernel):
    button(loaded, "unload").click()
    sure = button(loaded, "really unload?")
    sure.wait_for()
    # without an answer nothing happens
    sure.wait_for(state="detached")
    assert kernel("list(nbllm.resident.loaded())") == ["tiny"]
    button(loaded, "unload").click()
    sure.click()
    loaded.get_by_text("No model is loaded.").wait_for()
    assert kernel("list(nbllm.resident.loaded())") == []


def test_two_models(loaded, kernel):
    kernel("nbllm.load('tiny', name='other') and None")
    loaded.get_by_text("other (current)").wait_for()
    assert loaded.locator(".nbllm-model").count() == 2
    kernel("nbllm.unload('other')")
    loaded.get_by_text("other (current)").wait_for(state="detached")
    assert loaded.locator(".nbllm-model").count() == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_readable_and_accessible(loaded, shots, theme):
    if reason := axe.missing():
        pytest.skip(reason)
    driver.set_theme(loaded.page, f"JupyterLab {theme.title()}")
    long_cell(loaded)
    loaded.page.wait_for_timeout(2000)
    loaded.screenshot(path=shots / f"engine-status-{theme}.png")
    found = axe.violations(loaded.page, ".nbllm-enginestatus")
    button(loaded, "stop all calls of tiny").click()
    finished(loaded)
    assert found == []
    assert axe.violations(loaded.page, ".nbllm-enginestatus") == []


def test_in_a_narrow_cell(loaded, shots):
    loaded.page.set_viewport_size({"width": 460, "height": 900})
    loaded.screenshot(path=shots / "engine-status-narrow.png")
    assert loaded.evaluate("node => node.scrollWidth <= node.clientWidth + 1")
    loaded.page.set_viewport_size({"width": 1280, "height": 900})


def test_out_of_view_it_looks_no_more(loaded, kernel):
    assert kernel("status.view._view_count") == 1
    # the test before may have loaded the model this moment
    kernel("status.look()")
    driver.command(loaded.page, "notebook:clear-cell-output")
    loaded.wait_for(state="detached")
    comes_true(kernel, "status.view._view_count == 0")
    kernel("nbllm.current().generate('a', SamplingParams(max_tokens=4), use_tqdm=False) and None")
    before = kernel("status.models[0]['generation_tokens']")
    loaded.page.wait_for_timeout(1500)
    assert kernel("status.models[0]['generation_tokens']") == before
    assert kernel("nbllm.current().engine.stats.num_generated") > before


def test_closed_it_leaves_what_was(panel, kernel):
    driver.run_cell(panel.page, cell("status"))
    button(panel, "Close, and keep what is shown").click()
    panel.wait_for(state="detached")
    left = driver.output(panel.page, cell("status")).last
    assert left.inner_text().startswith("tiny: LlamaForCausalLM")
    assert "0 of " in left.inner_text()
    comes_true(kernel, "status.view.comm is None")


def test_nothing_went_wrong(notebook, errors):
    assert errors == []
