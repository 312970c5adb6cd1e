"""A rollback goes to an earlier champion whose files were checked; two people do not go back twice."""

from datetime import timedelta

import pytest

from components.contract.errors import FencedError, PromotionError
from components.release.decision_log import DecisionLog
from components.release.rollback import lineage, rollback


def back(log, candidates, to=None):
    return rollback(log, candidates, to=to, reason="complaints", actor="mia").release


def after_ten_minutes(log, store):
    """The same log, ten minutes after its last record."""
    later = log.records()[-1].at + timedelta(minutes=10)
    return DecisionLog(store, clock=lambda: later)


def test_repeated_rollbacks_go_further_back(log, store, baseline, candidates, release):
    """After promotions 0, 1, 2 two rollbacks give 1 and, ten minutes later, 0; a third finds nothing."""
    first, second = release(1), release(2)
    assert back(log, candidates) == first
    assert back(after_ten_minutes(log, store), candidates) == baseline
    with pytest.raises(PromotionError, match="no earlier champion") as refused:
        back(log, candidates)
    assert log.champion() == baseline
    assert f"--to takes one that served before: {', '.join(sorted([first[:12], second[:12]]))}." in str(
        refused.value
    )


def test_two_operators_go_back_one_release(log, store, baseline, candidates, release):
    """The second, within ten minutes, is told who did it when, and how to go further."""
    first, _ = release(1), release(2)
    back(log, candidates)
    done = log.records()[-1]
    log.append("key_change", release=None, actor="flow", reason="in between")
    soon = done.at + timedelta(minutes=9)
    with pytest.raises(PromotionError) as refused:
        back(DecisionLog(store, clock=lambda: soon), candidates)
    assert str(refused.value) == (
        f"mia rolled back to {first[:12]} at {done.at:%Y-%m-%d %H:%M} UTC (record {done.number}). To go back "
        f"further name the release: `debut rollback --to {baseline[:12]}`, in chat "
        f"`/debut rollback to {baseline[:12]}`, with a reason."
    )
    assert log.champion() == first
    assert back(log, candidates, to=baseline[:12]) == baseline


def test_promotion_after_a_rollback_goes_back_to_what_served(log, baseline, candidates, release):
    """0, 1, rollback to 0, then 2: the release before 2 is 0, not the one that was taken back."""
    release(1)
    back(log, candidates)
    release(2)
    assert back(log, candidates) == baseline


def test_rollback_to_a_named_release(log, store, baseline, candidates, release):
    """Any earlier champion can be named by the start of its digest, also one that was rolled back from."""
    first, second = release(1), release(2)
    assert back(log, candidates, to=baseline[:12]) == baseline
    assert lineage(log.records()) == [baseline]
    assert back(log, candidates, to=second) == second
    assert lineage(log.records()) == [baseline, second]
    assert back(after_ten_minutes(log, store), candidates) == baseline
    assert first != second


@pytest.mark.parametrize("to", ["", "0" * 64])
def test_rollback_to_an_unknown_release_lists_the_known(log, baseline, candidates, release, to):
    """A digest that was never champion is refused with those that can be named."""
    release(1)
    with pytest.raises(PromotionError, match=baseline[:12]):
        back(log, candidates, to=to)


def test_rollback_to_the_champion_is_refused(log, baseline, candidates):
    """What serves is no earlier champion."""
    with pytest.raises(PromotionError, match="once there is one"):
        back(log, candidates, to=baseline)


def test_rollback_needs_a_reason(log, baseline, candidates, release):
    """A rollback without a reason is refused."""
    release(1)
    with pytest.raises(PromotionError, match="needs a reason"):
        rollback(log, candidates, reason="", actor="mia")


def test_rollback_verifies_its_target(log, baseline, candidates, release):
    """A release whose files changed on disk is not brought back."""
    first = release(1)
    path = candidates / baseline / "retrieval.json"
    path.chmod(0o644)
    path.write_text("{}")
    with pytest.raises(PromotionError, match=r"retrieval.json was changed"):
        back(log, candidates)
    assert log.champion() == first


def test_rollback_of_a_champion_that_serves_no_more_is_refused(log, baseline, candidates, release):
    """Whoever decided against one release does not take back its successor, which came meanwhile."""
    first, second = release(1), release(2)
    with pytest.raises(FencedError, match=f"{second[:12]} .promotion"):
        rollback(log, candidates, to=baseline, reason="complaints", actor="mia", expected_champion=first)
    assert log.champion() == second
    rollback(log, candidates, to=baseline, reason="complaints", actor="mia", expected_champion=second)
    assert log.champion() == baseline


def test_rollback_asks_the_callers_check_before_it_records(log, baseline, candidates, release):
    """A caller with a key refuses a release whose signature does not fit; the champion stays."""
    first, asked = release(1), []

    def refuse(folder):
        asked.append(folder)
        raise PromotionError("not signed")

    with pytest.raises(PromotionError, match="not signed"):
        rollback(log, candidates, reason="complaints", actor="mia", check=refuse)
    assert (asked, log.champion()) == ([candidates / baseline], first)


def test_rollback_is_fenced(log, store, baseline, candidates, release):
    """A rollback that someone overtook by a promotion does not undo that promotion unseen."""
    release(1)

    def other_writer():
        store.before_create = lambda: None
        release(2)

    store.before_create = other_writer
    with pytest.raises(FencedError):
        back(log, candidates)
