"""What agents at work hold of the budgets they share."""

from dataclasses import dataclass

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.model import Usage
    from workflows.plan import Node


@dataclass
class Share:
    """What the agent of a node holds: `leased` in all, of that `used` as far as it told. One that waits for more holds
    nothing."""

    node: Node
    used: Usage
    leased: Usage
    is_waiting: bool = False
