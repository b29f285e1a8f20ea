"""A run tells people what it wants of them: once, whatever happens to it meanwhile."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError
from temporalio.testing import WorkflowEnvironment

from contracts.people import Deputy
from tests.activities.notices.desk import Desk, mail
from tests.mailbox import Mailbox, text_of
from tests.servers import hasty, open_server
from tests.service import Answer, Service
from tests.workflows.office import Office, Run, open_office

INCIDENT = """
process: troubled
steps:
  broken: {tool: do.work, with: {fails: true}}
"""


def hook(service: Service, **more: Any) -> dict[str, Any]:
    return {"name": "hook", "kind": "webhook", "url": f"{service.base}/hook", "secret": "env:HOOK", **more}


@asynccontextmanager
async def office_of(client: Client, desk: Desk, *channels: Any, **more: Any) -> AsyncIterator[Office]:
    notifier = desk.open(*channels)
    async with open_office(client, records=desk.records, channels=desk.channels, notifier=notifier, **more) as opened:
        yield opened


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.02)


async def kinds(desk: Desk, run: Run) -> list[str]:
    """Of the run's events that are written, in order."""
    return [each.text for each in await desk.records.read(run.id)]


async def abort(run: Run) -> None:
    await run.repair("broken", "abort", reason="enough")
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()


async def test_an_incident_goes_out_by_every_channel_to_the_operators_once(
    client: Client, desk: Desk, service: Service, mailbox: Mailbox
) -> None:
    slack = {"name": "chat", "kind": "slack", "url": f"{service.base}/chat"}
    quiet = hook(service, name="quiet", events=["approval.opened"])
    other = hook(service, name="other", processes=["invoice-*"])
    channels = (hook(service), mail(mailbox), slack, quiet, other)
    async with office_of(client, desk, *channels) as office:
        run = await office.start(INCIDENT, started_by="user:alice")
        await run.parked("broken")
        await until(lambda: len(service.requests) == 2 and len(mailbox.received) == 2)
        await abort(run)
    assert sorted(request.path for request in service.requests) == ["/chat", "/hook"]
    assert sorted(to for to, _ in mailbox.received) == ["alice@example.com", "bob@example.com"]
    assert "broken is broken" in text_of(mailbox.received[0][1])
    assert set((await desk.states()).values()) == {"delivered"}
    assert not any("notice.undelivered" in text for text in await kinds(desk, run))


async def test_nothing_is_scheduled_where_no_channel_is_set(client: Client) -> None:
    async with open_office(client) as office:
        run = await office.start(INCIDENT)
        await run.parked("broken")
        await abort(run)
        history = await run.handle.fetch_history()
    scheduled = [event.activity_task_scheduled_event_attributes.activity_type.name for event in history.events]
    assert "surefoot.notify" not in scheduled


async def test_what_the_receiver_refuses_is_a_dead_letter_in_the_record_and_can_be_sent_again(
    client: Client, desk: Desk, service: Service
) -> None:
    service.answer = lambda request: Answer({}, status=410)
    async with office_of(client, desk, hook(service)) as office:
        run = await office.start(INCIDENT)
        await run.parked("broken")
        async with asyncio.timeout(60):
            while not (letters := await desk.notifier.letters(dead=True)):
                await asyncio.sleep(0.05)
        await abort(run)
    (event,) = [text for text in await kinds(desk, run) if "notice.undelivered" in text]
    assert '"channel":"hook"' in event
    assert "410" in event
    service.answer = lambda request: Answer(b"", status=204)
    await desk.notifier.resend(letters[0].id)
    assert await desk.states() == {"hook:": "delivered"}


async def test_a_run_that_ends_tries_once_more_and_leaves_a_dead_letter(
    time_skipping: WorkflowEnvironment, desk: Desk, service: Service
) -> None:
    service.answer = lambda request: Answer({}, status=503)
    async with office_of(time_skipping.client, desk, hook(service)) as office:
        run = await office.start("process: hasty\nsteps: {broken: {tool: do.work, with: {fails: true}}}")
        await run.parked("broken")
        await until(lambda: service.requests)
        await abort(run)
    assert await desk.states() == {"hook:": "dead"}
    assert len({request.headers["webhook-id"] for request in service.requests}) == 1
    (event,) = [text for text in await kinds(desk, run) if "notice.undelivered" in text]
    assert "503" in event


