"""Training: a fixed number of steps, a watch on the clock, and a checkpoint to resume from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .model import Llama, Mask, block_mask, dense_mask
from .settings import Settings

LOG_EVERY, VALIDATE_EVERY, CHECKPOINT_EVERY = 100, 500, 2_000
VALIDATION_ROWS = 256


@dataclass(slots=True, kw_only=True)
class History:
    """What happened: (step, loss) pairs, and how it ended."""

    train: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    steps: int = 0
    tokens_per_second: float = 0.0


def rate(step: int, total: int, s: Settings) -> float:
    """The factor of the learning rate: up, level, and down to zero over the last part."""
    up = min(1.0, (step + 1) / s.warmup_steps)
    down = min(1.0, (total - step) / max(1.0, s.cooldown * total))
    return up * down


def batch(rows: Tensor, step: int, s: Settings) -> Tensor:
    """The rows of a step: a pass over all of them in a new order each epoch, from the seed alone."""
    per_epoch = len(rows) // s.rows_per_step
    epoch, place = divmod(step, per_epoch)
    order = _order(len(rows), s.seed + epoch, rows.device)
    return rows[order[place * s.rows_per_step : (place + 1) * s.rows_per_step]]


@lru_cache(maxsize=1)
def _order(n: int, seed: int, device: torch.device) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).to(device)


def optimizer_for(model: Llama, s: Settings, device: torch.device) -> torch.optim.AdamW:
    """AdamW; norms and the embedding do not decay."""
    decayed = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    groups = [
        {"params": decayed, "weight_decay": s.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=s.learning_rate, betas=(0.9, 0.95), fused=device.type == "cuda"
    )


@torch.no_grad()
def validate(model: Llama, rows: Tensor, s: Settings, bos: int) -> float:
    """The loss on rows that are not trained on."""
    parts = rows.split(s.rows_per_step)
    return sum(_loss(model, part, dense_mask(part, bos)).item() for part in parts) / len(parts)


def _loss(model: Callable[[Tensor, Mask], Tensor], rows: Tensor, mask: Mask) -> Tensor:
    with torch.autocast(rows.device.type, dtype=torch.bfloat16):
        return model(rows, mask)


def train(
    model: Llama,
    corpus: np.ndarray,
    s: Settings,
    *,
    bos: int,
    deadline: float,
    work: Path,
    resume: Path | None = None,
    flex: bool = False,
) -> History:
    """Train until `s.steps`, or fewer if the clock says that they will not fit.

    The learning rate falls to zero in either case, since the plan is shortened and not cut.
    `bos` begins a document in the rows; `deadline` is a value of `time.monotonic()`; `flex` takes
    FlexAttention, which needs CUDA, instead of a dense mask.
    """
    device = next(model.parameters()).device
    data = torch.from_numpy(corpus).to(device)
    held = max(1, min(VALIDATION_ROWS, len(data) // 10) // s.rows_per_step) * s.rows_per_step
    validation, rows = data[:held], data[held:]
    optimizer = optimizer_for(model, s, device)
    history = load(resume, model, optimizer) if resume else History()
    run = torch.compile(model) if device.type == "cuda" else model
    mask_of = block_mask if flex else dense_mask
    watch = Watch(deadline, s)
    running = torch.zeros((), device=device)
    while history.steps < watch.total:
        for group in optimizer.param_groups:
            group["lr"] = s.learning_rate * rate(history.steps, watch.total, s)
        chosen = batch(rows, history.steps, s)
        loss = _loss(run, chosen, mask_of(chosen, bos))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running += loss.detach()
        history.steps += 1
        if history.steps % LOG_EVERY == 0:
            # Reading the loss waits for the device, so the watch reads true times.
            history.train.append((history.steps, running.item() / LOG_EVERY))
            running.zero_()
            watch.look(history)
        if history.steps % VALIDATE_EVERY == 0:
            history.validation.append((history.steps, validate(model, validation, s, bos)))
        if history.steps % CHECKPOINT_EVERY == 0:
            save(work / "checkpoint.pt", model, optimizer, history)
    history.validation.append((history.steps, validate(model, validation, s, bos)))
    history.tokens_per_second = watch.speed
    save(work / "checkpoint.pt", model, optimizer, history)
    return history


class Watch:
    """Looks at the clock now and then, and plans how many steps there will be in all."""

    def __init__(self, deadline: float, s: Settings) -> None:
        self.deadline, self.s = deadline, s
        self.total, self.speed = s.steps, 0.0
        self.first: tuple[int, float] | None = None

    def look(self, history: History) -> None:
        """Shorten the plan if it does not fit, and print how things go."""
        now, step = time.monotonic(), history.steps
        if self.first is None:
            # The first stretch holds the compilation and says nothing about a step.
            self.first = (step, now)
            return
        per_step = (now - self.first[1]) / (step - self.first[0])
        self.speed = self.s.rows_per_step * self.s.row_length / per_step
        self.total = min(self.total, step + int(max(0.0, self.deadline - now) / per_step))
        if step % (5 * LOG_EVERY) == 0:
            loss = history.train[-1][1]
            print(
                f"step {step}/{self.total} loss {loss:.4f} {self.speed:,.0f} tokens/s", flush=True
            )


def save(path: Path, model: Llama, optimizer: torch.optim.Optimizer, history: History) -> None:
    """Write a checkpoint, whole or not at all."""
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": asdict(history),
    }
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def load(path: Path, model: Llama, optimizer: torch.optim.Optimizer) -> History:
    """Read a checkpoint into the model and the optimizer; what had happened by then."""
    state = torch.load(path, map_location=next(model.parameters()).device)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    history = History(**state["history"])
    print(f"resumed {path} at step {history.steps}", flush=True)
    return history
