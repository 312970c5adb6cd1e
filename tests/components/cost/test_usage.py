"""What is measured of a piece of work, and how parts add up."""

import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from components.cost.usage import USAGE, Meter, Usage, read_usage, together

WORK = """
import subprocess, sys, time
block = bytearray(60_000_000)
for number in range(0, len(block), 4096):
    block[number] = 1
if "child" not in sys.argv:
    subprocess.run([sys.executable, "-c", {code!r}, "child"], check=True)
else:
    end = time.process_time() + 1.5
    while time.process_time() < end:
        pass
time.sleep(1.2)
"""


def usage(seconds: float = 10.0, **changed) -> Usage:
    fields = {"cpu_seconds": 15.0, "gpu_seconds": 0.0, "peak_memory_mb": 100.0, "cpu_joules": 50.0}
    fields |= {"gpu_joules": None, "ended": datetime(2026, 1, 1, tzinfo=UTC)}
    return Usage(seconds=seconds, **(fields | changed))


def test_a_child_is_measured_with_its_descendants(tmp_path):
    """CPU seconds of the grandchild; memory of both at the same time."""
    code = WORK.format(code="")
    code = WORK.format(code=code)
    process = subprocess.Popen([sys.executable, "-c", code])
    began = time.perf_counter()
    with Meter(tmp_path / USAGE, child=process.pid):
        process.wait()
    elapsed = time.perf_counter() - began
    [measured] = read_usage([tmp_path / USAGE, tmp_path / "absent"])
    assert measured.cpu_seconds == pytest.approx(1.7, abs=0.6)
    assert 120 < measured.peak_memory_mb < 400
    assert measured.seconds == pytest.approx(elapsed, abs=0.3)
    assert measured.gpu_seconds == 0


def test_this_process_is_measured_from_the_blocks_beginning(tmp_path):
    """What it took before does not count, nor do its children."""
    spent = time.process_time()
    with Meter(tmp_path / USAGE) as meter:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
    assert meter.usage().cpu_seconds == pytest.approx(time.process_time() - spent, abs=0.25)
    assert meter.usage().peak_memory_mb > 10


def test_work_whose_folder_was_taken_away_leaves_none_behind(tmp_path):
    """Another attempt's success removes the folder; measuring must not make it again."""
    folder = tmp_path / "attempt"
    folder.mkdir()
    with Meter(folder / USAGE):
        folder.rmdir()
    assert not folder.exists()


def test_parts_add_up_and_what_is_unknown_stays_so():
    """Memory is the highest; energy that one part could not read is not known for the sum."""
    whole = together([usage(1.0, peak_memory_mb=300.0), usage(2.0)])
    assert (whole.seconds, whole.cpu_seconds, whole.peak_memory_mb) == (3.0, 30.0, 300.0)
    assert whole.cpu_joules == 100.0
    assert together([usage(), usage(cpu_joules=None)]).cpu_joules is None


def test_energy_of_gpus_is_known_where_each_part_that_held_one_counted():
    with_gpu = usage(gpu_seconds=10.0, gpu_joules=3_000.0)
    assert together([with_gpu, usage()]).gpu_joules == 3_000.0
    assert together([with_gpu, usage(gpu_seconds=1.0)]).gpu_joules is None
    assert together([usage()]).gpu_joules is None
