"""Opinions: topics, the champion's head, surges told in words, and what is thought of each item."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from components.contract.digests import sha256_bytes
from components.contract.errors import MonitoringError
from components.contract.operations import OpinionSettings
from components.contract.task import Task
from components.monitoring import opinions, topics
from components.monitoring.opinions import ITEMS, REVIEWS, opinion_head, roll_up, watch_opinions
from components.monitoring.topics import Topics
from components.tasks.heads import Head

START, CUTOFF, DAYS = datetime(2026, 1, 1), datetime(2026, 3, 12), 100
SUBJECTS = {
    "zip": "zip zipper broken stuck pull",
    "size": "size small tight waist fits",
    "fabric": "fabric cotton soft itchy wash",
}
SETTINGS = OpinionSettings(topics=3, min_reviews=100)
KIND = Task(name="sentiment", says="Sentiment", rows="SELECT 1", text=("text",), head="classification")
TASK = KIND.model_copy(update={"opinions": True})


class WordEncoder:
    """Two dimensions: a text that holds "bad", and one that does not."""

    digest = "words"

    def __init__(self):
        self.encoded = 0

    def encode_items(self, texts):
        self.encoded += len(texts)
        bad = np.array(["bad" in text for text in texts])
        return np.stack([bad, ~bad], axis=1).astype(np.float32)

    encode_queries = encode_items


HEAD = Head(
    TASK, np.array([[9.0, 0.0], [0.0, 9.0]], np.float32), np.zeros(2, np.float32), ("negative", "positive")
)


def reviews_of(surge=True, seed=0):
    """Thirty a day, one in ten negative, about three subjects; for six days after the cut-off, of the zips
    one in two."""
    rng = np.random.default_rng(seed)
    rows = []
    for day in range(DAYS):
        for _ in range(30):
            subject = rng.choice(list(SUBJECTS))
            share = 0.5 if surge and subject == "zip" and 80 <= day < 86 else 0.1
            words = rng.permutation(SUBJECTS[subject].split())[:4].tolist()
            words += ["bad"] if rng.random() < share else ["good"]
            text = " ".join(words) + f" number{len(rows)}"
            rows.append(
                (f"i{rng.integers(40):02d}", START + timedelta(days=day, hours=int(rng.integers(24))), text)
            )
    return pl.DataFrame(rows, ["item_id", "at", "text"], orient="row")


def watched(tmp_path, reviews, cutoff=CUTOFF, settings=SETTINGS, encoder=None, left_out=None):
    encoder, out = encoder or WordEncoder(), tmp_path / "opinions"
    return watch_opinions(reviews, HEAD, left_out or {}, encoder, "D", cutoff, "english", settings, out)


def test_a_surge_of_negatives_on_a_topic_is_told_in_words(tmp_path):
    """With its topic's words, days, counts and examples; without the surge there is none."""
    report = watched(tmp_path, reviews_of())
    [surge] = {one.topic: one for one in report.surges}.values()
    assert {"zip", "zipper"} & set(surge.topic)
    assert START + timedelta(days=78) <= surge.since <= surge.until <= START + timedelta(days=86)
    assert surge.negatives > 2 * surge.usual
    assert surge.examples and all("bad" in text and "zip" in text for text in surge.examples)
    assert surge.sentence in report.sentence and "calibrated to 1 false alarms a year" in report.sentence
    assert 0 < report.false_alarms_per_year <= 1
    calm = watched(tmp_path / "calm", reviews_of(surge=False))
    assert not calm.surges and calm.sentence.startswith("No surge of negatives in 900 reviews")


def test_topics_and_counts_are_of_the_stream(tmp_path):
    """Each subject is a topic of its own; negatives are by the head's word."""
    reviews = reviews_of()
    report = watched(tmp_path, reviews)
    assert report.reviews == 900 and len(report.topics) == 3
    named = [
        next(s for s, words in SUBJECTS.items() if one.topic[0] in words.split()) for one in report.topics
    ]
    assert sorted(named) == sorted(SUBJECTS)
    stream = reviews.filter(pl.col("at") >= CUTOFF)
    for subject, topic in zip(named, report.topics, strict=True):
        mine = stream.filter(pl.col("text").str.contains_any(SUBJECTS[subject].split()))
        assert abs(topic.reviews - len(mine)) <= 0.05 * len(mine)
        assert abs(topic.negatives - mine["text"].str.contains("bad").sum()) <= 3


