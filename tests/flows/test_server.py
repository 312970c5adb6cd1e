"""What a command ends with when Prefect's server fails under it."""

import httpx
import pytest

from components.contract.errors import DataError, StorageError
from flows.server import PrefectServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> PrefectServer:
    """Asked for nothing: what happens after the server was ready."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(PrefectServer, "_ask", lambda _self: None)
    return PrefectServer()


@pytest.mark.parametrize("told", [SystemExit(143), KeyboardInterrupt(), DataError("row 3 is bad")])
def test_what_the_flow_ended_with_is_told_and_not_the_lost_server(
    server: PrefectServer, told: BaseException
) -> None:
    """A signal to the process group ends the embedded server too; a full disk is not the reason."""
    with pytest.raises(type(told)) as caught, server.ready():
        raise httpx.ConnectError("refused") from told  # Prefect could not report how the flow ended
    assert caught.value is told


def test_a_server_that_is_lost_by_itself_is_a_sentence(server: PrefectServer) -> None:
    with pytest.raises(StorageError, match="Prefect's own server"), server.ready():
        raise httpx.ConnectError("refused")
