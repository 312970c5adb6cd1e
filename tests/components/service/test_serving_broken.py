"""A champion that cannot be loaded leaves what serves in place, and the service says why."""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.contract.errors import StorageError
from components.contract.records import RetrievalPlan
from components.service.problems import MEDIA_TYPE

TITLES = [f"{colour} {thing}" for colour in ("red", "blue") for thing in ("chair", "lamp", "mug", "towel")]
FILES = (
    "encoder/encoder.json",
    "encoder/model.safetensors",
    "encoder/tokenizer.json",
    "fingerprint.json",
    "index/items.parquet",
    "index/words.safetensors",
    "index/vectors.safetensors",
    "index/words.json",
    "manifest.json",
    "retrieval.json",
)


@pytest.fixture(scope="module")
def made(make_candidate: Callable[..., str]) -> tuple[str, str]:
    """A good release and one to be damaged."""
    return make_candidate(TITLES), make_candidate([*TITLES, "oak bracket"])


@pytest.fixture
def good_and_bad(made: tuple[str, str], candidates: Path, releases, tmp_path: Path) -> tuple[str, str]:
    """Both in a folder of this test's own, where files may be written."""
    for digest in made:
        shutil.copytree(candidates / digest, tmp_path / "own" / digest)
        for path in (tmp_path / "own" / digest).rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
    releases.candidates = tmp_path / "own"
    return made


