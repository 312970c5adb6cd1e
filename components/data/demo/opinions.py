"""The demo shop's reviews, whose tone follows the item's true quality, and its customer dialogues."""

from datetime import datetime, timedelta

import numpy as np
from numpy.random import Generator

from components.data.demo import sizes
from components.data.demo.catalogue import Catalogue
from components.data.demo.departments import KINDS
from components.data.demo.vocabulary import COLOURS, FEATURES, STYLES, pick

Row = dict[str, object]
END = sizes.FIRST_MONDAY + timedelta(days=7 * sizes.WEEKS)

PRAISE = (
    "Exactly what I hoped for.", "We use the {noun} every single day.", "Feels more expensive than it was.",
    "My neighbour ordered the same one after seeing ours.", "Put together in ten minutes, no part missing.",
    "The colour is lovely in real life.", "Arrived early and well packed.", "Like new after two months.",
    "A joy to use, I would buy it again.", "Solid, well finished, no sharp corners.",
)  # fmt: skip
COMPLAINT = (
    "It came apart within a week.", "The {noun} wobbles however I set it up.", "One part was missing.",
    "Smells of glue even after airing it for days.", "The colour has nothing to do with the picture.",
    "Delivery took almost a month.", "Too thin and cheap for this price.", "I sent it back.",
    "Customer service never answered my message.", "It scratched our floor on the first day.",
)  # fmt: skip
SHRUG = (
    "It does what it should, no more.", "All right for the price.", "Smaller than I thought, but it works.",
    "Nice to look at, a bit fiddly to clean.", "Not sure yet whether I will keep it.",
)  # fmt: skip
QUOTED = 'My daughter calls it "the good one", and she is hard to please.'
TWO_LINES = "Pros: looks, weight.\nCons: the manual, in one language only."

ASKED_WORD = ("What does {word} mean?", "I read {word} in a title, what is that?", "Is {word} a brand?")
ASKED_FEATURE = ("Do you have a {noun} that is {plain}?", "I look for a {plain} {noun}, which line is that?")
HELP = (
    (("Where is my parcel?", "When does my order arrive?", "my delivery is late",
      "It should have been here on Monday", "still waiting for what I bought last week",
      "Can I follow the shipment?", "how long does shipping take"),
     "Parcels take two to four working days; the tracking link is in the mail that we sent on dispatch."),
    (("Can I send something back?", "How do returns work?", "i want my money back",
      "It does not fit, what now?", "How long do I have to change my mind?", "refund please",
      "Where do I get the return label?"),
     "You have 60 days. Print the label in your account and hand the parcel in; the refund takes a week."),
    (("Can I change my address after ordering?", "wrong address on my order",
      "I moved, please send it elsewhere", "I typed the wrong street",
      "Could you deliver it to my office instead?"),
     "Until the parcel is packed, yes: open the order in your account and choose another address."),
    (("Do you sell spare parts?", "A screw is missing", "a part is broken, can I get a new one",
      "One leg cracked, do I have to buy the whole thing again?", "Where do I order a replacement handle?"),
     "Small parts are free for five years: tell us the number on the underside of the product."),
    (("How do I clean the {material}?", "What removes stains from {material}?",
      "red wine on {material}, help", "Is there anything I should not use on {material}?"),
     "For {material}: a damp cloth and mild soap, then let it dry in the air. No bleach, please."),
    (("Do you deliver on Saturdays?", "evening delivery possible?", "I work all day, when could you come?",
      "Can I choose the hour of delivery?", "nobody is home before six"),
     "Yes, in larger towns. Choose the time slot at the last step of the order."),
    (("Can I pay by invoice?", "Which cards do you take?", "pay later?", "Do you offer instalments?",
      "My card was declined, is there another way?"),
     "By card, by invoice within 30 days, or in six instalments without interest from 200 on."),
    (("Could you assemble it for me?", "I have no tools", "Who puts the wardrobe together?",
      "is assembly included", "My back is bad, can someone build it up?"),
     "Our fitters come for a fixed fee per piece; add the service in the basket."),
)  # fmt: skip
GREETINGS = (
    "",
    "",
    "",
    "Hello, ",
    "Hi there! ",
    "Good morning. ",
    "quick question: ",
    "Sorry to bother you again. ",
)
THANKS = ("", "", "", " Thanks!", " Thank you in advance.", " please answer soon", " It is urgent.")
CASES = (
    ("What about my ticket {number}?", "Ticket {number}: our colleague has written to you today."),
    (
        "Why was {number} euros taken off my account?",
        "The {number} euros were two orders that left together.",
    ),
    (
        "My complaint {number} has not been answered",
        "Complaint {number} is settled: a voucher is in your account.",
    ),
)
"""Of one customer alone: no earlier answer is right."""


