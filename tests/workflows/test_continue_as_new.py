"""A run that continues as new goes on where it was: nothing done twice, nobody asked twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from contracts.activities import CHECK_PLAN
from contracts.events import PublishEvent
from contracts.names import DECIDE
from contracts.record import break_of
from contracts.settings import ModelAlias
from tests.endpoint import open_endpoint
from tests.servers import hasty, open_server
from tests.workflows.office import UNDO, Office, Run, open_office

SUGGESTED_AFTER_EVENTS = 40


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty_client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A server that suggests to continue as new soon."""
    async with open_server(tmp_path_factory.mktemp("home"), hasty(SUGGESTED_AFTER_EVENTS)) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def office(hasty_client: Client) -> AsyncIterator[Office]:
    async with open_office(hasty_client) as opened:
        yield opened


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def continued(run: Run) -> None:
    """Wait until the run has continued as new."""
    async with asyncio.timeout(60):
        while (await run.handle.describe()).run_id == run.handle.first_execution_run_id:
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_long_chain_completes_with_every_effect_once(office: Office) -> None:
    chain = "\n".join(
        f'          s{n}: {{tool: do.work, with: {{what: "${{ steps.s{n - 1}.output.what }}{n}."}}}}'
        for n in range(1, 101)
    )
    run = await office.start(f"""
        process: long-chain
        steps:
          s0: {{tool: do.work, with: {{what: "0."}}}}
{chain}
        output: ${{ steps.s100.output.what }}
    """)
    result = await run.handle.result()
    assert result.output == "".join(f"{n}." for n in range(101))
    assert [step for _, step, _ in office.ledger] == [f"s{n}" for n in range(101)]
    await continued(run)
    lines = [row.text for row in await office.records.read(run.id)]
    assert break_of(lines, result.record) is None
    assert len(lines) == 2 + 2 * 101


async def test_what_waits_for_people_is_carried_over_with_its_votes_and_ids(office: Office) -> None:
    run = await office.start("""
        process: carried-over
        steps:
          ok: {approval: {title: Go?, from: [{any_of: [group:finance], count: 2}]}}
          broken: {tool: do.work, with: {fails: true}}
          go: {tool: do.held}
          each: {tool: do.work, for_each: "${ [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15] }", needs: [go]}
          last: {tool: do.work, needs: [each]}
          after_ok: {tool: do.work, needs: [ok, broken]}
    """)
    await run.waiting("ok")
    await run.parked("broken")
    receipt = await run.decide("ok", "approve", "alice", id="vote-1")
    office.gates["go"].set()
    view = await run.until(lambda view: any(step.id == "last" and step.status == "completed" for step in view.steps))
    await continued(run)
    assert [vote.by for wait in view.waiting for vote in wait.votes] == ["user:alice"]
    assert await run.decide("ok", "approve", "alice", id="vote-1") == receipt
    await run.decide("ok", "approve", "bob")
    await run.repair("broken", "skip")
    assert (await run.handle.result()).status == "completed"
    done = [step for _, step, _ in office.ledger]
    assert len(done) == len(set(done)) == 18


async def test_effects_from_before_are_undone_after(office: Office) -> None:
    run = await office.start(f"""
        process: undone-after
        steps:
          first: {{tool: do.work, {UNDO}}}
          g:
            for_each: ${{ [1,2,3,4,5,6] }}
            needs: [first]
            steps: {{a: {{tool: do.work, {UNDO}}}, b: {{tool: do.work, needs: [a]}}}}
          w: {{wait: 1d, needs: [g]}}
    """)
    await run.waiting("w")
    await continued(run)
    await run.cancel()
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    undone = [step for effect, step, _ in office.ledger if effect == "undo"]
    assert sorted(undone[:-1]) == [f"g[{n}].a" for n in range(6)]
    assert undone[-1] == "first"


async def test_a_sub_process_outlives_its_parents_continuing(office: Office) -> None:
    office.children["long-child"] = office.definition("""
        process: long-child
        steps: {x: {tool: do.held}}
        output: ${ steps.x.output.id }
    """)
    run = await office.start("""
        process: long-parent
        steps:
          sub: {process: long-child}
          each: {tool: do.work, for_each: "${ [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15] }"}
          last: {tool: do.work, needs: [each]}
          after: {tool: do.work, with: {what: "${ steps.sub.output }"}}
        output: ${ steps.after.output.what }
    """)
    await run.until(lambda view: any(step.id == "last" and step.status == "completed" for step in view.steps))
    await continued(run)
    office.gates["x"].set()
    assert (await run.handle.result()).output == "x"


