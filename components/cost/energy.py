"""Energy counters of the machine: RAPL for processor packages, NVML for GPUs.

Both count joules since some moment in the past; what a piece of work took is a difference. They count for the
whole package or device, so other work on it is counted in.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

logger = logging.getLogger(__name__)
POWERCAP = Path("/sys/class/powercap")


class EnergyCounter(Protocol):
    def joules(self) -> float:
        """Used since the counter was opened. To be asked every few minutes at least, for counters that wrap
        around. Raises OSError where the machine stopped telling."""
        ...


class PackageCounter:
    """RAPL through Linux's powercap files, which AMD's processors have under the same name. Only root may
    read them on many systems."""

    def __init__(self, zones: Sequence[Path]) -> None:
        self._zones = zones
        self._ranges = [_number(zone / "max_energy_range_uj") for zone in zones]
        self._last = [_number(zone / "energy_uj") for zone in zones]
        self._used = 0

    def joules(self) -> float:
        now = [_number(zone / "energy_uj") for zone in self._zones]
        for before, after, size in zip(self._last, now, self._ranges, strict=True):
            self._used += after - before + (size if after < before else 0)
        self._last = now
        return self._used / 1e6


class GpuCounter:
    """NVML's total energy of some devices (Volta and later)."""

    def __init__(self, nvml: Any, handles: Sequence[Any]) -> None:
        self._nvml, self._handles = nvml, handles
        self._start = self._total()

    def joules(self) -> float:
        return (self._total() - self._start) / 1e3

    def _total(self) -> int:
        try:
            return sum(self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in self._handles)
        except self._nvml.NVMLError as error:
            raise OSError(str(error)) from error


def open_package_counter(powercap: Path = POWERCAP) -> PackageCounter | None:
    """None where there is no RAPL or it may not be read."""
    try:
        # intel-rapl:0:1 is a part of intel-rapl:0, and a zone "psys" would count the packages twice.
        zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        packages = [zone for zone in zones if (zone / "name").read_text().startswith("package")]
        return PackageCounter(packages) if packages else None
    except (OSError, ValueError) as error:
        logger.debug("RAPL: %s", error)
        return None


def open_gpu_counter(gpus: int) -> GpuCounter | None:
    """A counter of the first `gpus` devices that this process may see; None without GPUs, without the package
    nvidia-ml-py (extra `gpu`), or where the devices do not count energy."""
    if not gpus:
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return GpuCounter(pynvml, [_handle(pynvml, device) for device in _visible(gpus)])
    except (pynvml.NVMLError, OSError) as error:
        logger.debug("NVML: %s", error)
        return None


def _visible(gpus: int) -> list[str]:
    named = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    return (named or [str(number) for number in range(gpus)])[:gpus]


def _handle(nvml: Any, device: str) -> Any:
    """device: a number, or an id such as GPU-8932f937…"""
    if device.isdecimal():
        return nvml.nvmlDeviceGetHandleByIndex(int(device))
    return nvml.nvmlDeviceGetHandleByUUID(device)


def _number(path: Path) -> int:
    return int(path.read_text())
