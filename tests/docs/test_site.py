"""The documentation site builds without a warning, is complete, and leads nowhere that is not there."""

import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ADDRESSES = [
    "nbllm.sampling_params.RequestOutputKind",
    "nbllm.entrypoints.chat_utils.load_chat_template",
    "nbllm.models.register",
    "nbllm.frames.tokens_frame",
    "nbllm.frames.trace_frame",
    "nbllm.LLM.generate",
    "nbllm.LLM.beam_search",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    out = tmp_path_factory.mktemp("site")
    sphinx = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    options = ["--nitpicky", "-c", ROOT / "docs", "-d", tmp_path_factory.mktemp("doctrees")]
    built = subprocess.run(
        [*map(str, [*sphinx, *options, ROOT, out])], capture_output=True, text=True
    )
    assert not built.returncode, built.stderr
    return out


class Page(HTMLParser):
    """What a page refers to, what of that is loaded with it, and the places in it."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        given = {name: value for name, value in attrs if value}
        self.links += [given[name] for name in ("href", "src") if name in given]
        self.loaded += [given["src"]] if "src" in given else []
        self.loaded += [given["href"]] if tag == "link" and "href" in given else []
        self.places |= {given[name] for name in ("id", "name") if name in given}


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in site.rglob("*.html")}


def test_links_and_anchors_resolve(site, pages):
    assert len(pages) > 25
    broken = []
    for path, page in pages.items():
        for link in page.links:
            to = urlsplit(link)
            if to.scheme or link.startswith("//"):
                continue
            target = (path.parent / unquote(to.path)).resolve() if to.path else path
            known = target.is_file() or (target / "index.html").is_file()
            place = unquote(to.fragment)
            if not known or (place and target in pages and place not in pages[target].places):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken


def test_pages_load_nothing_from_elsewhere(pages):
    assert not {link for page in pages.values() for link in page.loaded if urlsplit(link).netloc}


def test_every_public_name_has_an_entry(site):
    import nbllm

    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(inventory).decode().splitlines()
    entries = {line.split()[0] for line in lines if " py:" in line}
    assert not {f"nbllm.{name}" for name in nbllm.__all__} - entries
    assert not set(ADDRESSES) - entries


def test_every_flag_of_every_magic_is_explained(site):
    from nbllm.notebook.magics import Nbllm

    text = (site / "docs/reference/magics.html").read_text("utf-8")
    magics = [name for name, magic in vars(Nbllm).items() if hasattr(magic, "parser")]
    assert len(magics) > 5
    for magic in magics:
        section = text[text.index(f'<section id="{magic}"') :]
        section = section[: section.find("<section", 1)]
        flags = [o for a in getattr(Nbllm, magic).parser._actions for o in a.option_strings]
        assert len(flags) > 5
        assert not [flag for flag in flags if f'<span class="pre">{flag}</span>' not in section]