@pytest.mark.slow
async def test_rounds_state_fallbacks_and_waits_for_events_are_carried_over(office: Office) -> None:
    office.broken = {"bank"}
    run = await office.start(
        f"""
        process: carried-further
        steps:
          poll: {{tool: do.work, repeat: {{until: "${{ output.id == 'poll#12' }}", every: 10ms}}, {UNDO}}}
          count: {{state: {{key: n, add: 1}}, for_each: [1, 2, 3]}}
          bank: {{tool: do.work, on_failure: {{fallback: other}}, needs: [count]}}
          other: {{tool: do.work}}
          arrival: {{event: "carried.${{TOPIC}}", needs: [count]}}
          late: {{state: {{key: n, set: 0, if_version: 3}}, needs: [arrival, poll, bank]}}
        output: {{late: "${{ steps.late.output.version }}", bank: "${{ steps.bank.output.id }}"}}
    """.replace("${TOPIC}", uuid4().hex)
    )
    await run.until(lambda view: any(step.id == "poll#12" and step.status == "completed" for step in view.steps))
    await continued(run)
    view = await run.view()
    topic = next(waiting.title for waiting in view.waiting if waiting.kind == "event")
    await office.topics.publish(PublishEvent(id="one", topic=topic))
    await run.until(lambda view: any(step.id == "arrival" and step.status == "completed" for step in view.steps))
    assert (await run.handle.result()).output == {"late": 4, "bank": "other"}
    assert [step for _, step, _ in office.ledger if step.startswith("poll")] == [f"poll#{n}" for n in range(1, 13)]


async def test_a_long_call_keeps_nothing_else_from_going_on(office: Office) -> None:
    chain = "\n".join(f"          s{n}: {{tool: do.work, needs: [s{n - 1}]}}" for n in range(1, 30))
    run = await office.start(f"""
        process: long-call
        steps:
          long: {{tool: do.held}}
          s0: {{tool: do.work}}
{chain}
    """)
    view = await run.until(lambda view: any(step.id == "s29" and step.status == "completed" for step in view.steps))
    assert next(step.status for step in view.steps if step.id == "long") == "running"
    assert (await run.handle.describe()).history_length > SUGGESTED_AFTER_EVENTS
    office.gates["long"].set()
    await run.handle.result()


async def test_what_was_approved_is_what_is_done_whatever_changed_since(office: Office) -> None:
    run = await office.start("""
        process: bound
        state: {n: {initial: 1}}
        steps:
          pay: {tool: do.work, with: {what: "pay ${ state.n }"}, approve: {from: [{any_of: [user:ada]}]}}
          more: {state: {key: n, set: 1000}, needs: [each]}
          each: {tool: do.work, for_each: "${ [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15] }"}
    """)
    view = await run.waiting("pay")
    await run.until(lambda view: view.state["n"].value == 1000)
    await continued(run)
    await run.decide("pay", "approve", "user:ada", hash=view.waiting[0].hash)
    await run.handle.result()
    assert ("do", "pay", "pay 1") in office.ledger


FILLER = """
          each: {tool: do.work, for_each: "${ [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15] }"}
          last: {tool: do.work, needs: [each]}
"""


async def filled(run: Run) -> None:
    """Until the filler is through, and the run has continued as new."""
    await run.until(lambda view: any(step.id == "last" and step.status == "completed" for step in view.steps))
    await continued(run)


async def test_what_an_item_did_whose_output_was_not_accepted_is_carried_over(office: Office) -> None:
    """While another step stands in for all of the items."""
    run = await office.start(f"""
        process: carried-unaccepted
        steps:
          a:
            tool: do.work
            for_each: ["x"]
            success: "${{ output.what == 'fine' }}"
            on_failure: {{fallback: other}}
            {UNDO}
          other: {{approval: {{title: Instead?, from: [{{any_of: [user:alice]}}]}}}}
          {FILLER.strip()}
    """)
    await run.waiting("other")
    await filled(run)
    await run.cancel()
    await run.failed()
    assert [step for kind, step, _ in office.ledger if kind == "undo"] == ["a[0]"]


async def test_incidents_amendments_notes_and_what_was_tried_are_carried_over(office: Office) -> None:
    office.broken = {"a", "b"}
    run = await office.start(f"""
        process: carried-repairs
        steps:
          a: {{tool: do.work}}
          b: {{tool: do.work}}
          late: {{tool: do.work, with: {{what: old}}, needs: [w]}}
          w: {{wait: 1d}}
          gate: {{wait: 2d}}
          cheque: {{tool: do.work, needs: [gate]}}
{FILLER}
    """)
    await run.parked("a", "b")
    await run.repair("late", "amend", value={"what": "new"})
    await run.repair("b", "fallback", value="cheque")
    await run.repair("", "note", reason="look at a")
    await filled(run)
    view = await run.view()
    assert [remark.text for remark in view.remarks] == ["look at a"]
    assert [(incident.step, len(incident.tried)) for incident in view.incidents] == [("a", 1)]
    office.broken.clear()
    await run.repair("a", "retry")
    for step in ("w", "gate"):
        await run.repair(step, "amend", value="0s")
    await run.handle.result()
    done = [step for _, step, _ in office.ledger]
    assert len(done) == len(set(done))
    assert ("do", "late", "new") in office.ledger
    assert {"a", "cheque"} <= set(done)
    assert "b" not in done


