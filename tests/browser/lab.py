"""Drives JupyterLab as a person does: a real server, a real browser, nothing of the user's own.

with server(folder) as lab, chromium() as browser:
    page = open_lab(browser, lab)
    open_notebook(page, "example.ipynb", kernel=False)
    output(page, 0).screenshot(path="…")
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from until import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

BUILT = Path(__file__).parents[2] / "nbllm" / "labextension"
ANNOUNCEMENTS = "@jupyterlab/apputils-extension:announcements"
STARTUP_S = 60
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-component-update",
    "--disable-background-networking",
    "--no-first-run",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """A running server. Notebooks in `root` can be opened. shared: ids of kernels that may be shared."""

    root: Path
    port: int
    token: str
    shared: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Opens an empty JupyterLab, logged in."""
        return f"http://127.0.0.1:{self.port}/lab?reset&token={self.token}"


def executable() -> str | None:
    """The browser: Debian's chromium, or Chrome."""
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    return next(filter(None, found), None)


@contextlib.contextmanager
def server(root: Path) -> Iterator[Lab]:
    """JupyterLab on loopback, with the extension as last built and without anybody's settings."""
    with tempfile.TemporaryDirectory(prefix="nbllm-lab-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        lab = Lab(root=root, port=probe.getsockname()[1], token=secrets.token_hex())
        probe.close()
        log = Path(folder, "log")
        with log.open("wb") as sink:
            process = subprocess.Popen(
                _command(lab), env=_environment(Path(folder)), stdout=sink, stderr=sink
            )
        try:
            _wait_for(lab, process, log)
            yield lab
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. No event loop can be run in this thread while it is open."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        yield browser
        browser.close()


def open_lab(browser: Browser, lab: Lab, errors: list[str] | None = None) -> Page:
    """A page with an empty JupyterLab, ready for commands.

    errors: gets what the console reports as an error, and every exception that nobody caught.
    """
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = context.new_page()
    if errors is not None:
        collect(page, errors)
    page.goto(lab.url, wait_until="domcontentloaded")
    wait_until_ready(page)
    return page


def wait_until_ready(page: Page) -> None:
    """Until commands can be run."""
    page.wait_for_function("window.jupyterapp", timeout=STARTUP_S * 1000)
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=STARTUP_S * 1000)


