"""`/metrics`, `/health`, `/v1/models` and the OpenAPI document."""

import httpx
import pytest
from openai.types import Model
from prometheus_client.parser import text_string_to_metric_families


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url.removesuffix("/v1")) as http:
        yield http


def samples(http):
    response = http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        (s.name, *sorted(s.labels.items())): s.value
        for family in text_string_to_metric_families(response.text)
        for s in family.samples
    }


def test_metrics(http, client):
    before = samples(http)
    client.completions.create(
        model="tiny", prompt="a b c", max_tokens=5, extra_body={"ignore_eos": True}
    )
    httpx_response = http.post("/tokenize", json={})
    assert httpx_response.status_code == 400
    after = samples(http)
    model = ("model_name", "tiny")

    def grew(name, *labels):
        return after[(name, *labels)] - before.get((name, *labels), 0)

    assert grew("nbllm:generation_tokens_total", model) == 5
    assert grew("nbllm:requests_ended_total", model) == 1
    assert grew("nbllm:time_to_first_token_seconds_count", model) == 1
    assert grew("nbllm:e2e_request_latency_seconds_bucket", ("le", "+Inf"), model) == 1
    assert grew("nbllm:http_responses_total", ("status", "400")) == 1
    assert grew("nbllm:http_responses_total", ("status", "200")) >= 1
    assert after[("nbllm:kv_cache_pages_used", model)] == 0
    assert after[("nbllm:server_queue_size",)] == 4096
    assert after[("nbllm:server_queue_taken",)] == 0


def test_buckets_grow(http, client):
    client.completions.create(model="tiny", prompt="a", max_tokens=1)
    counts = [
        v
        for key, v in samples(http).items()
        if key[0] == "nbllm:time_to_first_token_seconds_bucket"
    ]
    assert counts == sorted(counts)


def test_health(http):
    assert http.get("/health").json() == {"status": "ok"}


def test_models(client, aclient, llm):
    [model] = client.models.list()
    Model.model_validate(model.to_dict())
    assert (model.id, model.max_model_len, model.owned_by) == ("tiny", llm.max_model_len, "nbllm")
    assert client.models.retrieve("tiny") == model

    async def listed(client):
        return [m.id async for m in client.models.list()]

    assert aclient(listed) == ["tiny"]


def test_paths_on_this_machine_are_nobodys_business(http):
    assert "/assets" not in http.get("/v1/models").text


def test_openapi(http):
    """Every endpoint is there, and every reference leads somewhere."""
    document = http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/v1/models", "/v1/models/{model}", "/health", "/metrics",
        "/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize",
    }  # fmt: skip
    names = set(document["components"]["schemas"])
    refs = {ref.rpartition("/")[2] for ref in find(document, "$ref")}
    assert refs <= names
    fields = document["components"]["schemas"]["ChatCompletionRequest"]["properties"]
    assert {"messages", "tools", "response_format", "structured_outputs", "top_k"} <= set(fields)


def find(value, key):
    if isinstance(value, dict):
        yield from ([value[key]] if isinstance(value.get(key), str) else [])
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from find(item, key)
