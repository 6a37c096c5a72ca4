"""How far a long run is, as one line."""

from __future__ import annotations

from .style import STYLE


def progress(done: int, total: int, num_tokens: int, seconds: float) -> dict[str, str]:
    """Mime type → content. seconds: since the run began."""
    rate = f"{num_tokens / seconds:,.0f} tokens/s" if seconds > 0 else ""
    left = f"{_duration(seconds / done * (total - done))} left" if done else ""
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
