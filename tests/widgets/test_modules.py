"""ES modules put together without a bundler."""

import re
import subprocess
from pathlib import Path

import pytest

from nbllm.widgets.modules import HERE, css, esm

ROOT = Path(__file__).parents[2]
MODULES = sorted((HERE / "js").glob("*.js"))
VIEWS = [m.stem for m in MODULES if "export default { render };" in m.read_text()]
TOP_LEVEL = re.compile(
    r"^(?:export )?(?:async )?(?:const|let|function|class) (?:\[|\{ )?(\w+)", re.MULTILINE
)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_one_module_with_all_it_needs(name):
    source = esm(name)
    assert "import {" not in source
    assert re.findall(r"^export.*", source, re.MULTILINE) == ["export default { render };"]
    assert source.index("function element(") < source.index("function render(")


def test_nothing_is_in_it_twice():
    source = esm("frame")
    assert source.count("function element(") == 1


@pytest.mark.parametrize("name", VIEWS)
def test_top_level_names_differ(name):
    names = TOP_LEVEL.findall(esm(name))
    assert sorted(names) == sorted(set(names))


def test_no_module_reaches_out():
    """No CDN, nothing of another origin, no markup from text."""
    for module in MODULES:
        # the one address is the name of a language
        source = module.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(
            r"https?://|innerHTML|insertAdjacentHTML|document\.write|eval\(", source
        )


@pytest.mark.parametrize("sheet", sorted((HERE / "css").glob("*.css")), ids=lambda p: p.stem)
def test_every_rule_is_scoped(sheet):
    source = re.sub(r"/\*.*?\*/", "", css(sheet.stem), flags=re.DOTALL)
    selectors = re.findall(r"([^{}]+)\{[^{}]*\}", source)
    assert selectors
    for selector in selectors:
        # not at the commas inside :is(…)
        for one in re.split(r",(?![^(]*\))", selector):
            assert re.match(r"\s*\.nbllm-(panel|view|playground|enginestatus)\b", one), one


@pytest.mark.slow
def test_types():
    tsc = ROOT / "tests" / "browser" / "node_modules" / ".bin" / "tsc"
    if not tsc.exists():
        pytest.skip("typescript is not installed: `npm ci --prefix tests/browser` does it")
    config = HERE / "js" / "jsconfig.json"
    done = subprocess.run([tsc, "-p", config], capture_output=True, text=True, check=False)
    assert done.stdout == ""