def test_what_the_head_learned_is_read_by_who_had_not(tmp_path):
    """So is what is usual: where these read more as negative, a surge has to be larger."""
    reviews = reviews_of()
    learned = reviews.filter(pl.col("at") < CUTOFF)["text"].to_list()
    left_out = {
        sha256_bytes(text.encode()): [0.9, 0.1] if "bad" in text or n % 3 == 0 else [0.2, 0.8]
        for n, text in enumerate(learned)
    }
    encoder = WordEncoder()
    report = watched(tmp_path, reviews, encoder=encoder, left_out=left_out)
    assert encoder.encoded == len(reviews) - len(learned) and not report.surges
    read = pl.read_parquet(tmp_path / "opinions" / REVIEWS).filter(pl.col("at") < CUTOFF)
    assert 0.35 < read["negative"].mean() < 0.45
    assert watched(tmp_path / "as_labelled", reviews).surges


def test_texts_are_read_once_and_topics_stay(tmp_path):
    """A second look encodes only what is new, and numbers the topics alike."""
    encoder, reviews = WordEncoder(), reviews_of()
    first = watched(tmp_path, reviews.head(2_900), encoder=encoder)
    assert encoder.encoded == 2_900
    second = watched(tmp_path, reviews, encoder=encoder)
    assert encoder.encoded == 3_000
    assert [one.topic for one in first.topics] == [one.topic for one in second.topics]
    assert len(pl.read_parquet(tmp_path / "opinions" / REVIEWS)) == 3_000
    watched(tmp_path, reviews, settings=SETTINGS.model_copy(update={"topics": 2}), encoder=encoder)
    assert encoder.encoded == 6_000  # the topics are others, so all is read again
    assert Topics.load(tmp_path / "opinions").count == 2


@pytest.mark.parametrize("place", ["write_json", "write_bytes", "after"])
@pytest.mark.parametrize("before", [None, 3])
def test_a_kill_while_topics_are_written_is_mended_by_the_next_look(tmp_path, monkeypatch, place, before):
    """At their first time, and when fewer are wanted than there were."""
    reviews, wanted = reviews_of().tail(2_000), SETTINGS.model_copy(update={"topics": 2})
    if before:
        watched(tmp_path, reviews)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        if place == "after":
            patched.setattr(opinions, "_read", killed)
        else:
            patched.setattr(topics, place, killed)
        watched(tmp_path, reviews, settings=wanted)
    again = watched(tmp_path, reviews, settings=wanted)
    assert again == watched(tmp_path / "fresh", reviews, settings=wanted)


def test_without_a_negative_before_the_cutoff_nothing_is_usual(tmp_path):
    """A threshold from nothing would alarm at the first negative."""
    good = pl.col("text").str.replace("bad", "good")
    reviews = reviews_of().with_columns(
        text=pl.when(pl.col("at") < CUTOFF).then(good).otherwise(pl.col("text"))
    )
    report = watched(tmp_path, reviews)
    assert (report.surges, report.false_alarms_per_year) == ((), None)
    assert "No review before the cut-off is read as negative" in report.sentence


def test_fewer_topics_than_were_wanted_are_learnt_once(tmp_path):
    """Texts of few words have no more."""
    encoder, wanted = WordEncoder(), SETTINGS.model_copy(update={"topics": 90})
    for _ in range(2):
        watched(tmp_path, reviews_of(), settings=wanted, encoder=encoder)
    assert encoder.encoded == 3_000


