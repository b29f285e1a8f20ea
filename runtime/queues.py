"""Task queues: which of them a worker polls, with how many slots, and how an activity gets onto its own.

Workflows know of no queues. A worker's settings say where what they start goes, so that a run follows the settings of
today; replay does not look at the queue of an activity.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from temporalio import workflow
from temporalio.worker import (
    FixedSizeSlotSupplier,
    Interceptor,
    ResourceBasedSlotConfig,
    ResourceBasedSlotSupplier,
    ResourceBasedTunerConfig,
    StartActivityInput,
    WorkerTuner,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from contracts.errors import SettingsInvalid
from contracts.queues import DEFAULT_SLOTS, QueueSettings, Role, Slots
from runtime.settings import Settings

WORKFLOW_SLOTS = 100
RESOURCES = ResourceBasedTunerConfig(target_memory_usage=0.8, target_cpu_usage=0.9)


@dataclass(frozen=True)
class Polled:
    """A queue that a worker takes work from. `workflows`: also theirs."""

    queue: str
    workflows: bool
    slots: Slots

    @property
    def tuner(self) -> WorkerTuner:
        activities: FixedSizeSlotSupplier | ResourceBasedSlotSupplier = (
            ResourceBasedSlotSupplier(ResourceBasedSlotConfig(), RESOURCES)
            if self.slots == "auto"
            else FixedSizeSlotSupplier(self.slots)
        )
        fixed = FixedSizeSlotSupplier(WORKFLOW_SLOTS)
        return WorkerTuner.create_composite(
            workflow_supplier=fixed,
            activity_supplier=activities,
            local_activity_supplier=fixed,
            nexus_supplier=fixed,
        )


def polled(settings: Settings, roles: Collection[Role] = ()) -> tuple[Polled, ...]:
    """The queues of these roles; of all without any.

    Raises:
        SettingsInvalid: a role has no queue of its own; slots are for a queue that nothing is on.
    """
    queues = settings.queues
    own: dict[Role, tuple[str, ...]] = {
        "workflows": (settings.task_queue,),
        "models": (queues.models,) if queues.models else (),
        "tools": tuple(queues.tools.values()),
    }
    known = {queue for each in own.values() for queue in each}
    if strange := sorted(set(queues.slots) - known):
        raise SettingsInvalid(f"queues.slots: nothing is on queue {strange[0]!r}; there are {', '.join(sorted(known))}")
    for role in roles:
        if not own[role]:
            raise SettingsInvalid(
                f"--only {role}: queues.{role} is not set, so {role} are on the queue of workflows; set it, or leave "
                "--only out"
            )
    wanted = [queue for role, each in own.items() if role in roles or not roles for queue in each]
    return tuple(
        Polled(queue, queue == settings.task_queue, queues.slots.get(queue, DEFAULT_SLOTS))
        for queue in dict.fromkeys(wanted)
    )


class OntoQueues(Interceptor):
    """Puts each activity that a workflow starts onto the activity's own queue."""

    def __init__(self, queues: QueueSettings) -> None:
        self._queues = queues

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002 -- the base's name
    ) -> type[WorkflowInboundInterceptor]:
        queues = self._queues

        class Outbound(WorkflowOutboundInterceptor):
            def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
                input.task_queue = input.task_queue or queues.of(input.activity)
                return super().start_activity(input)

        class Inbound(WorkflowInboundInterceptor):
            def init(self, outbound: WorkflowOutboundInterceptor) -> None:
                super().init(Outbound(outbound))

        return Inbound
