"""What a person is told of a run besides its steps."""

from datetime import timedelta

from cli.differences import shown
from cli.marks import UNICODE
from cli.panels import run_screen
from contracts.agent import AgentView, ChildRecord, HistoryGauge, Note, WindowGauge
from contracts.ballot import Vote
from contracts.decisions import Difference
from contracts.effects import UndoCall
from contracts.errors import ErrorInfo
from contracts.incidents import Choice, Incident, Kept, Paused, Remark, Tried
from contracts.model import Usage
from contracts.plans import Revision
from contracts.process import Limits, Saved
from contracts.run import Cost, Waiting
from contracts.state import StateEntry
from runtime.watch import Observation
from tests.cli.test_tree import drawn
from tests.cli.views import NOW, START, step, view

WAITING = Waiting(
    step="sign_off",
    kind="approval",
    title="Pay 1840 to ACME?",
    since=START,
    until=START + timedelta(days=3),
    who=("group:finance", "user:cfo"),
    people=("user:cfo",),
    needed=1,
    votes=(Vote(by="user:alice", decision="approve", comment="fine", at=START),),
    show={"amount": 1840.0, "audit": {"risk": "low", "notes": ["a", "b"]}, "urgent": True},
    hash="ab12cd34ef56" + "0" * 52,
)
INCIDENT = Incident(
    step="pay",
    title="bank.transfer",
    error=ErrorInfo(
        type="ToolFailed",
        message="the bank is closed",
        detail={"attempts": 5, "uncertain": False, "answer": {"code": 17}},
    ),
    since=START,
    attempts=6,
    tried=(
        Tried(since=START, until=START + timedelta(seconds=9), times=5, attempts=5, error="ToolFailed: no line"),
        Tried(since=START, until=START + timedelta(seconds=20), times=1, attempts=6, error="ToolFailed: closed"),
    ),
    input={"to": "ACME"},
    done=(Kept(step="order", what="erp.order: PO-7", at=START, undo="erp.cancel"),),
    done_in_all=3,
    blocks=("notify",),
    waiting=4,
    worth=Saved(minutes=35, money=28, currency="EUR"),
    spent=0.031,
    actions=(
        Choice(action="retry", does="try it again as it is", command="starter.py repair onboarding-7 pay retry"),
        Choice(
            action="amend",
            does="try it again with other arguments",
            command="starter.py repair onboarding-7 pay amend --value '{}'",
        ),
        Choice(action="abort", does="give the run up", command="starter.py repair onboarding-7 pay abort"),
    ),
)


def screen(seen: Observation, width: int = 80, *, live: bool = False) -> str:
    return drawn(run_screen(seen, UNICODE, NOW, width=width, live=live), width)


def test_an_approval_says_what_is_decided_who_is_asked_and_which_command_does_it() -> None:
    text = screen(Observation(view(step("sign_off", "waiting"), status="waiting", waiting=(WAITING,))))
    for words in (
        "Pay 1840 to ACME?",
        "amount  1840\n",
        "risk: low",
        "urgent  yes",
        "group:finance, user:cfo; 1 more needed",
        "approve by user:alice: fine",
        "1m 15s ago, expires 2026-03-05",
        "ab12cd34ef56\n",
        "approve onboarding-7 sign_off --by user:cfo",
        "reject onboarding-7 sign_off --by user:cfo --comment WHY",
    ):
        assert words in text, words


def test_a_run_shows_beforehand_what_giving_it_up_would_take_back_last_first() -> None:
    def undo(tool: str) -> tuple[UndoCall, ...]:
        return (UndoCall(tool=tool, args={"id": 7}, key="k"),)

    first = step("order", "completed").model_copy(update={"undo": undo("erp.cancel"), "order": 1})
    second = step("pay", "completed").model_copy(update={"undo": undo("bank.reverse"), "order": 2})
    text = screen(Observation(view(first, second, step("wait", "waiting"), status="waiting")))
    assert text.index("bank.reverse id=7") < text.index("erp.cancel id=7")
    assert "an abort would take back, first one first" in text
    assert "an abort" not in screen(Observation(view(first, second, status="completed")))


def test_plans_and_their_changes_and_the_shared_state_are_shown() -> None:
    made = Revision(number=1, at=START, by="agent:lead", reason="the objective", added=("a", "b"))
    change = Revision(number=2, at=START, by="agent:lead", reason="b failed: closed", removed=("b",), added=("c",))
    goal = step("reach", "running").model_copy(update={"plan": (made, change)})
    state = {"offer": StateEntry(value=12, version=3, by="step:a", conflicts=1)}
    text = screen(Observation(view(goal, status="running").model_copy(update={"state": state})))
    assert "(plan changed 1 times)" in text
    assert "+c -b by agent:lead: b failed: closed" in text
    assert "12  version 3, by step:a, 1 conflict" in text


def test_notes_of_agents_are_shown_also_while_they_work() -> None:
    def note(number: int) -> Note:
        return Note(at=START + timedelta(seconds=number), kind="warning", text=f"number {number}")

    ended = step("first").model_copy(update={"notes": (note(1), note(2), note(3))})
    agent = AgentView(
        run="r", step="a", agent="buddy", status="running", turns=2, tool_calls=1, usage=Usage(), notes=(note(4),)
    )
    seen = Observation(view(ended, step("second", "running", kind="agent")), agents={"second": agent})
    text = screen(seen)
    assert "first  warning: number 1" in text
    assert "second  warning: number 4" in text
    folded = screen(seen, live=True)
    assert "notes of agents (the last 3 of 4)" in folded
    assert "number 1" not in folded


