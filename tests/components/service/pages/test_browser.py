"""The page in a real browser: by keyboard, without scripts, in both colour schemes and at both widths."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from components.contract.files import write_json
from components.contract.records import Gate, GateReport
from components.evaluation.age import RecallPoint
from components.evaluation.undiscoverable_report import UndiscoverableItem, UndiscoverableReport
from components.gate.report import report_html
from components.service.releases import AgeCurve, AgePlot

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is absent")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"{CHROMIUM} is absent: apt-get install chromium"
)
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
AUDIT = (Path(__file__).parent / "accessibility.js").read_text()
PATHS = (
    "/",
    "/?q=red+chair&brand=oakly",
    "/?q=lamp&k=20",
    "/?q=x&min_price=a",
    "/why?q=red+chair&item_id=100",
    "/undiscoverable",
    "/releases",
    "/releases/{champion}",
    "/releases/rollback?to={challenger}",
    "/login",
    "/releases/nonsense",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser with a profile of its own, which playwright removes."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS.split())
        yield browser
        browser.close()


@pytest.fixture
def shop(page_shop: Callable[..., Any], tmp_path: Path) -> Any:
    """A listening service whose releases have everything that pages show."""
    shop = page_shop(socket=True)
    _list_undiscoverable(tmp_path)
    shop.releases.files["undiscoverable"] = tmp_path / "undiscoverable.csv"
    points = tuple(RecallPoint(f"{n}-{n + 1}", 9, 0.2 * n, 0.1 * n, 0.25 * n) for n in range(1, 4))
    curves = AgeCurve("challenger", shop.champion, points), AgeCurve("champion", shop.challenger, points)
    shop.releases.recall_by_age = lambda digest: AgePlot(curves, 10, True, None)
    return shop


@pytest.fixture
def visit(chromium: Any, shop: Any) -> Iterator[Callable[..., Any]]:
    """`visit(path, role="operate", …)` opens a page as that key's holder; what a browser complains about, and
    every request to another address, fails the test."""
    contexts, complaints = [], []

    def heard(message: Any) -> None:
        if (
            message.type in ("error", "warning")
            and "the server responded with a status of" not in message.text
        ):
            complaints.append(message.text)

    def asked(request: Any) -> None:
        if urlsplit(request.url).netloc != urlsplit(shop.service.url).netloc:
            complaints.append(request.url)

    def open_page(path: str, role: str | None = "operate", **options: Any) -> Any:
        context = chromium.new_context(base_url=shop.service.url, **options)
        contexts.append(context)
        if role is not None:
            secret = shop.service.secrets[role]
            cookie = {"name": "debut_key", "value": secret, "url": shop.service.url, "sameSite": "Strict"}
            context.add_cookies([cookie])
        page = context.new_page()
        page.on("console", heard)
        page.on("request", asked)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.goto(path.format(champion=shop.champion, challenger=shop.challenger))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def _report(folder: Path) -> Path:
    sentence = (
        "Category Lighting > Lamps: recall@10 0.516 against 0.470, +0.046, at least +0.021 – not shown."
    )
    figures = {"champion": 0.47, "challenger": 0.516, "difference": 0.046, "low": 0.021, "high": 0.07}
    gate = Gate(
        name="category:lighting > lamps/recall@10",
        kind="slice",
        **figures,
        margin=None,
        requests=1_200,
        outcome="fail",
        sentence=sentence,
    )
    report = GateReport(
        challenger_digest="a" * 64,
        champion_digest="b" * 64,
        verdict="REJECT",
        sentence=sentence,
        gates=(gate,),
        queries_needed=None,
        policy={"resamples": 500},
    )
    path = folder / "gate_report.html"
    path.write_text(report_html(report))
    return path


def _list_undiscoverable(folder: Path) -> None:
    item = UndiscoverableItem(
        item_id="a1",
        title="<i>mug</i> 😀 " + "long" * 20,
        category="Kitchen > Mugs",
        brand="Oakly",
        listed_at=None,
        first_seen=None,
        age_days=None,
        reason="outranked",
        fix="Add to the title what these do not offer.",
        best_query="red mug",
        best_place=12,
        queries=(),
        crowding=(),
    )
    report = UndiscoverableReport("champion", 10, 50, 50, 200, (item,))
    report.write_csv(folder / "undiscoverable.csv")
    write_json(folder / "undiscoverable.json", report.as_json())


def _focused(page: Any) -> str:
    """What the focused element says of itself."""
    text: str = page.evaluate(
        """() => {
          const focused = document.activeElement;
          return (focused.id || focused.innerText || focused.name || focused.tagName).trim();
        }"""
    )
    return text


def _tab_to(page: Any, wanted: str, most: int = 60) -> list[str]:
    """Presses Tab until that element has the focus; what had it on the way. Each shows where the focus is."""
    passed: list[str] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"no focus ring at {_focused(page)}"
        passed.append(_focused(page))
        if passed[-1].startswith(wanted):
            return passed
    raise AssertionError(f"{wanted} is not reached: {passed}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1_400])
def test_pages_are_accessible(visit: Callable[..., Any], shop: Any, scheme: str, width: int) -> None:
    """Every page: contrast of all texts and fields, labels, headings in order, landmarks, captions, names of
    links and buttons, targets large enough, and nothing wider than the window."""
    page = visit("/", color_scheme=scheme, viewport={"width": width, "height": 800})
    for path in PATHS:
        page.goto(path.format(champion=shop.champion, challenger=shop.challenger))
        page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate(AUDIT) == [], path
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= width, path


@pytest.mark.parametrize("width", [360, 1_400])
def test_a_gate_report_is_read_whole_and_left_again(
    visit: Callable[..., Any], shop: Any, tmp_path: Path, width: int
) -> None:
    """No sentence ends beyond the window's edge; the way back keeps the key of a person who is signed in."""
    shop.releases.files["report"] = _report(tmp_path)
    page = visit("/releases/{champion}/report", viewport={"width": width, "height": 800})
    edges = page.evaluate(
        "() => [...document.querySelectorAll('p, .name, .sentence')]"
        ".map((one) => one.getBoundingClientRect().right)"
    )
    assert len(edges) > 4 and max(edges) <= width
    page.get_by_role("link", name="Back to the release").click()
    page.wait_for_url(f"**/releases/{shop.champion}")
    assert page.get_by_role("button", name="Sign out").is_visible()


