"""The workflow sandbox: one place that says what workflows share with the rest of the process, and may not touch.

Worker and Replayer use the same runner, so that what replays in a test replays in production.
"""

from dataclasses import dataclass, replace
from typing import Any, cast

from temporalio.worker import Worker, WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxMatcher, SandboxRestrictions

PASSED_THROUGH = ("contracts", "language", "cel", "jsonschema_rs", "structlog")
"""Pure, or made safe for replay. Passing them through also saves importing them again for every run."""

FORBIDDEN = frozenset({"activities", "api", "cli", "httpx2", "openai", "processes", "runtime", "sqlite3", "yaml"})
"""Clients and settings: a workflow that imports one of these is refused when the worker starts."""


LONGEST_TASK = 8
"""Seconds that a workflow task may take; after 10 the server gives it to another worker."""


def patient(worker: Worker) -> Worker:
    """The worker, whose workflow tasks may take `LONGEST_TASK` seconds.

    The SDK takes a task for a deadlock after 2 s, which a plan of ten thousand steps can need on a machine that is busy
    with something else. It has no public setting for it; a test notices when this one is gone.
    """
    inner = worker._workflow_worker
    if inner is not None and inner._deadlock_timeout_seconds is not None:  # None: in debug mode
        inner._deadlock_timeout_seconds = LONGEST_TASK
    return worker


@dataclass(frozen=True)
class Runner(SandboxedWorkflowRunner):
    """The SDK's sandbox, which is not entered for what the SDK itself asks of a run.

    For each payload of each workflow task the SDK asks, twice on the way out, which activity or run it belongs to. It
    enters the sandbox for the answer, though no code of the workflow has a part in it: a sixth of a worker's CPU. There
    is no public setting for it; a test notices when these names are gone.
    """

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        made: Any = super().create_instance(det)
        inside: WorkflowInstance = made.globals_and_locals["__temporal_in_sandbox"].instance
        made.get_serialization_context = inside.get_serialization_context
        made.get_external_store_context = inside.get_external_store_context
        return cast("WorkflowInstance", made)


def workflow_runner() -> SandboxedWorkflowRunner:
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    forbidden = SandboxMatcher(children=dict.fromkeys(FORBIDDEN, SandboxMatcher.all))
    return Runner(restrictions=replace(restrictions, invalid_modules=restrictions.invalid_modules | forbidden))
