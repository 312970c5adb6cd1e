"""Prefect's server as the command line meets it: asked for before a flow begins, failures as sentences."""

import contextvars
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

from components.contract.errors import ConfigError, DebutError, StorageError


class PrefectServer:
    """The server of the flows that follow: embedded, or the one that PREFECT_API_URL names.

    Asked for in a thread when this is made: the embedded one takes 8-18 s to start on a fresh database, and
    the command imports torch and the rest meanwhile. The end of the process waits for the thread, so that the
    embedded server is always stopped.
    """

    def __init__(self) -> None:
        self._problem: Exception | None = None
        self._asking = threading.Thread(
            # Prefect keeps its settings in a context variable, and a thread starts with none.
            target=contextvars.copy_context().run,
            args=(self._ask,),
            name="prefect server",
        )
        self._asking.start()

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Around a flow's call; waits for the server first. Raises ConfigError where the server that
        PREFECT_API_URL names is away, StorageError where the embedded one fails, mostly for want of disk."""
        self._asking.join()
        if self._problem is not None:
            raise _failed(self._problem) from self._problem
        try:
            yield
        except (PrefectHTTPStatusError, httpx.TransportError) as error:
            raise _first_told(error) or _failed(error) from error

    def _ask(self) -> None:
        try:
            with get_client(sync_client=True) as client:  # starts the embedded server
                self._problem = client.api_healthcheck()
        except (RuntimeError, httpx.HTTPError) as error:  # it did not start
            self._problem = error


def _failed(error: Exception) -> DebutError:
    told = " ".join(str(error).split()).partition(" - ")[0].rstrip(".") or type(error).__name__
    url = os.environ.get("PREFECT_API_URL")
    if url:
        from components.tracking.client import without_secrets  # imports MLflow, which takes seconds

        sentence = without_secrets(f"Prefect's server at {url} failed: {told}")
        return ConfigError(
            f"{sentence}. Start it, correct PREFECT_API_URL, or unset it to run without a server."
        )
    home = os.environ.get("PREFECT_HOME", "PREFECT_HOME")
    return StorageError(f"Prefect's own server in {home} failed: {told}. Free space there, then run again.")


def _first_told(error: BaseException) -> BaseException | None:
    """What Prefect was reporting when its server failed too: a failure of ours, or that we are to end: a
    signal to the whole process group ends the embedded server first."""
    cause: BaseException | None = error
    while cause is not None and isinstance(cause, Exception) and not isinstance(cause, DebutError):
        cause = cause.__cause__ or cause.__context__
    return cause
