"""The demo shop's words: features, styles, colours and brands, plain and as the shop's trade words.

The trade words are invented. An encoder that has never seen the shop cannot know that "Tindrel" means
foldable; clicks of people who asked for a folding chair and took a Tindrel one teach it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from numpy.random import Generator


@dataclass(frozen=True)
class Feature:
    """What a product can do."""

    name: str
    trade: str
    """The shop's word for it."""
    plain: tuple[str, ...]
    """Words that go before the noun; old stock's titles use them too."""
    said: tuple[str, ...]
    """Phrases that people put after the noun."""


@dataclass(frozen=True)
class Look:
    """A style or a colour."""

    name: str
    trade: tuple[str, ...]
    """Collection names of a style, or the trade name of a colour."""
    plain: tuple[str, ...]


def pick(words: Sequence[str], rng: Generator) -> str:
    """One of the words, each as likely (`rng.choice` would first make an array of them)."""
    return words[int(rng.integers(len(words)))]


def _features(*rows: str) -> tuple[Feature, ...]:
    """Rows: `name: trade: plain words: phrases`, words `|`-separated."""
    parts = [[cell.strip() for cell in row.split(":")] for row in rows]
    return tuple(
        Feature(name, trade, tuple(plain.split("|")), tuple(said.split("|")))
        for name, trade, plain, said in parts
    )


def _looks(*rows: str) -> tuple[Look, ...]:
    parts = [[cell.strip() for cell in row.split(":")] for row in rows]
    return tuple(Look(name, tuple(trade.split("|")), tuple(plain.split("|"))) for name, trade, plain in parts)


FEATURES = _features(
    "foldable: Tindrel: folding|foldable|collapsible: that folds flat|to fold away",
    "heat_resistant: Velmora: heat-resistant|ovenproof|heatproof: safe in a hot oven|that stands heat",
    "weatherproof: Ondra: waterproof|weatherproof|rainproof: for rain|that can stay out in the wet",
    "stackable: Torvik: stackable|stacking|nesting: that stack on each other|to pile up",
    "machine_washable: Aulet: machine washable|washable: for the washing machine|I can wash at 40 degrees",
    "cordless: Zerrick: cordless|rechargeable|battery powered: without a cable|with battery",
    "non_slip: Oxtar: non-slip|anti-slip|grippy: that does not slide|for slippery floors",
    "lightweight: Fewlin: lightweight|light|ultralight: that weighs little|easy to carry",
    "insulated: Morvan: insulated|thermal|warm: that keeps warm|against the cold",
    "unbreakable: Brathe: unbreakable|shatterproof|sturdy: that does not break|for clumsy hands",
    "adjustable: Wendro: adjustable|height-adjustable|tilting: that I can raise and lower|to set the height",
    "non_stick: Danvor: non-stick|nonstick: where nothing sticks|that does not burn on",
    "dimmable: Umbrick: dimmable|dimming: with brightness control|with a dimmer",
    "quiet: Belnor: quiet|silent|noiseless: that makes no noise|against noise",
    "child_safe: Tamvel: child-safe|toddler proof|rounded: safe for little ones|without sharp edges",
    "sun_blocking: Calvor: blackout|sun-blocking|darkening: that keeps the sun out|against sunlight",
    "stain_resistant: Carvos: stain-resistant|stainproof|dirt-repellent: that hides stains|against spills",
    "magnetic: Norvel: magnetic|magnet: with a magnet|that clings to metal",
    "wheeled: Ruvan: wheeled|rolling|mobile: on wheels|with castors",
    "lockable: Kestor: lockable|locking: with a key|with a lock",
    "leakproof: Fenrick: leakproof|spillproof|watertight: that does not drip|that does not leak",
    "breathable: Ossil: breathable|airy|ventilated: that lets air through|against sweating",
    "scratch_proof: Olvar: scratch-proof|scratch-resistant|hard-wearing: that never scratches|no scratches",
    "hypoallergenic: Nimber: hypoallergenic|anti-allergy: for allergy sufferers|for sensitive skin",
    "storage: Tarquil: storage|multi-compartment: with storage space|with drawers",
    "easy_clean: Melvar: dishwasher-safe|easy-clean: for the dishwasher|easy to clean",
)

STYLES = _looks(
    "scandinavian: Halven: scandinavian|nordic|pale wood look",
    "industrial: Brandeth: industrial|loft style|factory look",
    "rustic: Tolver: rustic|farmhouse|country style",
    "coastal: Marrowsey: coastal|beach house|nautical",
    "japanese: Farlo: japanese|zen|wabi sabi",
    "retro: Funkad: retro|vintage|seventies",
    "art_deco: Lustra: art deco|glamorous|twenties",
    "minimal: Nullev: minimalist|modern|plain",
)

COLOURS = _looks(
    "green: Fenmoor: green|olive",
    "blue: Tarnwick: blue|navy",
    "red: Cardros: red|dark red",
    "yellow: Belsand: yellow|mustard",
    "grey: Ashvale: grey|gray",
    "black: Ravelock: black",
    "white: Olwhin: white|cream",
    "brown: Arbrook: brown|beige",
)

# Every brand makes things for two departments and leans to two styles (catalogue.py draws which).
BRANDS = (
    "Orvane", "Tresk", "Pinmarsh", "Lodewick", "Calbrook", "Nuvelo", "Harrowfen", "Stilgar", "Bellhaven",
    "Ostrand", "Quaylight", "Mirrabel", "Fjordane", "Copperline", "Wickstead", "Auberlin", "Drumlin",
    "Sennet", "Talmadge", "Yarrowby", "Kindlerow", "Vostrup",
)  # fmt: skip

# What some words turn into in the last weeks (sizes.DRIFT_FROM_WEEK).
DRIFT_WORDS = {
    "folding": "pop-up",
    "foldable": "pop-up",
    "collapsible": "pop-up",
    "cordless": "off-grid",
    "rechargeable": "off-grid",
    "waterproof": "stormproof",
    "rainproof": "stormproof",
    "minimalist": "japandi",
    "nordic": "hygge",
    "scandinavian": "hygge",
    "vintage": "granny chic",
    "retro": "granny chic",
}
