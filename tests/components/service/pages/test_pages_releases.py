"""The pages under `/releases`: what was decided and measured, and the way back for those who may."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from components.contract.errors import FencedError
from components.contract.records import GateReport
from components.evaluation.age import RecallPoint
from components.gate.report import report_html
from components.service.releases import AgeCurve, AgePlot

REPORT = GateReport(
    challenger_digest="e" * 64,
    champion_digest="c" * 64,
    verdict="REJECT",
    sentence="Rejected: no gain.",
    gates=(),
    queries_needed=None,
    policy={"resamples": 500},
)
REASON = "The <b>new</b> one hides mugs 😀"


def _token(html: str) -> str:
    return re.search(r'name="token" value="([0-9a-f]{64})"', html)[1]


def _form(shop: Any, **changes: str) -> dict[str, str]:
    """The rollback form as the page shows it, filled in."""
    html = shop.page("/releases/rollback", role="operate", to=shop.challenger)
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="(\w+)">', html))
    return {**hidden, "reason": REASON, **changes}


def _plot(shop: Any, picture: Path | None = None, dated: bool = True) -> AgePlot:
    points = (RecallPoint("0-1", 0, None, None, None), RecallPoint("1-7", 50, 0.31, 0.2, 0.42))
    curves = AgeCurve("challenger", shop.champion, points), AgeCurve("champion", shop.challenger, points)
    return AgePlot(curves, 10, dated, picture)


def test_the_history_is_told_newest_first(page_shop: Callable[..., Any]) -> None:
    """Verdicts in words, who, why and when, and which decision is in force."""
    shop = page_shop()
    for kind, words in (("rejection", "Rejected"), ("inconclusive", "Not settled")):
        shop.decide(kind, "e" * 64, actor="<i>ci</i>", reason=f"{words} because")
    html = unescape(shop.page("/releases"))
    words = re.findall(r'class="verdict \w+"><span[^>]*>.</span> ([^<]+)</span>', html)
    assert words == ["Not settled", "Rejected", "Promoted", "Baseline"]
    assert html.count("serves now</strong>") == 1
    assert f"{shop.champion[:12]}</code> is the champion since" in html
    assert "&lt;i&gt;ci&lt;/i&gt;" in shop.page("/releases")


def test_a_release_s_page_says_what_it_was_and_its_whole_digest(page_shop: Callable[..., Any]) -> None:
    """The digest in a sentence of its own, which says what it is."""
    shop = page_shop()
    html = shop.page(f"/releases/{shop.challenger}")
    assert "It was champion before and can be again.</p>" in html
    digest = (
        f'<p class="quiet">D, the digest of all its files: <code class="long">{shop.challenger}</code></p>'
    )
    assert digest in html


def test_a_long_history_has_pages(page_shop: Callable[..., Any]) -> None:
    """Thirty decisions at a time; every one is on exactly one page."""
    shop = page_shop()
    for number in range(70):
        shop.decide("rejection", f"{number:064x}", actor="ci", reason="no gain")
    seen, address = [], "/releases"
    while address:
        html = shop.page(address)
        seen += re.findall(r"no\. (\d+)</small>", html)
        older = re.search(r'<a href="([^"]+)">Older</a>', html)
        address = older[1] if older else ""
    assert seen == [str(number) for number in range(72, 0, -1)]
    assert "no. 72</small>" in shop.page("/releases", before="nonsense")


def test_a_gate_report_is_shown_under_a_policy_of_its_own(
    page_shop: Callable[..., Any], tmp_path: Path
) -> None:
    """Its own styles hold, a script would not run; without a report there is neither link nor page."""
    shop = page_shop()
    shop.decide("rejection", "e" * 64, actor="ci", reason="no gain")
    last = shop.releases.decisions[-1]
    shop.releases.decisions[-1] = last.model_copy(update={"gate_report_digest": "a" * 64})
    assert "/report" not in shop.page("/releases")
    assert "No gate report" in shop.page(f"/releases/{'e' * 64}/report", 404)
    shop.releases.files["report"] = tmp_path / "report.html"
    shop.releases.files["report"].write_text("<!doctype html><style>p{}</style><p>REJECT")
    assert f'href="/releases/{"e" * 64}/report">Gate report' in shop.page("/releases")
    answer = shop.get(f"/releases/{'e' * 64}/report")
    assert answer.text.endswith("<p>REJECT")
    shop.releases.files["report"].write_text(report_html(REPORT))
    answer = shop.get(f"/releases/{'e' * 64}/report")
    assert f'<a href="/releases/{"e" * 64}">Back to the release</a>' in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "sandbox" in policy
    assert "script-src" not in policy and "allow-scripts" not in policy


def test_recall_by_age_is_drawn_and_told(page_shop: Callable[..., Any], tmp_path: Path) -> None:
    """A curve, a table of its figures, and the picture of the run."""
    shop = page_shop()
    assert 'id="age-heading"' not in shop.page("/releases")
    (tmp_path / "age.png").write_bytes(b"\x89PNG")
    shop.releases.recall_by_age = lambda digest: _plot(shop, tmp_path / "age.png")
    for path in ("/releases", f"/releases/{shop.champion}"):
        html = shop.page(path)
        assert 'role="img" aria-label="Recall by item age' in html and "<circle" in html
        assert "0.310" in html and "0.200 to 0.420" in html and "no requests" in html
        assert f'href="/releases/{shop.champion}/age.png"' in html
    answer = shop.get(f"/releases/{shop.champion}/age.png")
    assert (answer.content, answer.headers["content-type"]) == (b"\x89PNG", "image/png")
    shop.releases.recall_by_age = lambda digest: _plot(shop, dated=False)
    assert "Recall of new and established items" in shop.page("/releases")
    assert "No run measured" in shop.page(f"/releases/{shop.champion}/age.png", 404)


@pytest.mark.parametrize("digest", ["nonsense", "A" * 64, "%2e%2e%2f%2e%2e", "e" * 64])
def test_an_unknown_release_is_a_page_that_says_so(page_shop: Callable[..., Any], digest: str) -> None:
    """Whatever stands in its place in the address."""
    answer = page_shop().get(f"/releases/{digest}")
    assert answer.status_code == 404


def test_a_rollback_asks_first_and_then_tells_what_it_did(page_shop: Callable[..., Any]) -> None:
    """With a reason and the key's name in the log; what follows shows the release that serves then."""
    shop = page_shop()
    assert f'href="/releases/rollback?to={shop.challenger}"' in shop.page("/releases", role="operate")
    answer = shop.post("/releases/rollback", _form(shop), role="operate")
    assert (answer.status_code, answer.headers["location"]) == (303, "/releases?done=3")
    record = shop.releases.history()[-1]
    assert (record.kind, record.release, record.reason) == ("rollback", shop.challenger, REASON)
    assert re.fullmatch(r"operate \(key [0-9a-f]{8}\)", record.actor)
    html = shop.page("/releases?done=3", role="operate")
    assert "Rolled back</strong>" in html and "it serves now" in html
    assert "&lt;b&gt;new&lt;/b&gt; one hides mugs 😀" in html
    assert shop.service.serving.release().digest == shop.challenger
    assert "Rolled back</strong>" not in shop.page("/releases?done=2", role="operate")


