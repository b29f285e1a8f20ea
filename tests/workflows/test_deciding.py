"""Approvals in a run: rows, stages, updates and signals, rejection, what Temporal can search for."""

from typing import Any

import pytest
import yaml
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from uuid_utils import uuid7

from contracts.names import DECIDE, WAITS_FOR_ATTRIBUTE
from contracts.people import Deputy
from contracts.run import Waiting
from tests.workflows.office import Office, Run, effects

PAY = """
    process: paying
    input: {type: object}
    steps:
      ok:
        approval:
          title: Pay ${ input.amount }?
          show: {amount: "${ input.amount }"}
          from:
            - when: ${ input.amount > 50000 }
              stages: [{any_of: [group:controllers]}, {all_of: [user:cfo]}]
            - any_of: [group:finance]
              count: 2
          not_by: [starter]
      pay: {tool: do.work, needs: [ok], with: {what: "${ steps.ok.output.decision } ${ steps.ok.output.by }"}}
      agreed: {state: {key: agreed, set: "${ steps.ok.output.edits }"}}
    output: ${ steps.pay.output.what }
"""

PAY_WITH_APPROVAL = """
    process: paying
    steps:
      pay:
        tool: do.work
        with: {what: much}
        approve: {from: [{any_of: [group:finance]}], not_by: [editor]}
    output: ${ steps.pay.output.what }
"""


async def ask(
    office: Office, amount: int = 500, *, started_by: str = "user:sam", rows: Any = None, **approval: Any
) -> Run:
    """A run that waits for its approval, with these rows, and `approval` besides what it says."""
    process = yaml.safe_load(PAY)
    process["steps"]["ok"]["approval"].update(approval, **({"from": rows} if rows else {}))
    run = await office.start(yaml.safe_dump(process), {"amount": amount}, started_by=started_by)
    await run.waiting("ok")
    return run


async def waiting(run: Run) -> Waiting:
    return (await run.view()).waiting[0]


async def test_the_first_matching_row_decides_and_stages_follow_each_other(office: Office) -> None:
    run = await ask(office, 60000)
    view = await run.view()
    assert view.waiting[0].people == ("user:carol",)
    assert (view.status, view.waiting[0].title, view.waiting[0].who) == (
        "waiting",
        "Pay 60000?",
        ("group:controllers",),
    )
    await run.decide("ok", "approve", "carol")
    assert (await run.view()).waiting[0].who == ("user:cfo",)
    await run.decide("ok", "approve", "user:cfo", hash=view.waiting[0].hash)
    assert (await run.handle.result()).output == "approve user:cfo"


async def test_the_starter_cannot_approve(office: Office) -> None:
    run = await ask(office, started_by="user:alice", rows=[{"any_of": ["group:finance"]}])
    assert (await waiting(run)).barred == ("user:alice",)
    assert "may not decide here" in await run.refused("ok", "approve", "alice")
    await run.decide("ok", "approve", "bob")
    assert (await run.handle.result()).output == "approve user:bob"


async def test_an_approval_that_too_few_may_decide_is_an_incident_that_says_so(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500}, started_by="user:alice")
    error = (await run.parked("ok")).incidents[0].error.message
    assert "needs 2 different people, but group:finance are only 1 without user:alice" in error


async def test_a_run_that_says_not_by_starter_is_not_started_unless_it_says_who_that_is(office: Office) -> None:
    run = await office.start(PAY, {"amount": 500})
    with pytest.raises(WorkflowFailureError) as failed:
        await run.handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "InputInvalid"
    assert 'add "started_by": "user:NAME"' in failed.value.cause.message
    assert office.ledger == []


