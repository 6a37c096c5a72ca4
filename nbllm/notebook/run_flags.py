"""The flags of every magic that runs a model: over what, and where results go."""

from __future__ import annotations

from IPython.core.magic_arguments import argument

MODEL = argument("--model", metavar="NAME", help="a loaded model instead of the current one")
RUN_FLAGS = (
    argument("--out", metavar="NAME", help="variable for the DataFrame; then nothing is shown"),
    argument("--over", metavar="FRAME", help="a DataFrame: the prompt is sent once per row"),
    argument("--raw", action="store_true", help="send {{ }} as it is"),
    argument("--quiet", action="store_true", help="show nothing while it runs"),
    MODEL,
)
PANEL_FLAGS = (
    argument("--out", metavar="NAME", help="variable for the widget"),
    argument("--raw", action="store_true", help="take {{ }} in flags as it is"),
    MODEL,
)
COMPARE_FLAGS = (
    argument(
        "--setting", action="append", metavar='"NAME FLAGS"',
        help="a setting: its name, then flags of %%generate, or with --width of %%beam; to be repeated",
    ),
    argument("--grid", metavar="NAME=V,V …", help="every combination of these is a setting"),
    argument("--models", metavar="A,B", help="loaded models to compare"),
)  # fmt: skip
APPEND = argument(
    "--append", action="store_true", help="add the rows to the DataFrame that NAME already is"
)
TIMINGS = argument(
    "--timings", action="store_true",
    help="columns time_to_first_token, latency (both in seconds) and tokens_per_second",
)  # fmt: skip
STREAM_FLAGS = (
    argument("--stream", action="store_true", default=None, help="show texts while they are made, however many"),
    argument("--no-stream", dest="stream", action="store_false", default=None, help="show progress instead"),
)  # fmt: skip
RESUME_FLAGS = (
    argument(
        "--checkpoint", metavar="FILE",
        help="keep every finished prompt in this file; a run that finds it does the rest",
    ),
    argument(
        "--fresh", action="store_true", help="begin again, instead of doing the rest of an interrupted run"
    ),
)  # fmt: skip
LONG_FLAGS = (
    argument(
        "--grid", metavar="NAME=V,V …",
        help="every combination of these settings: temperature=0,0.7 top_p=0.9,1 seed=1..4",
    ),
    APPEND,
    TIMINGS,
    argument(
        "--trim", action="store_true",
        help="shorten what does not fit: the head of a prompt, the oldest turns of a conversation",
    ),
    *RESUME_FLAGS,
)  # fmt: skip