def write_reviews(shop: Catalogue, events: list[Row], rng: Generator) -> list[Row]:
    """REVIEWS rows in time order by buyers, some days after the purchase: posted, sku, stars, review."""
    bought = [row for row in events if row["action"] == "purchase"]
    number = {sku: row for row, sku in enumerate(shop.ids)}
    rows: list[Row] = []
    for place in np.sort(rng.choice(len(bought), sizes.REVIEWS, replace=False)).tolist():
        event = bought[place]
        item = number[str(event["sku"])]
        stars = _stars(float(shop.quality[item]), rng)
        at = event["happened"]
        assert isinstance(at, datetime)
        posted = min(at + timedelta(days=int(rng.integers(2, 21))), END - timedelta(hours=1))
        noun = KINDS[shop.kind[item]].nouns[0]
        rows.append(
            {"posted": posted, "sku": event["sku"], "stars": stars, "review": _review(stars, noun, rng)}
        )
    return sorted(rows, key=lambda row: str(row["posted"]))


def _stars(quality: float, rng: Generator) -> int:
    return int(np.clip(round(1 + 4 * quality + rng.normal(0.0, 0.8)), 1, 5))


def _review(stars: int, noun: str, rng: Generator) -> str:
    """Two or three sentences: praise from four stars on, complaints up to two, both and a shrug at three."""
    good, bad = rng.permutation(PRAISE)[:2].tolist(), rng.permutation(COMPLAINT)[:2].tolist()
    if stars >= 4:
        parts = good + ([bad[0]] if stars == 4 and rng.random() < 0.2 else [])
    elif stars <= 2:
        parts = bad + ([good[0]] if stars == 2 and rng.random() < 0.2 else [])
    else:
        parts = [pick(SHRUG, rng), good[0], bad[0]]
    if rng.random() < 0.06:
        parts.append(QUOTED if stars >= 4 else TWO_LINES)
    return " ".join(parts).format(noun=noun)


def write_dialogues(rng: Generator) -> list[Row]:
    """DIALOGUES rows in time order: asked_on, customer, answer. Nearly half explain a trade word or name one;
    of the rest most are asked again in other words, and some by one customer alone."""
    seconds = np.sort(rng.integers(0, sizes.WEEKS * 7 * 24 * 3600, sizes.DIALOGUES))
    rows: list[Row] = []
    for second in seconds.tolist():
        kind = rng.random()
        question, answer = _help(rng) if kind < 0.45 else _case(rng) if kind < 0.55 else _about_words(rng)
        question = f"{pick(GREETINGS, rng)}{question}{pick(THANKS, rng)}"
        asked_on = (sizes.FIRST_MONDAY + timedelta(seconds=second)).isoformat()
        rows.append({"asked_on": asked_on, "customer": question, "answer": answer})
    return rows


def _help(rng: Generator) -> tuple[str, str]:
    questions, answer = HELP[int(rng.integers(len(HELP)))]
    kind = KINDS[int(rng.integers(len(KINDS)))]
    material = pick(kind.materials, rng)
    return pick(questions, rng).format(material=material), answer.format(material=material)


def _case(rng: Generator) -> tuple[str, str]:
    question, answer = CASES[int(rng.integers(len(CASES)))]
    number = int(rng.integers(1_000, 100_000))
    return question.format(number=number), answer.format(number=number)


def _about_words(rng: Generator) -> tuple[str, str]:
    if rng.random() < 0.3:
        look = (*STYLES, *COLOURS)[int(rng.integers(len(STYLES) + len(COLOURS)))]
        question = pick(ASKED_WORD, rng).format(word=look.trade[0])
        return question, f"{look.trade[0]} is our name for {look.plain[0]}."
    feature = FEATURES[int(rng.integers(len(FEATURES)))]
    if rng.random() < 0.5:
        question = pick(ASKED_WORD, rng).format(word=feature.trade)
        return question, f"{feature.trade} is our own word: it means {feature.plain[0]}, {feature.said[0]}."
    fitting = [kind for kind in KINDS if feature.name in kind.features]
    noun = str(rng.choice(fitting[int(rng.integers(len(fitting)))].asked))
    question = pick(ASKED_FEATURE, rng).format(noun=noun, plain=pick(feature.plain, rng))
    return question, f"Yes: look for {feature.trade} in the title, those are our {feature.plain[0]} ones."
