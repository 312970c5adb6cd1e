"""Launching: a run leaves an encoder; failures, kills and rivals end in a clear state."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from components.contract.errors import ConfigError, StorageError, TrainingError
from components.contract.learning import TrainingSettings
from components.cost.usage import USAGE, read_usage
from components.encoder.transformer import TransformerEncoder
from components.training.attempts import Attempt, begin_attempt, newest_checkpoint
from components.training.fit import run_rank
from components.training.launch import _environment, _failure, _hand_on, rank_count, train
from components.training.rank import _recorder
from components.training.spec import write_spec

LAUNCH = """
import sys
from pathlib import Path
from components.training.launch import train
from components.training.spec import TrainingSpec, read_spec
train(read_spec(Path(sys.argv[1]), TrainingSpec), Path(sys.argv[2]), Path(sys.argv[3]))
"""


def _wait(until: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := until():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def _ranks(attempt: Path, of: psutil.Process) -> list[psutil.Process]:
    """The rank processes of an attempt below a process."""
    found = []
    for process in of.children(recursive=True):
        try:
            command = process.cmdline()
        except psutil.NoSuchProcess:
            continue
        if str(attempt) in command and "torch.distributed.run" not in command:
            found.append(process)
    return found


def _wait_for_step(work: Path, step: int) -> None:
    """Waits until the first attempt has a checkpoint at or after a step."""
    checkpoints = work / "attempts/0001/checkpoints"
    _wait(lambda: [path for path in checkpoints.glob("step-*.ckpt") if int(path.stem[5:]) >= step])


def test_a_run_leaves_an_encoder_and_its_metrics(make_spec: Any, tmp_path: Path) -> None:
    """Progress is handed on line by line; the attempts, checkpoints among them, are gone at the end."""
    lines: list[dict[str, Any]] = []
    spec = make_spec(epochs=2, validation=True, patience=2)
    model = train(spec, tmp_path / "work", tmp_path / "out", lines.append)
    encoder = TransformerEncoder.load_saved(tmp_path / "out/encoder")
    assert encoder.digest == model.encoder_digest
    assert (model.steps, model.pairs, model.path) == (18, 142, "out")
    written = [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    assert lines == written
    assert written[-1]["step"] == 18
    assert {line["kind"] for line in written} == {"step", "epoch"}
    assert list((tmp_path / "work").iterdir()) == []
    [usage] = read_usage([tmp_path / "out" / USAGE])
    assert usage.seconds >= model.seconds
    assert usage.cpu_seconds > 1.0
    assert usage.peak_memory_mb > 200  # torch alone


@pytest.mark.slow
def test_killed_in_mid_epoch_and_resumed_equals_uninterrupted(make_spec: Any, tmp_path: Path) -> None:
    """SIGKILL to the rank: the launcher says so, and the next call ends with the very same weights."""
    spec = make_spec(epochs=40, checkpoint_every_steps=5)
    work, failures = tmp_path / "work", list[str]()

    def launch() -> None:
        try:
            train(spec, work, tmp_path / "out")
        except TrainingError as error:
            failures.append(str(error))

    thread = threading.Thread(target=launch)
    thread.start()
    _wait_for_step(work, 20)
    (rank,) = _ranks(work / "attempts/0001", psutil.Process())
    rank.kill()
    thread.join(timeout=60)
    assert "ended by SIGKILL" in failures[0]
    assert "rank-0.log" in failures[0]
    [killed] = read_usage([work / "attempts/0001" / USAGE])
    model = train(spec, work, tmp_path / "out")
    [usage] = read_usage([tmp_path / "out" / USAGE])
    assert usage.seconds > max(killed.seconds, model.seconds)  # of both attempts, starts included
    whole = begin_attempt(tmp_path / "whole", spec)
    run_rank(whole.folder)
    resumed, expected = (
        load_file(path / "model.safetensors") for path in (tmp_path / "out/encoder", whole.model)
    )
    assert max(float((resumed[name] - expected[name]).abs().max()) for name in expected) < 1e-6
    assert model.steps == 360


@pytest.mark.slow
def test_a_killed_launcher_leaves_no_orphan_rank(make_spec: Any, tmp_path: Path) -> None:
    """SIGKILL to the launcher of two ranks under torchrun: within seconds no rank is alive, none has written
    a result, and the next attempt continues from their checkpoint."""
    spec = make_spec(epochs=500, checkpoint_every_steps=2, ranks=2)
    work = tmp_path / "work"
    launcher = subprocess.Popen(
        [
            sys.executable,
            "-c",
            LAUNCH,
            str(write_spec(tmp_path / "spec.json", spec)),
            str(work),
            str(tmp_path / "out"),
        ],
        env=_environment(2),
        stderr=subprocess.DEVNULL,
    )
    _wait_for_step(work, 4)
    attempt = work / "attempts/0001"
    ranks = _ranks(attempt, psutil.Process(launcher.pid))
    others = psutil.Process(launcher.pid).children(recursive=True)
    assert len(ranks) == 2
    launcher.kill()
    launcher.wait()
    _, alive = psutil.wait_procs([*ranks, *others], timeout=20)
    assert not alive
    # The first rank to notice says so; torchrun may end the other before it has looked.
    logs = [(attempt / f"rank-{rank}.log").read_text() for rank in range(2)]
    assert any("the launcher is gone" in log for log in logs)
    assert not (attempt / "result.json").exists()
    continued = begin_attempt(work, spec, ranks=2)
    assert newest_checkpoint(continued) is not None


def test_an_interruption_stops_the_ranks(make_spec: Any, tmp_path: Path) -> None:
    """Ctrl-C in the launcher (here: raised while it follows the run) ends the rank before it goes on."""
    children: list[psutil.Process] = []

    def interrupt(_line: dict[str, Any]) -> None:
        children.extend(_ranks(tmp_path / "work/attempts/0001", psutil.Process()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make_spec(epochs=2000), tmp_path / "work", tmp_path / "out", interrupt)
    assert len(children) == 1
    assert not children[0].is_running()
    assert not (tmp_path / "out").exists()


def test_who_polls_may_end_the_run_before_it_has_told_anything(make_spec: Any, tmp_path: Path) -> None:
    """A deadline does not wait for the first line of metrics; what was raised goes on, the rank is ended."""
    began = time.monotonic()

    def late() -> None:
        if time.monotonic() - began > 0.5:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        train(make_spec(epochs=2000), tmp_path / "work", tmp_path / "out", on_poll=late)
    assert not _ranks(tmp_path / "work/attempts/0001", psutil.Process())


def test_a_failed_rank_is_quoted(make_spec: Any, tmp_path: Path) -> None:
    """The launcher's sentence holds the rank's own error and names its log."""
    spec = make_spec().model_copy(update={"examples": str(tmp_path / "nowhere")})
    with pytest.raises(
        TrainingError, match=r"rank-0: .*nowhere.*is missing.* \(log: .*rank-0\.log"
    ) as caught:
        train(spec, tmp_path / "work", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert "Traceback" in (tmp_path / "work/attempts/0001/rank-0.log").read_text()


def _failed(folder: Path, **files: str) -> Attempt:
    for name, text in files.items():
        (folder / name.replace("__", ".").replace("_", "-")).write_text(text)
    return Attempt(folder, "token")


def test_the_first_of_several_errors_is_told(tmp_path: Path) -> None:
    """When one rank fails the others lose their connection: the earlier error is the cause."""
    first, later = {"at": 1.0, "message": "ValueError: cause\nmore"}, {"at": 2.0, "message": "lost peer"}
    attempt = _failed(tmp_path, rank_0__error__json=json.dumps(later), rank_1__error__json=json.dumps(first))
    sentence = _failure(attempt, 1)
    assert "rank-1: ValueError: cause (log:" in sentence
    assert "more" not in sentence


def test_without_an_error_the_log_is_quoted(tmp_path: Path) -> None:
    """A signal is named; else the last line that speaks of an error; else it is said that there is none."""
    assert "ended by SIGSEGV" in _failure(_failed(tmp_path), -signal.SIGSEGV)
    assert "code 3: it left no message" in _failure(_failed(tmp_path), 3)
    attempt = _failed(tmp_path, launcher__log="fine\nrank 1 died of Signal 9 (SIGKILL)\nbye\n")
    assert "rank 1 died of Signal 9 (SIGKILL)" in _failure(attempt, 1)


@pytest.mark.parametrize("code", [1, -signal.SIGKILL])
def test_a_checkpoint_is_told_of_where_there_is_one(tmp_path: Path, code: int) -> None:
    """A rank that failed, and one that was killed, before and after its first."""
    attempt = _failed(tmp_path)
    if code == 1:
        attempt = _failed(tmp_path, rank_0__error__json=json.dumps({"at": 1.0, "message": "ValueError: odd"}))
    attempt.checkpoints.mkdir()
    assert _failure(attempt, code).endswith("rank-0.log).")
    (attempt.checkpoints / "step-00000005.ckpt").touch()
    assert _failure(attempt, code).endswith(
        "rank-0.log; the newest checkpoint is kept: run again to continue from it)."
    )


def test_an_attempt_that_another_run_cleared_away_is_told_as_such(tmp_path: Path) -> None:
    """Two runs of one workspace train the same: the first to finish removes both attempts."""
    assert _failure(Attempt(tmp_path / "gone", "token"), 75).startswith(
        "Another run finished the same training"
    )


def test_a_rank_records_what_ended_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A user's error is kept as its sentence, a defect with its type; both print their traceback."""
    record = _recorder(tmp_path / "rank-0.error.json")
    for error, message in ((StorageError("disk full"), "disk full"), (ValueError("odd"), "ValueError: odd")):
        record(type(error), error, None)
        assert json.loads((tmp_path / "rank-0.error.json").read_text())["message"] == message
    assert "odd" in capsys.readouterr().err


