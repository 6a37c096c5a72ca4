"""Reading a request's body: no more of it than allowed, JSON, and what the schema says."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from .errors import ApiError, malformed
from .waiters import DisconnectedError

Schema = TypeVar("Schema", bound=BaseModel)


async def read(request: Request, schema: type[Schema], most: int) -> Schema:
    """The body of a request. Raises 400 for what is malformed, 413 for more than `most` bytes."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # a page of another site can send anything but this without asking its user's browser
        raise ApiError(400, f"content-type must be application/json, got {kind!r}")
    data = await _bytes(request, most)
    try:
        body = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise ApiError(400, f"the body is not JSON: {error}") from None
    try:
        return schema.model_validate(body)
    except ValidationError as error:
        raise malformed(error, schema) from None


async def _bytes(request: Request, most: int) -> bytes:
    said = request.headers.get("content-length", "")
    found = bytearray()
    if said.isdigit() and int(said) > most:
        raise _too_large(most)
    try:
        async for part in request.stream():
            found += part
            if len(found) > most:
                raise _too_large(most)
    except ClientDisconnect:
        raise DisconnectedError from None
    return bytes(found)


def _too_large(most: int) -> ApiError:
    return ApiError(
        413,
        f"the body is larger than the {most:,} bytes that are allowed",
        headers={"Connection": "close"},
    )
