"""How far a long run is, as one line."""

from __future__ import annotations

from .style import STYLE


def progress(
    done: int, total: int, num_tokens: int, seconds: float, before: int = 0
) -> dict[str, str]:
    """Mime type → content. seconds, num_tokens: since the run began; before: done by then.

    Of what has no tokens to count num_tokens is 0.
    """
    rate = f"{num_tokens / seconds:,.0f} tokens/s" if seconds > 0 and num_tokens else ""
    new = done - before
    # the first to end say little of how long the others take
    known = new * 20 >= total - before
    left = f"{_duration(seconds / new * (total - done))} left" if new and known else ""
    line = " · ".join(part for part in (f"{done:,}/{total:,} prompts", rate, left) if part)
    bar = f'<progress value="{done}" max="{total}"></progress>'
    return {
        "text/plain": line,
        "text/html": f'<div class="nbllm"><style>{STYLE}</style>{bar} <span class="nbllm-note">{line}</span></div>',
    }


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
    )
