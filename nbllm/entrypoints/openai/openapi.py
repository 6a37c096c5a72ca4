"""`GET /openapi.json`: the requests, from the same classes that check them."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from ... import __version__
from .schemas import (
    ChatCompletionRequest,
    CompletionRequest,
    DetokenizeRequest,
    TokenizeRequest,
)

POSTED = {
    "/v1/completions": (CompletionRequest, "Continue texts"),
    "/v1/chat/completions": (ChatCompletionRequest, "Answer a conversation"),
    "/tokenize": (TokenizeRequest, "Text or a conversation to token ids"),
    "/detokenize": (DetokenizeRequest, "Token ids to text"),
}
READ = {
    "/v1/models": "The models that are loaded",
    "/v1/models/{model}": "One of them",
    "/health": "Whether the server is there",
    "/metrics": "Counters for Prometheus",
}
REFUSALS = {
    "400": "The request is malformed, or asks for what the model cannot do",
    "401": "The API key is missing or wrong",
    "403": "The server does not answer to this host name",
    "404": "There is no such model",
    "413": "The body is too large",
    "503": "The queue is full, or no model is loaded",
}


@cache
def document() -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    schemas = [schema for schema, _ in POSTED.values()]
    refs, found = models_json_schema(
        [(schema, "validation") for schema in schemas],
        ref_template="#/components/schemas/{model}",
    )
    paths = {path: {"get": _operation(path, about)} for path, about in READ.items()}
    for path, (schema, about) in POSTED.items():
        content = {"application/json": {"schema": refs[(schema, "validation")]}}
        body = {"required": True, "content": content}
        paths[path] = {"post": {**_operation(path, about), "requestBody": body}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "nbllm", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {**found["$defs"], "Error": _error()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(path: str, about: str) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    refused = {s: {"description": text, "content": error} for s, text in REFUSALS.items()}
    operation = {"summary": about, "responses": {"200": {"description": "As asked"}, **refused}}
    if "{model}" in path:
        name = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
        operation["parameters"] = [name]
    if path.startswith("/v1/") or path in POSTED:
        operation["security"] = [{"key": []}, {}]
    return operation


def _error() -> dict[str, Any]:
    text, maybe = {"type": "string"}, {"type": ["string", "null"]}
    fields = {"message": text, "type": text, "param": maybe, "code": maybe}
    inner = {"type": "object", "properties": fields, "required": list(fields)}
    return {"type": "object", "properties": {"error": inner}, "required": ["error"]}
