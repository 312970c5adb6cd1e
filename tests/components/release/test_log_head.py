"""A head that was noted shows what the chain cannot: that the log's end was cut off or replaced."""

import pytest

from components.contract.errors import PromotionError
from components.release.log_head import check_head, head_of


@pytest.fixture
def noted(log):
    """The head of a log with three records, the last of which is a person's decision."""
    for reason in ("one", "two", "three"):
        log.append("rejection", release="a" * 64, actor="mia", reason=reason)
    return head_of(log.records())


def test_the_same_log_and_a_longer_one_fit(log, noted):
    check_head(log.records(), noted)
    log.append("rejection", release="b" * 64, actor="mia", reason="four")
    check_head(log.records(), noted)
    assert head_of(log.records()).number == 4


def test_a_last_record_that_was_deleted_is_named(log, store, noted):
    """The log without it verifies, and only the head shows that it is gone."""
    del store.files["000003.json"]
    assert log.verify() == 2
    with pytest.raises(PromotionError, match=r"record 000003\.json is missing: .* the log has 2 records"):
        check_head(log.records(), noted)


def test_a_last_record_that_was_rewritten_is_named(log, store, noted):
    """Another well-formed record in its place verifies too."""
    del store.files["000003.json"]
    log.append("rejection", release="a" * 64, actor="mia", reason="something else")
    assert log.verify() == 3
    with pytest.raises(PromotionError, match=r"record 000003\.json is not the one that was noted"):
        check_head(log.records(), noted)


def test_an_empty_log_has_no_head(log):
    assert head_of(log.records()) is None
