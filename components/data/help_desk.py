"""A generated help desk, which is no shop: how-to articles, and the tickets that they solved.

Articles are items, a ticket's words a query, the article that solved it the act. New software brings articles
each Monday. Titles name product and fault as support writes them, tickets as people do: "cannot get in from
home" is solved by "connection times out". So a ticket shares few words with its article; which words belong
together recurs from product to product, so that earlier tickets teach it for new articles. One seed gives the
same bytes.
"""

import io
import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.random import Generator

from components.contract.files import disk_errors, write_bytes, write_json

MADE = "made.json"
"""Written last: where it is, the files are whole."""
START, WEEKS = datetime(2025, 3, 3), 12
TICKETS_A_DAY = 50
FIRST_PRODUCTS, PRODUCTS_A_WEEK = 10, 2
TYPO_SHARE, SAYS_PRODUCT = 0.05, 0.85
RECENT_SHARE = 0.4
"""Tickets about an article of the last two weeks."""

# (area, fault as support writes it, what people say of it, the remedy)
FAULTS = (
    ("access", "authentication is refused", ("password does not work", "asks to log in again", "locked out"),
     "Reset the credentials and sign in again."),
    ("access", "two-factor code is rejected", ("code from my phone is wrong", "no text message comes"),
     "Set the clock of the phone to automatic and scan the code anew."),
    ("access", "licence has expired", ("says i must buy it", "trial is over but we paid"),
     "Assign a free licence of the department."),
    ("network", "connection times out", ("cannot get in from home", "takes forever then gives up"),
     "Choose the nearest gateway and allow it in the firewall."),
    ("network", "synchronisation is stuck", ("colleagues see an old version", "changes never arrive"),
     "Pause and resume the client; then it compares all files."),
    ("network", "certificate is not trusted", ("warning about security", "browser says it is not safe"),
     "Install the root certificate of the organisation."),
    ("display", "layout overflows on small screens", ("buttons are cut off", "cannot scroll on my laptop"),
     "Set the scale to 100 % or use the compact view."),
    ("display", "fonts are rendered incorrectly", ("letters look broken", "little squares for umlauts"),
     "Install the font package and clear the cache."),
    ("data", "export is truncated", ("half of my rows are missing", "the spreadsheet ends too early"),
     "Raise the limit of rows, or export month by month."),
    ("data", "import rejects the encoding", ("strange signs instead of accents", "upload fails with my file"),
     "Save the file as UTF-8 and import it again."),
    ("data", "attachment exceeds the quota", ("file is too big to send", "mailbox is full"),
     "Move large files to the share and send a link."),
    ("output", "job remains in the queue", ("nothing comes out", "paper is there but it does not start"),
     "Cancel the first job and restart the spooler."),
    ("output", "colours deviate from the preview", ("looks pink on paper", "comes out too dark"),
     "Choose the colour profile of the device."),
    ("speed", "start-up is delayed", ("slow in the morning", "i can make coffee while it opens"),
     "Take it out of the programs that start with the machine."),
    ("speed", "memory is exhausted", ("everything freezes", "fan is loud and then it closes"),
     "Close unused projects; the settings have a limit."),
)  # fmt: skip
PRODUCTS = tuple(
    f"{first}{second}"
    for second in ("mail", "desk", "print", "note", "call", "plan")
    for first in ("Orbit", "Linden", "Kestrel", "Marble", "Tarn", "Copper")
)
OPENERS = ("", "", "help ", "hello, ", "urgent: ", "since today ", "again ")

Row = dict[str, object]


def generate(folder: Path, seed: int = 0) -> None:
    """Writes articles.jsonl, tickets.parquet and made.json into `folder`, which is made where it is absent;
    `components/data/examples/help_desk.yaml` reads them. Raises StorageError where the disk refuses."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    articles = _articles(rng)
    tickets = _tickets(articles, rng)
    lines = "".join(json.dumps(row | {"online": f"{row['online']:%Y-%m-%d}"}) + "\n" for row in articles)
    write_bytes(folder / "articles.jsonl", lines.encode())
    buffer = io.BytesIO()
    pl.DataFrame(tickets).write_parquet(buffer)
    write_bytes(folder / "tickets.parquet", buffer.getvalue())
    write_json(folder / MADE, {"seed": seed, "articles": len(articles), "tickets": len(tickets)})


def _articles(rng: Generator) -> list[Row]:
    """One per product and fault, in the order in which they went online: the first products' before START."""
    products = rng.permutation(PRODUCTS).tolist()
    rows: list[Row] = []
    for number, product in enumerate(products):
        week = max(0, (number - FIRST_PRODUCTS) // PRODUCTS_A_WEEK + 1) if number >= FIRST_PRODUCTS else 0
        if week > WEEKS - 1:
            break
        online = START + timedelta(weeks=week) if week else START - timedelta(days=200 + number)
        for fault, (area, says, _, remedy) in enumerate(FAULTS):
            rows.append(
                {
                    "article": f"KB{len(rows) + 1:04d}",
                    "heading": f"{product}: {says}",
                    "text": f"{remedy} This concerns {product}.",
                    "area": area,
                    "product": product,
                    "fault": fault,
                    "online": online,
                }
            )
    return rows


def _tickets(articles: list[Row], rng: Generator) -> list[Row]:
    rows: list[Row] = []
    for day in range(WEEKS * 7):
        today = START + timedelta(days=day)
        known = [row for row in articles if row["online"] <= today]  # type: ignore[operator]
        recent = [row for row in known if row["online"] > today - timedelta(days=14)]  # type: ignore[operator]
        for minute in np.sort(rng.choice(24 * 60, TICKETS_A_DAY, replace=False)).tolist():
            among = recent if recent and rng.random() < RECENT_SHARE else known
            article = among[int(rng.integers(len(among)))]
            rows.append(
                {
                    "number": f"T{len(rows) + 1:05d}",
                    "opened": today + timedelta(minutes=minute),
                    "problem": _words(article, rng),
                    "solved_by": article["article"],
                }
            )
    return rows


def _words(article: Row, rng: Generator) -> str:
    """How somebody says it."""
    said = FAULTS[int(str(article["fault"]))][2]
    parts = [OPENERS[rng.integers(len(OPENERS))] + said[rng.integers(len(said))]]
    if rng.random() < SAYS_PRODUCT:
        parts.insert(int(rng.integers(2)), str(article["product"]).lower())
    text = " ".join(parts)
    if rng.random() < TYPO_SHARE:
        place = int(rng.integers(1, len(text) - 1))
        text = text[:place] + text[place + 1 :]
    return text
