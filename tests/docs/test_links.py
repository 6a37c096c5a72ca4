"""Links and anchors in the documents of the repository lead somewhere, as GitHub reads them."""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
HERE = ("https://github.com/nbllm/nbllm/blob/main/", "https://github.com/nbllm/nbllm/tree/main/")
BINDER = "https://mybinder.org/v2/gh/nbllm/nbllm/HEAD?urlpath=lab/tree/"
TRACKED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md", "*.ipynb"],
    cwd=ROOT, capture_output=True, text=True,
).stdout.split()  # fmt: skip
DOCUMENTS = [name for name in TRACKED if (ROOT / name).is_file()]


def markdown(path: Path) -> str:
    """A document's text; of a notebook, that of its cells of prose."""
    if path.suffix != ".ipynb":
        return path.read_text("utf-8")
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def tokens(text: str) -> Iterator:
    """All tokens of a text, those within lines too."""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield token
        yield from token.children or ()


def links(text: str) -> list[str]:
    """Targets of links and images, in Markdown and in HTML."""
    found = []
    for token in tokens(text):
        found += [token.attrs[name] for name in ("href", "src") if name in token.attrs]
        if token.type in ("html_block", "html_inline"):
            found += re.findall(r'(?:href|src)="([^"]+)"', token.content)
    return found


@cache
def anchors(path: Path) -> set[str]:
    """The places that GitHub gives names to: headings, and what HTML names."""
    text, seen, found = markdown(path), Counter(), set()
    heading = False
    for token in tokens(text):
        if token.type == "heading_open":
            heading = True
        elif heading and token.type == "inline":
            words = "".join(t.content for t in token.children if t.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            found.add(slug if not seen[slug] else f"{slug}-{seen[slug]}")
            seen[slug] += 1
            heading = False
    return found | set(re.findall(r'(?:id|name)="([^"]+)"', text))


def wrong(path: Path, link: str) -> bool:
    """Whether a link leads nowhere; what lies elsewhere is not asked, only read."""
    for own in (*HERE, BINDER):
        if link.startswith(own):
            return not (ROOT / unquote(urlsplit(link.removeprefix(own)).path)).exists()
    to = urlsplit(link)
    if to.scheme:
        return to.scheme != "https" or "." not in to.netloc
    target = (path.parent / unquote(to.path)).resolve() if to.path else path
    if not target.exists() or not target.is_relative_to(ROOT):
        return True
    return bool(to.fragment) and unquote(to.fragment) not in anchors(target)


def test_documents_are_found():
    assert {
        "README.md",
        "CONTRIBUTING.md",
        "docs/index.md",
        "notebooks/01_quick_start.ipynb",
    } < set(DOCUMENTS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    path = ROOT / name
    assert not [link for link in links(markdown(path)) if wrong(path, link)]


def test_what_leads_nowhere_is_found(tmp_path):
    text = "[a](nothing.md) [b](README.md#nowhere) ![c](no.png) [d](http://x) [e](LICENSE) [f](#here)\n\n# Here"
    path = ROOT / "README.md"
    assert [link for link in links(text) if wrong(path, link)] == [
        "nothing.md", "README.md#nowhere", "no.png", "http://x", "#here",
    ]  # fmt: skip
