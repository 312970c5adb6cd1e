"""The S3 adapter against a real HTTP endpoint: moto, behind a proxy that breaks connections."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from components.contract.errors import ConfigError, StorageError
from components.data import s3
from components.data.storage import content_digest, fetch, open_store

CONTENT = os.urandom(3_000_000)


@pytest.fixture
def uri(bucket: Any) -> str:
    bucket.put_object(Key="data/items.csv", Body=CONTENT)
    return f"s3://{bucket.name}/data/items.csv"


def finished(cache: Path) -> list[Path]:
    """Whole objects in the cache."""
    return [path for path in cache.iterdir() if path.is_file()]


def partial(cache: Path) -> list[Path]:
    return list(cache.glob("partial/*.part"))


def test_an_object_is_cached_under_the_digest_of_its_content(uri: str, tmp_path: Path) -> None:
    """fetch returns cache/<sha256>, which holds the object's bytes, and leaves no partial file."""
    path = fetch(uri, tmp_path)
    assert path == tmp_path / hashlib.sha256(CONTENT).hexdigest()
    assert path.read_bytes() == CONTENT
    assert partial(tmp_path) == []


def test_an_unchanged_object_is_not_downloaded_again(uri: str, endpoint: Any, tmp_path: Path) -> None:
    """The second fetch asks HEAD and no GET."""
    first = fetch(uri, tmp_path)
    assert fetch(uri, tmp_path) == first
    assert len(endpoint.gets()) == 1


def test_a_changed_object_is_downloaded_again(uri: str, bucket: Any, tmp_path: Path) -> None:
    """New content gives a new file beside the old one."""
    first = fetch(uri, tmp_path)
    bucket.put_object(Key="data/items.csv", Body=b"id,title\n")
    second = fetch(uri, tmp_path)
    assert second.read_bytes() == b"id,title\n"
    assert first.read_bytes() == CONTENT


def test_a_cached_file_that_was_deleted_or_cut_is_downloaded_again(uri: str, tmp_path: Path) -> None:
    """The index alone is not trusted: the file must be there and have the right size."""
    path = fetch(uri, tmp_path)
    path.write_bytes(b"cut")
    assert fetch(uri, tmp_path).read_bytes() == CONTENT


def test_an_empty_object_is_fetched(bucket: Any, tmp_path: Path) -> None:
    """Nothing to download is no error here; the reader of the file says that it is empty."""
    bucket.put_object(Key="empty", Body=b"")
    assert fetch(f"s3://{bucket.name}/empty", tmp_path).read_bytes() == b""


def test_an_object_uploaded_in_parts_is_fetched(bucket: Any, tmp_path: Path) -> None:
    """Its ETag is no MD5, so only ETag and size are compared."""
    body = os.urandom(6_000_000)
    upload = bucket.Object("parts").initiate_multipart_upload()
    etags = [
        {"PartNumber": number, "ETag": upload.Part(number).upload(Body=part)["ETag"]}
        for number, part in enumerate([body[: 5 << 20], body[5 << 20 :]], start=1)
    ]
    upload.complete(MultipartUpload={"Parts": etags})
    assert fetch(f"s3://{bucket.name}/parts", tmp_path).read_bytes() == body


def test_a_broken_connection_is_resumed_where_it_stopped(uri: str, endpoint: Any, tmp_path: Path) -> None:
    """The GET after a break asks for the remaining bytes of the same ETag only."""
    endpoint.cut_after = [2_500_000]
    assert fetch(uri, tmp_path).read_bytes() == CONTENT
    first, second = endpoint.gets()
    start = int(second["range"].removeprefix("bytes=").rstrip("-"))
    assert start == 2_500_000
    assert second["if-match"] == first["if-match"] != ""


def test_a_download_that_keeps_breaking_goes_on_at_the_next_run(
    uri: str, endpoint: Any, tmp_path: Path
) -> None:
    """Five futile attempts end in one sentence; what came is kept, and the next run fetches only the rest."""
    endpoint.cut_after = [1_100_000, 0, 0, 0, 0, 0]
    with pytest.raises(StorageError, match="broke off at 1100000 of 3000000 bytes, and 5"):
        fetch(uri, tmp_path)
    assert finished(tmp_path) == []
    assert fetch(uri, tmp_path).read_bytes() == CONTENT
    assert endpoint.gets()[-1]["range"] == "bytes=1100000-"