@pytest.mark.parametrize(
    "where",
    [
        "steps: {g: {steps: {w: {tool: do.work, approve: APPROVAL}}}}",
        "agents: {a: {instructions: X, tools: [do.*], approve: [{tools: [do.work], CALLS}]}}\nsteps: {s: {wait: 1h}}",
        "agents: {a: {instructions: Hi., limits: {turns: 2, at_limit: {ask: APPROVAL}}}}\nsteps: {s: {wait: 1h}}",
        "steps: {g: {goal: Go., tools: [do.work], review: APPROVAL}}",
    ],
)
async def test_wherever_a_process_says_not_by_starter(office: Office, where: str) -> None:
    calls = "from: [{any_of: [user:ann]}], not_by: [starter]"
    text = where.replace("APPROVAL", f"{{{calls}}}").replace("CALLS", calls)
    run = await office.start(f"process: hidden\n{text}", None)
    with pytest.raises(WorkflowFailureError) as failed:
        await run.handle.result()
    assert "nobody says who that is" in str(failed.value.cause)


async def test_a_starter_without_a_kind_is_a_user_all_the_same(office: Office) -> None:
    definition = office.definition(PAY.replace("count: 2", "count: 1"))
    payload = {"process": "paying", "input": {"amount": 5}, "definition": definition, "started_by": "alice"}
    handle = await office.client.start_workflow("Process", payload, id=f"paying-{uuid7()}", task_queue=office.queue)
    run = Run(office, handle)
    await run.waiting("ok")
    assert "may not decide here" in await run.refused("ok", "approve", "alice")


async def test_a_signal_decides_like_an_update_and_one_that_does_not_hold_is_on_record(office: Office) -> None:
    run = await ask(office)
    for payload in (
        {"step": "ok", "decision": "approve", "by": "user:mallory"},
        {"step": "ok", "decision": "perhaps", "by": "user:alice"},
        ["no decision at all"],
        {"step": "ok", "decision": "approve", "by": "user:alice"},
        {"step": "ok", "decision": "approve", "by": "user:bob"},
    ):
        await run.handle.signal(DECIDE, payload)
    assert (await run.handle.result()).output == "approve user:bob"
    refused = (await run.view()).refused
    assert len(refused) == 3
    assert "user:mallory is not asked" in refused[0]
    assert "decision" in refused[1]


async def test_the_same_decision_twice_counts_once(office: Office) -> None:
    run = await ask(office)
    first = await run.decide("ok", "approve", "alice", id="d1")
    assert await run.decide("ok", "approve", "alice", id="d1") == first
    assert len((await waiting(run)).votes) == 1
    assert "was used for something else already" in await run.refused("ok", "approve", "bob", id="d1")


async def test_a_rejection_stops_the_run_as_rejected(office: Office) -> None:
    run = await ask(office)
    await run.decide("ok", "reject", "alice", comment="too much")
    with pytest.raises(WorkflowFailureError) as failed:
        await run.handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "Rejected"
    assert "rejected by user:alice: too much" in str(failed.value.cause)
    assert office.ledger == []
    assert office.calls["pay"] == 0
    assert await run.status_of("pay") == "pending"


async def test_a_rejection_can_be_a_branch(office: Office) -> None:
    run = await office.start("""
        process: branching
        steps:
          ok: {approval: {title: Go?, from: [{any_of: [user:ann]}], on_reject: continue}}
          no: {tool: do.work, when: "${ steps.ok.output.decision == 'reject' }"}
          go: {tool: do.work, when: "${ steps.ok.output.decision == 'approve' }"}
    """)
    await run.waiting("ok")
    await run.decide("ok", "reject", "ann", comment="no")
    await run.handle.result()
    assert effects(office) == ["no"]


async def test_deciding_what_does_not_wait_says_what_does(office: Office) -> None:
    run = await ask(office)
    for step, reason in (
        ("nope", "there is no step 'nope' to decide; waiting for a decision: ok"),
        ("pay", "it is pending"),
    ):
        assert reason in await run.refused(step, "approve", "alice")


async def test_search_attributes_say_what_a_run_waits_for(office: Office) -> None:
    run = await ask(office)
    attributes: dict[str, Any] = {
        pair.key.name: pair.value for pair in (await run.handle.describe()).typed_search_attributes
    }
    assert attributes["SurefootProcess"] == "paying"
    assert attributes["SurefootStatus"] == "waiting"
    assert attributes["SurefootWaitsFor"] == ["group:finance"]


