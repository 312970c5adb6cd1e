"""The service's Prometheus metrics, in a registry of their own.

One process, one registry: a server of several worker processes would show a scrape whichever worker answers
it, so run one worker per container and scrape each.
"""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Of what `render` gives."""
NO_ROUTE = "none"
_LATENCY_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 10)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counts and times of one running service. Safe to call from threads."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "debut_requests", "Requests answered", ("route", "status"), registry=registry
        )
        self._latency = Histogram(
            "debut_request_seconds",
            "Time from a request's arrival to its answer",
            ("route",),
            buckets=_LATENCY_SECONDS,
            registry=registry,
        )
        self._batch = Histogram(
            "debut_batch_size", "Queries encoded together", buckets=_BATCH_SIZES, registry=registry
        )
        self._items = Gauge("debut_index_items", "Items that can be found", registry=registry)
        self._changes = Counter(
            "debut_changes_applied", "Item changes applied to the index", registry=registry
        )
        self._release = Gauge("debut_release_info", "The release that serves", ("digest",), registry=registry)
        self._answers = Counter(
            "debut_answers", "Answers to customers' questions, by who gave them", ("by",), registry=registry
        )
        self._failed_answers = Counter(
            "debut_answers_endpoint_failures", "Answers that the endpoint failed to write", registry=registry
        )
        self._swaps = Counter("debut_swaps", "Releases switched to since the start", registry=registry)

    def request(self, route: str | None, status: int, seconds: float) -> None:
        """One answered request. route: the template ("/v1/items/{item_id}"), never the path, whose values
        have no end; None where no route matched."""
        name = route if route is not None else NO_ROUTE
        self._requests.labels(name, str(status)).inc()
        self._latency.labels(name).observe(seconds)

    def batch(self, size: int) -> None:
        """Queries that one pass of the encoder took."""
        self._batch.observe(size)

    def index_items(self, count: int) -> None:
        self._items.set(count)

    def changes_applied(self, count: int) -> None:
        self._changes.inc(count)

    def release(self, digest: str) -> None:
        """The release that serves from now on; the metric has one sample, of value 1, with its D."""
        self._release.clear()
        self._release.labels(digest).set(1)

    def answered(self, by: str, *, endpoint_failed: bool) -> None:
        self._answers.labels(by).inc()
        if endpoint_failed:
            self._failed_answers.inc()

    def swapped(self) -> None:
        self._swaps.inc()

    def watch_dropped(self, dropped: Callable[[], int]) -> None:
        """Shows `dropped()` (TrafficLog's count) at every scrape; to be called once."""
        self._registry.register(_Dropped(dropped))

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _Dropped(Collector):
    def __init__(self, dropped: Callable[[], int]) -> None:
        self._dropped = dropped

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(
            "debut_traffic_dropped", "Traffic records that no file holds", value=self._dropped()
        )
