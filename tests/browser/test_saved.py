"""A notebook is run, saved, its kernel restarted, and opened again: every result is still there."""

import json
import re

import pytest
from browser import lab as driver
from html_page import Page
from nbconvert import HTMLExporter

pytestmark = pytest.mark.browser

HOSTILE = (
    "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
    "[x](javascript:window.hacked=1) \x1b[31mred\x1b[0m \u202eevil\u2028"
)
SAID = "said"
"""A variable that holds what the model is made to say."""
RESULTS = [
    "%%generate -m 8 -l 3\nOnce upon a time",
    f"%%generate -m 400 -l 2 --choices {SAID}\nSay",
    "%%generate --over frame -m 4\n{{ x }}",
    "%%generate -m 4 --grid temperature=0.5,1\nOnce",
    f"%%chat --choices {SAID} -m 400\nHello",
    "nbllm.last.conversation",
    "%%beam -w 3 -m 6\nOnce upon",
    f"%%score -c ' {{{{ {SAID}[0] }}}}'\nSay",
    "%%choose --choices both\nSay",
    "%%compare -m 4 --setting 'greedy -t 0' --setting 'beam --width 2'\nOnce",
]
FRAME = f"""
{SAID} = [{HOSTILE!r}]
both = [*{SAID}, 'no']
frame = pandas.DataFrame({{'x': both}})"""
RUN_THEM = "notebook:run-all-cells"


@pytest.fixture(scope="module")
def saved(lab, page):
    """The file, after its kernel was restarted; the page has it open again."""
    driver.write_notebook(lab.root / "results.ipynb", [f"{driver.SETUP}\n{FRAME}", *RESULTS])
    driver.open_notebook(page, "results.ipynb")
    driver.command(page, RUN_THEM)
    driver.command(page, "docmanager:save")
    session = "window.jupyterapp.shell.currentWidget.sessionContext.session"
    page.evaluate(f"async () => {{ await {session}.kernel.restart(); }}")
    page.wait_for_function(f"{session}.kernel.status === 'idle'", timeout=60_000)
    # JupyterLab's debugger looks at the new kernel, and complains if the notebook goes meanwhile
    assert driver.value(page, "1 + 1") == 2
    driver.command(page, "application:close")
    driver.open_notebook(page, "results.ipynb")
    return lab.root / "results.ipynb"


def cells(file):
    return json.loads(file.read_text())["cells"][1:]


def test_every_result_was_made(saved):
    for cell in cells(saved):
        kinds = {output["output_type"] for output in cell["outputs"]}
        assert "execute_result" in kinds, cell
        assert "error" not in kinds, cell


def test_every_result_is_drawn_by_a_kernel_that_knows_nothing_of_it(page, saved, shots):
    assert driver.value(page, "'nbllm' in globals()") is False
    assert not page.locator(".nbllm-status").is_visible()
    for index in range(1, len(RESULTS) + 1):
        result = driver.output(page, index).last
        assert "nbllm-result" in (result.get_attribute("class") or ""), index
        text = result.inner_text()
        assert "damaged" not in text
        assert len(text) > 10
    driver.select_cell(page, 2)
    page.screenshot(path=shots / "reopened.png")


def test_what_the_model_said_never_does_anything(page, saved):
    for index in range(1, len(RESULTS) + 1):
        result = driver.output(page, index).last
        assert result.locator("img, script, a, iframe").count() == 0
        text = result.inner_text()
        assert "\u202e" not in text
        assert "\x1b" not in text
    said = driver.output(page, 2).last
    said.wait_for()
    assert "[x](javascript:window.hacked=1) \u241b[31mred" in said.text_content()
    for token in said.locator(".nbllm-token").all()[:20]:
        token.hover()
    assert page.evaluate("window.hacked") is None
    # the page around it is as it was
    assert page.locator("#jp-top-panel").is_visible()
    assert page.evaluate("getComputedStyle(document.body).direction") == "ltr"


def test_nbconvert_shows_the_static_views(saved):
    html, _ = HTMLExporter().from_filename(str(saved))
    assert len(re.findall(r'<div class="nbllm[ "]', html)) == len(RESULTS)
    for cell in cells(saved):
        static = Page("".join(cell["outputs"][-1]["data"]["text/html"]))
        assert not {"script", "img", "a"} & set(static.tags)
        assert not [name for name, _ in static.attributes if name.startswith("on")]
    assert "<img src=x" not in html


def test_nothing_went_wrong(page, saved, errors):
    assert errors == []
