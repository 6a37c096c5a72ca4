"""Completions as plain text, for terminals."""

from __future__ import annotations

from typing import Any

from .visible import shortened, visible


def plain(data: dict[str, Any]) -> str:
    """One completion: its text. Several: each after its number, each prompt above its completions."""
    outputs = data["outputs"]
    if len(outputs) == 1 and len(outputs[0]["completions"]) == 1:
        return visible(outputs[0]["completions"][0]["text"])
    several = len(outputs) > 1
    # of a grid over one prompt, the prompt is said once
    again = [
        i and "setting" in o and outputs[i - 1]["prompt"] == o["prompt"]
        for i, o in enumerate(outputs)
    ]
    parts = [_output(o, with_prompt=several and not a) for o, a in zip(outputs, again, strict=True)]
    if data.get("omitted"):
        parts.append(f"… and {data['omitted']} more")
    return "\n".join(parts)


def _output(output: dict[str, Any], *, with_prompt: bool) -> str:
    completions = output["completions"]
    lines = [f"> {shortened(visible(output['prompt']))}"] if with_prompt else []
    if "setting" in output:
        lines.append(f"({visible(output['setting'])})")
    lines += [
        f"[{c['output']}] {visible(c['text'])}" if len(completions) > 1 else visible(c["text"])
        for c in completions
    ]
    return "\n".join(lines)
