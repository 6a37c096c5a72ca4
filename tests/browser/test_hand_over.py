"""What a widget leaves: when it is closed, when its kernel ends, in a saved notebook."""

import json

import pytest
from browser import lab as driver
from browser.lab import comes_true

pytestmark = pytest.mark.browser

CELLS = {
    "setup": "%load_ext nbllm\n%nbllm load tiny",
    "kept": "%%playground p -t 0 -m 8 --seed 1\nThe fox",
    "closed": "%%playground q -t 0 -m 8 --seed 1\nThe owl",
    "status": "status = %enginestatus\nstatus",
    "result": "%generate -t 0 -m 8 --logprobs 2 The cat",
    "run": "for each in (p, q): each.run(); each.wait()",
}
WIDGET = "application/vnd.jupyter.widget-view+json"
MIME = "application/vnd.nbllm.v1+json"


def cell(name):
    return list(CELLS).index(name)


@pytest.fixture(scope="module")
def notebook(lab, page):
    """The page, with a notebook of widgets that have run."""
    driver.write_notebook(lab.root / "left.ipynb", list(CELLS.values()))
    driver.open_notebook(page, "left.ipynb")
    for i in range(len(CELLS)):
        driver.run_cell(page, i)
    page.wait_for_selector(".nbllm-enginestatus .nbllm-sparkline")
    return page


def outputs(lab):
    """name → the outputs of that cell, as saved."""
    cells = json.loads((lab.root / "left.ipynb").read_text())["cells"]
    return dict(zip(CELLS, (c["outputs"] for c in cells), strict=True))


def panel(page, name):
    return driver.output(page, cell(name)).locator(".nbllm-panel")


def test_closing_leaves_the_result(notebook, kernel):
    text = driver.value(notebook, "q.result.text")
    panel(notebook, "closed").get_by_role("button", name="Close, and keep what is shown").click()
    result = driver.output(notebook, cell("closed")).locator(
        "xpath=self::*[contains(@class, 'nbllm-result')]"
    )
    result.wait_for()
    assert text in result.inner_text()
    assert result.locator(".nbllm-token").count() == 8
    assert panel(notebook, "closed").count() == 0
    # and no widget in the kernel
    comes_true(kernel, "q.comm is None")


def test_a_saved_notebook_holds_results_in_the_place_of_widgets(lab, notebook):
    driver.command(notebook, "docmanager:save")
    saved = outputs(lab)
    for name in ("kept", "closed", "status"):
        data = saved[name][-1]["data"]
        assert WIDGET not in data
        assert {"text/plain", "text/html"} <= set(data)
    for name, variable in {"kept": "p", "closed": "q"}.items():
        [output] = saved[name][-1]["data"][MIME]["outputs"]
        assert output["completions"][0]["text"] == driver.value(notebook, f"{variable}.result.text")
        assert saved[name][-1]["metadata"]["nbllm"]["params"]["seed"] == 1
    # the page still has the widget
    assert panel(notebook, "kept").get_by_role("button", name="Run", exact=True).is_visible()


def test_what_was_saved_can_be_made_again(notebook):
    driver.value(notebook, "get_ipython().run_line_magic('nbllm', 'verify left.ipynb')")
    # on a machine with much to do its next look may come when the kernel has ended
    driver.value(notebook, "status.look()")


def test_nbconvert_shows_the_static_view(lab):
    from nbconvert import HTMLExporter

    html, _ = HTMLExporter().from_filename(str(lab.root / "left.ipynb"))
    assert html.count('<div class="nbllm">') == 4
    assert "Loading widget" not in html
    assert "application/vnd.jupyter.widget-view+json" not in html


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_when_the_kernel_ends_the_result_stays(notebook, shots, theme):
    if theme == "Light":
        text = driver.value(notebook, "p.result.text")
        notebook.evaluate("text => { window.expected = text; }", text)
        notebook.evaluate(
            "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
        )
    driver.set_theme(notebook, f"JupyterLab {theme}")
    kept = panel(notebook, "kept")
    kept.get_by_text("The kernel has ended").wait_for()
    assert notebook.evaluate("window.expected") in kept.inner_text()
    assert not kept.get_by_role("button", name="Run", exact=True).is_visible()
    assert kept.get_by_role("button").count() == 0
    kept.locator(".nbllm-token").nth(2).hover()
    assert kept.locator(".nbllm-alternatives").is_visible()
    notebook.screenshot(path=shots / f"kernel-ended-{theme.lower()}.png")


def test_reopened_without_its_kernel_everything_is_drawn(lab, notebook, shots):
    driver.command(notebook, "docmanager:save")
    # JupyterLab is still greeting the new kernel: closed in the middle of that it complains
    assert driver.value(notebook, "1 + 1") == 2
    driver.command(notebook, "application:close")
    driver.open_notebook(notebook, "left.ipynb")
    for name in ("kept", "closed", "result"):
        shown = driver.output(notebook, cell(name)).last
        assert "nbllm-result" in shown.get_attribute("class")
        assert shown.locator(".nbllm-token").count() == 8
    status = driver.output(notebook, cell("status")).last.inner_text()
    assert "LlamaForCausalLM" in status
    # as of the end, not of the moment in which it was displayed; they were made again once
    assert "48 tokens, " in status
    notebook.screenshot(path=shots / "reopened.png")
    assert notebook.get_by_text("model not found").count() == 0


def test_shutting_the_kernel_down_leaves_results_too(notebook):
    driver.run_cell(notebook, cell("setup"))
    driver.run_cell(notebook, cell("kept"))
    driver.value(notebook, "(p.run(), p.wait()) and None")
    driver.command(notebook, "kernelmenu:shutdown")
    panel(notebook, "kept").get_by_text("The kernel has ended").wait_for()
    assert panel(notebook, "kept").locator(".nbllm-token").count() == 8


def test_nothing_went_wrong(notebook, errors):
    assert errors == []
