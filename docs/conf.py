"""The documentation site: `make docs`. Pages are Markdown, tutorials the notebooks as they are saved.

The sources are those of the repository where they lie, so links hold on GitHub as on the site.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

import nbllm

project = "nbllm"
author = "The nbllm developers"
copyright = author
release = nbllm.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "docstrings", "magics"]
include_patterns = ["docs/**.md", "notebooks/**.ipynb", "CHANGELOG.md", "CONTRIBUTING.md"]
root_doc = "docs/index"
nitpicky = True
smartquotes = False
# of other projects, whose indexes are not fetched: a build needs no network
nitpick_ignore_regex = [
    ("py:.*", r"(torch|pandas|pd|pathlib|collections|typing|numpy|nn|IPython|traitlets)(\..*)?"),
    ("py:class", r"(Path|Tensor|(t\.)?Any|Module)"),
    # what signatures name and nobody has to know
    (
        "py:class",
        r"(.*\.)?(AnyParams|BeamCompletions|History|Hypothesis|Job|ModelConfig|Progress|Provenance|Recording|Work)",
    ),
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # tests execute them, and compare what is saved
nb_merge_streams = True
nb_mime_priority_overrides = [
    ("html", "application/vnd.nbllm.v1+json", None),
    ("html", "text/html", 0),
]
suppress_warnings = ["mystnb.unknown_mime_type"]

autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False

html_theme = "furo"
html_title = "nbllm"
html_static_path = ["static"]
html_extra_path = ["root"]  # leads from / to docs/
html_css_files = ["nbllm.css"]
html_theme_options = {
    "source_repository": "https://github.com/nbllm/nbllm/",
    "source_branch": "main",
    "source_directory": "",
}