def test_the_audit_finds_what_is_wrong(visit: Callable[..., Any]) -> None:
    """A page spoilt in each way is noticed; else an empty list would prove nothing."""
    page = visit("/releases")
    page.evaluate(
        """() => {
          const main = document.querySelector("main");
          main.insertAdjacentHTML("beforeend", `<h5>skipped</h5><input id="q2"><a href="/x"></a>
            <img src="/x"><table><tr><td>1</td></tr></table><button class="plain" id="q2">ok</button>`);
          const faint = document.querySelector("h1"), tiny = document.querySelector("#q2 ~ button");
          faint.style.color = "#bbb";
          tiny.style.minHeight = tiny.style.height = "10px";
          tiny.style.padding = 0;
        }"""
    )
    found = " ".join(page.evaluate(AUDIT))
    for wrong in ("contrast", "label", "heading", "name", "alt", "caption", "same id", "small target"):
        assert wrong in found, wrong
    page.close()


def test_the_search_works_by_keyboard_alone(visit: Callable[..., Any]) -> None:
    """The box has the focus; Enter searches; Tab leads on to each item's "why"; Back returns to it."""
    page = visit("/")
    assert _focused(page) == "q"
    page.keyboard.type("green mug")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=green+mug*")
    passed = _tab_to(page, "Why")
    for stop in ("Skip to content", "Search", "Undiscoverable", "Releases", "q", "Filters"):
        assert stop in passed, passed
    assert passed.index("Skip to content") == 0 and passed.index("q") < passed.index("Filters")
    page.keyboard.press("Enter")
    page.wait_for_url("**/why?*")
    assert page.locator("h1").inner_text().startswith("Why green mug")
    page.go_back()
    assert page.locator("#q").input_value() == "green mug"
    assert page.locator("#champion-heading").is_visible()


def test_the_skip_link_leads_past_the_navigation(visit: Callable[..., Any]) -> None:
    """It shows when it has the focus, and the next stop is the search box."""
    page = visit("/?q=green+mug", reduced_motion="reduce")
    page.keyboard.press("Tab")
    assert page.locator(".skip").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert _focused(page) == "q"


def test_filters_open_and_work_by_keyboard(visit: Callable[..., Any]) -> None:
    """Space opens them; Enter in a field searches."""
    page = visit("/?q=chair")
    _tab_to(page, "Filters")
    page.keyboard.press("Space")
    _tab_to(page, "brand")
    page.keyboard.type("oakly")
    page.keyboard.press("Enter")
    page.wait_for_url("**brand=oakly*")
    titles = page.locator("section[aria-labelledby=champion-heading] .title bdi").all_inner_texts()
    assert len(titles) == 4 and all(title.startswith("red ") for title in titles)


def test_a_rollback_by_keyboard(visit: Callable[..., Any], shop: Any) -> None:
    """Enter opens the dialog, Escape closes it and the focus is back; a reason and Enter roll back."""
    page = visit("/releases")
    _tab_to(page, "Roll back")
    for key in ("Enter", "Space"):
        page.keyboard.press(key)
        assert page.locator("dialog").is_visible() and _focused(page) == "reason"
        assert shop.challenger[:12] in page.locator("dialog h2").inner_text()
        page.keyboard.press("Escape")
        assert page.locator("dialog").is_hidden() and _focused(page).startswith("Roll back")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # without a reason: the browser says that one is missing
    assert page.locator("dialog").is_visible() and len(shop.releases.history()) == 2
    page.locator("#reason").focus()
    page.keyboard.type("mugs are hidden")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/releases?done=3")
    assert "it serves now" in page.locator("[role=status]").first.inner_text()
    assert shop.releases.history()[-1].reason == "mugs are hidden"