async def test_what_does_not_count_is_refused_with_what_holds_instead(office: Office) -> None:
    rows = [{"any_of": ["group:finance", "user:carol"], "count": 2}]
    run = await ask(office, started_by="user:carol", rows=rows)
    first = await waiting(run)
    await run.decide("ok", "approve", "bob", edits={"amount": 400})
    now = (await waiting(run)).hash or ""
    for decision, by, more, reason in (
        ("approve", "mallory", {}, "user:mallory is not asked; this is for group:finance (user:alice, user:bob)"),
        ("approve", "carol", {}, "user:carol may not decide here (not_by)"),
        ("approve", "alice", {"hash": first.hash}, f"it is now {now[:12]}; look at it again"),
        ("approve", "bob", {}, "user:bob decided already (approve by user:bob"),
        ("reject", "alice", {}, "a rejection needs a reason"),
        ("claim", "mallory", {}, "user:mallory is not asked"),
        ("release", "alice", {}, "user:alice has not claimed it"),
        ("withdraw", "alice", {}, "user:alice has decided nothing here"),
        ("delegate", "alice", {}, "say to whom"),
        ("comment", "mallory", {"comment": "hello"}, "user:mallory is not asked"),
        ("reject", "alice", {"comment": "no", "edits": {"amount": 1}}, "edits go with approve"),
    ):
        assert reason in await run.refused("ok", decision, by, **more)
    assert [vote.by for vote in (await waiting(run)).votes] == ["user:bob"]
    await run.decide("ok", "approve", "alice", hash=now)
    await run.handle.result()


async def test_once_decided_or_ended_it_is_refused_with_the_outcome(office: Office) -> None:
    run = await office.start("""
        process: twice
        steps:
          ok: {approval: {title: Go?, from: [{any_of: [user:ann]}]}}
          next: {needs: [ok], approval: {title: On?, from: [{any_of: [user:ben]}]}}
    """)
    await run.waiting("ok")
    await run.decide("ok", "approve", "ann")
    await run.waiting("next")
    assert "ok is decided already: approve by user:ann" in await run.refused("ok", "withdraw", "ann")


async def test_stages_side_by_side_show_who_has_approved_each(office: Office) -> None:
    stages = [{"any_of": ["group:finance"]}, {"all_of": ["user:cfo"]}]
    run = await ask(office, rows=[{"stages": stages, "side_by_side": True}])
    await run.decide("ok", "approve", "cfo")
    seen = await waiting(run)
    assert [(stage.status, stage.approved) for stage in seen.stages] == [("open", ()), ("done", ("user:cfo",))]
    assert (seen.needed, seen.people) == (1, ("user:alice", "user:bob"))
    await run.decide("ok", "approve", "alice")
    assert (await run.handle.result()).output == "approve user:alice"


async def test_a_claim_keeps_the_decision_and_comments_are_seen(office: Office) -> None:
    run = await ask(office, claim="2h", rows=[{"any_of": ["group:finance"]}])
    said = await run.decide("ok", "claim", "alice")
    assert "ok is kept for user:alice until" in said.outcome
    seen = await waiting(run)
    assert (seen.claims[0].until - seen.claims[0].at).total_seconds() == 7200
    assert seen.people == ("user:alice",)
    assert "it is claimed by user:alice since" in await run.refused("ok", "approve", "bob")
    await run.decide("ok", "comment", "bob", comment="I would have said yes")
    assert [(said.by, said.text) for said in (await waiting(run)).comments] == [("user:bob", "I would have said yes")]
    await run.decide("ok", "release", "alice")
    await run.decide("ok", "approve", "bob")
    await run.handle.result()