def test_half_written_lines_wait() -> None:
    """A line is handed on once it is whole."""
    lines, found = io.StringIO(), list[dict[str, Any]]()
    lines.write('{"step": 1}\n{"st')
    lines.seek(0)
    _hand_on(lines, found.append)
    assert found == [{"step": 1}]
    position = lines.tell()
    lines.seek(0, io.SEEK_END)
    lines.write('ep": 2}\n')
    lines.seek(position)
    _hand_on(lines, found.append)
    assert found == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize(
    ("gpus", "setting", "on_cpu", "ranks"),
    [(0, "auto", 1, 1), (4, "auto", 2, 4), (0, 3, 1, 3), (4, 2, 1, 2), (0, "auto", 2, 2), (0, "auto", 9, 4)],
)
def test_ranks_follow_the_devices(
    monkeypatch: pytest.MonkeyPatch, gpus: int, setting: Any, on_cpu: int, ranks: int
) -> None:
    """auto is one rank per GPU, else cpu_ranks, of which no core gets two; a number is taken as it is."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4))
    assert rank_count(TrainingSettings(ranks=setting, cpu_ranks=on_cpu)) == ranks


def test_more_ranks_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the setting; none at all is no number of ranks."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"training\.ranks"):
        rank_count(TrainingSettings(ranks=3))
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        TrainingSettings(ranks=0)


def test_ranks_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads per rank are the cores divided, unless the user set them; a foreign rank's variables go."""
    monkeypatch.setenv("RANK", "7")
    monkeypatch.delenv("OMP_NUM_THREADS")
    cores = len(os.sched_getaffinity(0))
    assert _environment(1)["OMP_NUM_THREADS"] == str(cores)
    assert _environment(10 * cores)["OMP_NUM_THREADS"] == "1"
    assert "RANK" not in _environment(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert _environment(1)["OMP_NUM_THREADS"] == "3"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_trains_in_bf16_with_the_fused_optimizer(make_spec: Any, tmp_path: Path) -> None:
    """One rank per GPU (NCCL where there are several), bf16 autocast, fp32 weights, recall as on a CPU."""
    spec = make_spec(epochs=3, validation=True, patience=3, precision="auto")
    logs: list[str] = []
    work = tmp_path / "work"
    model = train(
        spec,
        work,
        tmp_path / "out",
        lambda _line: logs.append((work / "attempts/0001/rank-0.log").read_text()),
    )
    assert "bf16 autocast on cuda" in logs[-1]
    weights = load_file(tmp_path / "out/encoder/model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float32}
    assert model.best_validation_recall is not None
    assert model.best_validation_recall > 0.6
