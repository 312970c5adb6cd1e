"""TensorBoard and Weights & Biases beside MLflow: what they hold is read back from their files."""

import json
import socket
import struct
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from components.contract.errors import ConfigError, TrackingError, TrainingError
from components.contract.settings import Settings
from components.tracking.run import start

BLOCK = 32_768
STEPS = [{"step": 10, "loss": 2.5}, {"step": 20, "loss": 1.5, "recall@10": 0.3}]


def _with(settings: Settings, *loggers: str) -> Settings:
    tracking = settings.tracking.model_copy(update={"loggers": loggers})
    return settings.model_copy(update={"tracking": tracking})


def _one_run(settings: Settings, workspace: Path, metrics: Path) -> None:
    """Training's metrics, then a figure of the judge's and the verdict."""
    metrics.write_text("".join(json.dumps(line) + "\n" for line in STEPS))
    with start(settings, workspace, name="retrain 1", tags={"because": "drift"}) as tracker:
        tracker.epochs(metrics)
        tracker.metrics({"challenger/new/recall@10": 0.5, "absent": None})
        tracker.tags({"verdict": "PROMOTE"})


def test_tensorboard_shows_what_mlflow_has(
    make_settings: Callable[..., Settings], workspace: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="the extra `loggers` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _one_run(_with(make_settings(), "tensorboard"), workspace, tmp_path / "metrics.jsonl")
    [folder] = (workspace / "tensorboard").iterdir()
    assert folder.name.endswith(" retrain 1")
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("loss")] == [(10, 2.5), (20, 1.5)]
    assert events.Scalars("challenger/new/recall_at_10")[0].value == 0.5
    assert "absent" not in events.Tags()["scalars"]
    assert _text(events, "training.batch_size") == "128"
    assert (_text(events, "verdict"), _text(events, "because")) == ("PROMOTE", "drift")
    assert _text(events, "status") == "FINISHED"
    assert "secret" not in _text(events, "sources.goods.path")


def _text(events: Any, name: str) -> str:
    return events.Tensors(f"{name}/text_summary")[-1].tensor_proto.string_val[0].decode()  # type: ignore[no-any-return]


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Whoever talks to the internet would come by here; yields what was asked for, first lines. Threads of
    earlier tests that ask servers of this machine come by as well: those are not counted."""
    asked: list[str] = []
    server = socket.create_server(("127.0.0.1", 0))

    def wait() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(5)
                line = connection.recv(1_024).partition(b"\r\n")[0].decode(errors="replace")
                if line and "127.0.0.1" not in line and "localhost" not in line:
                    asked.append(line)

    threading.Thread(target=wait, daemon=True).start()
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.getsockname()[1]}")
    yield asked
    server.close()


def test_the_proxy_tells_the_internet_from_this_machine(proxy: list[str]) -> None:
    for address in ("http://127.0.0.1:1/x", "http://example.org/x"):
        with pytest.raises(OSError):
            urllib.request.build_opener(urllib.request.ProxyHandler()).open(address, timeout=10)
    assert proxy == ["GET http://example.org/x HTTP/1.1"]


def test_weights_and_biases_is_written_offline_and_sends_nothing(
    make_settings: Callable[..., Settings], workspace: Path, tmp_path: Path, proxy: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Two runs of one process, the first of them failing; the file is read back record by record."""
    pytest.importorskip("wandb", reason="the extra `loggers` is not installed")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    settings = _with(make_settings(), "wandb")
    with pytest.raises(TrainingError), start(settings, workspace, name="failed"):
        raise TrainingError("no pairs")
    _one_run(settings, workspace, tmp_path / "metrics.jsonl")
    files = sorted((workspace / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2
    assert [_exit_code(file) for file in files] == [1, 0]
    rows = [row for row in _history(files[1]) if "step" in row]
    assert [(row["step"], row["loss"]) for row in rows if "loss" in row] == [(10, 2.5), (20, 1.5)]
    assert rows[-1]["challenger/new/recall_at_10"] == 0.5
    config = _config(files[1])
    assert (config["training.batch_size"], config["verdict"], config["because"]) == (
        "128",
        "PROMOTE",
        "drift",
    )
    assert b"secret" not in files[1].read_bytes()
    assert proxy == []


def test_weights_and_biases_that_cannot_start_is_one_sentence(
    make_settings: Callable[..., Settings], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mode that it does not know; the run is marked failed in MLflow."""
    pytest.importorskip("wandb", reason="the extra `loggers` is not installed")
    monkeypatch.setenv("WANDB_MODE", "nonsense")
    refused = pytest.raises(TrackingError, match=r"cannot start .*set WANDB_MODE=offline")
    with refused, start(_with(make_settings(), "wandb"), workspace, name="refused"):
        pytest.fail("the run began")


def _records(file: Path) -> list[Any]:
    """The file is LevelDB's log format behind seven bytes: blocks of 32 KiB that hold pieces, each with a
    check sum (4 bytes), a length (2) and a kind (1: whole, 2: first, 3: middle, 4: last)."""
    from wandb.proto import wandb_internal_pb2

    data, place, records, parts = file.read_bytes(), 7, [], b""
    while place + 7 <= len(data):
        left = BLOCK - place % BLOCK
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            records.append(record)
            parts = b""
    return records


def _exit_code(file: Path) -> int:
    """Its service writes the last record when the run is told to be finished already."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for record in _records(file):
            if record.WhichOneof("record_type") == "exit":
                return int(record.exit.exit_code)
        time.sleep(0.05)
    raise AssertionError(f"{file} was not finished")


def _history(file: Path) -> list[dict[str, Any]]:
    rows = [one.history.item for one in _records(file) if one.WhichOneof("record_type") == "history"]
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row} for row in rows
    ]


def _config(file: Path) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for record in _records(file):
        kind = record.WhichOneof("record_type")
        update = (
            record.run.config.update if kind == "run" else record.config.update if kind == "config" else []
        )
        config |= {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in update}
    return config


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_a_missing_package_is_told_before_a_run_is_opened(
    make_settings: Callable[..., Settings], workspace: Path, name: str, module: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, module, None)  # what `import` finds where there is no such package
    with (
        pytest.raises(ConfigError, match=rf"names {name}, which is not installed: pip install {name},"),
        start(_with(make_settings(), name), workspace),
    ):
        pass
    assert not (workspace / name).exists()


def test_an_unknown_tool_is_refused() -> None:
    with pytest.raises(ValueError, match="tensorboard"):
        Settings.model_validate(
            {"shop": "demo", "tables": {"items": "SELECT 1"}, "tracking": {"loggers": ["comet"]}}
        )
