"""What a piece of work takes of the machine, measured while it runs."""

import logging
import os
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from pydantic import ValidationError

from components.contract.errors import StorageError
from components.contract.files import write_json
from components.contract.records import Record
from components.cost.energy import EnergyCounter, open_gpu_counter, open_package_counter

logger = logging.getLogger(__name__)
USAGE = "usage.json"
SAMPLE_SECONDS = 0.5
SAVE_SECONDS = 10.0
_MEGABYTE = 1e6


class Usage(Record):
    seconds: float
    """By the clock."""
    cpu_seconds: float
    """Of all its processes and threads."""
    gpu_seconds: float
    """Seconds × GPUs that it held."""
    peak_memory_mb: float
    """Highest sum of its processes' resident memory that was seen."""
    cpu_joules: float | None
    """Of the processor packages, other work on them included (RAPL); None: cannot be read here."""
    gpu_joules: float | None
    """Of the GPUs that it held (NVML); None: there are none, or they cannot be read."""
    ended: datetime
    """UTC."""


class Meter:
    """Measures a process from the block's beginning to its end, and leaves the file `usage.json`.

    It is also written meanwhile, so that what a killed run took is not lost.
    """

    def __init__(self, file: Path, *, gpus: int = 0, child: int | None = None) -> None:
        """gpus: that the work holds. child: number of a process that was just started, which is measured with
        its descendants; None: this process, without its children."""
        self._file, self._gpus, self._child = file, gpus, child
        self._process = psutil.Process(os.getpid() if child is None else child)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="meter", daemon=True)
        self._packages, self._devices = open_package_counter(), open_gpu_counter(gpus)
        self._cpu_seconds: dict[tuple[int, float], float] = {}
        self._joules: dict[str, float | None] = {}
        self._peak = 0
        self._began = time.perf_counter()
        # A child's processes are counted from their start, this one from now.
        self._before = 0.0 if child is not None else time.process_time()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()
        self._save(strict=error is None)

    def usage(self) -> Usage:
        """Up to the newest sample."""
        seconds = time.perf_counter() - self._began
        return Usage(
            seconds=seconds,
            cpu_seconds=sum(self._cpu_seconds.values()) - self._before,
            gpu_seconds=seconds * self._gpus,
            peak_memory_mb=self._peak / _MEGABYTE,
            cpu_joules=self._joules.get("packages"),
            gpu_joules=self._joules.get("devices"),
            ended=datetime.now(UTC),
        )

    def _watch(self) -> None:
        saved = time.perf_counter()
        while not self._stop.wait(SAMPLE_SECONDS):
            self._sample()
            if time.perf_counter() - saved >= SAVE_SECONDS:
                saved = time.perf_counter()
                self._save(strict=False)

    def _save(self, *, strict: bool) -> None:
        """Only the last write of work that succeeded has to succeed: another must not hide a failure."""
        if not self._file.parent.is_dir():  # the work itself was taken away
            return
        try:
            write_json(self._file, self.usage().model_dump(mode="json"))
        except StorageError as error:
            if strict:
                raise
            logger.debug("%s", error)

    def _sample(self) -> None:
        resident = 0
        for process in self._processes():
            try:
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info().rss
                    self._cpu_seconds[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:  # it ended meanwhile: what was seen last counts
                continue
            resident += memory
        self._peak = max(self._peak, resident)
        self._joules = {"packages": _joules(self._packages), "devices": _joules(self._devices)}

    def _processes(self) -> Sequence[psutil.Process]:
        if self._child is None:
            return [self._process]
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.Error:
            return []


def read_usage(files: Iterable[Path]) -> list[Usage]:
    """Of the files that are there; a file that a crash left half written counts for nothing."""
    found = []
    for file in files:
        try:
            found.append(Usage.model_validate_json(file.read_bytes()))
        except (OSError, ValidationError) as error:
            logger.debug("%s: %s", file, error)
    return found


def together(usages: Sequence[Usage]) -> Usage:
    """One after the other. A counter that could not be read for a part is not known for the whole."""
    cpu, gpu = [one.cpu_joules for one in usages], [one.gpu_joules for one in usages if one.gpu_seconds]
    return Usage(
        seconds=sum(one.seconds for one in usages),
        cpu_seconds=sum(one.cpu_seconds for one in usages),
        gpu_seconds=sum(one.gpu_seconds for one in usages),
        peak_memory_mb=max(one.peak_memory_mb for one in usages),
        cpu_joules=_sum(cpu),
        gpu_joules=_sum(gpu) if gpu else None,
        ended=max(one.ended for one in usages),
    )


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _joules(counter: EnergyCounter | None) -> float | None:
    try:
        return counter.joules() if counter else None
    except (OSError, ValueError) as error:
        logger.debug("energy counter: %s", error)
        return None