def test_an_items_sentiment_is_shrunk_by_how_few_reviews_it_has(tmp_path):
    """Of items that truly differ the shrunk means lie nearer to the truth than the plain ones."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0.3, 0.3, 200)
    counts = rng.integers(1, 12, 200)
    rows = [
        (f"i{item:03d}", float(rng.normal(truth[item], 0.8)), START)
        for item in range(200)
        for _ in range(counts[item])
    ]
    read = pl.DataFrame(rows, ["item_id", "score", "at"], orient="row")
    found = roll_up(read, None)
    plain = read.group_by("item_id").agg(pl.col("score").mean()).sort("item_id")["score"].to_numpy()
    shrunk = found["sentiment"].to_numpy()
    assert found["reviews"].to_list() == counts.tolist()
    assert np.mean((shrunk - truth) ** 2) < 0.6 * np.mean((plain - truth) ** 2)
    one = found.filter(pl.col("reviews") == 1)["sentiment"].to_numpy()
    assert one.std() < shrunk[counts > 8].std()


def test_what_is_judged_after_the_cutoff_may_read_only_what_was_before(tmp_path):
    """sentiment_before is what it was without later reviews; an item without earlier ones has the mean."""
    reviews = reviews_of()
    late = pl.DataFrame({"item_id": ["late"], "at": [CUTOFF], "text": ["bad zip"]}, schema=reviews.schema)
    watched(tmp_path, pl.concat([reviews, late]))
    items = pl.read_parquet(tmp_path / "opinions" / ITEMS)
    watched(tmp_path / "early", reviews.filter(pl.col("at") < CUTOFF))
    early = pl.read_parquet(tmp_path / "early" / "opinions" / ITEMS)
    both = items.join(early, on="item_id")
    assert len(both) == 40
    assert both["sentiment_before"].to_list() == pytest.approx(both["sentiment_right"].to_list())
    [row] = items.filter(pl.col("item_id") == "late").to_dicts()
    assert row["reviews_before"] == 0 and row["reviews"] == 1
    read = pl.read_parquet(tmp_path / "early" / "opinions" / REVIEWS)
    assert row["sentiment_before"] == pytest.approx(read["score"].mean())


def test_undated_and_short_histories_are_counted_but_not_watched(tmp_path):
    """And too few reviews are refused with what to do."""
    undated = reviews_of().with_columns(at=pl.lit(None, dtype=pl.Datetime("us")))
    report = watched(tmp_path, undated, cutoff=None)
    assert report.surges == () and "undated" in report.sentence and report.reviews == 3_000
    assert report.false_alarms_per_year is None
    of_dated = watched(tmp_path / "dated", undated)  # the shop's items and events have dates
    assert of_dated.surges == () and "undated" in of_dated.sentence and of_dated.reviews == 3_000
    short = watched(tmp_path / "short", reviews_of().filter(pl.col("at") >= CUTOFF - timedelta(days=9)))
    assert "9 of the last 9 days" in short.sentence and "opinions.min_days" in short.sentence
    with pytest.raises(MonitoringError, match=r"fewer than the 100 of opinions\.min_reviews"):
        watched(tmp_path / "few", reviews_of().head(50))
    same = pl.DataFrame({"item_id": "i", "at": START, "text": [f"w{n}" for n in range(200)]})
    with pytest.raises(MonitoringError, match="share too few words"):
        watched(tmp_path / "words", same)


def test_as_many_days_as_are_asked_for_are_watched_in_a_growing_shop(tmp_path):
    """Its last 70 days have far more reviews than those before; a base holds no more than a year."""
    reviews = reviews_of()
    early = reviews.filter(pl.col("at") < CUTOFF).with_columns(at=pl.col("at") - timedelta(days=70))
    reviews = pl.concat([early.gather_every(10), reviews])
    report = watched(tmp_path, reviews, settings=SETTINGS.model_copy(update={"min_days": 100}))
    assert report.false_alarms_per_year is not None, report.sentence
    assert OpinionSettings(min_days=365).min_days == 365
    with pytest.raises(ValidationError, match="less than or equal to 365"):
        OpinionSettings(min_days=366)


def test_a_head_that_does_not_tell_negative_from_positive_is_none_for_this():
    other, silent = Head(TASK, HEAD.weights, HEAD.bias, ("bad", "good")), replace(HEAD, task=KIND)
    assert opinion_head({"kind": silent, "content": HEAD}) is HEAD
    assert opinion_head({"sentiment": other}) is opinion_head({"sentiment": silent}) is None
    assert opinion_head({}) is None