def open_notebook_7(browser: Browser, lab: Lab, name: str, errors: list[str]) -> Page:
    """A page with a notebook in Notebook 7, whose kernel is one that runs already, if there is any."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    collect(page, errors)
    address, login = f"http://127.0.0.1:{lab.port}", f"token={lab.token}"
    kernels = page.request.get(f"{address}/api/kernels?{login}").json()
    alive = [kernel for kernel in kernels if kernel["id"] in lab.shared]
    [kernel, *_] = [*alive, {"name": "python3"}]
    session = {"path": name, "name": name, "type": "notebook", "kernel": kernel}
    page.request.post(f"{address}/api/sessions?{login}", data=session)
    page.goto(f"{address}/notebooks/{name}?{login}", wait_until="domcontentloaded")
    page.wait_for_function("window.jupyterapp", timeout=STARTUP_S * 1000)
    page.wait_for_selector(f"{FOCUS} .jp-Cell", timeout=STARTUP_S * 1000)
    wait_for_kernel(page)
    return page


# at every restart of a kernel, whatever the notebook holds
OF_JUPYTERLAB = "Could not restore the debugger state"


def collect(page: Page, errors: list[str]) -> None:
    """From now on `errors` gets what the console reports as an error, and what nobody caught."""

    def reported(message) -> None:
        if message.type == "error" and not message.text.startswith(OF_JUPYTERLAB):
            errors.append(message.text or str(message.location))

    page.on("console", reported)
    page.on("pageerror", lambda error: errors.append(error.stack or repr(error)))


def open_notebook(page: Page, name: str, *, kernel: bool = True, share: str | None = None) -> None:
    """Opens a notebook, and waits for its kernel; without one, none can be started by accident.

    share: the id of a kernel that is there already, instead of a new one.
    """
    arguments: dict = {"path": name, "factory": "Notebook"}
    if share:
        arguments["kernel"] = {"id": share}
    if not kernel:
        arguments["kernelPreference"] = {"shouldStart": False, "canStart": False}
    command(page, "docmanager:open", arguments)
    page.wait_for_function(
        "name => window.jupyterapp.shell.currentWidget?.context?.path === name", arg=name
    )
    page.wait_for_selector(f"{FOCUS} .jp-Cell")
    if kernel:
        wait_for_kernel(page)


def wait_for_kernel(page: Page) -> None:
    """Until that of the notebook in focus is idle."""
    page.wait_for_function(f"{SESSION}?.kernel?.status === 'idle'", timeout=STARTUP_S * 1000)


SESSION = "window.jupyterapp.shell.currentWidget.sessionContext.session"
FOCUS = ".jp-NotebookPanel:not(.lm-mod-hidden)"
STOP = f'{FOCUS} .jp-Toolbar [data-command="nbllm:stop"]'
SETUP = "%load_ext nbllm\n%nbllm load tiny --device cpu\nimport nbllm, pandas"
BUSY = """import pathlib, time
busy = pathlib.Path("busy")
busy.touch()
while busy.exists():
    time.sleep(0.01)"""
"""A cell that runs for the time of `while_busy`."""


def open_prompts(page: Page, lab: Lab, name: str, cells: Sequence[str]) -> None:
    """Opens a new notebook, whose first cell loads nbllm and the bundled model, and runs that cell.

    All of them share one kernel: a new one has to import torch first. It is not one with widgets, whose
    messages would be for other pages.
    """
    write_notebook(lab.root / name, [SETUP, *cells])
    kernels = page.evaluate("fetch('/api/kernels').then(reply => reply.json())")
    alive = [kernel["id"] for kernel in kernels if kernel["id"] in lab.shared]
    open_notebook(page, name, share=alive[0] if alive else None)
    lab.shared[:] = [page.evaluate(f"{SESSION}.kernel.id")]
    run_cell(page, 0)
    # the extension has heard from the kernel
    page.locator(STOP).wait_for()


def open_cells(page: Page, lab: Lab, name: str, cells: Sequence[str], run: Iterable[int]) -> None:
    """Opens a new notebook of these cells, wide, and runs some of them."""
    write_notebook(lab.root / name, list(cells))
    open_notebook(page, name)
    command(page, "application:toggle-left-area")
    for index in run:
        run_cell(page, index)


def button(panel: Locator, name: str) -> Locator:
    """The button of exactly this name."""
    return panel.get_by_role("button", name=name, exact=True)


def cell(page: Page, index: int) -> Locator:
    """The editor of a cell."""
    select_cell(page, index)
    return page.locator(f'{FOCUS} .jp-Cell[data-windowed-list-index="{index}"] .cm-content')


def sources(page: Page) -> list[str]:
    """Of all cells."""
    return page.evaluate(
        "window.jupyterapp.shell.currentWidget.content.widgets.map(c => c.model.sharedModel.getSource())"
    )


def set_source(page: Page, index: int, text: str) -> None:
    """Puts a text into a cell."""
    script = "window.jupyterapp.shell.currentWidget.content.widgets[i].model.sharedModel"
    page.evaluate(f"([i, text]) => {script}.setSource(text)", [index, text])


def outputs(page: Page, index: int) -> list[dict]:
    """What a cell has put out, as it would be saved."""
    return page.evaluate(
        "i => window.jupyterapp.shell.currentWidget.content.widgets[i].model.outputs.toJSON()",
        index,
    )


def command(page: Page, name: str, arguments: dict | None = None) -> None:
    """Runs one of JupyterLab's commands, and waits for its end: for `run-cell`, that of the cell."""
    script = "async ([name, args]) => { await window.jupyterapp.commands.execute(name, args); }"
    page.evaluate(script, [name, arguments or {}])


def run_cell(page: Page, index: int, *, wait: bool = True) -> None:
    """Runs a cell. Without waiting, `page.evaluate("window.cellRuns")` says whether it still does."""
    select_cell(page, index)
    page.evaluate(
        """async ([index, wait]) => {
            // at once: whatever takes the focus makes its own cell the active one
            window.jupyterapp.shell.currentWidget.content.activeCellIndex = index;
            window.cellRuns = true;
            const done = () => { window.cellRuns = false; };
            const run = window.jupyterapp.commands.execute('notebook:run-cell').finally(done);
            if (wait) await run;
            else run.catch(() => {});
        }""",
        [index, wait],
    )


@contextlib.contextmanager
def while_busy(page: Page, lab: Lab, index: int) -> Iterator[None]:
    """Runs the cell `BUSY` for as long as the `with` block takes, whatever that is on a slow machine."""
    busy = lab.root / "busy"
    run_cell(page, index, wait=False)
    until(busy.exists)
    try:
        yield
        assert page.evaluate("window.cellRuns") is True
    finally:
        busy.unlink()
        page.wait_for_function("!window.cellRuns")


