"""Addresses, S3 options and errors of LanceDB; S3 is moto's server."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import lancedb
import pytest

from components.contract.errors import ConfigError, StorageError
from components.contract.live import LiveItem
from components.index.items_table import ItemsTable

pytestmark = pytest.mark.filterwarnings("error::DeprecationWarning")


def put(item_id, title="mug", **more):
    return LiveItem(item_id=item_id, title=title, **more)


@pytest.mark.parametrize("address", ["gs://bucket/live", "db://live", "s3://", "s3:///prefix"])
def test_other_addresses_are_refused(address):
    """A configuration error that names the address."""
    with pytest.raises(ConfigError, match=address):
        ItemsTable.open(address)


def test_a_file_in_the_folders_place_is_reported(tmp_path):
    """StorageError with the path."""
    (tmp_path / "live").write_text("a file")
    with pytest.raises(StorageError, match=r"live: .*\."):
        ItemsTable.open(str(tmp_path / "live"))


def test_a_damaged_table_is_reported(table):
    """One sentence, without the place in Lance's source."""
    table.upsert([put("a")])
    for path in Path(table._uri).rglob("*.lance"):
        if path.is_file():
            path.write_bytes(b"damaged")
    with pytest.raises(StorageError, match="could not read or write") as caught:
        ItemsTable.open(table._uri).get("a")
    assert ".rs" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_table_that_was_removed_is_reported(table):
    """StorageError, not a traceback of LanceDB's."""
    lancedb.connect(table._uri).drop_table("items")
    with pytest.raises(StorageError, match=table._uri):
        table.upsert([put("a")])


def test_the_endpoint_for_s3_goes_before_the_general_one(bucket, moto_url, monkeypatch):
    """AWS_ENDPOINT_URL_S3, as with boto3."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto_url)
    assert ItemsTable.open(bucket).count() == 0


@pytest.mark.parametrize("name", ["endpoint", "AWS_ENDPOINT_URL", "aws_secret_access_key", "region", "token"])
def test_what_boto3_reads_is_no_option(bucket, name):
    """The environment alone says where the bucket is; the value is not shown."""
    with pytest.raises(ConfigError, match=f"{name.lower()} is no option here") as caught:
        ItemsTable.open(bucket, {name: "hidden"})
    assert "hidden" not in str(caught.value)


def test_a_region_is_not_needed_with_an_endpoint(bucket, monkeypatch):
    """A store that is not Amazon's has none."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert ItemsTable.open(bucket).count() == 0


def test_an_absent_bucket_is_named(bucket):
    """StorageError."""
    with pytest.raises(StorageError, match="s3://absent/x: there is no such bucket"):
        ItemsTable.open("s3://absent/x")


def test_missing_credentials_are_explained(bucket, tmp_path, monkeypatch):
    """The sentence says which variables to set."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    with pytest.raises(StorageError, match="Set AWS_ACCESS_KEY_ID"):
        ItemsTable.open(bucket)


def test_an_endpoint_that_is_away_is_explained(bucket, monkeypatch):
    """Nobody listens there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="does not answer"):
        ItemsTable.open(bucket, {"client_max_retries": "0"})


def test_refused_access_is_explained(bucket, monkeypatch):
    """403 points at credentials and policy."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(403)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    with pytest.raises(StorageError, match="access denied"):
        ItemsTable.open(bucket)
    server.shutdown()
    server.server_close()


def test_http_to_another_machine_needs_leave(bucket, monkeypatch):
    """Without AWS_ALLOW_HTTP nothing is sent; the sentence shows no password of the address."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:secret@storage.invalid:9000")
    with pytest.raises(ConfigError, match=r"storage\.invalid:9000 is not encrypted") as caught:
        ItemsTable.open(bucket)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with pytest.raises(StorageError, match="does not answer"):
        ItemsTable.open(bucket, {"client_max_retries": "0"})


def test_a_store_on_this_machine_may_be_spoken_to_by_name(bucket, moto_url, monkeypatch):
    """localhost is loopback, too."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url.replace("127.0.0.1", "localhost"))
    assert ItemsTable.open(bucket).count() == 0
