"""Agents that delegate, agents that are equals, agents that wake each other: the samples of the three.

They run to their end: worker and server are real processes; what the agents say is rehearsed, what they do is in the
company's ledger.
"""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
import yaml
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowQueryFailedError
from temporalio.exceptions import ApplicationError

from contracts.names import DECIDE, PROCESS_WORKFLOW, REPAIR, TASK_QUEUE, VIEW_QUERY
from language.schema import violations
from processes import business
from runtime.catalog import Catalog
from tests.business import PROJECT, Business, eventually
from tests.docs.pages import blocks

PROCESSES = PROJECT / "processes"
PAGES = {
    "tutorial-hierarchical.md": ["supplier-onboarding"],
    "tutorial-peers.md": ["budget-planning"],
    "tutorial-events.md": ["order-desk", "stock-watch", "customer-news"],
}
NAMES = [name for names in PAGES.values() for name in names]
NOT_TAKEN_BACK = {("supplier-onboarding", "welcome"), ("customer-news", "send")}
"""Mails to people outside, which cannot be called back."""

real = [pytest.mark.slow, pytest.mark.timeout(240)]

View = dict[str, Any]


@pytest.mark.parametrize("name", NAMES)
def test_the_sample_input_fits(catalog: Catalog, name: str) -> None:
    sample = yaml.safe_load((PROCESSES / name / "sample.yaml").read_text())
    assert violations(catalog.definition(name).process.input, sample) == []


@pytest.mark.parametrize("name", NAMES)
def test_whoever_is_asked_is_in_the_directory(name: str) -> None:
    people = yaml.safe_load((PROCESSES / "people.yaml").read_text())
    known = {f"user:{user}" for user in people["users"]} | {f"group:{group}" for group in people["groups"]}
    asked = {text for text in _texts(_file(name)) if text.startswith(("user:", "group:"))}
    assert asked <= known


@pytest.mark.parametrize("name", NAMES)
def test_every_effect_can_be_taken_back(catalog: Catalog, name: str) -> None:
    tools = catalog.tools
    for step_id, step in _steps(_file(name)["steps"]):
        if "tool" in step and tools[step["tool"]].spec.effect == "write":
            assert ("undo" in step) == ((name, step_id) not in NOT_TAKEN_BACK), step_id


@pytest.mark.parametrize(("page", "names"), PAGES.items())
def test_what_a_tutorial_shows_of_a_sample_is_in_it(page: str, names: list[str]) -> None:
    lines = {line.strip() for name in names for line in (PROCESSES / name / "process.yaml").read_text().splitlines()}
    shown = [block for block in blocks(PROJECT / "docs" / page) if block.language == "yaml"]
    assert shown
    for block in shown:
        assert [line for line in block.text.splitlines() if line.strip() not in lines] == [], str(block)


MADE_AND_UNDONE: list[tuple[str, dict[str, Any], str, str, str]] = [
    # what is done, with what, what takes it back, the argument for that, the field of the output it comes from
    ("erp.create_supplier", {"name": "Kestrel Components", "country": "SI", "iban": "SI56191000000123438"},
     "erp.withdraw_supplier", "supplier", "id"),
    ("erp.activate_supplier", {"supplier": "S-1001", "ceiling": 30_000, "payment_days": 14},
     "erp.block_supplier", "supplier", "id"),
    ("bank.send_cent", {"iban": "SI56191000000123438"}, "bank.recall_cent", "transfer", "id"),
    ("finance.open_budget", {"year": 2027, "department": "sales", "amount": 318_000, "items": ["staff"]},
     "finance.close_budget", "budget", "id"),
    ("purchasing.order", {"offer": "OF-1", "quantity": 28, "total": 1624}, "purchasing.cancel", "purchase", "id"),
    ("warehouse.book_in", {"purchase": "PU-1001", "quantity": 28}, "warehouse.book_out", "receipt", "id"),
    ("warehouse.reserve", {"order": "W-5001", "sku": "CH-7", "quantity": 50},
     "warehouse.release", "reservation", "id"),
    ("warehouse.ship", {"order": "W-5001", "carrier": "Frachtring"}, "warehouse.call_back", "shipment", "id"),
]  # fmt: skip


