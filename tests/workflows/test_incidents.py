"""An incident tells a person who did not write the process what was tried, what holds and what can be done."""

import json

import pytest
from temporalio.client import WorkflowFailureError

from contracts.incidents import Incident
from contracts.run import Definition, definition_hash
from tests.workflows.office import UNDO, Office, stuck_in_undo


def choices(incident: Incident) -> dict[str, str]:
    return {choice.action: choice.command for choice in incident.actions}


async def test_an_incident_explains_itself(office: Office) -> None:
    office.broken.add("pay")
    run = await office.start(f"""
        process: explained
        value: {{manual_minutes: 30, hourly_cost: 40, currency: EUR}}
        steps:
          look: {{tool: do.look}}
          order: {{tool: do.work, with: {{what: a horse}}, {UNDO}}}
          pay: {{tool: do.work, needs: [order, look], with: {{what: the horse}}, description: Pay it}}
          tell: {{tool: do.work, needs: [pay]}}
          g:
            needs: [tell]
            steps: {{x: {{tool: do.work}}, y: {{tool: do.work, needs: [x]}}}}
          other: {{tool: do.work, needs: [order]}}
    """)
    await run.parked("pay")
    await run.repair("pay", "retry")
    view = await run.until(lambda view: bool(view.incidents) and len(view.incidents[0].tried) == 2)
    incident = view.incidents[0]
    assert (incident.title, incident.of, incident.input) == ("Pay it", "step", {"what": "the horse"})
    assert [(tried.times, tried.error) for tried in incident.tried] == [(1, "ToolFailed: pay is broken")] * 2
    assert incident.tried[0].until < incident.tried[1].until == incident.since
    kept = {kept.step: kept for kept in incident.done}
    assert "look" not in kept
    assert kept["order"].what.startswith('do.work: {"id":"order","what":"a horse"')
    assert kept["order"].undo == "do.undo"
    assert (incident.blocks, incident.waiting) == (("tell",), 2)
    assert incident.worth is not None
    assert (incident.worth.minutes, incident.worth.money) == (30, 20)
    assert choices(incident) == {
        "retry": f"starter.py repair {run.id} pay retry",
        "amend": f'starter.py repair {run.id} pay amend --value \'{{"what":"the horse"}}\'',
        "complete": f"starter.py repair {run.id} pay complete --value '{{}}'",
        "skip": f"starter.py repair {run.id} pay skip",
        "abort": f"starter.py repair {run.id} pay abort",
    }


async def test_what_holds_an_inner_step_up_holds_up_what_waits_for_its_group(office: Office) -> None:
    office.broken.add("g.x")
    run = await office.start("""
        process: held-up
        steps:
          g: {steps: {x: {tool: do.work}, y: {tool: do.work, needs: [x]}}}
          after: {tool: do.work, needs: [g]}
          last: {tool: do.work, needs: [after]}
    """)
    incident = (await run.parked("g.x")).incidents[0]
    assert incident.blocks == ("g.y", "g")
    assert incident.waiting == 4


async def test_an_output_by_hand_is_asked_for_in_its_shape(office: Office) -> None:
    run = await office.start("""
        process: in-shape
        steps:
          a:
            tool: do.work
            with: {fails: true}
            output:
              type: object
              required: [id, level]
              properties: {id: {type: string}, level: {enum: [low, high]}, note: {type: string}}
    """)
    incident = (await run.parked("a")).incidents[0]
    assert """--value '{"id":"TEXT","level":"low"}'""" in choices(incident)["complete"]


async def test_steps_that_can_stand_in_are_named(office: Office) -> None:
    office.broken.add("pay")
    run = await office.start("""
        process: named
        steps:
          pay: {tool: do.work}
          after: {tool: do.work, needs: [pay]}
          done: {tool: do.work}
          gate: {event: "never.comes"}
          by_cheque: {tool: do.work, needs: [gate]}
    """)
    await run.until(lambda view: any(step.id == "done" and step.status == "completed" for step in view.steps))
    incident = (await run.parked("pay")).incidents[0]
    does = next(choice.does for choice in incident.actions if choice.action == "fallback")
    assert does.endswith(": by_cheque")
    assert choices(incident)["fallback"].endswith("pay fallback --value by_cheque")


async def test_an_undo_that_parks_says_what_each_action_means_for_it(office: Office) -> None:
    run = await stuck_in_undo(office)
    incident = (await run.view()).incidents[0]
    assert (incident.of, incident.input, incident.blocks) == ("undo", {"of": "b"}, ())
    assert incident.tried[0].times == 1
    assert choices(incident) == {
        "retry": f"starter.py repair {run.id} b retry",
        "amend": f'starter.py repair {run.id} b amend --value \'{{"of":"b"}}\'',
        "complete": f"starter.py repair {run.id} b complete",
        "skip": f"starter.py repair {run.id} b skip",
    }
    assert "leave its effect" in next(choice.does for choice in incident.actions if choice.action == "skip")


async def test_a_write_that_may_have_happened_when_the_run_stopped_asks_only_whether_it_did(office: Office) -> None:
    run = await office.start("""
        process: stopped-blind
        steps:
          pay: {tool: pay.blind, with: {amount: 5}, undo: {tool: do.undo, with: {of: "${ output }"}}}
    """)
    await run.parked("pay")
    incident = (await run.view()).incidents[0]
    assert "else it happens twice" in next(choice.does for choice in incident.actions if choice.action == "retry")
    await run.repair("pay", "abort")
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()


async def test_many_incidents_stay_a_small_view(office: Office) -> None:
    run = await office.start(
        """
        process: many-incidents
        steps: {each: {tool: do.work, for_each: "${ lists.range(120) }", with: {fails: true}}}
    """.replace("${ lists.range(120) }", "${ [" + ",".join(map(str, range(120))) + "] }")
    )
    view = await run.until(lambda view: len(view.incidents) == 120)
    assert all(incident.actions for incident in view.incidents[:50])
    assert not any(incident.actions for incident in view.incidents[50:])
    alone = await run.view({"step": "each[119]"})
    assert [incident.step for incident in alone.incidents] == ["each[119]"]
    assert alone.incidents[0].actions
    assert len(view.model_dump_json()) < 400_000
    await run.handle.terminate()


async def test_a_tool_that_came_after_the_worker_started_says_so(office: Office) -> None:
    known = office.definition("""
        process: newer
        steps: {a: {tool: do.look, retry: {attempts: 1}}}
    """)
    newer = json.loads(known.model_dump_json().replace("do.look", "do.newer"))
    run = await office.start(Definition.model_validate({**newer, "hash": definition_hash(newer)}))
    error = (await run.parked("a")).incidents[0].error
    assert error.message.startswith("do.newer: the worker does not know it; start it anew")
    assert "do.work" not in error.message
