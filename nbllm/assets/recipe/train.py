"""Training: a fixed number of steps, a watch on the clock, and a checkpoint to resume from."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
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


def _loss(model: torch.nn.Module, rows: Tensor, mask: Mask) -> Tensor:
    with torch.autocast(rows.device.type, dtype=torch.bfloat16):
        return model(rows, mask)


def train(
    model: Llama,
    corpus: np.ndarray,
    s: Settings,
    *,
    deadline: float,
    work: Path,
    resume: Path | None,
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
    history, first, total = History(), 0, s.steps
    if resume:
        first = load(resume, model, optimizer, history)
        print(f"resumed {resume} at step {first}", flush=True)
    run = torch.compile(model) if device.type == "cuda" else model
    mask_of = block_mask if flex else dense_mask
    timed_from = (first, time.monotonic())
    running = torch.zeros((), device=device)
    for step in range(first, s.steps):
        if step >= total:
            break
        for group in optimizer.param_groups:
            group["lr"] = s.learning_rate * rate(step, total, s)
        chosen = batch(rows, step, s)
        loss = _loss(run, chosen, mask_of(chosen, bos))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running += loss.detach()
        history.steps = step + 1
        if step == first + 19:
            # Compilation is over: only now does the clock say anything about a step.
            _wait(device)
            timed_from = (step + 1, time.monotonic())
        if (step + 1) % LOG_EVERY == 0:
            mean = running.item() / LOG_EVERY
            running.zero_()
            history.train.append((step + 1, mean))
            total = _planned(step + 1, total, timed_from, deadline)
            _report(step + 1, total, mean, timed_from, s)
        if (step + 1) % VALIDATE_EVERY == 0:
            history.validation.append((step + 1, validate(model, validation, s, bos)))
        if (step + 1) % CHECKPOINT_EVERY == 0:
            save(work / "checkpoint.pt", model, optimizer, history, step + 1)
    history.validation.append((history.steps, validate(model, validation, s, bos)))
    elapsed = time.monotonic() - timed_from[1]
    per_step = s.rows_per_step * s.row_length
    history.tokens_per_second = (
        max(0, history.steps - timed_from[0]) * per_step / max(elapsed, 1e-9)
    )
    save(work / "checkpoint.pt", model, optimizer, history, history.steps)
    return history


def _planned(step: int, total: int, timed_from: tuple[int, float], deadline: float) -> int:
    """The number of steps in all that fit before the deadline, at most `total`."""
    now = time.monotonic()
    if step <= timed_from[0]:
        return total
    per_step = (now - timed_from[1]) / (step - timed_from[0])
    fitting = step + int(max(0.0, deadline - now) / per_step)
    if fitting < total:
        print(f"the clock allows {fitting} steps instead of {total}", flush=True)
    return min(total, fitting)


def _report(step: int, total: int, loss: float, timed_from: tuple[int, float], s: Settings) -> None:
    if step % (5 * LOG_EVERY) == 0 or step == LOG_EVERY:
        elapsed = time.monotonic() - timed_from[1]
        speed = (step - timed_from[0]) * s.rows_per_step * s.row_length / elapsed
        print(f"step {step}/{total} loss {loss:.4f} {speed:,.0f} tokens/s", flush=True)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def save(
    path: Path, model: Llama, optimizer: torch.optim.Optimizer, history: History, step: int
) -> None:
    """Write a checkpoint, whole or not at all."""
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "train": history.train,
        "validation": history.validation,
    }
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def load(path: Path, model: Llama, optimizer: torch.optim.Optimizer, history: History) -> int:
    """Read a checkpoint; the step to go on with."""
    state = torch.load(path, map_location=next(model.parameters()).device)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    history.train, history.validation = state["train"], state["validation"]
    history.steps = state["step"]
    return state["step"]
