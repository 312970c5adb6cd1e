"""One retrain per shop at a time, and a dead holder holds nothing."""

import os
import signal
import subprocess
import sys

import pytest

from components.contract.errors import OrchestrationError
from flows.lease import retrain_lease
from flows.shop import open_shop

HOLD = """
import sys, time
from flows.lease import retrain_lease
from flows.shop import open_shop
with retrain_lease(open_shop(sys.argv[1], None, sys.argv[2]), "run-1"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_retrain_is_refused_and_told_of_the_first(tiny_shop):
    shop = open_shop(str(tiny_shop.config), None, str(tiny_shop.workspace.parent))
    with (
        retrain_lease(shop, "run-1"),
        pytest.raises(OrchestrationError, match=f"run run-1, process {os.getpid()}"),
        retrain_lease(shop, "run-2"),
    ):
        pass
    with retrain_lease(shop, "run-3"):  # the first one let go
        pass


def test_what_a_retrain_waits_for_is_called_what_it_is(tiny_shop):
    """Nobody is invited to stop a replay, which has written its record and not its rows yet, as a retrain."""
    shop = open_shop(str(tiny_shop.config), None, str(tiny_shop.workspace.parent))
    with (
        retrain_lease(shop, None, "replay"),
        pytest.raises(OrchestrationError, match=rf"^A replay of tiny runs \(process {os.getpid()}"),
        retrain_lease(shop, "run-2"),
    ):
        pass


def test_a_killed_holder_lets_go(tiny_shop):
    """SIGKILL of the holder, which can clean up nothing, frees the lease at once."""
    arguments = [str(tiny_shop.config), str(tiny_shop.workspace.parent)]
    shop = open_shop(arguments[0], None, arguments[1])
    holder = subprocess.Popen([sys.executable, "-c", HOLD, *arguments], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(OrchestrationError, match=f"process {holder.pid}"), retrain_lease(shop, "run-2"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with retrain_lease(shop, "run-2"):  # it never waits: it is free, or this raises
        pass
