"""The same in Notebook 7, which has no status bar."""

import importlib.util
import re

import pytest
from browser import lab as driver

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        importlib.util.find_spec("notebook") is None, reason="notebook is not installed"
    ),
]

CELLS = [
    driver.SETUP,
    "%%generate out -n 4 -m 1900 --ignore-eos\n# Once {{ 'upon' }}",
    "%%beam -w 3 -m 6\nOnce upon",
    "%%generate --te",
    "Tell me a story.",
]
SETUP, PROMPT, BEAM, FLAGS, PROSE = range(5)


@pytest.fixture(scope="module")
def page(lab, errors):
    driver.write_notebook(lab.root / "seven.ipynb", CELLS)
    with driver.chromium() as browser:
        page = driver.open_notebook_7(browser, lab, "seven.ipynb", errors)
        driver.run_cell(page, SETUP)
        page.locator(driver.STOP).wait_for()
        # or a late answer becomes an interrupt
        driver.set_setting(page, "nbllm:stop", {"patience": 20_000})
        yield page
        driver.set_setting(page, "nbllm:stop", {})


def test_results_are_drawn(page):
    driver.run_cell(page, BEAM)
    result = driver.output(page, BEAM).last
    assert result.locator(".nbllm-rank").all_inner_texts() == ["#1", "#2", "#3"]
    result.locator(".nbllm-rank").first.click()
    assert result.locator(".nbllm-on-path").count()


def test_prompts_are_highlighted(page):
    editor = driver.cell(page, PROMPT)
    assert editor.locator(".nbllm-template-string").inner_text() == "'upon'"
    assert "cm-lineWrapping" in editor.get_attribute("class")


def test_flags_are_completed(page):
    driver.cell(page, FLAGS).click()
    page.keyboard.press("End")
    page.keyboard.press("Tab")
    page.locator(".jp-Completer-match", has_text="--temperature").wait_for()
    page.keyboard.press("Enter")
    assert driver.sources(page)[FLAGS] == "%%generate --temperature"


def test_a_cell_becomes_a_prompt(page):
    driver.cell(page, PROSE).click()
    page.keyboard.press("Alt+g")
    assert driver.sources(page)[PROSE] == f"%%generate\n{CELLS[PROSE]}"


def test_the_panel_and_stop(page, shots):
    page.get_by_role("menuitem", name="View").first.click()
    page.locator('.lm-Menu-item[data-command="nbllm:show-engine"]').click()
    panel = page.locator("#nbllm-engine")
    panel.wait_for()
    driver.run_cell(page, PROMPT, wait=False)
    panel.get_by_role("listitem").filter(has_text=re.compile("running")).wait_for(timeout=60_000)
    page.screenshot(path=shots / "notebook-7.png")
    page.locator(driver.STOP).click()
    page.wait_for_function("!window.cellRuns", timeout=60_000)
    assert driver.value(page, "set(out.finish_reason)") == {"abort"}
    [said] = driver.outputs(page, PROMPT)
    assert said["text"].startswith("stopped: ")


def test_nothing_of_ours_went_wrong(page, errors):
    # Notebook 7.6 trips over a setting of its own, with or without us
    assert [error for error in errors if "/static/notebook/" not in error] == []
