"""`GET /metrics`: what the engines and the server have counted, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ...outputs import Counter, Gauge
from ...outputs import Metric as Measured
from .limits import Room
from .models import Served

LABEL = "model_name"
HELP = {
    "prefix_cache_queries": "Tokens of prompts looked up in the prefix cache",
    "prefix_cache_hits": "Tokens of prompts that the prefix cache had",
    "generation_tokens": "Tokens generated",
    "steps": "Steps of the engine",
    "requests_ended": "Sequences that have ended",
    "num_requests_running": "Sequences that run",
    "num_requests_waiting": "Sequences that wait for a place",
    "kv_cache_pages_used": "Pages of the KV cache in use",
    "kv_cache_pages_free": "Pages of the KV cache that are free",
    "kv_cache_bytes_mapped": "Bytes that the KV cache has now",
    "kv_cache_bytes_bound": "Bytes that the KV cache may have",
    "tokens_per_second": "Tokens generated per second of the latest steps",
    "time_to_first_token_seconds": "From a sequence's arrival to its first token",
    "e2e_request_latency_seconds": "From a sequence's arrival to its end",
}


class Metrics(Collector):
    """Reads everything when it is asked; nothing is registered with the process."""

    def __init__(self, served: list[Served], room: Room, answers: Mapping[int, int]):
        self._served, self._room, self._answers = served, room, answers

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for served in self._served:
            for measured in served.llm.get_metrics():
                family = families.setdefault(measured.name, _family(measured))
                _add(family, served.name, measured)
        yield from families.values()
        answers = CounterMetricFamily(
            "nbllm:http_responses", "Answers by status", labels=["status"]
        )
        for status, count in sorted(self._answers.items()):
            answers.add_metric([str(status)], count)
        yield answers
        yield GaugeMetricFamily(
            "nbllm:server_queue_taken", "Completions that run or wait", self._room.taken
        )
        yield GaugeMetricFamily("nbllm:server_queue_size", "As many as may be", self._room.size)

    def text(self) -> tuple[bytes, str]:
        """The exposition, and its media type."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry), CONTENT_TYPE_LATEST


def _family(measured: Measured) -> Metric:
    name = measured.name
    about = HELP.get(name.removeprefix("nbllm:"), name)
    if isinstance(measured, Counter):
        return CounterMetricFamily(name, about, labels=[LABEL])
    if isinstance(measured, Gauge):
        return GaugeMetricFamily(name, about, labels=[LABEL])
    return HistogramMetricFamily(name, about, labels=[LABEL])


def _add(family: Metric, model: str, measured: Measured) -> None:
    if isinstance(measured, Counter | Gauge):
        assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
        family.add_metric([model], measured.value)
    else:
        assert isinstance(family, HistogramMetricFamily)
        buckets = [(bound, float(count)) for bound, count in measured.buckets.items()]
        family.add_metric([model], buckets, measured.sum)
