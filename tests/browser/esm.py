"""A widget's ES module in a bare page: no kernel, no JupyterLab, about a second for a file of tests.

view = mount(page, esm("playground"), css("frame"), {"error": "", …})
view.set(error="no such model"); assert view.sent() == [{"action": "draw"}]
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.sync_api import Locator, Page

# the whole contract between a front end and an anywidget
MOUNT = """
async ([esm, css, state, width]) => {
    document.body.innerHTML = `<style></style><div class="nbllm-panel" style="width: ${width}"><div id="root"></div></div>`;
    document.querySelector('style').textContent = css;
    // nothing is taken for white where the system is dark
    document.body.style.background = 'Canvas';
    // bytes arrive as they do from a kernel
    const bytes = text => new DataView(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer);
    const revived = values => Object.fromEntries(Object.entries(values).map(([name, value]) => [
        name,
        typeof value?.$bytes === 'string' ? bytes(value.$bytes)
            : value?.constructor === Object ? revived(value) : value,
    ]));
    state = revived(state);
    const calls = {};
    const each = (event, ...values) => [...(calls[event] ?? [])].forEach(call => call(...values));
    const view = (window.view = {
        sent: [], state, calls,
        set: changes => {
            Object.assign(state, revived(changes));
            Object.keys(changes).forEach(name => each(`change:${name}`));
        },
        message: (content, buffers = []) => each('msg:custom', content, buffers.map(bytes)),
        listening: () => Object.values(calls).flat().length,
    });
    const model = {
        get: name => state[name],
        on: (event, call) => (calls[event] ??= []).push(call),
        off: (event, call) => { calls[event] = (calls[event] ?? []).filter(c => c !== call); },
        send: content => view.sent.push(content),
        widget_manager: window.manager,
    };
    const url = URL.createObjectURL(new Blob([esm], { type: 'text/javascript' }));
    const module = await import(url);
    const el = document.getElementById('root');
    view.done = await module.default.render({ model, el });
}
"""
STATE = {"error": "", "note": "", "panel_id": "panel", "stand_in": {}}
"""Of every view."""


class Mounted:
    """A view in a page."""

    def __init__(self, page: Page):
        self.page = page

    def set(self, **traits: Any) -> None:
        """Traits change, as if Python had set them."""
        self.page.evaluate("traits => window.view.set(traits)", _sent(traits))

    def message(self, content: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """A message from Python."""
        parts = [b64encode(buffer).decode() for buffer in buffers]
        self.page.evaluate(
            "([content, parts]) => window.view.message(content, parts)", [content, parts]
        )

    def sent(self) -> list[dict[str, Any]]:
        """The messages to Python since the last look."""
        return self.page.evaluate("window.view.sent.splice(0)")

    def done(self) -> int:
        """Undo `render`; how many listeners are left."""
        self.page.evaluate("window.view.done()")
        return self.page.evaluate("window.view.listening()")

    def find(self, selector: str) -> Locator:
        return self.page.locator(f"#root {selector}")


def mount(
    page: Page, esm: str, css: str, state: dict[str, Any], *, width: str = "900px"
) -> Mounted:
    """Draw the view of a widget whose traits are `state`."""
    page.evaluate(MOUNT, [esm, css, _sent({**STATE, **state}), width])
    return Mounted(page)


def _sent(traits: dict[str, Any]) -> dict[str, Any]:
    """As JSON has them."""

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return {"$bytes": b64encode(value).decode()}
        return _sent(value) if isinstance(value, dict) else value

    return {name: plain(value) for name, value in traits.items()}
