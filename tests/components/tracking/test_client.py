import os

import pytest
from sqlalchemy.exc import OperationalError

from components.contract.errors import StorageError, TrackingError
from components.tracking.client import MlflowException, connect, mlflow_errors, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://mia:pass@mlflow.shop/x", "https://…@mlflow.shop/x"),
        ("postgresql://u:p@ss@db:5432/mlflow", "postgresql://…@db:5432/mlflow"),
        ("s3://bucket/key?X-Amz-Signature=abc", "s3://bucket/key?…"),
        ("two: http://a:b@c and http://d:e@f?g", "two: http://…@c and http://…@f?…"),
        ("https://mlflow.shop:5000/a", "https://mlflow.shop:5000/a"),
        ("mail mia@shop.com, why?", "mail mia@shop.com, why?"),
    ],
)
def test_secrets_leave_uris(text, shown):
    """User names, passwords and query parts are cut out of URIs; other text stays."""
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("request to http://mia:pass@host failed\nlong trace"),
        OperationalError("SELECT", {}, Exception("http://mia:pass@host gone")),
        OSError(28, "No space left on device"),
    ],
)
def test_errors_are_one_sentence_without_secrets(error):
    """What MLflow raises becomes a TrackingError that names the store and no password, also in its chain."""
    with pytest.raises(TrackingError) as caught, mlflow_errors("http://mia:pass@host"):
        raise error
    assert str(caught.value).startswith("MLflow at http://…@host: ")
    assert "pass" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_other_errors_are_ours(make_settings):
    """A defect of ours is not dressed up as MLflow's."""
    with pytest.raises(ZeroDivisionError), mlflow_errors("http://host"):
        raise ZeroDivisionError


def test_default_store_is_in_the_workspace(make_settings, workspace):
    """Without a URI the store is SQLite, and artifacts are files, both in the workspace."""
    connection = connect(make_settings(), workspace)
    assert connection.uri == f"sqlite:///{workspace}/mlflow.db"
    assert connection.artifacts == (workspace / "mlartifacts").as_uri()


def test_unusable_uri_is_one_sentence(make_settings, workspace):
    """A scheme that MLflow does not know is refused with its name."""
    with pytest.raises(TrackingError, match=r"MLflow at gopher://…@host.*tracking.uri"):
        connect(make_settings("gopher://mia:pass@host"), workspace)


def test_workspace_that_cannot_be_made(make_settings, tmp_path):
    """A file in the workspace's place is a StorageError with its path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        connect(make_settings(), tmp_path / "file" / "workspace")


def test_telemetry_is_off():
    """MLflow's usage data is not sent; the user's own choice would stay."""
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
