"""A forked process paints where it can, and says so at once where it cannot; it never hangs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

_BEGIN = """
import os, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the subject
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np, ortist
PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
OPTIONS = dict(size=48, iterations=2, threads=1)

def child(work):
    pid = os.fork()
    if not pid:
        code = 9
        try:
            work()
            code = 0
        except ortist.errors.ResourceError as error:
            code = 4 if "was forked" in str(error) else 8
        finally:
            os._exit(code)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, 9)
    return "hangs"
"""


def _prints(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _BEGIN + code], capture_output=True, text=True, timeout=240
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_a_child_paints_where_nothing_was_painted_before() -> None:
    code = "print(child(lambda: ortist.transfer(PICTURE, PICTURE, **OPTIONS)))"
    assert _prints("engine = ortist.Engine(threads=1)\n" + code) == "0"


def test_children_of_a_process_that_paints_say_that_they_cannot() -> None:
    code = """
engine = ortist.Engine(threads=1)
go_on = True
def paint():
    while go_on:
        engine.transfer(PICTURE, PICTURE, size=48, iterations=5)
thread = threading.Thread(target=paint)
thread.start()
time.sleep(2)
codes = set()
for _ in range(8):
    codes.add(child(lambda: engine.transfer(PICTURE, PICTURE, size=48, iterations=1)))
    codes.add(child(lambda: ortist.transfer(PICTURE, PICTURE, **OPTIONS)))
go_on = False
thread.join()
print(codes)
"""
    assert _prints(code) == "{4}"


def test_locks_that_were_held_are_free_in_a_child() -> None:
    code = """
from ortist.network import sessions
from ortist.pictures import reading
sessions._opening.acquire()
reading._warnings_lock.acquire()
print(child(lambda: ortist.transfer(PICTURE, PICTURE, **OPTIONS)))
"""
    assert _prints(code) == "0"


def test_a_child_does_not_wait_for_what_another_thread_was_importing() -> None:
    """Forked while the first picture's modules are loaded, as by servers that load beforehand."""
    code = """
thread = threading.Thread(target=lambda: ortist.transfer(PICTURE, PICTURE, **OPTIONS))
thread.start()
codes = [child(lambda: ortist.transfer(PICTURE, PICTURE, **OPTIONS)) for _ in range(6)]
thread.join()
print({*codes} <= {0, 4})
"""
    assert _prints(code) == "True"
