"""Accessibility, as axe-core sees it: `assert violations(page, ".nbllm-panel") == []`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

SOURCE = Path(__file__).with_name("node_modules") / "axe-core" / "axe.min.js"
SERIOUS = ("serious", "critical")


def missing() -> str | None:
    """What is needed and lacking."""
    if not SOURCE.is_file():
        return "axe-core is not installed: `npm ci --prefix tests/browser` does it"
    return None


def violations(page: Page, selector: str) -> list[str]:
    """What is seriously wrong below an element: the rule, and the elements that break it."""
    if not page.evaluate("'axe' in window"):
        # not as a module: JupyterLab's loader would take it for one of its own
        page.evaluate(f"() => {{ let define, module, exports; {SOURCE.read_text()} }}")
    found = page.evaluate(
        "async selector => (await window.axe.run(selector, {resultTypes: ['violations']})).violations",
        selector,
    )
    return [
        f"{v['id']}: {v['help']} ({'; '.join(node['html'][:160] for node in v['nodes'])})"
        for v in found
        if v["impact"] in SERIOUS
    ]
