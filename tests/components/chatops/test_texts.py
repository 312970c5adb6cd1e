"""What chat says where little is known, and that nobody's words become markup."""

from datetime import UTC, datetime

from components.chatops import texts
from components.chatops.board import Drift, Status
from components.contract.ports import JobRun

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


def test_a_shop_where_nothing_happened_yet_is_told_so() -> None:
    assert texts.status_text(Status("fashion", None, None, ())) == (
        "Shop `fashion`: nothing serves yet.\nNo challenger waits for a review.\nNo runs yet."
    )
    assert texts.drift_text(None) == "No window of traffic was judged yet."
    assert texts.champion_text(None) == "No release was promoted yet."
    assert texts.compare_text(None) == "Nothing was judged yet."


def test_a_status_names_what_serves_and_what_runs() -> None:
    run = JobRun("f1", "retrain 7", "retrain", "Running", "http://prefect.local/f1")
    told = texts.status_text(Status("fashion", "b" * 64, None, (run,)))
    assert "Shop `fashion`: `bbbbbbbbbbbb` serves." in told
    assert "`retrain 7` (retrain): Running – http://prefect.local/f1" in told


def test_words_of_others_mention_nobody() -> None:
    told = texts.drift_text(Drift(NOW, True, "<!here> & <@U1>", None))
    assert told.endswith("&lt;!here&gt; &amp; &lt;@U1&gt;")
