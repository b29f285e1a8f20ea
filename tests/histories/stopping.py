"""Paths on which what is under way is stopped, or planned anew."""

from functools import partial
from typing import Any

from temporalio.client import Client

from contracts.names import CANCEL, DECIDE, PROCESS_WORKFLOW, REPAIR, TASK_QUEUE, WITHDRAW_SIGNAL
from tests.histories.gates import GATES
from tests.histories.runs import asks, decided, failed, parked, until, until_it_says

WAITING: dict[str, Any] = {"wait": "0s"}


async def let_go(client: Client) -> list[str]:
    """Steps whose parts do not go on; agents that are stopped while people are asked, a write is under way and a run
    of theirs waits. What operators say comes by signals."""
    payload = {"process": "let-go", "input": {}, "started_by": "user:hanna"}
    run = await client.start_workflow(PROCESS_WORKFLOW, payload, id="let-go", task_queue=TASK_QUEUE)
    clerk, chief = (client.get_workflow_handle(f"let-go/{step}") for step in ("work", "have_done"))
    await until(run, partial(asks, "torn[0]"))
    await until(run, partial(asks, "torn[1]"))
    no = {"step": "torn[0]", "decision": "reject", "by": "user:paul", "comment": "no"}
    await run.execute_update(DECIDE, no)
    await until(run, partial(asks, "work"))
    await until_it_says(chief, "CHILD_WORKFLOW_EXECUTION_STARTED")
    await run.signal(REPAIR, {"action": "pause", "by": "user:tom", "reason": "lunch"})
    await until(run, lambda seen: seen.paused is not None)
    await decided(run, "work", "user:paul")
    await run.signal(REPAIR, {"action": "resume", "by": "user:tom"})
    await until_it_says(clerk, '"desk.hold"')
    await until(run, partial(asks, "work/ask-1"))
    await run.signal(CANCEL, {"by": "user:tom", "reason": "nobody needs it"})
    await until_it_says(clerk, "WORKFLOW_EXECUTION_CANCEL_REQUESTED")
    GATES["let-go/work"].set()
    await failed(run)
    return ["let-go", "let-go/work", "let-go/have_done"]


async def not_waited_for(client: Client) -> list[str]:
    """An agent is stopped while people are asked, and tells the run, which goes on."""
    payload = {"process": "not-waited-for", "input": {}, "started_by": "user:hanna"}
    run = await client.start_workflow(PROCESS_WORKFLOW, payload, id="not-waited-for", task_queue=TASK_QUEUE)
    await until(run, partial(asks, "noted/ask-1"))
    await decided(run, "told", "user:paul")
    await until_it_says(run, f'"signalName": "{WITHDRAW_SIGNAL}"')
    await decided(run, "agree", "user:paul")
    await run.result()
    return ["not-waited-for"]


async def planned_anew(client: Client) -> list[str]:
    """A plan is edited, misses its goal, and changes; two of its steps fail at once, and an operator wants another
    plan for both. There is one for the first of them."""
    payload = {"process": "planned-anew", "input": {}, "started_by": "user:hanna"}
    run = await client.start_workflow(PROCESS_WORKFLOW, payload, id="planned-anew", task_queue=TASK_QUEUE)
    await until(run, partial(asks, "aim"))
    edits = {"steps": {"one": WAITING, "more": WAITING}, "output": {"number": 1}}
    await run.execute_update(DECIDE, {"step": "aim", "decision": "approve", "by": "user:paul", "edits": edits})
    await decided(run, "aim", "user:paul", "aim failed")
    await until(run, lambda seen: {incident.step for incident in seen.incidents} == {"aim.left", "aim.right"})
    for step in ("aim.left", "aim.right"):
        await run.execute_update(REPAIR, {"step": step, "action": "replan", "by": "user:tom", "reason": "no way"})
    await decided(run, "aim", "user:paul", "user:tom wants another plan")
    await until(run, partial(parked, "the plan could not be changed"))
    await run.execute_update(REPAIR, {"step": "aim.right", "action": "skip", "by": "user:tom", "reason": "no need"})
    await run.result()
    return ["planned-anew"]
