"""Who may import whom: each layer only what stands to its left in CONTRIBUTING.md."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEAVES = {"errors", "sampling_params", "outputs", "beams", "prompts", "options", "templating"}
FRAMES = ["frames", "compare"]
ORDER = [
    "kernels",
    "models",
    "engine",
    "chat",
    "llm",
    "resident",
    "replays",
    "entrypoints",
    "views",
    "results",
    "widgets",
    "notebook",
]
TORCH = {"torch", "triton", "safetensors"}
NOTEBOOK = {"IPython", "ipywidgets", "anywidget", "ipykernel"}
NO_TORCH = {*LEAVES, *FRAMES, *ORDER[ORDER.index("resident") :]}
MAY_USE_IPYTHON = {"widgets", "notebook"}
EXCEPTIONS = {("nbllm/outputs.py", "frames")}  # RequestOutput.to_frame, inside the method

FILES = sorted(
    p
    for folder in ("nbllm", "kernels/nbllm_kernels")
    for p in (ROOT / folder).rglob("*.py")
    if "assets" not in p.parts
)


def layer_of(module: str) -> str | None:
    """The layer of a module of ours; None for others' and for nbllm itself."""
    parts = module.split(".")
    if parts[0] == "nbllm_kernels":
        return "kernels"
    mine = parts[0] == "nbllm" and len(parts) > 1 and not parts[1].startswith("__")
    return parts[1] if mine else None


def allowed(layer: str) -> set[str]:
    if layer in LEAVES:
        return LEAVES
    if layer in FRAMES:
        return LEAVES | set(FRAMES[: FRAMES.index(layer)])
    before = set(ORDER[: ORDER.index(layer)])
    return LEAVES | before | (set(FRAMES) if layer in ORDER[ORDER.index("llm") :] else set())


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "kernels" else parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Every module a file imports, anywhere in it, by absolute name; not what is for typing only."""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found: set[str] = set()
    for node in ast.walk(without_typing(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            found |= {f"{stem}.{a.name}" for a in node.names} if stem == "nbllm" else {stem}
    return found


def without_typing(tree: ast.Module) -> ast.Module:
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return tree


def test_every_file_has_a_layer():
    assert len(FILES) > 25
    unknown = {layer_of(module_of(p)) for p in FILES} - {*ORDER, *LEAVES, *FRAMES, None}
    assert not unknown


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_left(path):
    layer = layer_of(module_of(path))
    if layer is None:
        return  # nbllm/__init__.py names everything, lazily
    name = str(path.relative_to(ROOT))
    used = {other for module in imports(path) if (other := layer_of(module))} - {layer}
    used -= {other for file, other in EXCEPTIONS if file == name}
    assert used <= allowed(layer), f"{layer} may not import {sorted(used - allowed(layer))}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_torch_and_ipython_keep_to_their_side(path):
    layer = layer_of(module_of(path)) or "errors"
    roots = {module.split(".")[0] for module in imports(path)}
    if layer in NO_TORCH:
        assert not roots & TORCH
    if layer not in MAY_USE_IPYTHON:
        assert not roots & NOTEBOOK


def test_a_violation_is_found(tmp_path, monkeypatch):
    """The rule reads relative, absolute and nested imports."""
    file = tmp_path / "nbllm" / "engine" / "bad.py"
    file.parent.mkdir(parents=True)
    file.write_text("from ..llm import LLM\ndef f():\n    import nbllm.notebook.magics, IPython\n")
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    with pytest.raises(AssertionError, match=r"\['llm', 'notebook'\]"):
        test_imports_point_left(file)
    with pytest.raises(AssertionError):
        test_torch_and_ipython_keep_to_their_side(file)
