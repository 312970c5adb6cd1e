import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.digests import canonical_json, sha256_bytes
from components.contract.errors import FencedError, PromotionError, StorageError
from components.release.decision_log import DecisionLog

A, B, C = "a" * 64, "b" * 64, "c" * 64


def promote(log, release, over, **more):
    return log.append(
        "promotion", release=release, actor="mia", reason="better", expected_champion=over, **more
    )


@pytest.fixture
def three(log):
    """A log with promotions of A and B and a rejection of C."""
    promote(log, A, None)
    promote(log, B, A, run_id="r2")
    log.append("rejection", release=C, actor="mia", reason="worse")
    return log


def rewrite(store, key, **changed):
    """Edits a record as a careful forger would: canonical JSON again."""
    store.files[key] = canonical_json(json.loads(store.files[key]) | changed)


def test_empty_log_has_no_champion(log):
    """Before the first promotion nothing serves and the log is valid."""
    assert log.champion() is None
    assert log.verify() == 0


def test_records_are_numbered_and_chained(three, store):
    """Each file is canonical JSON and holds its number, the champion before it and the hash before it."""
    records = three.records()
    assert sorted(store.files) == ["000001.json", "000002.json", "000003.json"]
    assert [r.number for r in records] == [1, 2, 3]
    assert [r.predecessor for r in records] == [None, A, B]
    assert [r.previous_hash for r in records] == [
        None,
        sha256_bytes(store.files["000001.json"]),
        sha256_bytes(store.files["000002.json"]),
    ]
    assert records[0].at == datetime(2026, 1, 1, tzinfo=UTC)
    assert three.verify() == 3


def test_bytes_that_are_no_text_are_recorded_as_question_marks(log):
    """A shell passes them on from an old keyboard or file; the act counts, and the log stays readable."""
    record = log.append("rejection", release=C, actor="m\udce9a", reason="caf\udce9 \ud800 größer 😀")
    assert (record.actor, record.reason) == ("m?a", "caf? ? größer 😀")
    assert log.records() == [record]


@pytest.mark.parametrize(
    ("kind", "release", "champion"),
    [
        ("promotion", C, C),
        ("override", C, C),
        ("rollback", A, A),
        ("rejection", C, B),
        ("inconclusive", C, B),
        ("replay", None, B),
        ("key_change", None, B),
    ],
)
def test_champion_is_named_by_the_latest_change(three, kind, release, champion):
    """Promotions, overrides and rollbacks change the champion; other records do not."""
    three.append(kind, release=release, actor="mia", reason="…", expected_champion=B)
    assert three.champion() == champion


def test_change_of_champion_needs_an_expectation(log):
    """A promotion that does not say whom it was judged against is a caller's defect."""
    with pytest.raises(ValueError, match="needs the champion"):
        log.append("promotion", release=A, actor="mia", reason="…")


def test_loser_is_told_who_won(three):
    """A writer that was judged against an older champion gets FencedError with the winner's name."""
    with pytest.raises(FencedError, match=r"now bbbbbbbbbbbb \(promotion .* by mia \(run r2\) in record 2\)"):
        promote(three, C, A)
    assert three.champion() == B
    with pytest.raises(FencedError, match="champion is now none"):
        promote(DecisionLog(type(three._store)()), C, A)


def test_writer_that_loses_a_number_to_a_refusal_retries(three, store):
    """A rejection that takes the number does not change the champion, so the promotion goes on."""

    def other_writer():
        store.before_create = lambda: None
        three.append("rejection", release=C, actor="ben", reason="worse")

    store.before_create = other_writer
    record = promote(three, C, B)
    assert record.number == 5
    assert [r.actor for r in three.records()] == ["mia", "mia", "mia", "ben", "mia"]


def test_writer_that_loses_to_a_promotion_is_fenced(three, store):
    """A promotion between a writer's read and its write stops the writer."""

    def other_writer():
        store.before_create = lambda: None
        promote(three, C, B, run_id="other")

    store.before_create = other_writer
    with pytest.raises(FencedError, match="run other"):
        promote(three, A, B)
    assert three.champion() == C


def test_repeated_act_of_a_run_is_recorded_once(log):
    """A run that asks again after a lost answer gets its record; the log does not grow."""
    promote(log, A, None, run_id="r1")
    first = promote(log, B, A, run_id="r2")
    assert promote(log, B, A, run_id="r2") == first
    refusal = log.append("rejection", release=C, actor="mia", reason="worse", run_id="r3")
    assert log.append("rejection", release=C, actor="mia", reason="worse", run_id="r3") == refusal
    assert log.verify() == 3


def test_run_that_was_rolled_back_cannot_promote_again(log):
    """A run that wakes up after its release was taken back is fenced, though the champion is as it was."""
    promote(log, A, None, run_id="r1")
    promote(log, B, A, run_id="r2")
    log.append("rollback", release=A, actor="mia", reason="complaints", expected_champion=B)
    with pytest.raises(FencedError, match="rollback"):
        promote(log, B, A, run_id="r2")
    assert log.champion() == A


