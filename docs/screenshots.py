"""Takes the pictures of README.md in JupyterLab: `make screenshots`.

    python docs/screenshots.py [--out FOLDER] [NAME …]      all of them, unless told which

Each is a notebook of its own that runs in a real kernel and is drawn by a real browser.
"""

import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from browser import lab as driver  # noqa: E402

LOAD = "%load_ext nbllm\n%nbllm load tiny --device cpu"
PICTURES = {
    "tokens": [
        LOAD,
        "%%generate --logprobs 6 --temperature 1 --max-tokens 56 --seed 1\nOnce upon a time",
    ],
    "beams": [
        LOAD,
        "%%beam --width 4 --max-tokens 16\nEnglish: The singer loves her dog.\nFrench:",
    ],
    "frame": [
        LOAD + "\nimport pandas as pd\npd.options.display.max_colwidth = 60\n"
        "reviews = pd.DataFrame({'review': ["
        "'The soup was wonderful and the waiter was charming.', "
        "'The film was dull and the actor was awful.', "
        "'The room was dirty. Never again.', "
        "'The flight was late but the staff was lovely.']})",
        '%%choose labels --over reviews -c " positive" -c " negative" --best\n'
        "Review: {{ review }}\nSentiment:",
        'labels[["review", "choice", "probability"]].round(3)',
    ],
}
"""Name → cells; the first one is not shown."""
HOVERED = {"tokens": ".nbllm-token >> nth=12"}
EDGE = 8
SIZE = {"width": 860, "height": 1200}


def take(page, folder: Path, name: str, path: Path) -> None:
    """Run the notebook called `name`, in `folder`, and save what it shows."""
    driver.write_notebook(folder / f"{name}.ipynb", PICTURES[name])
    driver.open_notebook(page, f"{name}.ipynb")
    driver.command(page, "notebook:run-all-cells")
    page.wait_for_function(IDLE)
    driver.select_cell(page, 0)
    page.evaluate("document.activeElement.blur()")
    if name in HOVERED:
        page.hover(f".jp-Notebook {HOVERED[name]}")
    else:
        page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    page.screenshot(path=path, clip=_below_the_first(page))
    driver.command(page, "kernelmenu:shutdown")
    driver.command(page, "docmanager:save")
    driver.command(page, "application:close-all")


IDLE = """() => {
    const { content, sessionContext } = window.jupyterapp.shell.currentWidget;
    const done = content.widgets.every(cell => cell.model.executionCount);
    return done && sessionContext.session?.kernel?.status === 'idle';
}"""


def _below_the_first(page) -> dict[str, float]:
    """The rectangle of all cells but the first, with the alternatives that are shown over them."""
    boxes = [cell.bounding_box() for cell in page.locator(".jp-Notebook .jp-Cell").all()[1:]]
    boxes += [box.bounding_box() for box in page.locator(".nbllm-alternatives:visible").all()]
    top, left = min(box["y"] for box in boxes), min(box["x"] for box in boxes)
    bottom = max(box["y"] + box["height"] for box in boxes)
    right = max(box["x"] + box["width"] for box in boxes)
    return {"x": left, "y": top, "width": right - left + EDGE, "height": bottom - top + EDGE}


def main() -> None:
    parser = ArgumentParser(description="Take the pictures of README.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    parser.add_argument("--out", type=Path, default=HERE / "images", metavar="FOLDER")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        driver.server(Path(folder)) as lab,
        driver.chromium() as browser,
    ):
        page = driver.open_lab(browser, lab)
        page.set_viewport_size(SIZE)
        driver.command(page, "application:toggle-left-area")
        driver.command(page, "application:toggle-mode")
        for name in args.names or PICTURES:
            path = args.out / f"{name}.png"
            take(page, Path(folder), name, path)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