def test_cancel_leaves_the_dialog(visit: Callable[..., Any], shop: Any) -> None:
    """Even where no reason was given; nothing was sent, and the dialog opens again."""
    page = visit("/releases")
    for _ in range(2):
        page.locator("[data-rollback]").click()
        page.get_by_role("button", name="Cancel").click()
        assert page.locator("dialog").is_hidden()
    assert len(shop.releases.history()) == 2


def test_everything_works_without_scripts(visit: Callable[..., Any], shop: Any) -> None:
    """Signing in, searching, asking why, the list, and the rollback on a page of its own."""
    page = visit("/", role=None, java_script_enabled=False)
    page.get_by_role("link", name="Sign in").click()
    page.fill("#key", "debut_00000000_wrong")
    page.get_by_role("button", name="Sign in").click()
    assert "unknown or was revoked" in page.locator("[role=alert]").inner_text()
    page.fill("#key", shop.service.secrets["operate"])
    page.get_by_role("button", name="Sign in").click()
    page.fill("#q", "red chair")
    page.keyboard.press("Enter")
    page.locator("a.why").first.click()
    page.get_by_role("link", name="Back to the results").click()
    page.get_by_role("link", name="Undiscoverable").click()
    page.get_by_role("link", name="red mug").click()
    page.get_by_role("link", name="Releases").click()
    page.get_by_role("link", name="Roll back").click()
    assert page.url.endswith(f"/releases/rollback?to={shop.challenger}")
    page.fill("#reason", "no scripts here")
    page.get_by_role("button", name="Roll back").click()
    assert "it serves now" in page.locator("[role=status]").first.inner_text()
    page.get_by_role("button", name="Sign out").click()
    assert page.get_by_role("link", name="Sign in").is_visible()


def test_titles_and_queries_do_nothing_but_show(visit: Callable[..., Any]) -> None:
    """Markup, quotes, right-to-left text and emoji; what a browser would run shows as text."""
    page = visit("/?k=20&q=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E+%F0%9F%98%80")
    assert page.locator("#q").input_value() == '"><script>alert(1)</script> 😀'
    titles = page.locator("section[aria-labelledby=champion-heading] .title bdi").all_inner_texts()
    assert "<script>document.title = 'broken'</script> lamp" in titles
    assert "\" onfocus='alert(1)' autofocus & <b>mug</b>" in titles
    assert "broken" not in page.title()
    right_to_left = page.locator("bdi", has_text="מנורה").first
    assert right_to_left.evaluate("(e) => getComputedStyle(e).unicodeBidi") == "isolate"
    page.fill("#q", "מנורה")
    assert page.locator("#q").evaluate("(e) => getComputedStyle(e).direction") == "rtl"


def test_a_form_is_sent_once_and_says_that_it_works(visit: Callable[..., Any], shop: Any) -> None:
    """A second Enter while the answer is awaited sends nothing."""
    page = visit("/releases/rollback?to={challenger}")
    page.fill("#reason", "twice")
    page.evaluate(
        "() => { const f = document.querySelector('form[data-busy]'); f.requestSubmit(); f.requestSubmit(); }"
    )
    page.wait_for_url("**/releases?done=3")
    assert len(shop.releases.history()) == 3


def test_the_key_is_out_of_the_reach_of_scripts(visit: Callable[..., Any], shop: Any) -> None:
    """A script that got into the page could neither read the cookie nor run in the first place."""
    page = visit("/login", role=None)
    page.fill("#key", shop.service.secrets["operate"])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{shop.service.url}/")
    assert "Sign out" in page.locator("header").inner_text()
    assert page.evaluate("() => document.cookie") == ""
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")


def test_colours_follow_the_person_s_scheme_and_nothing_moves_unasked(visit: Callable[..., Any]) -> None:
    """Dark where the system is dark; no transition where less motion is wanted."""
    brightness = {}
    for scheme in ("light", "dark"):
        page = visit("/", color_scheme=scheme, reduced_motion="reduce")
        colour = page.evaluate(
            "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        )
        brightness[scheme] = sum(colour[:3])
        moving = page.evaluate(
            "() => [...document.querySelectorAll('*')].filter((e) => { const s = getComputedStyle(e);"
            " return s.transitionDuration !== '0s' || s.animationName !== 'none'; }).length"
        )
        assert moving == 0
    assert brightness["light"] > 600 > 200 > brightness["dark"]
