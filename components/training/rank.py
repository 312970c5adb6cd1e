"""A rank as a process: `python -m <package> --attempt-folder …`, by torchrun or alone."""

import argparse
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from components.contract.errors import DebutError
from components.training.watch import watch_launcher


def be_a_rank(run: Callable[[], Callable[..., None]]) -> None:
    """Runs one rank of the attempt that the command line names.

    run: gives the function that takes the attempt's folder and `extra` callbacks; called after the watch of
    the launcher began, because what it imports loads torch.
    """
    parser = argparse.ArgumentParser(description="One rank of a training run.")
    # A long name: torchrun takes every unambiguous prefix of its own options, even behind -m.
    parser.add_argument("--attempt-folder", type=Path, required=True)
    folder: Path = parser.parse_args().attempt_folder
    rank = int(os.environ.get("RANK", "0"))
    _print_into(folder / f"rank-{rank}.log")
    watch_launcher(folder)
    sys.excepthook = _recorder(folder / f"rank-{rank}.error.json")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from components.training.callbacks import EndAtOnce  # loads torch

    run()(folder, extra=[EndAtOnce()])


def _print_into(path: Path) -> None:
    """Sends what this process and its libraries print into a file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)


def _recorder(path: Path) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """An excepthook that leaves what ended this rank, and when, for the launcher to quote."""

    def record(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, error, trace)
        text = str(error) if issubclass(kind, DebutError) else f"{kind.__name__}: {error}"
        path.write_text(json.dumps({"at": time.time(), "message": text.strip()}))

    return record
