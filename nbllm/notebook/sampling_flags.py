"""The flags of sampling: every field of `SamplingParams`."""

from __future__ import annotations

from IPython.core.magic_arguments import argument

from .flags import IGNORE_EOS, INCLUDE_STOP, MAX_TOKENS, SPECIAL, STOP, STOP_IDS, flag, switch

SAMPLING = (
    "n",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "max_tokens",
    "min_tokens",
    "stop",
    "stop_token_ids",
    "include_stop_str_in_output",
    "ignore_eos",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logprobs",
    "prompt_logprobs",
    "bad_words",
    "logit_bias",
    "allowed_token_ids",
    "truncate_prompt_tokens",
    "detokenize",
    "skip_special_tokens",
    "spaces_between_special_tokens",
)
"""Flags that are fields of `SamplingParams`, by the field's name; the other two are in structured.py."""

SAMPLING_FLAGS = (
    flag("-n", "--n", metavar="N", help="completions per prompt"),
    flag("-t", "--temperature", metavar="T", help="0 takes the likeliest token; up to 2"),
    flag("-p", "--top-p", metavar="P", help="sample from the likeliest tokens that reach this"),
    flag("-k", "--top-k", metavar="K", help="sample from the K likeliest tokens"),
    flag("--min-p", metavar="P", help="drop tokens less likely than P times the likeliest"),
    flag(*MAX_TOKENS, metavar="N", help="tokens to generate at most"),
    flag("--min-tokens", metavar="N", help="tokens to generate at least"),
    STOP,
    STOP_IDS,
    INCLUDE_STOP,
    IGNORE_EOS,
    flag("--seed", metavar="S", help="the same seed gives the same text"),
    flag("--presence-penalty", metavar="P", help="-2 to 2: what a token costs once it was used"),
    flag("--frequency-penalty", metavar="P", help="-2 to 2: what each earlier use of a token costs"),
    flag("-r", "--repetition-penalty", metavar="R", help="above 1 avoids tokens used before"),
    flag("-l", "--logprobs", metavar="K", help="show probabilities, and the K likeliest tokens"),
    flag("--prompt-logprobs", metavar="K", help="the same for the prompt's tokens, in .outputs"),
    argument(
        "--bad-words", action="append", metavar="TEXT", help="never say this; may be repeated"
    ),
    flag("--logit-bias", metavar="ID=B,…", help="add B (-100 to 100) to the logit of a token"),
    flag("--allowed-token-ids", metavar="IDS", help="use these tokens only: 1,2,3"),
    flag("--truncate-prompt-tokens", metavar="N", help="send the last N tokens of a prompt"),
    switch("--no-detokenize", on=False, help="token ids only, no text"),
    SPECIAL,
    switch(
        "--no-spaces-between-special-tokens", on=False, help="special tokens stand close together"
    ),
)  # fmt: skip