async def test_a_claim_is_lifted_with_a_reason_by_an_operator_and_by_whoever_it_escalates_to(office: Office) -> None:
    office.operators = ("user:op",)
    run = await ask(office, rows=[{"any_of": ["group:finance"]}], escalate={"after": "1d", "to": ["user:cfo"]})
    await run.decide("ok", "claim", "alice")
    assert "user:op has not claimed it; it is claimed by user:alice" in await run.refused("ok", "release", "op")
    refused = await run.refused("ok", "release", "bob", comment="me now")
    assert "user:bob may not lift the claims of others in this run: that is for role:operator (user:op)" in refused
    assert (await waiting(run)).people == ("user:alice",)
    said = await run.decide("ok", "release", "op", comment="she is ill")
    assert said.outcome == "the claim of user:alice is lifted; ok waits for 1 more of group:finance"
    assert (await waiting(run)).people == ("user:alice", "user:bob")
    await run.decide("ok", "claim", "bob")
    await run.decide("ok", "release", "cfo", comment="too slow")
    await run.decide("ok", "approve", "alice")
    await run.handle.result()
    lifted = [(event.by, event.reason, event.data["lifted"]) for event in await run.events("approval.release")]
    assert lifted == [("user:op", "she is ill", ["user:alice"]), ("user:cfo", "too slow", ["user:bob"])]


async def test_a_process_can_want_each_vote_to_name_what_it_is_about(office: Office) -> None:
    run = await ask(office, hash="required", rows=[{"any_of": ["group:finance"]}])
    seen = (await waiting(run)).hash or ""
    for decision in ("approve", "reject"):
        refused = await run.refused("ok", decision, "alice", comment="as I recall it")
        assert "wants each vote to name the hash of what it is about; look at it, and send its `hash`" in refused
    await run.decide("ok", "comment", "alice", comment="looking")
    await run.decide("ok", "approve", "alice", hash=seen)
    await run.handle.result()


async def test_a_say_is_handed_only_to_whom_the_directory_knows(office: Office) -> None:
    office.strangers.add("user:nobody")
    run = await ask(office, rows=[{"any_of": ["user:alice"]}])
    assert "cannot be handed to user:nobody: " in await run.refused("ok", "delegate", "alice", to="nobody")
    said = await run.decide("ok", "delegate", "alice", to="dan", comment="you know them")
    assert said.outcome == "user:dan decides ok in the place of user:alice"
    seen = await waiting(run)
    assert (seen.people, seen.delegations[0].comment) == (("user:dan",), "you know them")
    attributes = {pair.key.name: pair.value for pair in (await run.handle.describe()).typed_search_attributes}
    assert attributes["SurefootWaitsFor"] == ["user:alice", "user:dan"]
    await run.decide("ok", "approve", "dan")
    assert (await run.handle.result()).output == "approve user:dan"


async def test_a_deputy_decides_in_the_place_of_somebody_who_is_away_but_never_for_the_starter(office: Office) -> None:
    office.deputies = {
        "user:alice": (Deputy(user="user:dan", why="away"),),
        "user:bob": (Deputy(user="user:eve", why="away"),),
    }
    run = await ask(office, started_by="user:bob", rows=[{"any_of": ["group:finance"]}])
    seen = await waiting(run)
    assert (seen.people, seen.deputies) == (("user:alice", "user:dan"), {"user:dan": ("user:alice",)})
    assert "in the place of user:bob, who may not decide here" in await run.refused("ok", "approve", "eve")
    await run.decide("ok", "approve", "dan")
    assert (await run.handle.result()).output == "approve user:dan"


async def test_edits_of_an_approval_must_fit_what_it_says_may_be_edited(office: Office) -> None:
    schema = {"type": "object", "properties": {"amount": {"type": "number", "maximum": 500}}}
    run = await ask(office, edits=schema)
    assert "these edits do not fit: amount" in await run.refused("ok", "approve", "alice", edits={"amount": 900})
    said = await run.decide("ok", "approve", "alice", edits={"amount": 450})
    assert [(each.path, each.before, each.after) for each in said.difference] == [("amount", 500, 450)]
    assert (await waiting(run)).edits == {"amount": 450}


async def test_edits_that_nothing_reads_are_refused_and_change_nothing(office: Office) -> None:
    process = yaml.safe_load(PAY)
    del process["steps"]["agreed"]
    run = await office.start(yaml.safe_dump(process), {"amount": 500}, started_by="user:sam")
    asked = (await run.waiting("ok")).waiting[0]
    said = await run.refused("ok", "approve", "alice", edits={"amount": 400})
    assert "nothing of the process reads what is edited here, so that it would not be done; approve or" in said
    await run.handle.signal(DECIDE, {"step": "ok", "decision": "approve", "by": "alice", "edits": {"amount": 400}})
    assert "nothing of the process reads" in (await run.until(lambda view: bool(view.refused))).refused[0]
    assert await waiting(run) == asked
    await run.decide("ok", "approve", "alice")


