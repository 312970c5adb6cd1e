"""The sections of debut.yaml that say how a team operates the loop: review, monitoring, chat, cost.

They change no release, so they are part neither of a run's fingerprint nor of a candidate.
"""

import math
from collections import Counter
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from components.contract.section import Section, Seed

ChatRole = Literal["reader", "operator", "approver"]
"""reader: asks; operator: retrains and rolls back too; approver: approves and rejects too."""


class ReviewSettings(Section):
    """A review is of one run and one D; an approval, a rejection, expiry or a newer challenger ends it."""

    days: float = Field(default=7.0, gt=0)
    """After so many days without an answer the challenger is rejected ("review expired")."""
    four_eyes: bool = False
    """Who approves must be known, and not be who asked for the run."""
    people: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Per person the ids that are theirs: login names, "slack:U0123ABCD", "mattermost:<user id>". With
    four_eyes it tells whether a login and a chat user are one person."""

    @field_validator("people")
    @classmethod
    def _one_person_per_id(cls, people: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        counts = Counter(one for ids in people.values() for one in set(ids))
        shared = next((one for one, count in counts.items() if count > 1), None)
        if shared is not None:
            named = " and ".join(name for name, ids in people.items() if shared in ids)
            raise ValueError(f"the id {shared} stands under {named}; an id is one person's")
        return people


class CostSettings(Section):
    """What energy is estimated with, where the machine's counters cannot be read. The reports say so."""

    watts_per_core: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    """Per core at work, memory and board included: about a server's power ÷ its cores."""
    watts_per_gpu: float = Field(default=400.0, gt=0, allow_inf_nan=False)


class MonitoringSettings(Section):
    window_hours: int = Field(default=24, ge=24)
    """Traffic of so many hours is judged at a time: no less than a day, by which alarms are calibrated."""
    min_rows: int = Field(default=200, ge=20)
    """Windows with fewer answered requests (or, of the catalogue, items) read "not judged"."""
    false_alarm_rate: float = Field(default=0.05, gt=0, lt=0.5)
    """Per window, over all metrics together: how often a window without drift raises an alarm. The days of a
    reference allow no lower rate than 1 in their number and one more: then that one is kept, and told."""
    resamples: int = Field(default=500, ge=100)
    """Windows drawn from the reference by day blocks to calibrate the alarms."""
    new_item_days: int = Field(default=30, ge=1)
    """An item counts as new for so many days after it was listed."""
    debounce_hours: float = Field(default=24.0, ge=0)
    """After a drift event none follows for so long, however often the alarm repeats."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _enough_resamples(self) -> Self:
        if self.false_alarm_rate * (self.resamples + 1) < 1.0:
            raise ValueError(
                f"resamples: {self.resamples} are too few for a false_alarm_rate of "
                f"{self.false_alarm_rate:g}; set at least {math.ceil(1.0 / self.false_alarm_rate)}"
            )
        return self


class OpinionSettings(Section):
    """What `debut monitor` looks for in reviews, where the champion answers a task of `opinions`."""

    topics: int = Field(default=10, ge=2, le=100)
    odds: float = Field(default=2.0, gt=1, le=20)
    """A surge is looked for that multiplies the usual odds of a negative review about a topic by this; larger
    ones are seen sooner, smaller ones later or not."""
    false_alarms_per_year: float = Field(default=1.0, gt=0, le=52)
    """Over all topics together, by simulation from the days before the cut-off."""
    min_days: int = Field(default=28, ge=14, le=365)
    """Days with reviews before the cut-off that are needed to know what is usual."""
    min_reviews: int = Field(default=200, ge=20)
    """Reviews before the cut-off that topics are learnt from."""
    seed: Seed = 0


class ChatSettings(Section):
    """Secrets are environment variables: DEBUT_SLACK_SIGNING_SECRET, DEBUT_SLACK_BOT_TOKEN,
    DEBUT_MATTERMOST_TOKEN."""

    roles: dict[str, ChatRole] = Field(default_factory=dict)
    """Role per chat user, by the chat's own user id ("U0123ABCD"); others may do nothing."""
    channel: str | None = None
    """A Slack channel: where results are posted that no chat command asked for."""
    api_url: str = "https://slack.com/api/"
    """Slack's Web API."""
    webhooks: tuple[str, ...] = ()
    """Addresses that get a JSON body {"text": …} for every retrain's end, waiting challenger, decision and
    drift verdict. Incoming webhooks of Mattermost take it: so a team without Slack hears the results."""
    max_age_seconds: int = Field(default=300, ge=10)
    """A signed request that is older is refused; so long a nonce is remembered."""