async def test_taking_every_effect_back_restores_what_was_however_often_it_is_asked_for(company: Any) -> None:
    kept = "SELECT (SELECT cents FROM balances WHERE account = 'operating'), (SELECT sum(available) FROM stock)"
    await company.call("register.read_company", "r/look", name="Alpenrad GmbH", country="DE")
    before = company.rows(kept)
    outputs = [await company.call(tool, f"r/{tool}", **args) for tool, args, *_ in MADE_AND_UNDONE]
    assert company.rows(kept) != before
    for (_, _, undo, argument, field), output in reversed(list(zip(MADE_AND_UNDONE, outputs, strict=True))):
        for key in (f"r/{undo}", f"r/{undo}", f"r/again/{undo}"):
            await company.call(undo, key, **{argument: output[field]})
    assert company.rows(kept) == before
    undone = dict(company.rows("SELECT tool, undone_by FROM effects WHERE undone_by IS NOT NULL"))
    assert {tool: undone.get(tool) for tool, *_ in MADE_AND_UNDONE} == {
        tool: f"r/{undo}" for tool, _, undo, *_ in MADE_AND_UNDONE
    }


async def test_goods_that_are_promised_to_somebody_are_not_booked_out(company: Any) -> None:
    await company.call("purchasing.order", "r/buy", offer="OF-1", quantity=28, total=1624)
    receipt = await company.call("warehouse.book_in", "r/book_in", purchase="PU-1001", quantity=28)
    await company.call("warehouse.reserve", "r/reserve", order="W-5001", sku="CH-7", quantity=40)
    with pytest.raises(ApplicationError, match="only 0 of 28 pieces are still on the shelf"):
        await company.call("warehouse.book_out", "r/book_out", receipt=receipt["id"])


async def test_a_purchase_is_made_at_the_agreed_total_only(company: Any) -> None:
    with pytest.raises(ApplicationError, match=r"28 pieces cost 1624\.00, not the 1000\.00"):
        await company.call("purchasing.order", "r/buy", offer="OF-1", quantity=28, total=1000)
    assert company.rows("SELECT * FROM purchases") == []


class Firm:
    """A worker and a server, the sample company, and how they are spoken to."""

    def __init__(self, business: Business, client: Client) -> None:
        self._business = business
        self.client = client

    async def start(self, process: str, key: str, given: Any) -> "Run":
        payload = {"process": process, "input": given, "started_by": "user:hanna"}
        handle = await self.client.start_workflow(
            PROCESS_WORKFLOW, payload, id=f"{process}-{key}", task_queue=TASK_QUEUE
        )
        return Run(handle)

    def publish(self, topic: str, data: Any) -> None:
        """As somebody outside would."""
        command = [sys.executable, str(PROJECT / "starter.py"), "event", topic, json.dumps(data)]
        environment = {"SUREFOOT_HOME": str(self._business.home), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    async def runs_of(self, process: str) -> list["Run"]:
        query = f"SurefootProcess = '{process}' AND WorkflowType = '{PROCESS_WORKFLOW}'"
        return [Run(self.client.get_workflow_handle(found.id)) async for found in self.client.list_workflows(query)]

    async def run_about(self, process: str, order: str) -> "Run":
        """The one run of a process for an order, once something has started it."""

        async def look() -> list[Run]:
            return [run for run in await self.runs_of(process) if (await run.view())["input"]["order"] == order]

        found = await eventually(look, bool)
        assert len(found) == 1
        run: Run = found[0]
        return run

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SUREFOOT_HOME", str(self._business.home))
            with business.read() as connection:  # which makes what no tool has made yet
                return [tuple(row) for row in connection.execute(sql, values)]

    def effects(self, run: str) -> list[tuple[str, bool]]:
        """The tools whose effects a run had, in order, and whether each was taken back."""
        query = "SELECT tool, undone_by IS NOT NULL FROM effects WHERE key LIKE ? || '/%' ORDER BY sequence"
        return [(tool, bool(undone)) for tool, undone in self.rows(query, run)]


class Run:
    def __init__(self, handle: WorkflowHandle[Any, Any]) -> None:
        self._handle = handle
        self.id = handle.id

    async def view(self) -> View:
        seen: View = await eventually(self._look, lambda view: view is not None)
        return seen

    async def _look(self) -> View | None:
        try:
            seen: View = await self._handle.query(VIEW_QUERY)
        except WorkflowQueryFailedError:  # the run is still loading its process
            return None
        return seen

    async def until(self, holds: Callable[[View], bool]) -> View:
        seen: View = await eventually(self.view, holds)
        return seen

    async def asks(self, step: str, text: str = "") -> View:
        """The question of a step, once it is open and this is in it."""
        seen = await self.until(lambda view: any(_is_about(waiting, step, text) for waiting in view["waiting"]))
        found: View = next(waiting for waiting in seen["waiting"] if _is_about(waiting, step, text))
        return found

    async def decide(self, step: str, by: str, decision: str = "approve", comment: str = "") -> None:
        payload = {"step": step, "decision": decision, "by": by, "comment": comment}
        await self._handle.execute_update(DECIDE, payload)

    async def abort(self, step: str) -> None:
        await self._handle.execute_update(REPAIR, {"step": step, "action": "abort", "by": "user:tom"})

    async def ended(self) -> View:
        with suppress(WorkflowFailureError):  # what became of it is in the view
            async with asyncio.timeout(120):
                await self._handle.result()
        return await self.view()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def firm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Firm]:
    """One for all tests of this module, each of which looks at runs of its own."""
    business = Business(tmp_path_factory.mktemp("firm"))
    business.start_worker()
    yield Firm(business, await business.client())
    business.stop()


