"""Tests that run side by side (`pytest -n`) get a CPU each, and so one thread a library.

Else every worker's libraries start a thread for each CPU, and they wait for one another, spinning.
"""

import os


def pytest_configure() -> None:
    """Keep a worker to its CPU, before anything counts how many there are."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpus[int(worker.removeprefix("gw")) % len(cpus)]})
