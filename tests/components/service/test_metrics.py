"""Prometheus metrics of the service."""

from prometheus_client.parser import text_string_to_metric_families

from components.service.metrics import Metrics


def _samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What a Prometheus server would read."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_requests_are_counted_and_timed_by_route_and_status() -> None:
    """An unmatched path is one route, whatever it was."""
    metrics = Metrics()
    metrics.request("/v1/search", 200, 0.004)
    metrics.request("/v1/search", 200, 0.3)
    metrics.request("/v1/search", 429, 0.001)
    metrics.request(None, 404, 0.001)
    found = _samples(metrics)
    assert found["debut_requests_total", (("route", "/v1/search"), ("status", "200"))] == 2
    assert found["debut_requests_total", (("route", "/v1/search"), ("status", "429"))] == 1
    assert found["debut_requests_total", (("route", "none"), ("status", "404"))] == 1
    assert found["debut_request_seconds_count", (("route", "/v1/search"),)] == 3
    assert found["debut_request_seconds_bucket", (("le", "0.005"), ("route", "/v1/search"))] == 2


def test_index_batches_and_changes() -> None:
    """Gauges hold the last value, counters and histograms add up."""
    metrics = Metrics()
    for size in (1, 7):
        metrics.batch(size)
        metrics.changes_applied(size)
        metrics.index_items(size)
    found = _samples(metrics)
    assert found["debut_batch_size_sum", ()] == 8
    assert found["debut_batch_size_bucket", (("le", "4.0"),)] == 1
    assert found["debut_changes_applied_total", ()] == 8
    assert found["debut_index_items", ()] == 7


def test_one_release_is_named_at_a_time() -> None:
    """None before the first; after a swap the old digest is gone."""
    metrics = Metrics()
    assert not [key for key in _samples(metrics) if key[0] == "debut_release_info"]
    for digest in ("a" * 64, "b" * 64):
        metrics.release(digest)
        metrics.swapped()
    found = _samples(metrics)
    assert [key for key in found if key[0] == "debut_release_info"] == [
        ("debut_release_info", (("digest", "b" * 64),))
    ]
    assert found["debut_swaps_total", ()] == 2


def test_dropped_records_are_read_at_the_scrape() -> None:
    """The log's own count, as it is then."""
    metrics, dropped = Metrics(), [0]
    metrics.watch_dropped(lambda: dropped[0])
    dropped[0] = 5
    assert _samples(metrics)["debut_traffic_dropped_total", ()] == 5


def test_two_services_in_one_process_do_not_share_numbers() -> None:
    """The registry is each one's own."""
    first, second = Metrics(), Metrics()
    first.swapped()
    assert _samples(second)["debut_swaps_total", ()] == 0
