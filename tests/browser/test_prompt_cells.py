"""Prompt cells: how they are shown, completed, made of other text, and run over a frame."""

import pytest
from browser import lab as driver
from until import until

pytestmark = pytest.mark.browser

PROMPT = """%%generate answers --over frame -n 3 --stop "\\n" --model {{ m }}
# Reviews
You are a *careful* reader; import this for x in y
- Review: {{ review | upper }}, {% no %} {# none #}
```python
def f({{ x }}): pass
```"""
REVIEW = "%%generate -m 4 --ignore-eos\nReview: {{ review }}\nSentiment:"
CELLS = [
    PROMPT,
    "import numpy as np\n%generate hello",
    "%%generate?",
    "%%chatui --raw\n{{ literal }}",
    "x = 1",
    REVIEW,
    "Tell me a story about a fox.",
    "time.sleep(60)",
]
(LONG, PYTHON, HELP, RAW, PLAIN, OVER, PROSE, SLEEP) = range(1, 9)
FRAMES = (
    "import time; reviews = pandas.DataFrame({'review': ['good', 'bad'], 'stars': [5, 1]}); "
    "others = pandas.DataFrame({'question': ['?'] * 3})"
)
COMPLETER = "@jupyterlab/completer-extension:manager"
PATIENT = {"providerTimeout": 5000}
"""A completer that takes longer is left out."""
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


@pytest.fixture(scope="module")
def notebook(lab, page):
    driver.open_prompts(page, lab, "prompts.ipynb", CELLS)
    driver.value(page, f"exec({FRAMES!r})")
    driver.set_setting(page, COMPLETER, PATIENT)
    yield page
    driver.set_setting(page, COMPLETER, {})


def colours(editor):
    """{piece of text: its colour} of all that is coloured."""
    return editor.evaluate(
        """node => Object.fromEntries([...node.querySelectorAll('span')]
            .filter(span => !span.querySelector('span'))
            .map(span => [span.textContent.trim(), getComputedStyle(span).color]))"""
    )


def type_into(page, index, text):
    driver.cell(page, index).click()
    page.keyboard.press("Control+a")
    page.keyboard.type(text)


def completions(page):
    """What is offered."""
    page.locator(".jp-Completer-item").first.wait_for()
    return page.locator(".jp-Completer-match").all_inner_texts()


# highlighting


def test_the_magic_line_is_a_command_and_the_rest_markdown_with_templates(notebook, shots):
    for name, theme in THEMES.items():
        driver.set_theme(notebook, theme)
        notebook.screenshot(path=shots / f"prompt-cells-{name}.png")
    driver.set_theme(notebook, THEMES["light"])
    found = colours(driver.cell(notebook, LONG))
    python = colours(driver.cell(notebook, PYTHON))
    assert found["%%generate"] == python["import"]
    assert found["--over"] == found["-n"] == found["--model"] != found["%%generate"]
    assert found["3"] not in (found["answers"], found["--over"])
    assert found['"\\n"'] not in (found["answers"], found["--over"], found["3"])
    # templates, in code too; and nothing else of Jinja
    assert found["review"] == found["x"] == found["m"]
    assert found["{{"] == found["}}"] != found["review"]
    assert "| upper" in found
    assert not {"{%", "{#", "no", "none"} & set(found)
    # no Python
    assert not {"import", "for", "in"} & set(found)
    heading = driver.cell(notebook, LONG).get_by_text("Reviews", exact=False).first
    assert heading.evaluate("node => getComputedStyle(node).fontWeight") == "700"


def test_other_cells_are_python(notebook):
    assert "%generate" not in colours(driver.cell(notebook, PYTHON))
    assert "%%generate" not in colours(driver.cell(notebook, HELP))


def test_raw_braces_are_text(notebook):
    assert set(colours(driver.cell(notebook, RAW))) == {"%%chatui", "--raw"}


def test_prose_is_wrapped(notebook):
    wrap = "node => node.classList.contains('cm-lineWrapping')"
    assert driver.cell(notebook, LONG).evaluate(wrap)
    assert not driver.cell(notebook, PYTHON).evaluate(wrap)


def test_it_changes_as_one_types(notebook):
    type_into(notebook, PLAIN, "%%beam best -w 4\n# for x in {{ y }}")
    editor = driver.cell(notebook, PLAIN)
    until(lambda: {"%%beam", "-w", "y"} <= set(colours(editor)))
    notebook.keyboard.press("Control+Home")
    notebook.keyboard.press("Delete")
    until(lambda: "%%beam" not in colours(editor))
    notebook.keyboard.type("%")
    until(lambda: "%%beam" in colours(editor))
    notebook.keyboard.press("Control+a")
    notebook.keyboard.type("for x in y: pass")
    until(lambda: {"for", "in", "pass"} <= set(colours(editor)))