def restart_kernel(page: Page) -> None:
    """As a person does: from the menu, with an answer to "are you sure?"."""
    page.evaluate("() => { window.jupyterapp.commands.execute('kernelmenu:restart'); }")
    page.locator(".jp-Dialog").get_by_role("button", name="Confirm Kernel Restart").click()
    page.wait_for_function(
        "window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
        timeout=STARTUP_S * 1000,
    )


def value(page: Page, expression: str) -> object:
    """What an expression is in the notebook's kernel, as its repr says; once no cell runs."""
    found = page.evaluate(
        """async expression => {
            const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
            const request = { code: '', silent: true, user_expressions: { found: expression } };
            const reply = await kernel.requestExecute(request).done;
            return reply.content.user_expressions.found;
        }""",
        f"repr({expression})",
    )
    assert found["status"] == "ok", found
    return ast.literal_eval(ast.literal_eval(found["data"]["text/plain"]))


def comes_true(kernel: Callable[[str], object], expression: str) -> None:
    """Wait until this is true in the kernel: widgets hear of clicks in a thread of their own."""
    until(lambda: kernel(f"bool({expression})"))


def select_cell(page: Page, index: int) -> None:
    """Makes a cell the active one and scrolls to it: cells out of sight are not in the page."""
    page.evaluate(
        """async index => {
            const notebook = window.jupyterapp.shell.currentWidget.content;
            notebook.activeCellIndex = index;
            await notebook.scrollToItem(index);
        }""",
        index,
    )


def active_cell(page: Page) -> int:
    """The index of the active cell."""
    return page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex")


def output(page: Page, index: int) -> Locator:
    """What is drawn below a cell."""
    select_cell(page, index)
    cell = f'{FOCUS} .jp-Cell[data-windowed-list-index="{index}"]'
    return page.locator(f"{cell} .jp-OutputArea-output")


def set_setting(page: Page, plugin: str, settings: dict) -> None:
    """What a person sets in the settings editor; {} is JupyterLab's own."""
    page.evaluate(
        """async ([plugin, raw]) => {
            await window.jupyterapp.serviceManager.settings.save(plugin, raw);
            const registry = '@jupyterlab/apputils-extension:settings';
            await window.jupyterapp.pluginRegistry._plugins.get(registry).service.reload(plugin);
        }""",
        [plugin, json.dumps(settings)],
    )


def set_theme(page: Page, name: str) -> None:
    """'JupyterLab Light', 'JupyterLab Dark' or 'JupyterLab Dark High Contrast'."""
    command(page, "apputils:change-theme", {"theme": name})
    page.wait_for_selector(f'body[data-jp-theme-name="{name}"]', state="attached")
    page.wait_for_selector("#jupyterlab-splash", state="detached")


def write_notebook(
    path: Path, sources: Sequence[str], bundles: Sequence[dict] | None = None
) -> None:
    """A notebook as saved: `bundles[i]` is the output of the cell `sources[i]`."""
    import nbformat.v4 as v4

    cells = []
    for i, source in enumerate(sources):
        outputs = [v4.new_output("display_data", bundles[i])] if bundles else []
        cells.append(v4.new_code_cell(source, outputs=outputs))
    # without a kernelspec JupyterLab would ask for one
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
    path.write_text(json.dumps(notebook))


def _command(lab: Lab) -> list[str]:
    return [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ip=127.0.0.1", f"--port={lab.port}", "--ServerApp.port_retries=0"),
        f"--IdentityProvider.token={lab.token}",
        f"--ServerApp.root_dir={lab.root}",
        "--LabApp.extension_manager=readonly",
        "--expose-app-in-browser",
        # Notebook 7, where it is installed, is served by the same server
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]


def _environment(home: Path) -> dict[str, str]:
    """Of this process, but with every folder of Jupyter's below `home`."""
    folders = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": home / "ipython",
        # comes before the environment's own extensions
        "JUPYTER_PATH": home / "path",
    }
    extensions = home / "path" / "labextensions"
    extensions.mkdir(parents=True)
    (extensions / "nbllm").symlink_to(BUILT)
    # no question whether one would like to hear the news
    page_config = home / "config" / "labconfig" / "page_config.json"
    page_config.parent.mkdir(parents=True)
    page_config.write_text(json.dumps({"disabledExtensions": {ANNOUNCEMENTS: True}}))
    return os.environ | {name: str(folder) for name, folder in folders.items()}


def _wait_for(lab: Lab, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline and process.poll() is None:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{lab.port}/api", timeout=2),
        ):
            return
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")