def test_log_that_never_grows_does_not_hang(log, store, monkeypatch):
    """A store that refuses every number ends in a sentence, not in an endless loop."""
    monkeypatch.setattr(store, "create", lambda key, data: False)
    with pytest.raises(PromotionError, match="numbers in a row"):
        promote(log, A, None)


@pytest.mark.parametrize("number", [1, 2])
def test_missing_record_is_named(three, store, number):
    """A gap is found and nothing is promoted over it."""
    del store.files[f"00000{number}.json"]
    with pytest.raises(PromotionError, match=f"record 00000{number}.json is missing"):
        three.verify()
    with pytest.raises(PromotionError, match="is missing"):
        promote(three, C, B)


@pytest.mark.parametrize(
    ("key", "changed", "named"),
    [
        ("000001.json", {"actor": "eve"}, "000001.json was changed"),
        ("000002.json", {"release": C}, "000002.json was changed"),
        ("000003.json", {"previous_hash": "0" * 64}, "000002.json was changed"),
        ("000001.json", {"previous_hash": "0" * 64}, "000001.json was changed"),
        ("000002.json", {"number": 3}, "000002.json says it is number 3"),
        ("000003.json", {"predecessor": A}, "000003.json names a champion"),
        ("000003.json", {"kind": "coup"}, "000003.json is not a readable decision"),
        ("000003.json", {"extra": 1}, "000003.json is not a readable decision"),
    ],
)
def test_changed_record_is_named(three, store, key, changed, named):
    """A forged record breaks the chain; reading and promoting both refuse and name it."""
    rewrite(store, key, **changed)
    for act in (three.verify, three.champion, lambda: promote(three, C, B)):
        with pytest.raises(PromotionError, match=named):
            act()


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]"])
def test_unreadable_record_is_named(three, store, data):
    """Bytes that are no JSON, or another JSON, are named."""
    store.files["000002.json"] = data
    with pytest.raises(PromotionError, match=r"000002.json is not a readable decision"):
        three.verify()


def test_reformatted_last_record_is_named(three, store):
    """An editor that re-indents the last record, which no later hash protects, is found too."""
    store.files["000003.json"] = json.dumps(json.loads(store.files["000003.json"]), indent=2).encode()
    with pytest.raises(PromotionError, match=r"000003.json was edited"):
        three.verify()


def test_other_files_are_none_of_the_log(three, store):
    """A killed writer's temporary file or a note beside the records does not matter."""
    store.files |= {".000004.json.5f.tmp": b"{", "README.md": b"", "old/000009.json": b"{}", "4.json": b""}
    assert three.verify() == 3


def test_unreachable_store_is_not_called_tampering(three, store, monkeypatch):
    """A record that is listed and cannot be read is a storage problem; it refuses just the same."""

    def fail(key):
        raise StorageError("bucket: timed out")

    monkeypatch.setattr(store, "read", fail)
    with pytest.raises(StorageError, match="timed out"):
        promote(three, C, B)


DIGESTS = st.sampled_from(["a" * 64, "b" * 64, "c" * 64, "d" * 64])
ACTS = st.tuples(
    st.sampled_from(["promotion", "override", "rollback", "rejection", "inconclusive", "replay"]),
    DIGESTS,
    st.one_of(st.none(), DIGESTS),  # the champion that the writer believes in
    st.integers(0, 3),  # how many other writers act between this one's read and its create
    st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(acts=st.lists(ACTS, max_size=12))
def test_any_interleaving_keeps_a_valid_chain(acts):
    """Whatever writers do between one another's reads and writes: the chain verifies, every recorded
    change replaced the champion that its writer expected, and every other writer was fenced."""
    files: dict[str, bytes] = {}
    waiting = list(acts)
    changes: list[tuple[str, str | None]] = []
    refused = 0
    budgets: list[int] = []

    class Store:
        def create(self, key, data):
            while budgets and budgets[-1] > 0 and waiting:
                budgets[-1] -= 1
                step()
            return files.setdefault(key, data) is data

        def read(self, key):
            return files[key]

        def keys(self, prefix=""):
            return sorted(files)

    log = DecisionLog(Store(), clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def step():
        nonlocal refused
        kind, release, believed, others, current = waiting.pop()
        expected = log.champion() if current else believed
        budgets.append(others)
        try:
            record = log.append(kind, release=release, actor="x", reason="y", expected_champion=expected)
            if kind in ("promotion", "override", "rollback"):
                changes.append((record.release, expected))
                assert record.predecessor == expected
        except FencedError:
            refused += 1
        finally:
            budgets.pop()

    while waiting:
        step()
    assert log.verify() == len(acts) - refused
    assert log.champion() == (changes[-1][0] if changes else None)
