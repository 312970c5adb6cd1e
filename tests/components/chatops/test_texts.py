"""What chat says where little is known, and that nobody's words become markup."""

import re
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


def test_customers_words_are_quoted_without_markup() -> None:
    told = texts.surge_text("Negative reviews about zip surge.", ["<!here> broke & tore", "bad"])
    assert told == "Negative reviews about zip surge.\n> &lt;!here&gt; broke &amp; tore\n> bad"


def test_a_status_names_what_serves_and_what_runs() -> None:
    run = JobRun("f1", "retrain 7", "retrain", "Running", "http://prefect.local/f1")
    told = texts.status_text(Status("fashion", "b" * 64, None, (run,)))
    assert "Shop `fashion`: `bbbbbbbbbbbb` serves." in told
    assert "`retrain 7` (retrain): Running – http://prefect.local/f1" in told


def test_a_status_without_prefect_says_why_no_runs_are_told() -> None:
    told = texts.status_text(Status("fashion", "b" * 64, None, (), "Cannot list runs: Prefect is away."))
    assert told.splitlines()[0] == "Shop `fashion`: `bbbbbbbbbbbb` serves."
    assert told.splitlines()[-1] == "Cannot list runs: Prefect is away."


def test_a_runs_name_is_no_markup() -> None:
    run = JobRun("f1", "<!here> [x](http://evil.example)", "retrain", "Running", None)
    for told in (texts.status_text(Status("fashion", None, None, (run,))), texts.started_text(run, "thread")):
        assert "<!here>" not in told
        assert "](" not in told


def test_words_of_others_mention_no_channel_and_hide_no_link_in_mattermost() -> None:
    """Its words are split at the sign that is put in, which nobody sees; a link's two parts are apart."""
    written = "@all, @Here_ and @channel: [x](http://evil.example) ![y](z) [a][b] [a]: http://evil.example"
    told = texts.escaped(written)
    assert not re.search(r"@(all|here|channel)", told, re.IGNORECASE)
    assert not re.search(r"\][(\[:]", told)
    assert told.replace("\u2060", "") == written


def test_figures_in_brackets_stay_as_they_are() -> None:
    told = "0.404 → 0.515 [+0.090, +0.131], ada@example.org"
    assert texts.escaped(told) == told


def test_words_of_others_mention_nobody() -> None:
    told = texts.drift_text(Drift(NOW, True, "<!here> & <@U1>", None))
    assert told.endswith("&lt;!here&gt; &amp; &lt;@U1&gt;")
