"""How long a search may go on, and how many trials at a time. Imports nothing heavy."""

import math
import threading
import time
from dataclasses import dataclass, field

from components.contract.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    ends: float
    """By time.monotonic."""
    trials: int | None
    """Finished ones of the study, those of earlier calls included; None: no limit."""
    parallel: int
    stop: threading.Event = field(default_factory=threading.Event)
    """Set to end the running trials before their time."""

    def over(self) -> bool:
        return self.stop.is_set() or time.monotonic() >= self.ends

    def room(self, finished: int, running: int) -> bool:
        """Whether another trial may begin."""
        enough = self.trials is not None and finished + running >= self.trials
        return not self.over() and not enough and running < self.parallel


def limits_of(minutes: float, trials: int | None, parallel: int) -> Limits:
    """The clock starts now. Raises ConfigError."""
    if not (minutes > 0 and math.isfinite(minutes)):
        raise ConfigError(f"--minutes is {minutes:g}: give the search more than 0 minutes, such as 60.")
    if trials is not None and trials < 1:
        raise ConfigError(
            f"--trials is {trials}: a search needs at least 1 trial; leave it out for no limit."
        )
    if parallel < 1:
        raise ConfigError(f"--parallel is {parallel}: at least 1 trial runs at a time.")
    return Limits(time.monotonic() + 60 * minutes, trials, parallel)
