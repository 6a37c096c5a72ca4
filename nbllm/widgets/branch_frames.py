"""The branches of a token explorer as frames, as a view without scripts, and as a record to replay."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING, Any

from .. import views
from ..errors import ParamError
from ..replays import Made, Recording
from ..results.provenance import plain
from ..views.tokens import probability, quoted
from .branch_runs import request
from .branches import Branch, own
from .diff import token_diff

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "branch": "int64", "name": "str", "parent": "Int64", "position": "int64", "token": "str",
    "prompt": "str", "text": "str", "finish_reason": "str", "num_tokens": "int64",
    "cumulative_logprob": "float64", "mean_logprob": "float64",
}  # fmt: skip


def frame(branches: Sequence[Branch]) -> pd.DataFrame:
    """One row per branch; `TokenExplorer.df` says what is in it."""
    import pandas as pd

    sent = [plain(b.params) if b.params is not None else {} for b in branches]
    names = dict.fromkeys(name for values in sent for name in values)
    ran = [values for values in sent if values]
    varies = [n for n in names if n == "seed" or any(v.get(n) != ran[0].get(n) for v in ran)]
    found = pd.DataFrame([_row(b) for b in branches], columns=list(COLUMNS))
    # with rows pandas finds the types of texts itself, and keeps None where there is none
    found = found.astype({n: t for n, t in COLUMNS.items() if not branches or t != "str"})
    columns = {n: pd.Series([v.get(n) for v in sent]).convert_dtypes() for n in varies}
    return found.assign(**columns)


def tokens_frame(branches: Sequence[Branch]) -> pd.DataFrame:
    """One row per token of every branch; `TokenExplorer.tokens_frame` says what is in it."""
    from ..frames import tokens_frame as of_outputs

    found = of_outputs([b.output() for b in branches]).drop(columns="output")
    whose = [b for b in branches for _ in b.token_ids]
    found.insert(0, "branch", [b.number for b in whose])
    found.insert(1, "name", [b.name for b in whose])
    inherited = [
        b.parent is not None and at < b.position
        for b, at in zip(whose, found["position"], strict=True)
    ]
    return found.assign(inherited=inherited)


def compared(a: Branch, b: Branch) -> pd.DataFrame:
    """One row per span of tokens; `TokenExplorer.compare` says what is in it."""
    import pandas as pd

    rows = [
        (same, i, k, _spelled(a, i, j), _spelled(b, k, m), _sum(a, i, j), _sum(b, k, m))
        for same, i, j, k, m in token_diff(a.token_ids, b.token_ids)
    ]
    columns = ["shared", "position_a", "position_b", "text_a", "text_b", "logprob_a", "logprob_b"]
    return pd.DataFrame(rows, columns=columns)


def label(branch: Branch) -> str:
    """What to call a branch where the tree is not drawn: its name, and where it parts from what."""
    if branch.parent is None:
        return branch.name
    return f"{branch.name}: from {branch.parent.name} at {branch.position}{taken(branch)}"


def taken(branch: Branch) -> str:
    """The token with which it parts, and its probability; empty if there is none."""
    if len(branch.logprobs) <= branch.position:
        return ""
    first = own(branch.logprobs[branch.position])
    share = 100 * probability(first.logprob)
    # one decimal; where that would be nothing but zeros, one digit
    said = f"{share:.1f}" if share >= 0.1 or not share else f"{share:.1g}"
    return f", {quoted(first.decoded_token)} {said} %"


def bundle(branches: Sequence[Branch]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A mime bundle of all branches, and what it takes to make them again."""
    shown = branches[: views.MAX_COMPLETIONS]
    data = views.completions(
        [b.output() for b in branches],
        prompts=[b.prompt for b in branches],
        settings=[label(b) for b in branches] if len(branches) > 1 else None,
    )
    return views.bundle(data), _metadata(shown)


def recording(branches: Sequence[Branch]) -> Recording:
    """What `nbllm.replay` needs: of each branch what was generated. Raises `ParamError` without any."""
    ran = [b for b in branches if _again(b)]
    if not ran or len({_fingerprint(b) for b in ran}) > 1:
        raise ParamError("branches can be made again that were generated here, all by one model")
    assert ran[0].made is not None
    return Recording(
        kind="completions",
        model=ran[0].made.provenance.model,
        requests=[request(b, b.num_given) for b in ran],
        params=[b.params.clone() for b in ran if b.params is not None],
        expected=[[_made(b)] for b in ran],
    )


def _metadata(branches: Sequence[Branch]) -> dict[str, Any]:
    ran = [b for b in branches if _again(b)]
    if not ran or len({_fingerprint(b) for b in ran}) > 1:
        # of several models there is no record that could be replayed
        return {}
    [*_, last] = ran
    assert last.made is not None
    num_tokens = sum(len(b.token_ids) - b.num_given for b in ran)
    record = last.made.provenance.metadata(last.made.seconds, num_tokens)
    record["params"] = plain(last.params) if last.params is not None else {}
    record |= {
        "kind": "completions",
        "settings": [
            plain(b.params) if b.params is not None and _again(b) else {} for b in branches
        ],
        "requests": [request(b, b.num_given) for b in branches],
        "token_ids": [[b.token_ids[b.num_given :]] if _again(b) else [] for b in branches],
    }
    return {"nbllm": record}


def _again(branch: Branch) -> bool:
    return branch.params is not None and branch.made is not None and not branch.running


def _fingerprint(branch: Branch) -> str | None:
    return branch.made.provenance.model["fingerprint"] if branch.made is not None else None


def _made(branch: Branch) -> Made:
    return Made(
        text=branch.text,
        token_ids=branch.token_ids[branch.num_given :],
        logprob=branch.logprob_after(branch.num_given) if branch.scored else None,
        aborted=branch.finish_reason == "abort",
    )


def _row(b: Branch) -> tuple:
    count, total = len(b.token_ids), b.cumulative_logprob
    first = own(b.logprobs[b.position]).decoded_token if len(b.logprobs) > b.position else None
    return (
        b.number, b.name, b.parent.number if b.parent else None, b.position, first, b.prompt, b.text,
        b.finish_reason, count, total, total / count if count else nan,
    )  # fmt: skip


def _spelled(branch: Branch, begin: int, end: int) -> str:
    return "".join(own(p).decoded_token for p in branch.logprobs[begin:end])


def _sum(branch: Branch, begin: int, end: int) -> float:
    return branch.logprob_after(begin) - branch.logprob_after(end)