async def test_whoever_edits_cannot_approve_where_not_by_says_editor(office: Office) -> None:
    run = await office.start(PAY_WITH_APPROVAL)
    await run.waiting("pay")
    said = await run.decide("pay", "approve", "alice", edits={"what": "little"})
    assert said.outcome.startswith("edited; user:alice cannot approve what they changed themselves")
    assert "may not decide here" in await run.refused("pay", "approve", "alice")
    await run.decide("pay", "approve", "bob")
    assert (await run.handle.result()).output == "little"


async def test_an_operator_who_amended_the_arguments_is_their_editor(office: Office) -> None:
    office.broken.add("pay")
    run = await office.start(PAY_WITH_APPROVAL)
    await run.waiting("pay")
    await run.decide("pay", "approve", "bob")
    await run.parked("pay")
    office.broken.clear()
    await run.repair("pay", "amend", value={"what": "other"}, by="user:alice")
    await run.waiting("pay")
    assert "may not decide here" in await run.refused("pay", "approve", "alice")
    await run.decide("pay", "approve", "bob")
    await run.handle.result()


async def test_every_transition_is_in_the_record_with_who_why_and_what_was_decided_on(office: Office) -> None:
    run = await ask(office)
    first = (await waiting(run)).hash
    await run.decide("ok", "claim", "alice")
    await run.decide("ok", "release", "alice")
    await run.decide("ok", "comment", "bob", comment="is it due?")
    await run.decide("ok", "approve", "alice", comment="fine", id="d1")
    await run.decide("ok", "withdraw", "alice", comment="wait")
    await run.decide("ok", "approve", "bob", edits={"amount": 400})
    second = (await waiting(run)).hash
    await run.decide("ok", "approve", "alice")
    await run.handle.result()
    events = await run.events("approval.")
    assert [(event.kind.removeprefix("approval."), event.by, event.reason) for event in events] == [
        ("opened", "system:surefoot", ""),
        ("claim", "user:alice", ""),
        ("release", "user:alice", ""),
        ("comment", "user:bob", "is it due?"),
        ("approve", "user:alice", "fine"),
        ("withdraw", "user:alice", "wait"),
        ("edited", "user:bob", ""),
        ("approve", "user:bob", ""),
        ("approve", "user:alice", ""),
        ("decided", "user:alice", ""),
    ]
    assert events[0].data["asked"] == [{"group:finance": ["user:alice", "user:bob"]}]
    assert (events[4].data["hash"], events[4].data["id"]) == (first, "d1")
    edited = events[6].data
    assert (edited["was"], edited["hash"], edited["difference"]) == (
        first,
        second,
        [{"path": "amount", "before": 500, "after": 400}],
    )
    assert [(vote["by"], vote["decision"]) for vote in events[9].data["votes"]] == [
        ("user:bob", "approve"),
        ("user:alice", "approve"),
    ]


async def test_an_edit_by_somebody_of_a_later_stage_waits_for_the_first_again(office: Office) -> None:
    run = await ask(office, rows=[{"stages": [{"any_of": ["group:finance"]}, {"any_of": ["user:cfo"]}]}])
    await run.decide("ok", "approve", "alice")
    said = await run.decide("ok", "approve", "cfo", edits={"amount": 1})
    assert said.outcome == "edited; ok waits for 1 more of group:finance, and in its turn for user:cfo"


async def test_a_starter_who_is_asked_is_found_by_their_name(office: Office) -> None:
    run = await ask(office, rows=[{"any_of": ["starter"]}], not_by=[])
    described = await run.handle.describe()
    assert described.typed_search_attributes[WAITS_FOR_ATTRIBUTE] == ["user:sam"]


async def test_a_comment_is_as_long_as_people_read(office: Office) -> None:
    run = await ask(office)
    assert "at most 5000 characters" in await run.refused("ok", "comment", "alice", comment="x" * 5_001)
    await run.decide("ok", "comment", "alice", comment="x" * 5_000)
