"""What a request may hold: OpenAI's fields, vLLM's beside them, their types and their bounds.

None means that a field was not given; then the model's own defaults apply. Fields that only say how
the caller keeps books (`user`, `metadata` …) are taken and change nothing. Fields that would ask for
something nbllm does not do are there with the one value that asks for nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Int = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Id = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[\w.:-]+$")]
Label = Annotated[str, Field(max_length=1024)]
Text = Annotated[str, Field(min_length=1)]
Stop = Annotated[str, Field(min_length=1, max_length=256)]

PROMPT = "a string, a list of strings, token ids, or a list of lists of token ids"
STOP = "a string, or a list of at most 32 strings, each of 1 to 256 characters"
TOOL_CHOICE = '"none", "auto", "required", or {"type": "function", "function": {"name": …}}'
RESPONSE_FORMAT = (
    '{"type": "text"}, {"type": "json_object"}, or {"type": "json_schema", "json_schema": '
    '{"name": …, "schema": …}}'
)


class Body(BaseModel):
    """JSON as it came: no field that is not named here, no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(Body):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: Literal[False] | None = None


class TextFormat(Body):
    type: Literal["text"]


class JsonObjectFormat(Body):
    type: Literal["json_object"]


class JsonSchema(Body):
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: JsonSchema


class StructuredOutputs(Body):
    """vLLM's; exactly one of the first five. JSON never has optional whitespace of its own accord."""

    json_: dict[str, Any] | str | None = Field(None, alias="json")
    regex: Text | None = None
    choice: list[str] | None = Field(None, min_length=1, max_length=1024)
    grammar: Text | None = None
    json_object: bool | None = None
    whitespace_pattern: Text | None = None
    disable_any_whitespace: bool | None = None
    disable_fallback: bool | None = None
    disable_additional_properties: Literal[False] | None = None


class Function(Body):
    name: Annotated[str, Field(min_length=1, max_length=256)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Body):
    type: Literal["function"] = "function"
    function: Function


class FunctionName(Body):
    name: str


class NamedTool(Body):
    type: Literal["function"] = "function"
    function: FunctionName


class GenerationRequest(Body):
    """What completions and chat completions have in common."""

    model: str | None = None
    n: Annotated[Int, Field(ge=1)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: Seed | None = None
    # looked for in every step
    stop: Stop | Annotated[list[Stop], Field(max_length=32)] | None = Field(None, description=STOP)
    logit_bias: dict[str, float] | None = Field(None, max_length=1024)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: (
        Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]
        | None
    ) = Field(None, description=RESPONSE_FORMAT)

    # the caller's own books
    user: Label | None = None

    # vLLM's
    top_k: Int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    min_tokens: Int | None = None
    stop_token_ids: list[Int] | None = Field(None, max_length=64)
    allowed_token_ids: list[Int] | None = None
    bad_words: list[Stop] | None = Field(None, max_length=256)
    ignore_eos: bool | None = None
    include_stop_str_in_output: bool | None = None
    skip_special_tokens: bool | None = None
    spaces_between_special_tokens: bool | None = None
    truncate_prompt_tokens: Annotated[Int, Field(ge=-1)] | None = None
    prompt_logprobs: Int | None = None
    use_beam_search: bool | None = None
    length_penalty: float | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: Text | None = None
    guided_choice: list[str] | None = Field(None, min_length=1, max_length=1024)
    guided_grammar: Text | None = None
    guided_whitespace_pattern: Text | None = None
    add_special_tokens: bool | None = None
    priority: Int | None = None
    request_id: Id | None = None
    return_tokens_as_token_ids: bool | None = None
    return_token_ids: bool | None = None


class CompletionRequest(GenerationRequest):
    prompt: (
        str
        | Annotated[list[str], Field(min_length=1)]
        | Annotated[list[int], Field(min_length=1)]
        | Annotated[list[list[int]], Field(min_length=1)]
    ) = Field(description=PROMPT)
    max_tokens: Annotated[Int, Field(ge=0)] | None = None
    logprobs: Annotated[Int, Field(ge=-1)] | None = None
    echo: bool | None = None

    suffix: None = None
    best_of: Literal[1] | None = None


class ChatCompletionRequest(GenerationRequest):
    messages: list[dict[str, Any]] = Field(min_length=1)
    max_tokens: Annotated[Int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[Int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[Int, Field(ge=-1)] | None = None
    tools: list[Tool] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = Field(
        None, description=TOOL_CHOICE
    )
    parallel_tool_calls: bool | None = None
    reasoning_effort: Label | None = None

    # vLLM's
    echo: bool | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    documents: list[dict[str, Any]] | None = None
    include_reasoning: bool | None = None

    # the caller's own books
    metadata: dict[str, str] | None = None
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None

    modalities: list[Literal["text"]] | None = None
    service_tier: Literal["auto", "default"] | None = None
    store: Literal[False] | None = None


class TokenizeRequest(Body):
    """Of a prompt, or of a conversation."""

    model: str | None = None
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = Field(None, min_length=1)
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    tools: list[Tool] | None = Field(None, max_length=128)


class DetokenizeRequest(Body):
    model: str | None = None
    tokens: list[Int]