async def test_a_pause_outlives_it_and_what_was_open_stays_open(office: Office) -> None:
    run = await office.start(f"""
        process: carried-pause
        steps:
          ok: {{approval: {{title: Go?, from: [{{any_of: [user:ada]}}]}}}}
          go: {{tool: do.work, needs: [ok]}}
          after: {{tool: do.work, needs: [last]}}
{FILLER}
    """)
    await run.waiting("ok")
    await run.handle.signal(DECIDE, {"step": "ok", "decision": "approve", "by": "user:eve"})
    await filled(run)
    await run.repair("", "pause", reason="lunch")
    for number in range(12):
        await run.repair("", "note", reason=f"{number}")
    first = (await run.handle.describe()).run_id
    async with asyncio.timeout(60):
        while (await run.handle.describe()).run_id == first:
            await run.repair("", "note", reason="more")
    view = await run.view()
    assert view.paused is not None
    assert ["user:eve" in refused for refused in view.refused] == [True]
    assert [waiting.step for waiting in view.waiting] == ["ok"]
    await run.decide("ok", "approve", "user:ada")
    view = await run.until(lambda view: any(step.id == "ok" and step.status == "completed" for step in view.steps))
    assert office.calls["go"] == 0
    await run.repair("", "resume")
    await run.handle.result()
    done = [step for _, step, _ in office.ledger]
    assert len(done) == len(set(done)) == 18


class Holds(Interceptor):
    """Activities of one type wait here until the gate opens."""

    def __init__(self, activity_type: str) -> None:
        self.type = activity_type
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 -- the SDK calls it so
        return _Held(next, self)


class _Held(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, holds: Holds) -> None:
        super().__init__(following)
        self.holds = holds

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 -- the same
        if activity.info().activity_type == self.holds.type:
            self.holds.begun.set()
            await self.holds.gate.wait()
        return await super().execute_activity(input)


async def test_a_plan_that_is_being_checked_is_not_asked_for_again(hasty_client: Client, tmp_path: Path) -> None:
    check = Holds(CHECK_PLAN.name)
    with open_endpoint() as endpoint:
        models = {"default": ModelAlias(model="test-model", base_url=endpoint.url)}
        endpoint.say(json.dumps({"steps": {"a": {"tool": "do.nothing"}}}))
        endpoint.say(json.dumps({"steps": {"a": {"tool": "do.work"}}}))
        async with open_office(hasty_client, home=tmp_path, models=models, interceptors=[check]) as office:
            run = await office.start("""
                process: carried-plan
                steps:
                  reach: {goal: Get there., tools: [do.work]}
                  go: {tool: do.held}
                  each: {tool: do.work, for_each: "${ [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15] }", needs: [go]}
                  last: {tool: do.work, needs: [each]}
            """)
            await check.begun.wait()
            office.gates["go"].set()
            await filled(run)
            check.gate.set()
            await run.handle.result()
        assert ("do", "reach.a", "") in office.ledger
        first, second = (asked.messages[1]["content"] for asked in endpoint.requests)
    assert "mistakes" not in first
    assert "do.nothing" in second


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
async def test_a_step_that_fails_during_a_change_of_the_plan_is_not_done_again_and_has_a_change_of_its_own(
    hasty_client: Client, tmp_path: Path, first: str, second: str
) -> None:
    check = Holds(CHECK_PLAN.name)
    check.gate.set()
    missed = {"tool": "do.held", "success": "${ output.id == '' }"}
    with open_endpoint() as endpoint:
        models = {"default": ModelAlias(model="test-model", base_url=endpoint.url)}
        endpoint.say(json.dumps({"steps": {"a": missed, "b": missed}}))
        for number in (1, 2):
            endpoint.say(json.dumps({"steps": {f"instead_{number}": {"tool": "do.work"}}}))
        async with open_office(hasty_client, home=tmp_path, models=models, interceptors=[check]) as office:
            run = await office.start("""
                process: both-fail
                steps:
                  reach: {goal: Get there., tools: [do.work, do.held], replans: 2}
                  go: {tool: do.held}
                  each: {tool: do.work, for_each: "${ [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15] }", needs: [go]}
                  last: {tool: do.work, needs: [each]}
            """)
            for step in ("a", "b"):
                await office.started[f"reach.{step}"].wait()
            check.gate.clear()
            check.begun.clear()
            office.gates[f"reach.{first}"].set()
            await check.begun.wait()
            office.gates[f"reach.{second}"].set()
            async with asyncio.timeout(60):
                while ("do", f"reach.{second}", "held") not in office.ledger:
                    await asyncio.sleep(0.05)
            office.gates["go"].set()
            await filled(run)
            check.gate.set()
            await run.handle.result()
        told = [asked.messages[1]["content"] for asked in endpoint.requests]
    assert sorted(step for _, step, what in office.ledger if what == "held") == ["go", "reach.a", "reach.b"]
    assert [step for _, step, _ in office.ledger if "instead" in step] == ["reach.instead_1", "reach.instead_2"]
    for step, said in zip((first, second), told[1:], strict=True):
        assert f'"failed":{{"step":"{step}"' in said