def _tamper(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _problem(answer) -> dict:
    assert answer.headers["content-type"] == MEDIA_TYPE
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["X-Request-Id"]
    return body


@pytest.mark.parametrize("act", [_tamper, Path.unlink], ids=["one bit changed", "missing"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_champion_does_not_serve(
    good_and_bad, releases, service, until, name: str, act: Callable[[Path], None]
) -> None:
    """Whichever file it is: /healthz names it, the old release serves on and is ready."""
    good, bad = good_and_bad
    releases.promote(good)
    shop = service()
    act(releases.candidates / bad / name)
    releases.promote(bad)
    health = until(lambda: (h := shop.client.get("/healthz").json())["status"] == "degraded" and h)
    assert str(Path(bad) / name) in health["problem"]
    assert health["release"] == good
    assert shop.client.get("/readyz").status_code == 200
    answer = shop.client.get("/search", params={"q": "red chair"})
    assert (answer.status_code, answer.json()["release"]) == (200, good)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\x00\xff garbage", None], ids=["empty", "{}", "bytes", "gone"]
)
def test_a_file_damaged_after_it_was_verified(good_and_bad, releases, service, until, content) -> None:
    """Whatever a library raises for it, for each file in turn: the old release serves on, with a reason."""
    good, bad = good_and_bad
    releases.promote(good)
    releases.verifying = False
    shop = service()
    folder = releases.candidates / bad
    valid = {"encoder/encoder.json", "retrieval.json"} if content == b"{}" else set()  # all has defaults
    for name in set(FILES) - {"manifest.json"} - valid:
        kept = (folder / name).read_bytes()
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        releases.promote(bad)
        health = until(lambda: (h := shop.client.get("/healthz").json())["status"] == "degraded" and h)
        assert health["release"] == good, name
        assert str(folder) in health["problem"], name
        assert "\n" not in health["problem"], name
        assert shop.found("red chair", k=1) == ["100"]
        releases.decisions[1:] = []
        until(lambda: shop.client.get("/healthz").json()["status"] == "ok")
        (folder / name).write_bytes(kept)
    releases.promote(bad)
    until(lambda: shop.client.get("/healthz").json()["release"] == bad)


def test_a_repaired_champion_serves_by_itself(good_and_bad, releases, service, until, caplog) -> None:
    """It is tried again, less and less often, and its problem is logged once."""
    good, bad = good_and_bad
    releases.promote(good)
    shop = service()
    weights = releases.candidates / bad / "encoder" / "model.safetensors"
    kept = weights.read_bytes()
    _tamper(weights)
    tries: list[str] = []
    releases.while_loading = tries.append
    with caplog.at_level(logging.ERROR, "components.service.serving"):
        releases.promote(bad)
        until(lambda: len(tries) >= 4)
    assert len([record for record in caplog.records if "model.safetensors" in record.message]) == 1
    weights.write_bytes(kept)
    until(lambda: shop.client.get("/healthz").json() == {"status": "ok", "release": bad, "problem": None})
    assert shop.found("oak bracket", k=1) == ["108"]


def test_tries_to_load_a_broken_champion_become_rare(good_and_bad, releases, service, until) -> None:
    """Each reads all of its files. Another champion is loaded at once all the same."""
    good, bad = good_and_bad
    (releases.candidates / bad / "manifest.json").unlink()
    tries: list[str] = []
    releases.while_loading = tries.append
    releases.promote(bad)
    shop = service(poll_seconds=0.01)
    until(lambda: len(tries) >= 6)  # pauses of 0.01, 0.02, … 0.16 s
    before = len(tries)
    time.sleep(0.15)
    releases.promote(good)
    until(shop.serving.serves, 2)
    assert tries[before:].count(bad) <= 1
    assert tries[-1] == good


def test_live_items_reach_the_old_release_while_the_champion_is_broken(
    good_and_bad, releases, service, until
) -> None:
    """What is PUT here, and what another replica PUTs."""
    good, bad = good_and_bad
    releases.promote(good)
    here, there = service(), service()
    (releases.candidates / bad / "manifest.json").unlink()
    releases.promote(bad)
    until(lambda: here.client.get("/healthz").json()["status"] == "degraded")
    here.put({"item_id": "x", "title": "oak garden angle"})
    assert here.found("oak garden angle", k=1) == ["x"]
    there.put({"item_id": "y", "title": "soft glass"})
    until(lambda: here.found("soft glass", k=1) == ["y"], 5)
    assert here.client.get("/healthz").json()["status"] == "degraded"


def test_a_start_without_a_usable_champion(good_and_bad, releases, service, until) -> None:
    """Every route that needs a release says 503, when to come back, and why; the process stays, and serves
    by itself once there is a good champion."""
    good, bad = good_and_bad
    _tamper(releases.candidates / bad / "index" / "vectors.safetensors")
    releases.promote(bad)
    shop = service()
    asked = [
        shop.client.get("/search", params={"q": "red chair"}),
        shop.client.post("/recommend", json={"history": ["100"]}),
        shop.client.get("/similar/100"),
        shop.client.get("/explain", params={"q": "red chair", "item_id": "100"}),
        shop.client.get("/release"),
        shop.client.get("/readyz"),
    ]
    for answer in asked:
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "index/vectors.safetensors was changed" in _problem(answer)["detail"]
    health = shop.client.get("/healthz")
    assert (health.status_code, health.json()["status"], health.json()["release"]) == (200, "degraded", None)
    assert shop.client.get("/metrics").status_code == 200
    releases.promote(good)
    until(lambda: shop.client.get("/readyz").status_code == 200)
    assert shop.found("red chair", k=1) == ["100"]


def test_a_start_without_any_champion(releases, service) -> None:
    """The same; the reason says what to do."""
    shop = service()
    assert "debut retrain" in _problem(shop.client.get("/search", params={"q": "red"}))["detail"]
    assert shop.client.get("/readyz").status_code == 503
    assert shop.client.get("/healthz").json()["status"] == "degraded"


@pytest.mark.parametrize("error", [StorageError("decisions: no answer."), RuntimeError("a defect")])
def test_a_decision_log_that_cannot_be_read(
    good_and_bad, releases, service, until, error, monkeypatch
) -> None:
    """What serves serves on; when the log can be read again all is well again. Also an error that nobody
    foresaw ends neither the start nor the thread that looks for champions."""
    good, _ = good_and_bad
    releases.promote(good)
    shop = service()

    def champion() -> str:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(releases, "champion", champion)
        health = until(lambda: (h := shop.client.get("/healthz").json())["status"] == "degraded" and h)
        assert str(error) in health["problem"]
        assert shop.found("red chair", k=1) == ["100"]
        late = service()
        assert late.client.get("/readyz").status_code == 503
    until(lambda: shop.client.get("/healthz").json()["status"] == "ok")
    until(lambda: late.client.get("/readyz").status_code == 200)


def test_a_graph_that_onnx_runtime_cannot_read(
    make_candidate, candidates, releases, service, until, tmp_path
) -> None:
    """It is told from a tampered one by the reason that the library gives."""
    good, bad = make_candidate(TITLES), make_candidate(TITLES, RetrievalPlan(inference="onnx-int8"))
    releases.candidates = tmp_path / "own"
    for digest in (good, bad):
        shutil.copytree(candidates / digest, releases.candidates / digest)
    graph = releases.candidates / bad / "inference" / "encoder.onnx"
    graph.chmod(0o644)
    graph.write_bytes(graph.read_bytes()[:-1000])
    releases.verifying = False
    releases.promote(good)
    shop = service()
    releases.promote(bad)
    health = until(lambda: (h := shop.client.get("/healthz").json())["status"] == "degraded" and h)
    assert "inference/encoder.onnx: no encoder that ONNX Runtime can load" in health["problem"]
    assert shop.found("red chair", k=1) == ["100"]
