"""Energy counters as Linux and NVML give them."""

import time
from pathlib import Path

import pytest
import torch

from components.cost.energy import open_gpu_counter, open_package_counter


def zone(powercap: Path, number: str, name: str, microjoules: int, size: int = 1_000_000_000) -> Path:
    folder = powercap / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    for file, value in {"name": name, "energy_uj": microjoules, "max_energy_range_uj": size}.items():
        (folder / file).write_text(f"{value}\n")
    return folder


def test_packages_are_counted_once_and_wrap_around(tmp_path):
    """Two packages; a part of one and the whole platform, which hold the same joules again, do not count."""
    first, second = zone(tmp_path, "0", "package-0", 5_000_000), zone(tmp_path, "1", "package-1", 999_000_000)
    zone(tmp_path, "0:0", "core", 0)
    platform = zone(tmp_path, "2", "psys", 0)
    counter = open_package_counter(tmp_path)
    (first / "energy_uj").write_text("7000000")
    (second / "energy_uj").write_text("2000000")  # it began again at 0
    (platform / "energy_uj").write_text("900000000")
    assert counter.joules() == pytest.approx(2.0 + 3.0)
    (first / "energy_uj").write_text("7500000")
    assert counter.joules() == pytest.approx(5.5)


@pytest.mark.parametrize("content", [None, "secret"])
def test_without_readable_counters_nothing_is_counted(tmp_path, content):
    """No powercap folder, or a file that cannot be read as a number."""
    if content:
        (zone(tmp_path, "0", "package-0", 1) / "energy_uj").write_text(content)
    assert open_package_counter(tmp_path) is None


def test_without_gpus_none_are_counted():
    assert open_gpu_counter(0) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_at_work_uses_energy():
    """NVML's counter grows by tens to thousands of watts × seconds. Needs the extra `gpu`."""
    counter = open_gpu_counter(1)
    matrix, began = torch.rand(4_096, 4_096, device="cuda"), time.perf_counter()
    while time.perf_counter() - began < 2.0:
        matrix = torch.nn.functional.normalize(matrix @ matrix)
        torch.cuda.synchronize()
    assert 10 < counter.joules() / (time.perf_counter() - began) < 5_000
