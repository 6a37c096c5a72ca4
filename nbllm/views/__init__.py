"""Results for people: plain text, script-free HTML, and data for richer front ends.

    outputs ── data.py ──> one JSON-able dictionary ──┬── plain.py     text/plain
                                                      ├── html.py      text/html
                                                      └── as it is     application/vnd.nbllm.v1+json

Beam searches go the same way, through beam_data.py, beam_tree.py, beam_plain.py and beam_html.py;
scores, choices and comparisons through tables.py.

The text and the HTML are functions of the dictionary alone, so a saved notebook holds everything
that a front end needs to draw the result again, without a kernel. Nothing here imports IPython.
"""

from .beam_data import beams
from .bundle import MIME, bundle
from .conversation import conversation
from .data import MAX_COMPLETIONS, completions
from .progress import progress
from .tables import comparison, labels

__all__ = [
    "MAX_COMPLETIONS",
    "MIME",
    "beams",
    "bundle",
    "comparison",
    "completions",
    "conversation",
    "labels",
    "progress",
]
