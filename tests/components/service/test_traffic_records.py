"""The traffic log's rows: what is written comes back, and no person is in it."""

import dataclasses
import io
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.service.privacy import LogPrivacy
from components.service.traffic import TrafficLog
from components.service.traffic_records import SCHEMAS, ActRecord, TrafficRecord

PRIVACY = LogPrivacy(bytes(64))
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def request(number: int = 0, **changes) -> TrafficRecord:
    values = {
        "request_id": f"r-{number}",
        "at": NOW,
        "entrance": "search",
        "release": "d" * 64,
        "query_sealed": PRIVACY.seal("oak table"),
        "user": PRIVACY.pseudonym("anna@example.org"),
        "query_characters": 9,
        "query_words": 2,
        "language": "und",
        "unknown_word_rate": 0.5,
        "query_vector": np.array([0.25, -0.5, 1.0], dtype=np.float32),
        "k": 2,
        "filters": '{"category":"tables"}',
        "item_ids": ["i1", "i2"],
        "scores": [0.75, 0.5],
        "exploration_positions": [2],
        "exploration_propensities": [0.001],
        "ranked_item_ids": ["i2", "i1"],
        "ranked_scores": [0.5, 0.25],
        "zero_result": False,
        "latency_ms": 12.5,
    }
    return TrafficRecord(**{**values, **changes})


def act(request_id: str = "r-0", **changes) -> ActRecord:
    values = {
        "request_id": request_id,
        "at": NOW,
        "kind": "cart",
        "item_id": "i1",
        "user": PRIVACY.pseudonym("anna@example.org"),
        "quantity": 3,
    }
    return ActRecord(**{**values, **changes})


def rows(folder: Path, kind: str) -> list[dict]:
    """All rows of a kind."""
    return [row for path in (folder / kind).glob("*.parquet") for row in pq.read_table(path).to_pylist()]


def test_a_request_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Every column, the vector in half precision, the time in UTC."""
    log = TrafficLog(tmp_path)
    record = request(at=NOW.astimezone(timezone(timedelta(hours=9))))
    log.write(record)
    log.close()
    (row,) = rows(tmp_path, "requests")
    assert row.pop("query_vector") == [0.25, -0.5, 1.0]
    assert row.pop("at") == NOW
    expected = dataclasses.asdict(record)
    assert row == {name: value for name, value in expected.items() if name not in ("query_vector", "at")}


def test_an_act_knows_whether_its_request_is_known(tmp_path: Path) -> None:
    """An unknown request_id is logged all the same, with joined false."""
    log = TrafficLog(tmp_path)
    log.write(request(0))
    log.write(act("r-0"))
    log.write(act("r-unknown", kind="purchase", quantity=None, user=None))
    log.close()
    found = [
        (row["request_id"], row["kind"], row["quantity"], row["joined"]) for row in rows(tmp_path, "events")
    ]
    assert found == [("r-0", "cart", 3, True), ("r-unknown", "purchase", None, False)]


def test_polars_and_duckdb_read_the_files(tmp_path: Path) -> None:
    """Absent vectors, texts and users too, which recommendations and anonymous searches have."""
    log = TrafficLog(tmp_path)
    log.write(request(1))
    log.write(request(2, query_sealed=None, user=None, query_vector=None, item_ids=[], scores=[]))
    log.close()
    pattern = str(tmp_path / "requests" / "*.parquet")
    assert pl.read_parquet(pattern)["query_vector"].to_list() == [[0.25, -0.5, 1.0], None]
    found = duckdb.sql(f"SELECT request_id, len(item_ids), query_vector[2] FROM '{pattern}' ORDER BY 1")
    assert found.fetchall() == [("r-1", 2, -0.5), ("r-2", 0, None)]


def _plain_bytes(folder: Path) -> bytes:
    """All files' bytes as they are, and all their values once more without any compression."""
    sink = io.BytesIO()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            sink.write(path.name.encode() + path.read_bytes())
            table = pq.read_table(path)
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
    return sink.getvalue()


@settings(max_examples=20, deadline=None)
@given(
    user=st.text(min_size=4, max_size=40),
    query=st.text(min_size=4, max_size=40),
    mode=st.sampled_from(["encrypted", "dropped"]),
)
def test_no_file_holds_a_user_id_or_a_query(
    tmp_path_factory: pytest.TempPathFactory, user: str, query: str, mode: str
) -> None:
    """Of neither is there a byte, compressed or not; what is meant to be there is found the same way."""
    folder = tmp_path_factory.mktemp("log")
    user, query = f"user:{user}", f"query:{query}"
    privacy = LogPrivacy(bytes(64), mode)
    log = TrafficLog(folder)
    log.write(request(7, user=privacy.pseudonym(user), query_sealed=privacy.seal(query)))
    log.write(act("r-7", user=privacy.pseudonym(user)))
    log.close()
    data = _plain_bytes(folder)
    assert data.count(b"r-7") >= 2
    assert privacy.pseudonym(user).encode() in data
    assert user.encode() not in data
    assert query.encode() not in data


@pytest.mark.parametrize("user", ["anna@example.org", "", "A" * 32, "0" * 31, "0" * 32 + "\n"])
def test_a_raw_user_id_is_refused(user: str) -> None:
    """In both records, before anything is queued, without repeating it."""
    for build in (request, act):
        with pytest.raises(ValueError, match="no pseudonym") as error:
            build(user=user)
        assert not user or user not in str(error.value)


@pytest.mark.parametrize("text", ["oak table", "", "gAAAA oak table", "gAAAAé"])
def test_a_plain_query_is_refused(text: str) -> None:
    """Only what looks like a sealed text is taken."""
    with pytest.raises(ValueError, match="no sealed text"):
        request(query_sealed=text)


def test_times_without_a_zone_and_uneven_lists_are_refused() -> None:
    """Both would make a log that cannot be read afterwards."""
    with pytest.raises(ValueError, match="time zone"):
        request(at=datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="2 item_ids, but 1 scores"):
        request(scores=[1.0])


def test_a_record_is_copied_when_it_is_written(tmp_path: Path) -> None:
    """A caller may use its arrays and lists again at once."""
    vector, items = np.ones(3, dtype=np.float16), ["i1", "i2"]
    log = TrafficLog(tmp_path)
    log.write(request(query_vector=vector, item_ids=items))
    vector[:] = 9
    items[0] = "changed"
    log.close()
    (row,) = rows(tmp_path, "requests")
    assert (row["query_vector"], row["item_ids"]) == ([1, 1, 1], ["i1", "i2"])


def test_every_column_has_a_field() -> None:
    """And the other way round; `joined` is the log's own."""
    assert set(SCHEMAS["requests"].names) == {field.name for field in dataclasses.fields(TrafficRecord)}
    assert set(SCHEMAS["events"].names) == {field.name for field in dataclasses.fields(ActRecord)} | {
        "joined"
    }