async def test_only_so_many_are_under_way_at_once_and_all_of_them_arrive(
    client: Client, desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.notices.MAX_UNDER_WAY", 2)
    at_once, told, may_go_on = list[int](), list[object](), threading.Semaphore(0)

    def held(request: object) -> Answer:
        may_go_on.acquire(timeout=60)
        told.append(request)
        return Answer(b"", status=204)

    service.answer = held
    async with office_of(client, desk, hook(service)) as office:
        steps = ", ".join(f"s{n}: {{tool: do.work, with: {{fails: true}}}}" for n in range(5))
        run = await office.start(f"{{process: in-turn, steps: {{{steps}}}}}")
        await run.until(lambda view: len(view.incidents) == 5)
        for number in range(5):
            await until(lambda: len(service.requests) > len(told))
            described = await run.handle.describe()
            pending = [each.activity_type.name for each in described.raw_description.pending_activities]
            at_once.append(pending.count("surefoot.notify"))
            may_go_on.release()
            await until(partial(lambda before: len(told) > before, number))
        await run.handle.terminate()
    assert max(at_once) == 2
    assert len(service.requests) == 5


CHAIN = "\n".join(f"  s{n}: {{tool: do.work, needs: [s{n - 1}]}}" for n in range(1, 40))


@asynccontextmanager
async def hasty_office(home: Path, desk: Desk, service: Service) -> AsyncIterator[Office]:
    """On a server that suggests to continue as new soon."""
    async with (
        open_server(home, hasty(40)) as client,
        office_of(client, desk, hook(service)) as opened,
    ):
        yield opened


async def continued(run: Run) -> None:
    async with asyncio.timeout(60):
        while (await run.handle.describe()).run_id == run.handle.first_execution_run_id:
            await asyncio.sleep(0.05)


async def delivered(desk: Desk) -> None:
    async with asyncio.timeout(60):
        while await desk.states() != {"hook:": "delivered"}:
            await asyncio.sleep(0.05)


async def test_what_is_not_delivered_goes_on_through_continue_as_new_once(
    tmp_path: Path, desk: Desk, service: Service
) -> None:
    is_up = asyncio.Event()
    service.answer = lambda request: Answer(b"", status=204 if is_up.is_set() else 503, headers={"retry-after": "1"})
    async with hasty_office(tmp_path / "home", desk, service) as office:
        run = await office.start(f"{INCIDENT}  s0: {{tool: do.work}}\n{CHAIN}")
        await run.parked("broken")
        await until(lambda: service.requests)
        await continued(run)
        is_up.set()
        await delivered(desk)
        await abort(run)
    assert len({request.headers["webhook-id"] for request in service.requests}) == 1
    assert not any("notice.undelivered" in text for text in await kinds(desk, run))


async def test_an_attempt_that_fails_while_the_run_continues_as_new_is_not_the_last(
    tmp_path: Path, desk: Desk, service: Service
) -> None:
    is_up, answers = asyncio.Event(), threading.Event()
    service.answer = lambda request: Answer(
        b"", status=204 if is_up.is_set() else 503, headers={"retry-after": "1"}, until=answers
    )
    async with hasty_office(tmp_path / "home", desk, service) as office:
        run = await office.start(f"{INCIDENT}  s0: {{tool: do.work}}\n{CHAIN}")
        first = office.client.get_workflow_handle(run.id, run_id=run.handle.first_execution_run_id)
        await until(lambda: service.requests)
        async for event in first.fetch_history_events(wait_new_event=True):
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED:
                break
        answers.set()
        await continued(run)
        is_up.set()
        await delivered(desk)
        await abort(run)
    assert not any("notice.undelivered" in text for text in await kinds(desk, run))


APPROVAL = """
process: asking
steps:
  ask:
    approval:
      title: Pay ${ input.amount }?
      show: {amount: "${ input.amount }"}
      from:
        - stages: [{any_of: [group:finance]}, {any_of: [user:carol]}]
      remind: 4h
      escalate: {after: 1d, to: [user:cfo]}
      expires: 3d
      on_reject: continue
"""
STAFF = """
users:
  alice: {email: alice@example.com}
  bob: {email: bob@example.com}
  carol: {email: carol@example.com}
  cfo: {email: cfo@example.com}
groups: {finance: [alice, bob]}
"""


def subjects(mailbox: Mailbox, user: str) -> list[str]:
    return [message["Subject"].partition(":")[0] for message in mailbox.to(f"{user}@example.com")]


async def test_an_approval_is_told_when_it_opens_reminds_escalates_and_expires_to_those_concerned(
    time_skipping: WorkflowEnvironment, desk: Desk, mailbox: Mailbox, service: Service
) -> None:
    desk.file.write_text(STAFF)
    every = ["approval.opened", "approval.reminded", "approval.escalated", "approval.expired", "approval.decided"]
    channels = (mail(mailbox), hook(service, events=every))
    async with office_of(time_skipping.client, desk, *channels) as office:
        run = await office.start(APPROVAL, {"amount": 1840}, started_by="user:alice")
        await run.waiting("ask")
        await until(lambda: len(mailbox.received) == 2)
        await run.decide("ask", "approve", "user:bob")
        await until(lambda: len(mailbox.received) == 3)
        await time_skipping.sleep(4 * 24 * 3600)
        await run.handle.result()
    assert subjects(mailbox, "bob") == ["Please decide"]
    assert subjects(mailbox, "alice") == ["Please decide", "Nobody decided in time"]
    told = subjects(mailbox, "carol")
    assert (told[0], told[1], told[-1]) == ("Please decide", "Still waiting for you", "Nobody decided in time")
    assert set(subjects(mailbox, "cfo")) == {"Escalated to you", "Still waiting for you", "Nobody decided in time"}
    assert "starter.py approve" in text_of(mailbox.to("carol@example.com")[0])
    posted = [request.body["type"] for request in service.requests]
    assert [posted.count(kind) for kind in every if kind != "approval.reminded"] == [2, 1, 1, 1]
    assert len({request.headers["webhook-id"] for request in service.requests}) == len(posted)
    assert posted.count("approval.reminded") == told.count("Still waiting for you")
    assert set((await desk.states()).values()) == {"delivered"}


async def test_escalation_tells_those_who_can_decide_then_and_who_acts_for_them(
    time_skipping: WorkflowEnvironment, desk: Desk, mailbox: Mailbox
) -> None:
    people = STAFF.replace("cfo: {email", "dora: {email: dora@example.com}\n  cfo: {proxies: [dora], email")
    desk.file.write_text(people)
    process = yaml.safe_load(APPROVAL)
    rows = [{"any_of": ["group:finance"], "count": 2}]
    changes = {"from": rows, "not_by": ["starter"], "escalate": {"after": "1d", "to": ["user:cfo", "user:bob"]}}
    process["steps"]["ask"]["approval"].update(changes)
    channel = mail(mailbox, events=["approval.escalated"])
    async with office_of(time_skipping.client, desk, channel) as office:
        office.deputies = {"user:cfo": (Deputy(user="user:dora"),)}
        office.groups = {"group:finance": ("user:alice", "user:carol", "user:bob")}
        run = await office.start(yaml.safe_dump(process), {"amount": 5}, started_by="user:bob")
        await run.waiting("ask")
        await time_skipping.sleep(4 * 24 * 3600)
        await run.handle.result()
    assert [len(subjects(mailbox, user)) for user in ("cfo", "dora", "bob", "alice")] == [1, 1, 0, 0]


async def test_whoever_is_asked_again_by_a_withdrawal_is_told_at_once(
    client: Client, desk: Desk, mailbox: Mailbox
) -> None:
    desk.file.write_text(STAFF)
    async with office_of(client, desk, mail(mailbox)) as office:
        run = await office.start(APPROVAL, {"amount": 1840})
        await run.waiting("ask")
        await until(lambda: len(mailbox.received) == 2)
        await run.decide("ask", "approve", "alice")
        await until(lambda: len(mailbox.received) == 3)
        await run.decide("ask", "comment", "carol", comment="is it <due>?")
        await run.decide("ask", "withdraw", "alice", comment="wrong supplier")
        await until(lambda: len(mailbox.received) == 4)
        again = mailbox.to("bob@example.com")[-1]
        await run.decide("ask", "reject", "bob", comment="indeed")
        await run.handle.result()
    assert subjects(mailbox, "bob") == ["Please decide", "Asked again, since a vote was withdrawn"]
    assert (subjects(mailbox, "alice"), subjects(mailbox, "carol")) == (["Please decide"], ["Please decide"])
    assert "user:alice: wrong supplier" in text_of(again)
    assert "UTC: is it <due>?" in text_of(again)


async def test_a_withdrawal_that_asks_nobody_else_again_tells_nobody(
    client: Client, desk: Desk, service: Service
) -> None:
    process = yaml.safe_load(APPROVAL)
    process["steps"]["ask"]["approval"]["from"] = [{"any_of": ["group:finance"], "count": 2}]
    channel = hook(service, events=["approval.reopened", "approval.decided"])
    async with office_of(client, desk, channel) as office:
        run = await office.start(yaml.safe_dump(process), {"amount": 5})
        await run.waiting("ask")
        for decision, by in (("claim", "bob"), ("release", "bob"), ("approve", "alice"), ("withdraw", "alice")):
            await run.decide("ask", decision, by)
        await run.decide("ask", "reject", "bob", comment="no")
        await run.handle.result()
    assert [request.body["type"] for request in service.requests] == ["approval.decided"]


async def test_a_claim_that_an_operator_lifts_is_told_to_whoever_had_it_and_whoever_is_asked_again(
    client: Client, desk: Desk, mailbox: Mailbox
) -> None:
    desk.file.write_text(STAFF)
    async with office_of(client, desk, mail(mailbox, events=["approval.reopened"])) as office:
        run = await office.start(APPROVAL, {"amount": 1840})
        await run.waiting("ask")
        await run.decide("ask", "claim", "alice")
        await run.decide("ask", "release", "op", comment="alice is ill")
        await until(lambda: len(mailbox.received) == 2)
        await run.decide("ask", "reject", "bob", comment="no")
        await run.handle.result()
    for user in ("alice", "bob"):
        assert subjects(mailbox, user) == ["Asked again, since a claim was lifted"]
    assert "user:op: alice is ill" in text_of(mailbox.to("alice@example.com")[0])