def test_an_object_that_vanishes_mid_read_leaves_nothing(
    uri: str, bucket: Any, endpoint: Any, tmp_path: Path
) -> None:
    """One sentence that names the object; neither a cached file nor a part of one stays."""
    endpoint.cut_after = [1_500_000]
    endpoint.after_cut = lambda: bucket.Object("data/items.csv").delete()
    with pytest.raises(StorageError, match=f"{uri}: the object vanished while it was being read"):
        fetch(uri, tmp_path)
    assert finished(tmp_path) == partial(tmp_path) == []


def test_an_object_that_changes_mid_read_is_not_mixed(
    uri: str, bucket: Any, endpoint: Any, tmp_path: Path
) -> None:
    """The rest of other bytes is refused; the next run reads the new object whole."""
    endpoint.cut_after = [1_500_000]
    changed = os.urandom(3_000_000)
    endpoint.after_cut = lambda: bucket.put_object(Key="data/items.csv", Body=changed)
    with pytest.raises(StorageError, match="changed while it was being read"):
        fetch(uri, tmp_path)
    assert finished(tmp_path) == partial(tmp_path) == []
    assert fetch(uri, tmp_path).read_bytes() == changed


def test_a_part_of_an_older_version_is_thrown_away(
    uri: str, bucket: Any, endpoint: Any, tmp_path: Path
) -> None:
    """A partial download is continued only while its ETag lasts."""
    endpoint.cut_after = [1_100_000, 0, 0, 0, 0, 0]
    with pytest.raises(StorageError):
        fetch(uri, tmp_path)
    bucket.put_object(Key="data/items.csv", Body=b"new")
    assert fetch(uri, tmp_path).read_bytes() == b"new"
    assert partial(tmp_path) == []


def test_bytes_that_are_not_the_etags_are_refused(uri: str, endpoint: Any, tmp_path: Path) -> None:
    """A partial file whose bytes were damaged on disk is caught by the MD5, and dropped."""
    endpoint.cut_after = [1_100_000, 0, 0, 0, 0, 0]
    with pytest.raises(StorageError):
        fetch(uri, tmp_path)
    (part,) = partial(tmp_path)
    part.write_bytes(b"x" * part.stat().st_size)
    with pytest.raises(StorageError, match="other bytes arrived than its ETag promises"):
        fetch(uri, tmp_path)
    assert finished(tmp_path) == partial(tmp_path) == []


def test_two_threads_share_one_download(uri: str, endpoint: Any, tmp_path: Path) -> None:
    """The second waits for the first and finds the object in the cache."""
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: fetch(uri, tmp_path), range(2))
    assert first == second
    assert len(endpoint.gets()) == 1


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("s3://{bucket}/absent.csv", "there is no such object"),
        ("s3://no-such-bucket-here/a.csv", "there is no such"),
    ],
)
def test_what_is_not_there_is_named(bucket: Any, tmp_path: Path, address: str, sentence: str) -> None:
    """A wrong key or bucket ends in one sentence with the address."""
    uri = address.format(bucket=bucket.name)
    with pytest.raises(StorageError, match=f"{uri}: {sentence}"):
        fetch(uri, tmp_path)
    assert not any(tmp_path.iterdir())


def test_denied_access_is_explained(uri: str, endpoint: Any, tmp_path: Path) -> None:
    """403 points at credentials and policy."""
    endpoint.before = lambda method, path: 403
    with pytest.raises(StorageError, match="access denied"):
        fetch(uri, tmp_path)


