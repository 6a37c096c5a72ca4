"""One JupyterLab for all tests in this folder, and a fresh page for each file."""

import importlib.util
from pathlib import Path

import pytest
from browser import lab as driver

SOURCES = driver.BUILT.parents[1] / "labextension"
SHOTS = Path(__file__).with_name("shots")


def missing() -> str | None:
    """What these tests need and this machine lacks."""
    for module in ("jupyterlab", "playwright"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    if driver.executable() is None:
        return "no chromium, chromium-browser or google-chrome on PATH"
    if not (driver.BUILT / "package.json").exists():
        return "nbllm/labextension is not built: `pip install -e .` with node does it"
    return None


def stale() -> bool:
    """Whether the extension was changed after it was built."""
    folders = ("src", "style", "schema")
    files = [f for folder in folders for f in SOURCES.glob(f"{folder}/**/*.*")]
    files.append(SOURCES / "package.json")
    built = (driver.BUILT / "package.json").stat().st_mtime
    return any(file.stat().st_mtime > built for file in files)


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A running JupyterLab, its notebooks in `lab.root`."""
    if reason := missing():
        pytest.skip(reason)
    if stale():
        pytest.fail("labextension/ was changed since it was built: `pip install -e .` builds it")
    with driver.server(tmp_path_factory.mktemp("notebooks")) as lab:
        yield lab


@pytest.fixture(scope="module")
def errors():
    """What went wrong in the page: errors in its console, exceptions that nobody caught."""
    return []


# not for the session: while it is open, no other test could use asyncio
@pytest.fixture(scope="module")
def page(lab, errors):
    """An empty JupyterLab in a browser."""
    with driver.chromium() as browser:
        yield driver.open_lab(browser, lab, errors)


@pytest.fixture(scope="module")
def bare(errors):
    """An empty page, for ES modules without a kernel."""
    if driver.executable() is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH")
    with driver.chromium() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        driver.collect(page, errors)
        page.goto("about:blank")
        yield page


@pytest.fixture(scope="session")
def shots():
    """Where screenshots go, for people to look at."""
    SHOTS.mkdir(exist_ok=True)
    return SHOTS


@pytest.fixture
def kernel(notebook):
    """f(expression) → its value in the kernel of the file's notebook."""
    return lambda expression: driver.value(notebook, expression)
