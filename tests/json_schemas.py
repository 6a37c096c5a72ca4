"""Values that a JSON schema allows, or nearly: for the schemas of the server's OpenAPI document."""

from hypothesis import strategies as st

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["tiny", "fuzz", "{{ 1 }}", "../x", "a" * 300, "\x00", "user", "assistant", "[a-z]+", "start: /a/"]),
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-3, 12),
    st.floats(-3, 3, allow_nan=False),
    st.sampled_from([2**31 - 1, 2**31, -(2**63), 2**64, 1e308, 1e-308, 0.0, -0.0, 10**30]),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
"""Any JSON."""


def allowed(schema: dict, defs: dict):
    """A strategy for what `schema` allows; lengths and patterns are now and then a little off."""
    if "$ref" in schema:
        return st.deferred(lambda: allowed(defs[schema["$ref"].rpartition("/")[2]], defs))
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return st.one_of(*(allowed(one, defs) for one in schema[several]))
    return KINDS.get(schema.get("type"), lambda *_: ANYTHING)(schema, defs)


def _object(schema: dict, defs: dict):
    named, more = schema.get("properties", {}), schema.get("additionalProperties")
    if not named:
        inner = allowed(more, defs) if isinstance(more, dict) else ANYTHING
        keys = TEXTS | st.integers(0, 5000).map(str)
        return st.dictionaries(keys, inner, max_size=4)
    required = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: allowed(inner, defs) for name, inner in named.items() if name in required},
        optional={
            name: allowed(inner, defs) for name, inner in named.items() if name not in required
        },
    )


def _integer(schema: dict, defs: dict):
    low, high = schema.get("minimum", -4), schema.get("maximum", 4100)
    return st.integers(max(low, -4), min(high, 4100)) | st.sampled_from([low, high])


KINDS = {
    "null": lambda schema, defs: st.none(),
    "boolean": lambda schema, defs: st.booleans(),
    "string": lambda schema, defs: TEXTS,
    "number": lambda schema, defs: NUMBERS,
    "integer": _integer,
    "array": lambda schema, defs: st.lists(allowed(schema.get("items", {}), defs), max_size=4),
    "object": _object,
}