def test_missing_credentials_are_explained(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 finds none: the sentence says so."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3._session.cache_clear()
    with pytest.raises(StorageError, match=r"Unable to locate credentials\. Check"):
        fetch(uri, tmp_path)
    s3._session.cache_clear()


def test_a_short_outage_is_retried(uri: str, endpoint: Any, tmp_path: Path) -> None:
    """boto3's standard retries bridge two 503."""
    answers = [503, 503]
    endpoint.before = lambda method, path: answers.pop() if answers else None
    assert fetch(uri, tmp_path).read_bytes() == CONTENT


def test_a_full_disk_is_one_sentence(uri: str, tmp_path: Path) -> None:
    """A cache that cannot be written is a StorageError that names the place."""
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cache"):
        fetch(uri, tmp_path / "cache")


def test_the_digest_of_an_object_needs_no_download(uri: str, bucket: Any, endpoint: Any) -> None:
    """ETag and size: they change with the content, and no GET is sent."""
    before = content_digest(uri)
    assert before == f'"{hashlib.md5(CONTENT).hexdigest()}":3000000'
    bucket.put_object(Key="data/items.csv", Body=b"new")
    assert content_digest(uri) != before
    assert endpoint.gets() == []


def test_a_store_creates_reads_and_lists(bucket: Any) -> None:
    """Keys stand under the prefix and come back without it, sorted."""
    store = open_store(f"s3://{bucket.name}/shop/decisions")
    assert store.create("000002.json", b"two")
    assert store.create("000001.json", b"one")
    assert not store.create("000001.json", b"again")
    assert store.read("000001.json") == b"one"
    assert store.keys() == ["000001.json", "000002.json"]
    assert store.keys("000002") == ["000002.json"]
    assert open_store(f"s3://{bucket.name}").keys() == [
        "shop/decisions/000001.json",
        "shop/decisions/000002.json",
    ]


def test_reading_an_absent_key_names_it(bucket: Any) -> None:
    """StorageError, not boto's own."""
    with pytest.raises(StorageError, match="no-such-key"):
        open_store(f"s3://{bucket.name}/x").read("no-such-key")


def test_of_many_writers_of_one_key_exactly_one_wins(bucket: Any) -> None:
    """Created only if absent, by S3's own condition, and the winner's bytes are what stays."""
    stores = [open_store(f"s3://{bucket.name}/race") for _ in range(3)]
    for key in ("1.json", "2.json", "3.json", "4.json"):
        barrier = threading.Barrier(len(stores))

        def write(number: int, key: str = key, barrier: Any = barrier) -> bool:
            barrier.wait()
            return stores[number].create(key, b"writer %d" % number)

        with ThreadPoolExecutor(len(stores)) as pool:
            won = list(pool.map(write, range(len(stores))))
        assert won.count(True) == 1
        assert stores[0].read(key) == b"writer %d" % won.index(True)


def test_a_conflict_is_tried_again(bucket: Any, endpoint: Any) -> None:
    """409: another conditional write was under way; the next attempt decides."""
    answers = [409, 409]
    endpoint.before = lambda method, path: answers.pop() if answers and method == "PUT" else None
    assert open_store(f"s3://{bucket.name}/x").create("key", b"mine")


def test_a_write_whose_answer_was_lost_counts_as_ours(bucket: Any, endpoint: Any) -> None:
    """The object was written, the answer was not: the 412 of the retry is about our own bytes."""

    def lose_the_answer(method: str, path: str) -> int | None:
        if method == "PUT" and not any(True for _ in bucket.objects.all()):
            bucket.put_object(Key="x/key", Body=b"mine")
            return 500
        return None

    endpoint.before = lose_the_answer
    store = open_store(f"s3://{bucket.name}/x")
    assert store.create("key", b"mine")
    assert not store.create("key", b"mine")


def test_a_lost_answer_is_no_excuse_for_another_writers_bytes(bucket: Any, endpoint: Any) -> None:
    """After an unknown outcome, other bytes under the key mean that the other writer was first."""

    def lose_the_answer(method: str, path: str) -> int | None:
        if method == "PUT" and not any(True for _ in bucket.objects.all()):
            bucket.put_object(Key="x/key", Body=b"theirs")
            return 500
        return None

    endpoint.before = lose_the_answer
    assert not open_store(f"s3://{bucket.name}/x").create("key", b"mine")


def test_a_store_that_never_answers_is_reported(bucket: Any, endpoint: Any) -> None:
    """Five failed attempts end in one sentence; nothing claims to be written."""
    endpoint.before = lambda method, path: 500
    with pytest.raises(StorageError, match="not written after 5 attempts"):
        open_store(f"s3://{bucket.name}/x").create("key", b"mine")


def test_a_store_that_may_not_be_written_is_reported(bucket: Any, endpoint: Any) -> None:
    """403 is not retried."""
    endpoint.before = lambda method, path: 403
    with pytest.raises(StorageError, match="access denied"):
        open_store(f"s3://{bucket.name}/x").create("key", b"mine")
    assert len(endpoint.requests) == 1


def test_an_unreachable_endpoint_is_one_sentence(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server at AWS_ENDPOINT_URL: writing gives up, reading says what to check."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store = open_store(f"s3://{bucket.name}/x")
    with pytest.raises(StorageError, match="not written after 5 attempts"):
        store.create("key", b"mine")


def test_an_address_without_a_bucket_is_refused(tmp_path: Path) -> None:
    """s3:///key is a configuration error, found before any request."""
    with pytest.raises(ConfigError, match="expected s3://bucket/key"):
        fetch("s3:///key", tmp_path)


def test_encrypted_objects_are_not_compared_by_md5(bucket: Any, tmp_path: Path) -> None:
    """With KMS the ETag is no MD5 of the content."""
    bucket.put_object(Key="secret", Body=b"abc", ServerSideEncryption="aws:kms")
    assert s3._head(s3._client(), f"s3://{bucket.name}/secret").md5 is None
    assert fetch(f"s3://{bucket.name}/secret", tmp_path).read_bytes() == b"abc"
