"""How large the demo shop is and how its people behave: every number in one place.

Sized so that `debut demo` ends in about two minutes on two cores and its verdicts can be earned: a few
hundred judged queries have a new relevant item, and some hundred users with a past buy in the judge window.
"""

from datetime import datetime

# Calendar. Launches go live on Mondays at 06:00; the log ends on the last Sunday night.
FIRST_MONDAY = datetime(2025, 1, 6)
WEEKS = 20
LAUNCH_HOUR = 6

# Catalogue.
OLD_STOCK_ITEMS = 900
"""Listed in the two years before the log starts."""
LAUNCH_ITEMS = 55
"""Per weekly launch."""
LAUNCH_DEPARTMENTS = 4
"""Departments that take part in one launch, in rotation."""
VARIANT_SHARE = 0.12
"""Items that repeat the one before in another colour, under one group_id."""
TRADE_WORD_SHARE_OLD = 0.10
"""Feature, style or colour written in the shop's trade word rather than a plain one; old stock."""
TRADE_WORD_SHARE_LAUNCH = 0.75
"""The same for launched items, once the word exists."""
LAST_TRADE_WORD_WEEK = 12
"""Every trade word but LATE_WORDS of them is introduced by a launch up to this week."""
LATE_WORDS = 2
"""Feature words introduced in the last two weeks: clicks before the cut-off cannot teach them."""

# People.
USERS = 1_500
SEARCHES_PER_WEEK = 640
"""In week 1; grows to 1.4 times that."""
BROWSED_PURCHASES_PER_WEEK = 350
"""Purchases without a search (categories, mails); the same growth."""
GROWTH = 0.4
LAUNCH_INSPIRED_SHARE = 0.35
"""Searches for something like an item of the last two launches."""
REPEATED_QUERY_SHARE = 0.25
"""Searches whose words somebody used before."""
LIKED_KINDS = 3
"""Kinds of product that a user comes back for."""
KIND_TASTE, FEATURE_TASTE, STYLE_TASTE = 4.5, 4.0, 2.5
"""Utility (log odds) that a liked kind, feature, style adds to an item."""
TYPO_SHARE = 0.08
TRADE_QUERY_SHARE = 0.12
"""Queries that say the trade word, where it exists, rather than a plain one."""
FEATURE_SHARE = 0.85
STYLE_SHARE = 0.45
COLOUR_SHARE = 0.40
"""Queries that ask for a feature, a style, a colour beside the kind of product."""

# The results page that the log was made with.
PAGE = 10
POSITION_BIAS = 0.6
"""P(a person looks at position p) = p ** -POSITION_BIAS: logged as the propensity."""
RANDOM_SLOTS = 2
"""Positions filled with any item of the shop."""
ARRIVAL_BOOST = 0.35
"""Added to an item's page score in its first 14 days, and taken off again after them."""
CLICK_IF_ALL_FITS = 0.85
CLICK_IF_ONE_MISSES = 0.08
CLICK_IF_KIND_FITS = 0.03
CLICK_BY_CHANCE = 0.006
CART_SHARE = 0.2
PURCHASE_SHARE = 0.5
"""Of the carts."""
IMPRESSION_LOG_SHARE = 0.1
"""Searches whose whole page is logged as impressions."""

# Drift: from this week on, DRIFT_SHARE of the queries say the new word of vocabulary.DRIFT_WORDS.
DRIFT_FROM_WEEK = 19
DRIFT_SHARE = 0.4

# Other tables.
REVIEWS = 1_200
DIALOGUES = 1_500

# Bad rows, about 1 % of each table.
BAD_ITEMS = {"duplicate_id": 8, "blank_title": 5, "negative_price": 4, "nan_price": 4, "future_listing": 2}
BAD_EVENTS = {"unknown_item": 180, "unknown_kind": 90, "future_date": 60, "missing_item": 20}
BAD_REVIEWS = {"rating_out_of_range": 6, "blank_text": 4, "unknown_item": 4}
