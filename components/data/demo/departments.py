"""The kinds of product of the demo shop: what the catalogue calls them, what people call them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of product."""

    department: str
    shelf: str
    """Second level of the category."""
    nouns: tuple[str, ...]
    """What titles say."""
    asked: tuple[str, ...]
    """What people type; only partly the titles' words."""
    features: tuple[str, ...]
    """Features (vocabulary.FEATURES, by name) that it can have."""
    materials: tuple[str, ...]
    price: float
    """Typical price."""


def _kinds(department: str, *rows: tuple[str, str, str, str, str, float]) -> tuple[Kind, ...]:
    """Rows: shelf, nouns, words people type, features, materials (words `|`-separated), price."""
    return tuple(_kind(department, shelf, cells, price) for shelf, *cells, price in rows)


def _kind(department: str, shelf: str, cells: list[str], price: float) -> Kind:
    nouns, asked, features, materials = (tuple(cell.split("|")) for cell in cells)
    return Kind(department, shelf, nouns, asked, features, materials, price)


# fmt: off
KINDS: tuple[Kind, ...] = (
    *_kinds(
        "Garden",
        ("Seating", "lounger|deck chair", "sun bed|garden chair|reclining seat|patio chair",
         "foldable|weatherproof|lightweight|stackable|adjustable", "acacia|steel|rattan", 89.0),
        ("Seating", "bench", "garden seat for two|park bench|outdoor bench",
         "foldable|weatherproof|storage|stain_resistant", "acacia|cast iron|teak", 149.0),
        ("Tables", "bistro table|patio table", "garden table|balcony table|outdoor dining table",
         "foldable|weatherproof|stackable|scratch_proof", "steel|teak|acacia", 119.0),
        ("Planting", "planter|trough", "flower pot|plant pot|tub for plants|window box",
         "unbreakable|lightweight|wheeled|weatherproof", "terracotta|zinc|resin", 34.0),
        ("Shade", "parasol", "sun umbrella|garden umbrella|sunshade",
         "adjustable|weatherproof|wheeled|sun_blocking|foldable", "polyester|aluminium", 129.0),
        ("Light", "lantern", "outdoor light|garden lamp|patio light",
         "cordless|dimmable|weatherproof|unbreakable", "brass|glass|steel", 39.0),
        ("Watering", "hose reel", "garden hose|water hose|sprinkler hose",
         "wheeled|lightweight|leakproof", "rubber|vinyl", 54.0),
        ("Fire", "fire bowl|brazier", "fire pit|outdoor fireplace|campfire bowl",
         "foldable|heat_resistant|wheeled|weatherproof", "cast iron|steel", 99.0),
    ),
    *_kinds(
        "Kitchen",
        ("Baking", "baking dish|gratin dish", "oven dish|casserole|lasagne tray|roasting tin",
         "heat_resistant|unbreakable|non_stick|stackable|easy_clean", "glass|stoneware|enamel", 29.0),
        ("Cooking", "skillet|frying pan", "pan for eggs|frypan|saute pan|pancake pan",
         "non_stick|heat_resistant|scratch_proof|lightweight|easy_clean", "cast iron|aluminium", 45.0),
        ("Drinks", "kettle", "tea kettle|water boiler|teapot for the stove",
         "cordless|quiet|insulated|easy_clean", "steel|glass|enamel", 49.0),
        ("Storage", "canister|food box", "food container|meal prep box|tupperware style box|storage jar",
         "leakproof|stackable|unbreakable|heat_resistant|insulated", "glass|steel|bamboo", 18.0),
        ("Preparation", "chopping board", "cutting board|board for bread|carving board",
         "non_slip|easy_clean|scratch_proof|foldable", "oak|bamboo|walnut", 24.0),
        ("Tableware", "mug|beaker", "coffee cup|tea cup|drinking cup",
         "insulated|unbreakable|stackable|leakproof|heat_resistant", "stoneware|porcelain|steel", 14.0),
        ("Preparation", "mixing bowl", "salad bowl|bowl for dough|baking bowl",
         "non_slip|stackable|unbreakable|easy_clean", "steel|glass|ceramic", 22.0),
        ("Tools", "knife block|paring knife", "kitchen knife|vegetable knife|chef knife",
         "magnetic|child_safe|easy_clean|non_slip", "steel|walnut", 39.0),
    ),
    *_kinds(
        "Outdoor",
        ("Camping", "tent|shelter", "camping tent|tent for two|hiking tent",
         "weatherproof|lightweight|sun_blocking|breathable|foldable", "nylon|polyester", 189.0),
        ("Packs", "rucksack", "backpack|hiking bag|daypack|school bag",
         "weatherproof|lightweight|lockable", "nylon|canvas", 79.0),
        ("Sleep", "sleeping bag", "camping bed roll|warm bag for camping|mummy bag",
         "insulated|lightweight|breathable|machine_washable|hypoallergenic", "down|polyester", 99.0),
        ("Drinks", "flask", "water bottle|thermos|drink bottle",
         "insulated|leakproof|lightweight|unbreakable|easy_clean", "steel|glass", 26.0),
        ("Light", "headlamp", "head torch|running light|camping flashlight",
         "cordless|lightweight|dimmable|weatherproof|magnetic", "aluminium|rubber", 32.0),
        ("Clothing", "parka|anorak", "rain jacket|raincoat|hiking jacket|windbreaker",
         "weatherproof|breathable|lightweight|insulated", "nylon|cotton", 139.0),
        ("Picnic", "cool box|hamper", "ice chest|cooler|picnic basket",
         "insulated|wheeled|leakproof|lockable|foldable", "resin|wicker", 64.0),
        ("Cooking", "camp stove", "camping cooker|gas burner|portable hob",
         "foldable|lightweight|heat_resistant", "steel|brass", 59.0),
    ),
    *_kinds(
        "Kids",
        ("Play", "play mat", "crawling mat|baby floor mat|play rug",
         "foldable|machine_washable|non_slip|hypoallergenic|quiet", "cotton|foam", 44.0),
        ("Play", "building blocks", "toy bricks|wooden cubes|construction toy",
         "child_safe|magnetic|easy_clean|quiet", "beech|cork", 27.0),
        ("Furniture", "high chair|toddler seat", "feeding chair|baby chair|booster seat",
         "foldable|adjustable|child_safe|easy_clean|wheeled", "beech|resin", 109.0),
        ("Light", "night light", "bedside glow lamp|baby lamp|sleep light",
         "cordless|dimmable|child_safe|quiet|magnetic", "silicone|glass", 23.0),
        ("Ride", "balance bike|scooter", "first bike|toddler bicycle|kick bike",
         "adjustable|lightweight|foldable|child_safe", "aluminium|birch", 84.0),
        ("School", "lunch box", "snack box|bento box|sandwich tin",
         "leakproof|insulated|easy_clean|unbreakable", "steel|bamboo", 19.0),
        ("Sleep", "cot|cradle", "crib|baby bed|infant bed",
         "wheeled|adjustable|foldable|child_safe|storage", "beech|pine", 199.0),
        ("Storage", "toy chest", "toy box|bin for toys|playroom storage trunk",
         "wheeled|stackable|child_safe|foldable|lockable", "pine|felt|canvas", 49.0),
    ),
    *_kinds(
        "Office",
        ("Desks", "desk|workstation", "writing table|work table|computer table",
         "adjustable|foldable|scratch_proof|storage", "oak|birch|steel", 229.0),
        ("Seating", "task chair|swivel chair", "office chair|desk chair|computer seat",
         "adjustable|breathable|wheeled|quiet|stain_resistant", "mesh|wool|leather", 179.0),
        ("Light", "desk lamp|task light", "reading lamp|table light for work|study lamp",
         "dimmable|cordless|adjustable|magnetic|foldable", "steel|brass", 54.0),
        ("Order", "file box|document case", "paper organiser|folder storage|filing box",
         "stackable|lockable|foldable|weatherproof", "felt|cardboard|steel", 21.0),
        ("Screens", "monitor stand|riser", "screen stand|laptop stand|display shelf",
         "adjustable|foldable|storage|non_slip", "bamboo|aluminium|oak", 36.0),
        ("Writing", "notebook|journal", "diary|writing pad|sketchbook",
         "weatherproof|lockable|lightweight", "linen|leather|paper", 13.0),
        ("Boards", "pin board|white board", "wall board for notes|dry wipe board|notice board",
         "magnetic|wheeled|foldable", "cork|steel|felt", 47.0),
        ("Order", "pedestal|drawer unit", "filing cabinet|under desk drawers|office cupboard",
         "lockable|wheeled|storage|stackable", "steel|birch", 139.0),
    ),
    *_kinds(
        "Textiles",
        ("Throws", "throw|plaid", "blanket|sofa cover blanket|cosy wrap",
         "machine_washable|insulated|lightweight|hypoallergenic|stain_resistant", "wool|cotton|alpaca", 45.0),
        ("Windows", "curtain|drape", "window curtain|window covering|long curtains",
         "sun_blocking|machine_washable|insulated|quiet", "linen|velvet|cotton", 59.0),
        ("Floors", "rug|runner", "carpet|floor mat|hallway carpet",
         "non_slip|machine_washable|stain_resistant|hypoallergenic|weatherproof", "wool|jute|cotton", 129.0),
        ("Cushions", "cushion|bolster", "pillow for the sofa|scatter pillow|seat pad",
         "machine_washable|stain_resistant|weatherproof|hypoallergenic", "linen|velvet", 24.0),
        ("Beds", "duvet|quilt", "bed cover|comforter|winter bedding",
         "hypoallergenic|breathable|insulated|machine_washable|lightweight", "down|cotton|wool", 98.0),
        ("Beds", "bed linen|sheet set", "bed sheets|fitted sheet|pillowcase set",
         "breathable|hypoallergenic|machine_washable", "cotton|linen|bamboo", 64.0),
        ("Bath", "towel", "bath sheet|hand towel|shower towel",
         "lightweight|hypoallergenic|breathable", "cotton|bamboo", 19.0),
        ("Kitchen", "apron", "cooking pinafore|barbecue apron|baker smock",
         "stain_resistant|heat_resistant|machine_washable", "linen|cotton|denim", 28.0),
    ),
    *_kinds(
        "Home",
        ("Light", "floor lamp|uplighter", "standing lamp|living room light|tall lamp",
         "dimmable|adjustable|cordless|quiet", "brass|oak|paper", 119.0),
        ("Storage", "shelf|bookcase", "book shelf|wall rack|shelving unit",
         "adjustable|stackable|scratch_proof|wheeled", "oak|pine|steel", 139.0),
        ("Walls", "mirror", "looking glass|wall mirror|hallway mirror",
         "unbreakable|adjustable|storage", "brass|oak|glass", 79.0),
        ("Walls", "wall clock|timepiece", "kitchen clock|clock for the wall|big clock",
         "quiet|cordless|magnetic", "walnut|steel", 44.0),
        ("Decoration", "vase", "flower vase|vessel for dried flowers|tall jar for flowers",
         "unbreakable|leakproof|non_slip|easy_clean", "glass|stoneware|brass", 32.0),
        ("Laundry", "laundry basket|hamper bin", "clothes basket|washing basket|dirty clothes bin",
         "foldable|wheeled|stackable|breathable", "rattan|cotton|bamboo", 38.0),
        ("Hall", "coat rack|wardrobe stand", "clothes hanger stand|hooks for jackets|coat hooks",
         "wheeled|foldable|storage", "birch|steel", 69.0),
        ("Hall", "shoe cabinet|shoe bench", "shoe rack|trainers storage|boot shelf",
         "stackable|storage|breathable", "pine|bamboo|steel", 88.0),
    ),
)
# fmt: on

DEPARTMENTS: tuple[str, ...] = tuple(dict.fromkeys(kind.department for kind in KINDS))
