"""The flags of a beam search."""

from __future__ import annotations

from IPython.core.magic_arguments import argument

from .flags import IGNORE_EOS, INCLUDE_STOP, MAX_TOKENS, SPECIAL, STOP, STOP_IDS, flag

SEARCH = (
    "beam_width",
    "max_tokens",
    "length_penalty",
    "num_return_sequences",
    "temperature",
    "stop",
    "stop_token_ids",
    "ignore_eos",
    "early_stopping",
    "num_beam_groups",
    "diversity_penalty",
    "allowed_token_ids",
    "include_stop_str_in_output",
    "skip_special_tokens",
)
"""Flags that are fields of `BeamSearchParams`, by the field's name."""

SEARCH_FLAGS = (
    flag("-w", "--width", "--beam-width", metavar="W", help="beams that live on after a step"),
    flag(*MAX_TOKENS, metavar="N", help="steps at most: tokens of a sequence"),
    flag(
        "--length-penalty", metavar="P",
        help="a score is log-probability / tokens ** P: 0 prefers short sequences, 2 long ones",
    ),
    flag("-n", "--num-return-sequences", metavar="N", help="sequences to return; else W"),
    flag("-t", "--temperature", metavar="T", help="search by the probabilities of logits / T"),
    STOP,
    STOP_IDS,
    IGNORE_EOS,
    flag(
        "--early-stopping", metavar="WHEN",
        help="true, false, never: Hugging Face's rules; without it every step is done, as in vLLM",
    ),
    flag("-g", "--groups", "--num-beam-groups", metavar="G", help="the beams search in G groups"),
    flag("--diversity-penalty", metavar="P", help="what an earlier group's token costs a group"),
    flag("--allowed-token-ids", metavar="IDS", help="search among these tokens only: 1,2,3"),
    INCLUDE_STOP,
    SPECIAL,
)  # fmt: skip
TRACE = argument("--trace", metavar="NAME", help="variable for a DataFrame of every candidate")
