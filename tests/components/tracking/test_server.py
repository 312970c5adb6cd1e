"""The same adapter against a real `mlflow server` on a loopback port."""

import os
import queue
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import pytest
from cryptography.fernet import Fernet

from components.contract.errors import TrackingError
from components.tracking.client import connect
from components.tracking.registry import mirror_aliases, register
from components.tracking.run import start
from components.tracking.webhook import ensure_webhook, is_genuine


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path):
    """The address of a fresh server; its database and artifacts are in `tmp_path`."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # A webhook on loopback, which MLflow refuses by default.
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
    }
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1)
            break
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            time.sleep(0.1)
    yield url
    os.killpg(process.pid, 15)
    process.wait(timeout=30)


@pytest.mark.slow
def test_server_holds_run_model_and_alias(
    server, make_settings, tmp_path, candidate_folder, make_card, capfd
):
    """Over HTTP: a run with files, a version that loads by its alias and answers, and the run's page; nothing
    is printed, and the workspace holds no store of its own."""
    settings = make_settings(server)
    workspace = tmp_path / "workspace"
    with start(settings, workspace) as tracker:
        tracker.metrics({"a": 1})
        tracker.files("code", [Path(__file__)])
        register(tracker, candidate_folder, make_card())
    mirror_aliases(tracker.connection, "demo", {"champion": "d" * 64})
    assert tracker.url == f"{server}/#/experiments/{tracker.experiment_id}/runs/{tracker.run_id}"
    assert not workspace.exists()
    assert capfd.readouterr().out == ""
    mlflow.set_tracking_uri(server)
    [answer] = mlflow.pyfunc.load_model("models:/demo@champion").predict(["red steel chair"])
    assert {hit.item_id for hit in answer} == set("abcde")


@pytest.mark.slow
def test_a_set_tag_is_told_by_a_signed_webhook(server, make_settings, tmp_path, candidate_folder, make_card):
    """MLflow's deliveries pass the check with the webhook's secret and with no other; asking twice for the
    webhook leaves one."""
    settings, told = make_settings(server), queue.Queue()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    listener = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{listener.server_port}/hooks/mlflow"
    connection = connect(settings, tmp_path)
    try:
        for secret in ("first", "second"):
            ensure_webhook(connection, "debut-demo", url, secret)
        assert [hook.name for hook in connection.client.list_webhooks()] == ["debut-demo"]
        with start(settings, tmp_path) as tracker:
            register(tracker, candidate_folder, make_card())
        connection.client.set_model_version_tag("demo", "1", "review", f"approved:{'d' * 12}")
        heard = [told.get(timeout=30)]
        while b"approved" not in heard[-1][1]:
            heard.append(told.get(timeout=30))
    finally:
        listener.shutdown()
    headers, body = heard[-1]
    assert is_genuine("second", headers, body, time.time())
    assert not is_genuine("first", headers, body, time.time())
    assert not is_genuine("second", headers, body + b" ", time.time())
    assert not is_genuine("second", headers, body, time.time() + 301)
    assert not is_genuine("second", {}, body, time.time())


def test_unreachable_server_is_one_sentence(make_settings, workspace, monkeypatch):
    """A server that does not answer ends in one sentence that names it without the password."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings = make_settings(f"http://mia:pass@127.0.0.1:{free_port()}")
    with pytest.raises(TrackingError) as caught, start(settings, workspace):
        pass
    assert "MLflow at http://…@127.0.0.1" in str(caught.value)
    assert "pass@" not in str(caught.value)
    assert "\n" not in str(caught.value)