# Hierarchical: a lead and its specialists


def supplier(**changes: Any) -> dict[str, Any]:
    sample: dict[str, Any] = yaml.safe_load((PROCESSES / "supplier-onboarding/sample.yaml").read_text())
    return sample | changes


class TestALeadAndItsSpecialists:
    pytestmark = real

    async def test_a_step_that_fails_is_planned_around_and_what_was_done_is_not_done_again(self, firm: Firm) -> None:
        run = await firm.start("supplier-onboarding", "kestrel", supplier())
        first = await run.asks("checks")
        assert list(first["show"]["plan"]["steps"]) == ["screening", "record", "account", "rating", "terms"]
        assert firm.effects(run.id) == []
        await run.decide("checks", "user:paul")

        changed = await run.asks("checks", "rating failed")
        assert list(changed["show"]["plan"]["steps"]) == ["terms"]
        done = [("bank.send_cent", False), ("erp.create_supplier", False)]
        assert sorted(firm.effects(run.id)) == done
        await run.decide("checks", "user:paul")

        asked = await run.asks("activate")
        terms = {"supplier": "S-1001", "ceiling": 30_000, "payment_days": 14}
        assert asked["show"]["arguments"] == terms
        await run.decide("activate", "user:alice")
        view = await run.ended()

        assert view["status"] == "completed"
        assert view["output"]["ceiling"] == 30_000
        assert "310000 EUR of equity" in view["output"]["basis"]
        steps = {step["id"]: step for step in view["steps"]}
        assert steps["checks.rating"]["status"] == "failed"
        assert {steps[f"checks.{name}"]["attempts"] for name in ("screening", "record", "account")} == {1}
        revisions = steps["checks"]["plan"]
        assert [(each["by"], each["approved_by"]) for each in revisions] == [("agent:lead", "user:paul")] * 2
        assert revisions[1]["changed"] == ["terms"]
        assert set(revisions[1]["kept"]) == {"screening", "record", "account", "rating"}
        effects = firm.effects(run.id)
        assert sorted(effects[:2]) == done
        assert effects[2:] == [("erp.activate_supplier", False), ("mail.send", False)]

    async def test_a_change_of_plan_that_is_rejected_takes_back_what_the_plan_had_done(self, firm: Firm) -> None:
        before = firm.rows("SELECT cents FROM balances WHERE account = 'operating'")
        run = await firm.start("supplier-onboarding", "rejected", supplier())
        await run.asks("checks")
        await run.decide("checks", "user:paul")
        await run.asks("checks", "rating failed")
        assert firm.rows("SELECT cents FROM balances WHERE account = 'operating'") != before
        await run.decide("checks", "user:paul", "reject", "not without a rating")
        assert (await run.ended())["status"] == "undone"
        effects = dict(firm.effects(run.id))
        assert effects["erp.create_supplier"]
        assert effects["bank.send_cent"]
        assert firm.rows("SELECT cents FROM balances WHERE account = 'operating'") == before

    async def test_a_rated_company_needs_no_change_of_plan(self, firm: Firm) -> None:
        given = supplier(supplier="Alpenrad GmbH", country="DE", iban="DE89370400440532013000", volume=420_000)
        run = await firm.start("supplier-onboarding", "alpenrad", given)
        await run.asks("checks")
        await run.decide("checks", "user:paul")
        # Above 50000 somebody of finance is not enough.
        await run.asks("activate")
        await run.decide("activate", "user:bob")
        await run.decide("activate", "user:cfo")
        view = await run.ended()
        assert (view["output"]["ceiling"], view["output"]["payment_days"]) == (70_000, 30)
        checks = next(step for step in view["steps"] if step["id"] == "checks")
        assert len(checks["plan"]) == 1

    async def test_a_company_on_a_sanctions_list_is_not_taken_on(self, firm: Firm) -> None:
        given = supplier(supplier="Oriel Trading", country="CY", iban="CY17002001280000001200527600")
        run = await firm.start("supplier-onboarding", "oriel", given)
        await run.asks("checks")
        await run.decide("checks", "user:paul")
        assert (await run.ended())["status"] == "failed"
        assert firm.effects(run.id) == []