def test_who_works_for_agents_is_shown_also_while_they_do() -> None:
    def child(tool: str, status: str, **more: object) -> ChildRecord:
        return ChildRecord.model_validate({"id": tool, "tool": tool, "status": status, "started": START, **more})

    used = Usage(calls=2, input_tokens=200)
    children = (child("agent.legal", "completed", usage=used), child("process.pay", "failed", error="no money"))
    agent = AgentView(
        run="r",
        step="second",
        agent="lead",
        status="running",
        turns=2,
        tool_calls=1,
        usage=Usage(),
        children=(child("agent.money", "running"),),
    )
    first = step("first").model_copy(update={"children": children})
    text = screen(Observation(view(first, step("second", "running", kind="agent")), agents={"second": agent}))
    assert "first  ✔ agent.legal  2 calls, 200 tokens" in text
    assert "first  ✘ process.pay  no money" in text
    assert "agent.money" in text


def test_an_agent_at_work_shows_what_it_used_of_its_limits_its_window_and_its_history() -> None:
    agent = AgentView(
        run="r",
        step="a",
        agent="buddy",
        status="running",
        turns=2,
        tool_calls=1,
        usage=Usage(calls=2, input_tokens=1_500),
        limits=Limits(turns=9, tokens=4_000),
        window=WindowGauge(used=900, size=1_800),
        history=HistoryGauge(events=1_024, bytes=100_000, suggested=False),
    )
    text = screen(Observation(view(step("a", "running", kind="agent")), agents={"a": agent}), 160)
    assert "a  turn 2 of 9, 1,500 of 4,000 tokens, window 900 of 1,800 (50%)" in text
    assert "history 1,024 events, 0.1 MB (75% left)" in text


def test_a_printed_command_is_one_line_however_narrow_the_terminal() -> None:
    long = view(step("sign_off", "waiting"), run="x" * 90, status="waiting", waiting=(WAITING,))
    assert f"approve {'x' * 90} sign_off --by user:cfo" in screen(Observation(long), 60)
    assert max(map(len, screen(Observation(long), 60, live=True).splitlines())) <= 60 + len("◆ waiting") + 90


def test_an_incident_explains_itself_to_who_did_not_write_the_process() -> None:
    text = screen(Observation(view(step("pay", "attention"), status="attention", incidents=(INCIDENT,))), 120)
    for words in (
        "pay needs an operator  bank.transfer",
        "ToolFailed: the bank is closed",
        "code: 17",
        "5 times in 9.0 s",
        "ToolFailed: no line",
        "once, at",
        "to: ACME",
        "notify, and 3 more steps behind",
        "order  erp.order: PO-7  (undo: erp.cancel)",
        "2 more, and none of them is done again",
        "35 minutes of work by hand, 28.00 EUR, once the run is through; $0.03 spent on models so far",
        "repair onboarding-7 pay retry",
        "try it again as it is",
        "repair onboarding-7 pay amend --value '{}'",
        "repair onboarding-7 pay abort",
    ):
        assert words in text, words
    assert "uncertain" not in text


def test_what_could_not_be_taken_back_is_told_from_what_failed() -> None:
    undo = INCIDENT.model_copy(update={"of": "undo"})
    text = screen(Observation(view(step("pay", "attention"), status="attention", incidents=(undo,))))
    assert "pay could not be taken back and needs an operator" in text


def test_a_paused_run_says_who_paused_it_and_how_it_goes_on() -> None:
    paused = Paused(by="user:op", at=START, reason="the bank  is being moved")
    text = screen(Observation(view(step("pay", "pending"), status="waiting", paused=paused)))
    assert "paused by user:op since 2026-03-02" in text
    assert ": the bank is being moved" in text
    assert "resume onboarding-7" in text


def test_notes_that_people_left_are_shown() -> None:
    remark = Remark(at=START, by="user:op", text="waits for the new contract", step="pay")
    text = screen(Observation(view(step("pay", "pending"), remarks=(remark,))))
    assert "user:op of pay: waits for the new contract" in text


def test_a_difference_shows_each_place_before_and_after() -> None:
    changes = (
        Difference(path="arguments.amount", before=12, after=15),
        Difference(path="agent.task", before="one\ntwo", after="three"),
        Difference(path="output", after={"id": 7}),
    )
    assert drawn(shown(changes), 80).splitlines() == [
        "  arguments.amount",
        "    - 12",
        "    + 15",
        "  agent.task",
        "    - one",
        "    - two",
        "    + three",
        "  output",
        "    + id: 7",
    ]


def test_the_end_shows_result_savings_and_cost() -> None:
    done = view(
        step("a"),
        status="completed",
        output={"employee": "E-1"},
        saved=Saved(minutes=35, money=28, currency="EUR"),
        cost=Cost(calls=2, tokens=5210, amount=0.031, rehearsal=True),
    )
    text = screen(Observation(done))
    assert "employee: E-1" in text
    assert "35 minutes of work by hand, 28.00 EUR" in text
    assert "$0.03, 2 model calls, 5,210 tokens, answered by the rehearsal model" in text


def test_a_run_without_a_worker_says_so_and_who_is_waited_for() -> None:
    text = screen(Observation(view(status="waiting"), silent="no worker answers", waits_for=("user:mia",)))
    assert "only what the server knows: no worker answers" in text
    assert "waits for user:mia" in text


def test_rich_markup_in_a_run_is_text() -> None:
    assert "[red]x[/nope]" in screen(Observation(view(step("a", title="[red]x[/nope]"))))
