"""MLflow's server as containers run it: records and users on Postgres, artifacts on S3."""

import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ADMIN = "also-of-this-test"


def is_healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def s3(moto_url: str) -> dict[str, str]:
    """Environment that reaches an S3 endpoint with the bucket `debut`."""
    import boto3

    boto3.client(
        "s3", endpoint_url=moto_url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    ).create_bucket(Bucket="debut")
    return {
        "MLFLOW_S3_ENDPOINT_URL": moto_url,
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.fixture(scope="module")
def server(
    postgres: str,
    s3: dict[str, str],
    free_port: Callable[[], int],
    tmp_path_factory: pytest.TempPathFactory,
    environment: Any,
    eventually: Any,
) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    secrets = {
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "x" * 32,
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "A" * 43 + "=",
        "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://{postgres}/mlflow",
        "MLFLOW_AUTH_DATABASE_URI": f"postgresql+psycopg2://{postgres}/mlflow_users",
    }
    for name, secret in secrets.items():
        (folder / name).write_text(secret)
    variables = environment(
        **s3,
        **{f"{name}_FILE": str(folder / name) for name in secrets},
        MLFLOW_PORT=str(port),
        MLFLOW_STATE=str(folder / "state"),
        MLFLOW_ARTIFACTS_DESTINATION="s3://debut/mlflow",
        MLFLOW_SERVER_ALLOWED_HOSTS=f"127.0.0.1:{port}",
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["sh", str(ROOT / "mlflow" / "start.sh")], env=variables, stdout=log, stderr=log, cwd=folder
        )
    try:
        address = f"http://127.0.0.1:{port}"
        up = eventually(lambda: is_healthy(f"{address}/health") or process.poll() is not None, 180)
        assert up, (folder / "log").read_text()
        assert process.poll() is None, (folder / "log").read_text()
        yield address
    finally:
        process.terminate()
        process.wait(60)


def refusal(tmp_path: Path, hosts: str) -> str:
    """What start.sh says about these hosts; without MLFLOW_STATE it ends before it starts a server."""
    variables = {
        "PATH": os.environ["PATH"],
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "x" * 32,
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "A" * 43 + "=",
        "MLFLOW_BACKEND_STORE_URI": "sqlite:///nowhere.db",
        "MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path),
        "MLFLOW_SERVER_ALLOWED_HOSTS": hosts,
    }
    done = subprocess.run(
        ["sh", str(ROOT / "mlflow" / "start.sh")],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize(
    "hosts", ["*", "mlflow:5000,*", "*, mlflow:5000", "a.org,*:5000", "**", "[::]:*,*:*"]
)
def test_every_host_is_never_allowed(tmp_path: Path, hosts: str) -> None:
    """MLflow takes one element * for all hosts, whatever else is named."""
    assert "MLFLOW_SERVER_ALLOWED_HOSTS must name hosts, not *." in refusal(tmp_path, hosts)


@pytest.mark.parametrize(
    "hosts", ["mlflow:5000,localhost:5000", "*.example.org:*", "mlflow:*,10.0.*", "[::1]:5000"]
)
def test_named_hosts_are_allowed(tmp_path: Path, hosts: str) -> None:
    told = refusal(tmp_path, hosts)
    assert "MLFLOW_STATE" in told  # the next thing that is missing
    assert "must name hosts" not in told


@pytest.mark.slow
def test_a_file_goes_through_the_server_to_s3_and_back(
    server: str, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The client has a login of MLflow's and no key of the store."""
    import boto3
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN)
    client = MlflowClient(server, server)
    run = client.create_run(client.create_experiment("mugs"))
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    (tmp_path / "report.json").write_text("{}")
    client.log_artifact(run.info.run_id, str(tmp_path / "report.json"))
    client.log_metric(run.info.run_id, "recall", 0.5)

    store = boto3.client(
        "s3", endpoint_url=s3["AWS_ENDPOINT_URL"], region_name="us-east-1",
        aws_access_key_id="x", aws_secret_access_key="x",
    )  # fmt: skip
    keys = [each["Key"] for each in store.list_objects_v2(Bucket="debut")["Contents"]]
    assert [key for key in keys if key.startswith("mlflow/") and key.endswith("/report.json")]
    got = client.download_artifacts(run.info.run_id, "report.json", str(tmp_path))
    assert Path(got).read_text() == "{}"
    assert client.get_run(run.info.run_id).data.metrics == {"recall": 0.5}


@pytest.mark.slow
def test_users_are_in_postgres(server: str, postgres: str) -> None:
    """So that they survive the container."""
    import sqlalchemy

    assert server
    with sqlalchemy.create_engine(f"postgresql+psycopg2://{postgres}/mlflow_users").connect() as connection:
        assert connection.execute(sqlalchemy.text("select username from users")).scalars().all() == ["admin"]
