"""What the libraries may print."""

import logging
import os

import pytest

from flows.embedded import prepare_environment


@pytest.mark.parametrize(("debug", "shown"), [(False, False), (True, True)])
def test_the_events_workers_warning_is_for_debugging(
    monkeypatch: pytest.MonkeyPatch, debug: bool, shown: bool
) -> None:
    """Prefect's "Still processing items", by a logger of its own name, says nothing to a user."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    logger = logging.getLogger("EventsWorker")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    logger.manager._clear_cache()  # type: ignore[attr-defined]  # the level was set behind its back
    prepare_environment(debug)
    assert logger.isEnabledFor(logging.WARNING) is shown
    logger.setLevel(logging.NOTSET)
