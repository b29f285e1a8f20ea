"""Ids in Temporal, which are made of a run's and a step's."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.errors import StepError
    from contracts.plain import abridged
    from workflows.nodes import Node

MAX_PLACE = 800
"""Bytes of a run's id and a step's. The server takes 1,000 of what is made of them for an activity, a sub-process,
or one who works for an agent, and fails the workflow task of more for ever."""


def check_room(run: str, node: Node) -> None:
    """Raises:
    StepError: nothing could be called for the step.
    """
    place = f"{run}/{node.id}"
    if len(place.encode()) > MAX_PLACE and workflow.patched("room-in-ids"):
        raise StepError(
            f"{abridged(place, 200)} has {len(place.encode())} bytes; at most {MAX_PLACE} leave room for those of "
            "what it calls: use shorter ids of runs and steps, and fewer processes inside each other"
        )
