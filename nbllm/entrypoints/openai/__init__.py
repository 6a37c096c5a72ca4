"""An OpenAI-compatible server over the resident models.

    server         uvicorn, in the foreground or on a thread
    app            who answers which path; guard refuses foreign hosts and missing keys first
    generation     what completions and chat have in common ── completions, chat ── messages
    body, schemas  what a request may hold        params, conversations  what it means to nbllm
    models         the resident models             limits                 how much at a time
    waiters        requests that wait for steps    sequences              what has become of them
    answers        whole responses and streams     logprobs               in their shapes
    tokenizing, metrics, openapi                   errors                 in OpenAI's form

A request's way: guard → generation → (pool: render, tokenise, check) → waiters → the pump's steps →
answers. See `engine.pump` for who steps.
"""

from .app import Options
from .limits import Limits
from .server import Server

__all__ = ["Limits", "Options", "Server"]