@pytest.mark.parametrize("role", [None, "read", "write"])
def test_only_a_key_of_role_operate_rolls_back(page_shop: Callable[..., Any], role: Any) -> None:
    """Others see no button; the form's address and the form itself ask them to sign in."""
    shop = page_shop()
    form = _form(shop)
    html = shop.page("/releases", role=role)
    assert "data-rollback" not in html and "<dialog" not in html
    assert "sign in with a key of the role operate" in html
    status = 401 if role is None else 403
    assert 'name="key"' in shop.page("/releases/rollback", status, role=role, to=shop.challenger)
    assert shop.post("/releases/rollback", form, role=role).status_code == status
    assert len(shop.releases.history()) == 2


def test_a_form_of_another_site_changes_nothing(page_shop: Callable[..., Any]) -> None:
    """Neither without this browser's token, nor where the browser says that another site sent it."""
    shop = page_shop()
    good = _form(shop)
    of_another_key = _token(shop.page("/releases/rollback", role="operate", to=shop.challenger))
    assert good["token"] == of_another_key  # the token is the browser's, not the form's
    for token in ("", "0" * 64, good["token"][:-1], "ü"):
        answer = shop.post("/releases/rollback", good | {"token": token}, role="operate")
        assert answer.status_code == 403 and "opened before you signed in" in answer.text
    for site in ("cross-site", "same-site"):
        answer = shop.post("/releases/rollback", good, role="operate", **{"Sec-Fetch-Site": site})
        assert answer.status_code == 403 and "Another site" in answer.text
    headers = {**shop.cookie("operate"), "Origin": "https://elsewhere.example"}
    answer = shop.service.client.post("/releases/rollback", data=good, headers=headers)
    assert answer.status_code == 403
    secret = {"Authorization": f"Bearer {shop.service.secrets['operate']}"}
    assert shop.service.client.post("/releases/rollback", data=good, headers=secret).status_code == 403
    assert len(shop.releases.history()) == 2


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"reason": " \n "}, 422, "Give a reason of 1 to 500 characters"),
        ({"reason": "x" * 501}, 422, "Give a reason of 1 to 500 characters"),
        ({"to": "e" * 64}, 404, "no earlier champion"),
        ({"to": ""}, 404, "no earlier champion"),
        ({"champion": "e" * 64}, 409, "Another release was made champion since"),
    ],
)
def test_a_rollback_that_does_not_fit_is_refused(
    page_shop: Callable[..., Any], change: dict[str, str], status: int, sentence: str
) -> None:
    """With the form again where its reason was wrong."""
    shop = page_shop()
    answer = shop.post("/releases/rollback", _form(shop, **change), role="operate")
    assert (answer.status_code, sentence in unescape(answer.text)) == (status, True)
    assert ('aria-describedby="reason-error"' in answer.text) == ("reason" in change)
    assert len(shop.releases.history()) == 2


