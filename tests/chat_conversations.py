"""Conversations that a template may be asked to render."""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": 'The weather in a place – <now> & "later"',
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "días": {"type": "integer"}},
                "required": ["city"],
            },
        },
    },
    {"type": "function", "function": {"name": "now", "parameters": {}}},
]
USER = {"role": "user", "content": "Hello there"}
SYSTEM = {"role": "system", "content": "Be brief."}
ANSWER = {"role": "assistant", "content": "Hi! How can I help?"}


def call(name: str, arguments, id: str = "abcdef123") -> dict:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


CALLS = {
    "role": "assistant",
    "content": None,
    "tool_calls": [call("get_weather", '{"city": "Zürich"}')],
}
RESULT = {
    "role": "tool",
    "name": "get_weather",
    "tool_call_id": "abcdef123",
    "content": '{"°C": 21}',
}

CONVERSATIONS = {
    "a question": [USER],
    "with a system": [SYSTEM, USER],
    "two turns": [USER, ANSWER, {"role": "user", "content": "Tell me a joke"}],
    "a system and two turns": [SYSTEM, USER, ANSWER, USER, ANSWER],
    "ends with an answer": [USER, ANSWER],
    "empty content": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}],
    "unicode": [
        {"role": "user", "content": "ßé 日本 👩‍👩‍👧 \u202eشمس"},
        {"role": "assistant", "content": "é\u0301"},
    ],
    "white space": [
        {"role": "user", "content": " \n a \n "},
        {"role": "assistant", "content": "\n b  \n"},
    ],
    "control tokens": [{"role": "user", "content": "<s></s><|im_end|>[INST]"}, ANSWER],
    "braces": [{"role": "user", "content": "{{ bos_token }}{% if %}"}, ANSWER],
    "a system alone": [SYSTEM],
    "two questions": [USER, USER],
    "an answer first": [ANSWER, USER],
    "a role of its own": [USER, {"role": "critic", "content": "hm"}],
    "a name": [{**USER, "name": "ada"}],
    "thoughts in the text": [USER, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHi"}],
    "reasoning": [USER, {**ANSWER, "reasoning": "They greet."}, USER],
    "reasoning_content last": [USER, {**ANSWER, "reasoning_content": "They greet."}],
    "thinking": [USER, {**ANSWER, "thinking": "They greet."}],
    "a tool call": [USER, CALLS],
    "a tool result": [SYSTEM, USER, CALLS, RESULT],
    "an answer after a tool": [USER, CALLS, RESULT, ANSWER, USER],
    "a tool call with words": [USER, {**CALLS, "content": "Let me see."}, RESULT],
    "two tool calls": [
        USER,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [call("now", {}), call("now", "{}", "123456789")],
        },
        RESULT,
        {**RESULT, "tool_call_id": "123456789"},
    ],
    "tools and no call": [SYSTEM, USER],
}
