"""The notebook of a newcomer's first hour, in JupyterLab as a person has it: run, saved, opened again."""

import json
import shutil
from pathlib import Path

import pytest
from browser import lab as driver

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTEBOOK = Path(__file__).with_name("an_hour.ipynb")
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
MIME = "application/vnd.nbllm.v1+json"
ADD_CELL = """source => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    const count = notebook.widgets.length;
    notebook.model.sharedModel.insertCell(count, {cell_type: 'code', source});
    return count;
}"""
SCROLL = """top => {
    const panel = document.querySelector('.jp-WindowedPanel-outer');
    const before = panel.scrollTop;
    panel.scrollTop = top ? 0 : before + panel.clientHeight - 60;
    return top || panel.scrollTop !== before;
}"""


def saved(file):
    """The outputs of each cell."""
    return [cell.get("outputs", []) for cell in json.loads(file.read_text())["cells"]]


def shoot(page, shots, name):
    """The whole notebook, a screen at a time."""
    page.evaluate(SCROLL, True)
    count = 0
    while True:
        page.wait_for_timeout(300)
        page.screenshot(path=shots / f"{name}-{count:02}.png")
        if not page.evaluate(SCROLL, False):
            return
        count += 1


@pytest.mark.timeout(900)
def test_run_save_and_open_again(lab, page, errors, shots):
    page.set_default_timeout(300_000)
    file = lab.root / "hour.ipynb"
    shutil.copy(NOTEBOOK, file)
    driver.open_notebook(page, file.name)
    driver.command(page, "application:toggle-left-area")
    driver.command(page, "notebook:run-all-cells")
    driver.command(page, "docmanager:save")
    cells = saved(file)
    outputs = [output for cell in cells for output in cell]
    assert not [output for output in outputs if output["output_type"] == "error"]
    # nothing stays of what was shown meanwhile
    assert not [output for output in outputs if output["output_type"] == "display_data"]
    showing = [i for i, cell in enumerate(cells) if any(MIME in o.get("data", {}) for o in cell)]
    assert len(showing) == 10
    for name, theme in THEMES.items():
        driver.set_theme(page, theme)
        shoot(page, shots, f"hour-{name}")

    # the saved file tells this kernel how to make all of it again
    index = page.evaluate(ADD_CELL, "%nbllm load tiny\n%nbllm verify")
    driver.select_cell(page, index)
    driver.command(page, "notebook:run-cell")
    lines = driver.output(page, index).first.inner_text().splitlines()
    assert len(lines) == 1 + len(showing)
    assert not [line for line in lines[1:] if ": identical: " not in line]

    # tomorrow, without a kernel
    driver.command(page, "docmanager:save")
    driver.command(page, "kernelmenu:shutdown")
    driver.command(page, "application:close")
    driver.open_notebook(page, file.name, kernel=False)
    for i in showing:
        driver.select_cell(page, i)
        cell = page.locator(f'.jp-Cell[data-windowed-list-index="{i}"]')
        cell.locator(".nbllm-result").wait_for()
    driver.set_theme(page, THEMES["light"])
    assert [error for error in errors if "/@jupyter-widgets/" not in error] == []
