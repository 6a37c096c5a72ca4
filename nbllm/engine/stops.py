"""When a request has ended, decided from its tokens alone, so that it can be decided again."""

from __future__ import annotations

from .request import Request


def stop_of(request: Request) -> tuple[str, int | str | None] | None:
    """(finish_reason, stop_reason) of a request's last token, or None to go on.

    The order is EOS, stop token id, stop string, length: as in vLLM a stop string that the last
    allowed token completes still counts, so that it never shows in the text.
    """
    if not request.num_output:
        return None
    params, token = request.params, request.tokens[-1]
    if token in request.eos_ids:
        return "stop", None
    if token in params.stop_ids:
        return "stop", token
    if params.stop and request.num_output >= params.min_tokens:
        found = find_stop(request)
        if found is not None:
            return "stop", found[1]
    return ("length", None) if len(request.tokens) >= request.limit else None


def find_stop(request: Request) -> tuple[int, str] | None:
    """Where the earliest stop string begins in the text, and which; ties go to the list's order."""
    ids, early = request.output_ids, max(0, request.params.min_tokens - 1)
    assert request.text is not None, "SamplingParams refuses stop strings without detokenize"
    text = request.text.sofar(ids)
    begin = len(request.text.whole(ids[:early])) if early else 0
    found = [(at, s) for s in request.params.stop_strings if (at := _find(text, s, begin)) >= 0]
    return min(found, key=lambda hit: hit[0], default=None)


def _find(text: str, stop: str, begin: int) -> int:
    """The first occurrence of `stop` that ends after `begin`."""
    return text.find(stop, max(0, begin - len(stop) + 1))


def output_text(
    request: Request, ids: list[int], reason: str | None, stop: int | str | None
) -> str:
    """The text of the generated `ids`, cut where (finish_reason, stop_reason) say it stopped.

    While it runs, a tail that may become a stop string is held back, so that text once shown never
    shrinks.
    """
    text, params = request.text, request.params
    if text is None:
        return ""
    if isinstance(stop, str):
        at, _ = find_stop(request) or (None, "")
        keep = len(stop) if params.include_stop_str_in_output else 0
        return text.sofar(ids)[: None if at is None else at + keep]
    if reason == "stop" and not params.include_stop_str_in_output:
        ids = ids[:-1]  # the token that stopped it is no text
    if reason:
        return text.whole(ids)
    sure = text.sofar(ids)
    return sure[: len(sure) - max((_overlap(sure, s) for s in params.stop_strings), default=0)]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    begin = max(0, len(text) - len(stop) + 1)
    while (begin := text.find(stop[0], begin)) >= 0:
        if stop.startswith(text[begin:]):
            return len(text) - begin
        begin += 1
    return 0