def test_language_servers_for_python_see_none_of_it(notebook):
    """What JupyterLab gives them of a cell is what extractors leave over."""
    left = notebook.evaluate(
        """sources => {
            const plugins = window.jupyterapp.pluginRegistry._plugins;
            const manager = plugins.get('@jupyterlab/lsp-extension:code-extractor-manager').service;
            return sources.map(source => manager.getExtractors('code', 'python')
                .filter(each => each.hasForeignCode(source, 'code'))
                .flatMap(each => each.extractForeignCode(source)));
        }""",
        [PROMPT, CELLS[PYTHON - 1], "%%generate"],
    )
    [prompt], python, [empty] = left
    assert prompt["hostCode"] == ""
    assert prompt["foreignCode"] == PROMPT.partition("\n")[2]
    assert prompt["range"]["start"] == {"line": 1, "column": 0}
    assert python == []
    assert (empty["hostCode"], empty["foreignCode"]) == ("", "")


# completion


def test_flags_by_keyboard(notebook):
    type_into(notebook, PLAIN, "%%generate --over reviews --to")
    notebook.keyboard.press("Tab")
    assert completions(notebook) == ["--top-k", "--top-p"]
    notebook.keyboard.press("ArrowDown")
    notebook.keyboard.press("Enter")
    assert driver.sources(notebook)[PLAIN] == "%%generate --over reviews --top-p"


def test_columns_by_mouse(notebook, shots):
    type_into(notebook, PLAIN, "%%generate --over reviews\n👩‍🚀 {{ re")
    notebook.keyboard.press("Tab")
    assert completions(notebook)[:2] == ["review", "reviews"]
    notebook.screenshot(path=shots / "completer.png")
    notebook.locator(".jp-Completer-item").first.click()
    assert driver.sources(notebook)[PLAIN] == "%%generate --over reviews\n👩‍🚀 {{ review"


def test_while_a_cell_runs(notebook):
    driver.run_cell(notebook, SLEEP, wait=False)
    type_into(notebook, PLAIN, "%%generate --temp")
    notebook.keyboard.press("Tab")
    # the kernel's own completer would answer when the cell has ended
    item = ".jp-Completer:not(.lm-mod-hidden) .jp-Completer-item"
    notebook.wait_for_function(f"document.querySelector('{item}') || !window.cellRuns")
    runs = notebook.evaluate("window.cellRuns")
    notebook.keyboard.press("Escape")
    notebook.keyboard.press("Escape")
    driver.command(notebook, "nbllm:stop")
    notebook.wait_for_function("!window.cellRuns", timeout=60_000)
    assert runs


def test_while_one_types_prose_nothing_is_offered(notebook):
    driver.set_setting(notebook, COMPLETER, {**PATIENT, "autoCompletion": True})
    driver.set_source(notebook, PLAIN, "%%generate\n")
    driver.cell(notebook, PLAIN).click()
    notebook.keyboard.press("Control+End")
    # as people type: JupyterLab waits for them
    notebook.keyboard.type("prin", delay=200)
    notebook.wait_for_timeout(500)
    assert not notebook.locator(".jp-Completer-item").first.is_visible()
    # a name in a template, and a flag
    notebook.keyboard.type("\n{{ rev", delay=200)
    assert "reviews" in completions(notebook)
    notebook.keyboard.press("Escape")
    notebook.keyboard.press("Control+Home")
    notebook.keyboard.press("End")
    notebook.keyboard.type(" --see", delay=200)
    assert completions(notebook)[0] == "--seed"
    notebook.keyboard.press("Escape")
    driver.set_setting(notebook, COMPLETER, PATIENT)


# conversion


def test_selected_text_becomes_a_prompt_cell_by_keyboard(notebook):
    before = driver.sources(notebook)
    driver.cell(notebook, PROSE).click()
    notebook.keyboard.press("Home")
    for _ in range("Tell me a story".count(" ") + 1):
        notebook.keyboard.press("Control+Shift+ArrowRight")
    notebook.keyboard.press("Alt+g")
    made = driver.sources(notebook)
    assert made[: PROSE + 1] == before[: PROSE + 1]
    assert made[PROSE + 1].rstrip() == "%%generate\nTell me a story"
    assert driver.active_cell(notebook) == PROSE + 1
    editor = driver.cell(notebook, PROSE + 1)
    until(lambda: "%%generate" in colours(editor))


