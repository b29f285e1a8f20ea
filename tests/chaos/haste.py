"""A lost worker is noticed in a part of the usual time, which is most of what tests that kill wait for."""

import functools
from datetime import timedelta
from pathlib import Path

from temporalio.worker import Worker

HASTY_WORKER = Path(__file__).with_name("hasty_worker.py")
HEARTBEAT = 4.0
"""Seconds without a sign of life after which a worker is taken for lost, instead of 10."""


def hasten() -> None:
    """For this process's worker, and the server that it starts."""
    import activities.heartbeats
    import runtime.server
    import worker
    import workflows.calls
    import workflows.recording

    options = [*runtime.server.server_options(), "--dynamic-config-value"]
    options.append(f'history.defaultWorkflowTaskTimeout="{HEARTBEAT}s"')
    runtime.server.server_options = lambda: options
    activities.heartbeats.INTERVAL = HEARTBEAT / 4
    workflows.calls.HEARTBEAT_TIMEOUT = timedelta(seconds=HEARTBEAT)
    workflows.recording._TIMEOUT = timedelta(seconds=2 * HEARTBEAT)
    sticky = timedelta(seconds=HEARTBEAT)
    vars(worker)["Worker"] = functools.partial(Worker, sticky_queue_schedule_to_start_timeout=sticky)