# Peer to peer: equals over shared state

DEPARTMENTS = ("engineering", "sales", "support")


class TestEqualsOverSharedState:
    pytestmark = real

    async def test_three_departments_agree_and_no_claim_is_lost(self, firm: Firm) -> None:
        sample = yaml.safe_load((PROCESSES / "budget-planning/sample.yaml").read_text())
        run = await firm.start("budget-planning", "2027", sample)
        asked = await run.asks("adopt")
        view = await run.view()
        table, thread = view["state"]["table"], view["state"]["thread"]
        assert table["value"]["round"] == 3
        assert {name: claim["amount"] for name, claim in table["value"]["claims"].items()} == {
            "engineering": 494_000,
            "sales": 318_000,
            "support": 242_000,
        }
        assert asked["show"]["claims"] == table["value"]["claims"]
        # A round opens, three claim, and it is noted how far apart they are: five writes, and nothing written over.
        assert table["version"] == 3 * 5
        # Of three who start from the same version, two are late, and one of these may be so again.
        assert 6 <= table["conflicts"] <= 9
        assert {conflict["outcome"] for conflict in table["last_conflicts"]} == {"rejected"}
        said = {(line["kind"], line["by"], line["to"], line["about"]) for line in thread["value"]}
        assert said == {
            ("question", "engineering", "support", "on-call service"),
            ("question", "support", "engineering", "status page of our own"),
            ("answer", "support", "engineering", "on-call service"),
            ("answer", "engineering", "support", "status page of our own"),
        }
        assert len(thread["value"]) == 4
        assert firm.effects(run.id) == []

        await run.decide("adopt", "user:cfo")
        view = await run.ended()
        assert (view["status"], view["output"]["rounds"], view["output"]["claimed"]) == ("completed", 3, 1_054_000)
        assert firm.effects(run.id) == [("finance.open_budget", False)] * 3 + [("mail.send", False)]
        budgets = firm.rows("SELECT department, amount FROM budgets WHERE status = 'open' ORDER BY department")
        assert budgets == [("engineering", 494_000), ("sales", 318_000), ("support", 242_000)]

    async def test_the_three_work_at_the_same_time(self, firm: Firm) -> None:
        run = await firm.start("budget-planning", "at-once", {"year": 2028, "total": 2_000_000})
        await run.asks("adopt")
        steps = {step["id"]: step for step in (await run.view())["steps"]}
        agents = [steps[f"round#1.{name}"] for name in DEPARTMENTS]
        assert max(agent["started"] for agent in agents) < min(agent["ended"] for agent in agents)
        await run.decide("adopt", "user:cfo", "reject", "next year")

    async def test_when_they_cannot_agree_an_operator_is_asked(self, firm: Firm) -> None:
        run = await firm.start("budget-planning", "apart", {"year": 2029, "total": 900_000})
        view = await run.until(lambda seen: bool(seen["incidents"]))
        incident = view["incidents"][0]
        assert (incident["step"], incident["error"]["type"]) == ("round", "CriteriaNotMet")
        assert view["state"]["table"]["value"]["round"] == 8
        await run.abort("round")
        assert (await run.ended())["status"] == "failed"


# Event-driven: processes that wake each other