def test_a_rollback_that_the_log_refuses_says_why(page_shop: Callable[..., Any]) -> None:
    """Somebody else was first: nothing was changed."""
    shop = page_shop()
    form = _form(shop)

    def refuse(**_: Any) -> None:
        raise FencedError("The champion is now another one.")

    shop.releases.roll_back = refuse
    answer = shop.post("/releases/rollback", form, role="operate")
    assert answer.status_code == 409
    assert "Nothing was changed" in answer.text and "The champion is now another one." in answer.text


def test_a_rollback_takes_back_only_what_the_form_showed(
    page_shop: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another release is promoted after the page looked whether any was."""
    shop = page_shop()
    form, look = _form(shop), shop.releases.history

    def promoted_meanwhile() -> Any:
        seen = list(look())
        shop.decide("promotion", "d" * 64, reason="the fix")
        return seen

    with monkeypatch.context() as patch:
        patch.setattr(shop.releases, "history", promoted_meanwhile)
        assert shop.post("/releases/rollback", form, role="operate").status_code == 409
    assert [record.kind for record in shop.releases.history()] == ["promotion"] * 3


def test_what_is_no_form_is_refused(page_shop: Callable[..., Any]) -> None:
    """JSON, bytes that are no text, and more fields than any form of ours has."""
    shop = page_shop()
    headers = {**shop.cookie("operate"), "Sec-Fetch-Site": "same-origin"}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    client = shop.service.client
    assert client.post("/releases/rollback", json={}, headers=headers).status_code == 415
    for body in (b"a=\xff\xfe", b"&".join(b"a%d=1" % n for n in range(50))):
        assert client.post("/releases/rollback", content=body, headers=headers | form).status_code == 422
