"""Events between runs: who gets them, when, how often. On a real server."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from temporalio.service import RPCError, RPCStatusCode

from contracts.errors import EventMissed
from contracts.events import SHARDS, PublishEvent, Subscription, TopicState, shard_of, topic_workflow_id
from contracts.names import VIEW_QUERY
from contracts.run import RunView
from tests.workflows.office import Office, Run, open_office, statuses


@pytest.fixture
def topic() -> str:
    """Topics are shared by all runs of a namespace, so each test has its own."""
    return f"test.t{uuid4().hex}"


async def publish(office: Office, topic: str, data: object, *, event_id: str = "", key: str | None = None) -> None:
    await office.topics.publish(PublishEvent(id=event_id or uuid4().hex, topic=topic, data=data, key=key))


async def shard(office: Office, topic: str, number: int) -> TopicState:
    handle = office.client.get_workflow_handle(topic_workflow_id(topic, number))
    found: TopicState = await handle.query(VIEW_QUERY, result_type=TopicState)
    return found


async def shards(office: Office, topic: str) -> list[TopicState]:
    return [await shard(office, topic, number) for number in range(SHARDS)]


async def awaited(run: Run, step: str = "arrival") -> RunView:
    return await run.until(lambda view: any(wait.step == step and wait.kind == "event" for wait in view.waiting))


async def ended(office: Office, run: str) -> None:
    """Until a run that a topic starts has been started, and has ended; within 20 seconds."""
    async with asyncio.timeout(60):
        while True:
            try:
                await office.client.get_workflow_handle(run).result()
                return
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(0.02)


async def test_a_step_waits_for_the_event_that_matches(office: Office, topic: str) -> None:
    run = await office.start(
        f"""
        process: waits
        steps:
          order: {{tool: do.work, with: {{what: A-1}}}}
          arrival:
            event: {topic}
            match: "${{ event.order == steps.order.output.what && event.amount > input.least }}"
        output: "${{ steps.arrival.output }}"
    """,
        {"least": 10},
    )
    await awaited(run)
    assert (await run.view()).status == "waiting"
    await publish(office, topic, {"order": "A-2", "amount": 50})
    await publish(office, topic, {"order": "A-1", "amount": 5})
    await publish(office, topic, {"unlike": "the others"})
    await publish(office, topic, {"order": "A-1", "amount": 11})
    assert (await run.handle.result()).output == {"order": "A-1", "amount": 11}


async def test_what_one_run_emits_another_that_waits_gets_and_so_does_every_other(office: Office, topic: str) -> None:
    text = f"""
        process: listener
        steps: {{arrival: {{event: {topic}}}}}
        output: "${{ steps.arrival.output.from }}"
    """
    listeners = [await office.start(text) for _ in range(5)]
    for run in listeners:
        await awaited(run)
    emitter = await office.start(f"""
        process: emitter
        steps: {{tell: {{emit: {topic}, with: {{from: "${{ run.id }}"}}}}}}
        output: "${{ steps.tell.output.id }}"
    """)
    assert (await emitter.handle.result()).output == f"{emitter.id}/tell"
    assert {(await run.handle.result()).output for run in listeners} == {emitter.id}


async def test_an_event_published_before_the_step_waits_counts_when_it_is_the_runs_time(
    office: Office, topic: str
) -> None:
    run = await office.start(f"""
        process: early
        steps:
          hold: {{tool: do.held}}
          arrival: {{event: {topic}, needs: [hold]}}
    """)
    await office.started["hold"].wait()
    await publish(office, topic, {"n": 1})
    office.gates["hold"].set()
    await run.handle.result()


async def test_an_event_published_before_a_worker_takes_the_run_counts(office: Office, topic: str) -> None:
    """The topic, which has a worker, is faster than the run, which has none yet."""
    queue = f"late-{uuid4()}"
    definition = office.definition(f"process: early\nsteps: {{arrival: {{event: {topic}, key: k}}}}")
    run = await replace(office, queue=queue).start(definition)
    await publish(office, topic, {"n": 1}, key="k")
    while (await shard(office, topic, shard_of("k"))).published == 0:
        await asyncio.sleep(0.02)
    async with open_office(office.client, queue=queue):
        assert (await run.handle.result()).status == "completed"


async def test_an_event_from_before_the_run_counts_within_the_time_the_step_names(office: Office, topic: str) -> None:
    await publish(office, topic, {"n": 1})
    run = await office.start(f"""
        process: late
        steps: {{arrival: {{event: {topic}, within: 1h}}}}
        output: "${{ steps.arrival.output.n }}"
    """)
    assert (await run.handle.result()).output == 1


async def test_a_step_that_no_event_reaches_within_its_time_fails(office: Office, topic: str) -> None:
    run = await office.start(f"""
        process: in-vain
        steps: {{arrival: {{event: {topic}, within: 50ms, on_failure: continue}}}}
    """)
    await run.handle.result()
    (step,) = (await run.view()).steps
    assert step.error is not None
    assert step.error.type == EventMissed.type_name()
    assert all(not shard.subscriptions for shard in await shards(office, topic))


async def test_what_a_waiting_step_waits_for_can_be_amended(office: Office, topic: str) -> None:
    run = await office.start(f"""
        process: renamed
        steps: {{arrival: {{event: {topic}, key: A-1, match: "${{ event.n > 1 }}", within: 1h}}}}
        output: "${{ steps.arrival.output }}"
    """)
    first = (await awaited(run)).waiting[0].until
    said = await run.repair("arrival", "amend", value={"key": "A-2", "within": "1d"}, reason="they renamed it")
    assert [(each.path, each.before, each.after) for each in said.difference] == [
        ("key", "A-1", "A-2"),
        ("within", "1h", "1d"),
    ]
    until = (await run.until(lambda view: view.waiting[:1] != () and view.waiting[0].until != first)).waiting[0].until
    assert first is not None
    assert until is not None
    assert until > first + timedelta(hours=22)
    await run.repair("arrival", "amend", value={"match": "${ event.n == input.n }"})
    await publish(office, topic, {"n": 5}, key="A-1")
    await publish(office, topic, {"n": 5}, key="A-2")
    assert (await awaited(run)).status == "waiting"
    await run.repair("arrival", "amend", value={"match": None})
    assert (await run.handle.result()).output == {"n": 5}
    for number in {shard_of("A-1"), shard_of("A-2")}:
        assert not (await shard(office, topic, number)).subscriptions
    amended = await run.events("step.amended")
    assert (amended[0].by, amended[0].reason) == ("user:op", "they renamed it")


async def test_an_event_that_did_not_come_is_waited_for_once_more_under_another_key(office: Office, topic: str) -> None:
    run = await office.start(f"process: missed\nsteps: {{arrival: {{event: {topic}, key: A-1, within: 50ms}}}}")
    incident = (await run.parked("arrival")).incidents[0]
    (command,) = [choice.command for choice in incident.actions if choice.action == "amend"]
    assert command.endswith("""amend --value '{"key":"A-1","within":"50ms"}'""")
    await run.repair("arrival", "amend", value={"key": "A-2", "within": None})
    await awaited(run)
    await publish(office, topic, {}, key="A-2")
    await run.handle.result()


async def test_a_step_that_is_still_to_wait_waits_for_what_was_amended(office: Office, topic: str) -> None:
    run = await office.start(f"""
        process: ahead
        steps: {{hold: {{tool: do.held}}, arrival: {{event: {topic}, key: "${{ steps.hold.output.id }}"}}}}
    """)
    await office.started["hold"].wait()
    said = await run.preview("arrival", "amend", value={"key": "A-2"})
    assert [(each.before, each.after) for each in said.difference] == [("${ steps.hold.output.id }", "A-2")]
    await run.repair("arrival", "amend", value={"key": "A-2"})
    office.gates["hold"].set()
    await publish(office, topic, {}, key="A-2")
    await run.handle.result()


async def test_what_no_event_step_can_wait_for_is_refused(office: Office, topic: str) -> None:
    run = await office.start(f"process: refusing\nsteps: {{arrival: {{event: {topic}, key: A-1}}}}")
    await awaited(run)
    cases: list[tuple[object, str]] = [
        (None, "waits for an event; give it any of"),
        ({}, "waits for an event; give it any of"),
        ({"topic": "other"}, "waits for an event; give it any of"),
        ({"within": "soon"}, "waits for an event; give it any of"),
        ({"match": "event.n > 1"}, "is no expression; write ${"),
        ({"match": "${ event.n > }"}, "match: "),
        ({"match": "${ evnt.n > 1 }"}, "uses evnt; there are event"),
    ]
    for value, why in cases:
        assert why in await run.unrepaired("arrival", "amend", value=value), value
    await run.cancel()


async def test_events_with_a_key_reach_those_with_the_key_and_those_without(office: Office, topic: str) -> None:
    keyed = await office.start(f"process: k\nsteps: {{arrival: {{event: {topic}, key: '${{ input.k }}'}}}}", {"k": "a"})
    other = await office.start(f"process: o\nsteps: {{arrival: {{event: {topic}, key: b}}}}")
    every = await office.start(f"process: e\nsteps: {{arrival: {{event: {topic}}}}}")
    for run in (keyed, other, every):
        await awaited(run)
    await publish(office, topic, {}, key="a")
    await keyed.handle.result()
    await every.handle.result()
    assert statuses(await other.view()) == {"arrival": "waiting"}
    await publish(office, topic, {}, key="b")
    await other.handle.result()


async def test_an_event_that_comes_twice_is_one_event(office: Office, topic: str) -> None:
    office.children["counted"] = office.definition("process: counted\nsteps: {a: {tool: do.work}}")
    await subscribe(office, topic, "counted")
    for _ in range(3):
        await publish(office, topic, {"n": 1}, event_id=f"same-{topic}")
    await ended(office, f"counted-same-{topic}")
    assert sum(shard.published for shard in await shards(office, topic)) == 1
    assert office.calls["a"] == 1


async def subscribe(office: Office, topic: str, process: str, **more: object) -> None:
    made = Subscription.model_validate(
        {"id": f"process:{process}", "topic": topic, "process": process, "since": datetime.now(UTC), **more}
    )
    await office.topics.subscribe(made)


async def test_a_trigger_starts_a_run_for_each_event_that_matches(office: Office, topic: str) -> None:
    office.children["started"] = office.definition("""
        process: started
        input: {type: object, required: [n]}
        steps: {a: {tool: do.work, with: {what: "${ string(input.n) + run.started_by }"}}}
    """)
    more = {"match": "${ event.amount > 2 }", "with": {"n": "${ event.amount }"}}
    await subscribe(office, topic, "started", **more)
    for amount in (1, 3, 4):
        await publish(office, topic, {"amount": amount}, event_id=f"{topic}-{amount}")
    for amount in (3, 4):
        await ended(office, f"started-{topic}-{amount}")
    assert sorted(what for _, _, what in office.ledger) == [f"3event:{topic}", f"4event:{topic}"]


@pytest.mark.slow
async def test_a_topic_continues_as_new_with_its_subscriptions_and_keeps_its_newest_events(
    office: Office, topic: str
) -> None:
    run = await office.start(f"""
        process: patient
        steps: {{arrival: {{event: {topic}, key: a, match: "${{ event.n == 300 }}"}}}}
    """)
    await awaited(run)
    for number in range(301):
        await publish(office, topic, {"n": number, "pad": "x" * 16_000}, key="a")
    await run.handle.result()
    handle = office.client.get_workflow_handle(topic_workflow_id(topic, shard_of("a")))
    history = await handle.fetch_history()
    assert history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
    state = await handle.query(VIEW_QUERY, result_type=TopicState)
    assert state.published == 301
    assert [event.data["n"] for event in state.recent] == list(range(301 - len(state.recent), 301))


async def test_an_event_too_large_to_keep_is_refused_at_its_step(office: Office, topic: str) -> None:
    run = await office.start(
        f"""
        process: too-large
        steps: {{tell: {{emit: {topic}, with: {{pad: "${{ input.pad }}"}}}}}}
    """,
        {"pad": "x" * 150_000},
    )
    view = await run.parked("tell")
    assert "at most 100000 are published" in view.incidents[0].error.message
    await run.cancel()


async def test_a_step_that_is_done_takes_nobody_elses_wait_along(office: Office, topic: str) -> None:
    run = await office.start(f"""
        process: alike
        steps:
          paid: {{event: {topic}, match: "${{ event.n == 1 }}"}}
          paid_late: {{event: {topic}, match: "${{ event.n == 2 }}"}}
    """)
    await awaited(run, "paid")
    await awaited(run, "paid_late")
    await publish(office, topic, {"n": 1})
    await run.until(lambda view: statuses(view)["paid"] == "completed")
    await publish(office, topic, {"n": 2})
    await run.handle.result()


async def test_an_event_that_cannot_start_a_run_is_told_of_and_holds_up_no_other(office: Office, topic: str) -> None:
    office.children["picky"] = office.definition("process: picky\nsteps: {a: {tool: do.work}}")
    await subscribe(office, topic, "picky", **{"with": {"n": "${ event.n }"}})
    await publish(office, topic, {}, event_id=f"bad-{topic}", key="k")
    await publish(office, topic, {"n": 1}, event_id=f"good-{topic}", key="k")
    await ended(office, f"picky-good-{topic}")
    problems = [problem for shard in await shards(office, topic) for problem in shard.problems]
    assert len(problems) == 1
    assert f"picky was not started for event bad-{topic}" in problems[0]