def test_without_a_selection_the_cell_itself_does_by_mouse(notebook):
    driver.cell(notebook, PROSE).click()
    driver.command(notebook, "notebook:change-cell-to-markdown")
    driver.command(notebook, "notebook:enter-command-mode")
    cell = f'{driver.FOCUS} .jp-Cell[data-windowed-list-index="{PROSE}"]'
    notebook.locator(f"{cell} .jp-InputPrompt").click(button="right")
    notebook.locator('.lm-Menu-item[data-command="nbllm:convert-to-prompt"]').click()
    source = f"%%generate\n{CELLS[PROSE - 1]}"
    assert driver.sources(notebook)[PROSE] == source
    assert "jp-CodeCell" in notebook.locator(cell).get_attribute("class")
    # one that is a prompt already stays as it is
    driver.command(notebook, "nbllm:convert-to-prompt")
    assert driver.sources(notebook)[PROSE] == source


def test_the_magic_line_can_be_set(notebook):
    driver.set_setting(notebook, "nbllm:convert", {"magic": "%%chat -m 9"})
    type_into(notebook, PLAIN, "Hello!")
    notebook.keyboard.press("Escape")
    driver.command(notebook, "nbllm:convert-to-prompt")
    assert driver.sources(notebook)[PLAIN] == "%%chat -m 9\nHello!"
    driver.set_setting(notebook, "nbllm:convert", {})


# frames


def ran_over(notebook):
    notebook.wait_for_function(
        """i => window.jupyterapp.shell.currentWidget.content.widgets[i].model.executionCount""",
        arg=OVER,
    )
    return driver.value(notebook, "nbllm.last.df[['review', 'num_tokens']].values.tolist()")


def test_a_prompt_runs_over_a_frame_by_keyboard(notebook, shots):
    driver.cell(notebook, OVER).click()
    notebook.keyboard.press("Alt+Shift+G")
    dialog = notebook.locator(".jp-Dialog")
    dialog.wait_for()
    notebook.screenshot(path=shots / "frames.png")
    # the frame that has the prompt's columns is chosen already
    assert dialog.locator("select").input_value() == "reviews · 2 rows · review, stars"
    notebook.keyboard.press("Enter")
    assert ran_over(notebook) == [["good", 4], ["bad", 4]]
    assert driver.sources(notebook)[OVER] == REVIEW.replace("-eos", "-eos --over reviews")


def test_another_frame_by_mouse(notebook):
    driver.value(notebook, "exec('more = reviews.head(1).assign(review=[\"fine\"])')")
    cell = f'{driver.FOCUS} .jp-Cell[data-windowed-list-index="{OVER}"]'
    driver.cell(notebook, OVER).click(button="right")
    notebook.locator('.lm-Menu-item[data-command="nbllm:run-over-frame"]').click()
    dialog = notebook.locator(".jp-Dialog")
    dialog.locator("select").select_option("more · 1 row · review, stars")
    dialog.locator("button", has_text="Run").click()
    notebook.locator(f"{cell} .jp-OutputArea-output", has_text="fine").wait_for()
    assert ran_over(notebook) == [["fine", 4]]
    assert driver.sources(notebook)[OVER].splitlines()[0].endswith("-eos --over more")


def test_a_frame_whose_name_is_selected_is_taken(notebook):
    editor = driver.cell(notebook, OVER)
    type_into(notebook, OVER, REVIEW + " reviews")
    notebook.keyboard.press("Control+Shift+ArrowLeft")
    notebook.keyboard.press("Alt+Shift+G")
    cell = f'{driver.FOCUS} .jp-Cell[data-windowed-list-index="{OVER}"]'
    notebook.locator(f"{cell} .jp-OutputArea-output", has_text="Review: bad").wait_for()
    assert ran_over(notebook) == [["good", 4], ["bad", 4]]
    assert "--over reviews" in editor.inner_text()


def test_what_is_no_prompt_is_refused(notebook):
    driver.select_cell(notebook, PYTHON)
    driver.command(notebook, "notebook:enter-command-mode")
    notebook.keyboard.press("Alt+Shift+G")
    dialog = notebook.locator(".jp-Dialog")
    assert "The active cell is no prompt: it has to begin with %%generate" in dialog.inner_text()
    notebook.keyboard.press("Enter")
    dialog.wait_for(state="detached")


def test_nothing_went_wrong(notebook, errors):
    assert errors == []
