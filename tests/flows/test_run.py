"""The cache of stages: a folder and the record of the same run."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from components.contract.files import stage_folder
from components.contract.learning import EncoderSettings
from components.contract.settings import Settings
from flows.run import Run
from flows.shop import Shop


def _run(workspace: Path) -> Run:
    settings = Settings(shop="tiny", tables={"items": "SELECT 1"})
    return Run(Shop(settings, workspace, workspace), "run", {"code": "c", "versions": "v"})


class Training:
    """A stage that gives other bits each time."""

    def __init__(self, run: Run) -> None:
        from prefect import flow, task

        self.killed, self.times = False, 0
        self.begun, self.goes_on = threading.Event(), threading.Event()
        self.goes_on.set()

        @task(name="train")
        def train(folder: Path) -> str:
            self.times += 1
            self.begun.set()
            self.goes_on.wait(60)
            weights = uuid.uuid4().hex
            with stage_folder(folder) as out:
                (out / "weights").write_text(weights)
            if self.killed:
                raise RuntimeError("the folder is there, the record is not")
            return weights

        @flow(name="cached", persist_result=False)
        def cached() -> tuple[str, Path]:
            return run.cached(train, "train", ["the same"])

        self.flow = cached

    def __call__(self) -> tuple[str, str]:
        """What the record and what the folder says."""
        record, folder = self.flow()
        return record, (folder / "weights").read_text()


def test_whoever_runs_a_stage_finds_its_record_beside_its_folder(connected: Any, tmp_path: Path) -> None:
    """By hand and on `make up`'s servers Prefect stores results in other places; the workspace is one."""
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    train = Training(_run(tmp_path / "work"))
    found = []
    for home in ("by hand", "make up", "by hand"):
        with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / home}):
            found.append(train())
    assert train.times == 1
    assert {name for pair in found for name in pair} == {found[0][0]}


def test_an_older_record_never_stands_for_the_folder_of_a_run_that_was_killed(
    connected: Any, tmp_path: Path
) -> None:
    """Where the folder was deleted and the next run ended after it was back, but before its record was."""
    train = Training(_run(tmp_path / "work"))
    train()
    [folder] = (tmp_path / "work" / "stages").iterdir()
    (folder / "weights").unlink()
    folder.rmdir()
    train.killed = True
    with pytest.raises(RuntimeError, match="the record is not"):
        train()
    assert folder.is_dir()
    train.killed = False
    record, weights = train()
    assert record == weights and train.times == 3


def test_who_needs_what_another_makes_waits_and_takes_it(
    connected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search beside a retrain: neither replaces the folder that the other reads."""
    first, second = Training(_run(tmp_path / "work")), Training(_run(tmp_path / "work"))
    waits = threading.Event()
    monkeypatch.setattr("flows.console.say", lambda text: waits.set() if "another process" in text else None)
    with ThreadPoolExecutor(2) as pool:
        first.goes_on = threading.Event()
        made = pool.submit(first)
        assert first.begun.wait(60)
        taken = pool.submit(second)
        assert waits.wait(60)
        first.goes_on.set()
        assert made.result(60) == taken.result(60)
    assert (first.times, second.times) == (1, 0)


def test_where_an_encoder_lies_is_in_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its digest says what it is; a hub's name stays, and so does what else is set."""
    from prefect import task

    run, stage = _run(tmp_path), task(name="train")(lambda folder: None)
    monkeypatch.setattr(stage, "with_options", lambda **_: lambda **_: None)

    def folder_of(**changes: Any) -> Path:
        return run.cached(stage, "train", ["digest", [EncoderSettings(**changes)]])[1]

    assert folder_of(name="/here/mini") == folder_of(name="/there/mini")
    assert folder_of(name="/here/mini") != folder_of(name="/here/mini", max_length=32)
    assert folder_of(name="org/mini") != folder_of(name="org/other")
