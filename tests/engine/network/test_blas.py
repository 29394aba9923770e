"""NumPy's BLAS has one thread while a run computes; threadpoolctl says how many it has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import SAMPLES

ASKED = """
import threading
from threadpoolctl import threadpool_info

import numpy as np

def threads():
    own = [i for i in threadpool_info() if i["user_api"] == "blas" and "numpy" in i["filepath"]]
    return own[0]["num_threads"] if own and own[0]["internal_api"] == "openblas" else None
"""
NESTED = """
from ortist.network.blas import one_blas_thread

said = [threads()]
with one_blas_thread():
    with one_blas_thread():
        said.append(threads())
    said.append(threads())
said.append(threads())

here, there = threading.Event(), threading.Event()

def hold():
    with one_blas_thread():
        here.set()
        there.wait()

other = threading.Thread(target=hold)
with one_blas_thread():
    other.start()
    here.wait()
said.append(threads())
there.set()
other.join()
said.append(threads())
try:
    with one_blas_thread():
        raise ValueError
except ValueError:
    said.append(threads())
print(*said)
"""
A_RUN = """
import ortist

said, eigh = [], np.linalg.eigh

def asking(*args, **more):
    said.append(threads())
    return eigh(*args, **more)

np.linalg.eigh = asking
CONTENT, STYLE = {pictures}
options = dict(size=64, iterations=2, quality="paper", style_loss="w2")
between = []
ortist.transfer(CONTENT, STYLE, **options, on_progress=lambda _: between.append(threads()))
print({{*said}}, {{*between}})
"""


def printed(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ASKED + code],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if "None" in done.stdout:
        pytest.skip("NumPy's BLAS is not OpenBLAS")
    return done.stdout.strip()


def test_it_has_one_while_anybody_wants_that_and_then_as_many_as_before() -> None:
    assert printed(NESTED) == "2 1 1 2 1 2 2"


def test_a_run_computes_with_one_and_leaves_all_between_its_steps() -> None:
    pictures = (str(SAMPLES / "harbour.jpg"), str(SAMPLES / "swirls.jpg"))
    assert printed(A_RUN.format(pictures=pictures)) == "{1} {2}"
