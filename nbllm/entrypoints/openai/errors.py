"""What a client is told when something is wrong: OpenAI's form, `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ...errors import ClosedError, NbllmError, OutOfMemoryError, did_you_mean
from .schemas import ChatCompletionRequest, CompletionRequest

FIELDS = {*CompletionRequest.model_fields, *ChatCompletionRequest.model_fields}
CODES = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large", 503: "overloaded"}


class ApiError(Exception):
    """An answer other than 200. param: the field that is wrong; code: a word for programs."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.message, self.param = status, message, param
        self.code, self.headers = code or CODES.get(status), dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}


def refusal(error: Exception) -> ApiError:
    """The answer to a request that nbllm refuses, before it runs or while it does."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ClosedError):
        return ApiError(503, str(error), code="model_unloaded")
    if isinstance(error, OutOfMemoryError):
        return ApiError(503, str(error), code="out_of_memory")
    if isinstance(error, NbllmError):
        return ApiError(400, str(error), param=_field(str(error)))
    return ApiError(500, "internal error; the server's log has more", code="internal_error")


def _field(message: str) -> str | None:
    """The field that a message begins with, if it does."""
    word = re.match(r"\w*", message)
    return word[0] if word and word[0] in FIELDS else None


def malformed(error: ValidationError, schema: type[BaseModel]) -> ApiError:
    """The first thing that is wrong with a body, in one sentence."""
    errors = error.errors(include_url=False, include_context=False)
    first, path = errors[0], errors[0]["loc"]
    if not path:
        return ApiError(400, f"the body must be a JSON object, got {_short(first['input'])}")
    field, info = str(path[0]), schema.model_fields.get(str(path[0]))
    several = first["type"] == "union_tag_invalid" or (
        len(errors) > 1 and errors[1]["loc"][0] == field
    )
    if several and info and info.description:
        # no member of a union fits: what each would need says less than what all of them are
        message = f"{field} must be {info.description}"
    elif first["type"] == "extra_forbidden":
        *outer, name = path
        near = did_you_mean(str(name), [] if outer else list(schema.model_fields))
        where = f" in {_dotted(outer)}" if outer else ""
        message = f"there is no field {name!r}{where}{near}"
    elif first["type"] == "missing":
        message = f"{_dotted(path)} is missing"
    else:
        message = f"{_dotted(path)}: {_said(first['msg'])}, got {_short(first['input'])}"
    return ApiError(400, message, param=field)


def _dotted(path: Iterable[int | str]) -> str:
    return ".".join(map(str, path))


def _said(message: str) -> str:
    """What pydantic says, in the words of JSON."""
    return (message[0].lower() + message[1:]).replace("None", "null")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