class TestProcessesThatWakeEachOther:
    pytestmark = real

    async def test_an_order_that_is_short_wakes_the_buyer_who_wakes_the_order_desk(self, firm: Firm) -> None:
        firm.publish("shop.order", {"order": "W-5001"})
        desk = await firm.run_about("order-desk", "W-5001")
        await desk.until(lambda view: any(waiting["step"] == "arrived" for waiting in view["waiting"]))
        assert firm.effects(desk.id) == [("warehouse.reserve", False)]

        watch = await firm.run_about("stock-watch", "W-5001")
        assert (await watch.view())["started_by"] == "event:stock.short"
        asked = await watch.asks("agree")
        assert asked["title"] == "Buy 28 x CH-7 from Nordwind GmbH for 1624 EUR?"
        assert firm.effects(watch.id) == []
        await watch.decide("agree", "user:paul")
        seen = await watch.until(lambda view: any(waiting["step"] == "delivery" for waiting in view["waiting"]))
        purchase = next(step for step in seen["steps"] if step["id"] == "buy")["output"]["id"]

        # Somebody else's delivery is nobody's business here.
        firm.publish("dock.delivery", {"purchase": "PU-9999", "quantity": 5})
        firm.publish("dock.delivery", {"purchase": purchase, "quantity": 28})
        assert (await watch.ended())["status"] == "completed"
        view = await desk.ended()
        assert (view["status"], view["output"]["quantity"]) == ("completed", 40)
        assert firm.effects(watch.id) == [("purchasing.order", False), ("warehouse.book_in", False)]
        assert [tool for tool, _ in firm.effects(desk.id)] == [*["warehouse.reserve"] * 2, "warehouse.ship"]
        assert firm.rows("SELECT available FROM stock WHERE sku = 'CH-7'") == [(0,)]
        carrier = firm.rows("SELECT carrier, quantity FROM shipments WHERE customer_order = 'W-5001'")
        assert carrier == [("Frachtring", 40)]
        bodies = await self._news(firm, "orders@morgenrot.example", 2)
        assert "come in 4 days" in bodies[0]
        assert "on its way with Frachtring" in bodies[1]

    async def test_an_order_that_is_there_at_once_wakes_no_buyer(self, firm: Firm) -> None:
        firm.publish("shop.order", {"order": "W-5002"})
        desk = await firm.run_about("order-desk", "W-5002")
        view = await desk.ended()
        assert view["status"] == "completed"
        assert Counter(step["status"] for step in view["steps"]) == {"completed": 5, "skipped": 3}
        assert [(await run.view())["input"]["order"] for run in await firm.runs_of("stock-watch")].count("W-5002") == 0
        (body,) = await self._news(firm, "hello@lindgren.example", 1)
        assert "on its way with Postwagen" in body

    async def test_a_purchase_that_is_rejected_leaves_the_order_waiting_and_it_can_be_cancelled(
        self, firm: Firm
    ) -> None:
        firm.publish("shop.order", {"order": "W-5003"})
        desk = await firm.run_about("order-desk", "W-5003")
        watch = await firm.run_about("stock-watch", "W-5003")
        # One is missing, and the supplier sells two at least.
        assert (await watch.asks("agree"))["title"] == "Buy 2 x TB-2 from Nordwind GmbH for 520 EUR?"
        await watch.decide("agree", "user:paul", "reject", "too dear")
        assert (await watch.ended())["status"] == "failed"
        assert (await desk.view())["status"] == "waiting"
        await firm.client.get_workflow_handle(desk.id).execute_update("cancel", {"by": "user:tom", "undo": True})
        assert (await desk.ended())["status"] == "cancelled"
        assert firm.effects(desk.id)[0] == ("warehouse.reserve", True)
        assert firm.rows("SELECT available FROM stock WHERE sku = 'TB-2'") == [(5,)]

    async def _news(self, firm: Firm, address: str, count: int) -> list[str]:
        async def look() -> list[str]:
            query = "SELECT body FROM mails WHERE recipient = ? ORDER BY id"
            return [body for (body,) in firm.rows(query, address)]

        found: list[str] = await eventually(look, lambda bodies: len(bodies) >= count)
        assert len(found) == count
        return found


def _is_about(waiting: View, step: str, text: str) -> bool:
    return waiting["step"] == step and waiting["kind"] == "approval" and text in json.dumps(waiting["show"])


def _file(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROCESSES / name / "process.yaml").read_text())
    return found


def _steps(steps: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for step_id, step in steps.items():
        yield step_id, step
        yield from _steps(step.get("steps", {}))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
