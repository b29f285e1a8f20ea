"""The sample processes: their files hold, their samples fit, their rehearsals answer from real results."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from activities.model.rehearsal import rehearse
from contracts.messages import Brief, Message, digest, tool_message
from contracts.process import ApprovalStep, GroupStep, Process, StepBase
from contracts.tools import granted
from language.expressions import truth
from language.schema import violations
from runtime.catalog import Catalog

PROCESSES = Path(__file__).parents[2] / "processes"
NAMES = ["employee-onboarding", "invoice-approval"]


@pytest.mark.parametrize("name", NAMES)
def test_the_sample_input_fits(catalog: Catalog, name: str) -> None:
    sample = yaml.safe_load((PROCESSES / name / "sample.yaml").read_text())
    assert violations(catalog.definition(name).process.input, sample) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_effect_can_be_taken_back(catalog: Catalog, name: str) -> None:
    definition = catalog.definition(name)
    effects = [
        step_id
        for step_id, step in _steps(definition.process)
        if (tool := getattr(step, "tool", None)) and definition.tools[tool].effect == "write" and step.undo is None
    ]
    # A supplier's mail cannot be called back; that step says on_failure: continue and is the last.
    assert effects == ([] if name == "employee-onboarding" else ["notify"])


@pytest.mark.parametrize("name", NAMES)
def test_whoever_is_asked_is_in_the_directory(catalog: Catalog, name: str) -> None:
    people = yaml.safe_load((PROCESSES / "people.yaml").read_text())
    known = (
        {f"user:{user}" for user in people["users"]} | {f"group:{group}" for group in people["groups"]} | {"starter"}
    )
    assert {member for members in people["groups"].values() for member in members} <= set(people["users"])
    for _, step in _steps(catalog.definition(name).process):
        if isinstance(step, ApprovalStep):
            stages = [stage for row in step.approval.from_ for stage in row.resolved_stages()]
            asked = {who for stage in stages for who in (*(stage.any_of or ()), *(stage.all_of or ()))}
            escalated = set(step.approval.escalate.to) if step.approval.escalate else set()
            assert asked | escalated | set(step.approval.not_by) <= known


def test_departments_work_at_the_same_time(catalog: Catalog) -> None:
    steps = catalog.definition("employee-onboarding").process.steps
    at_once = [step_id for step_id, step in steps.items() if not step.needs]
    assert at_once == ["record", "courses", "equipment"]
    # Nothing of HR's and of the accounts waits for the manager's answer.
    for step_id in ("training", "accounts", "meeting"):
        assert set(steps[step_id].needs) <= {"record", "courses"}


@pytest.mark.parametrize(
    ("role", "sku"),
    [("data engineer", "NB-16"), ("designer", "NB-16G"), ("accountant", "NB-13"), ("gardener", "NB-13")],
)
async def test_the_rehearsed_it_specialist_takes_the_cheapest_machine_that_fits(
    company: Any, role: str, sku: str
) -> None:
    answer, called = await _rehearse(company, "employee-onboarding", "equipment", {"role": role})
    assert called == ["helpdesk.read_role_needs", "helpdesk.read_hardware"]
    assert answer["sku"] == sku
    assert role in answer["reasons"][0]


async def test_the_rehearsed_buddy_writes_of_what_was_really_done(company: Any) -> None:
    context = {
        "name": "Nadia",
        "machine": "Anvil 16",
        "order": "O-1001",
        "accounts": [{"id": "A-1001", "system": "email", "username": "nadia.okafor"}],
        "courses": [{"id": "SEC-1", "title": "Security from day one", "hours": 1.5}],
        "meeting": {"id": "C-1001", "title": "Welcome, Nadia", "day": "2026-12-01"},
        "manager": "Mia Tanaka",
    }
    answer, _ = await _rehearse(company, "employee-onboarding", "letter", context)
    assert answer["subject"] == "Welcome, Nadia"
    for fact in ("nadia.okafor", "Anvil 16", "Security from day one", "2026-12-01", "Mia Tanaka"):
        assert fact in answer["body"]


@pytest.mark.parametrize(
    ("supplier", "invoice", "amount", "matches", "risk"),
    [
        ("Nordwind GmbH", "INV-2041", 1840, True, "low"),
        ("Nordwind GmbH", "INV-2041", 1841, False, "high"),
        ("Halden Office", "INV-2042", 420.0, True, "low"),
        ("Quickparts Ltd", "INV-2043", 760, True, "medium"),
        ("Murkwater Trading", "INV-2044", 5200, False, "high"),
        ("Murkwater Trading", "INV-1", 10, True, "high"),
        ("Somebody", "INV-2", 60_000, True, "low"),
    ],
)
async def test_the_rehearsed_auditor_judges_the_order_it_is_given(
    company: Any, supplier: str, invoice: str, amount: float, matches: bool, risk: str
) -> None:
    order = await company.call("erp.read_order", "r/order", supplier=supplier, invoice=invoice)
    context = {"order": order, "amount": amount}
    answer, called = await _rehearse(company, "invoice-approval", "audit", context, succeeds=matches)
    assert called == ["erp.read_supplier"]
    assert (answer["matches"], answer["risk"]) == (matches, risk)
    assert len(answer["reasons"]) >= 1


async def _rehearse(
    company: Any, process: str, step_id: str, context: dict[str, Any], *, succeeds: bool = True
) -> tuple[Any, list[str]]:
    """The agent's answer, held to its step's schema and success, and the tools it called, all of them granted."""
    definition = company.catalog.definition(process)
    step = definition.process.steps[step_id]
    agent = definition.process.agents[step.agent]
    brief = Brief(
        process=process,
        agent=step.agent,
        instructions=agent.instructions,
        task="The task.",
        context=context,
        models=("default",),
        output=step.output,
    )
    messages: list[Message] = []
    called: list[str] = []
    while True:
        reply = rehearse(company.catalog.rehearsal(process), brief, messages)
        messages.append(reply.message)
        if reply.finish == "stop":
            break
        for call in reply.message.tool_calls:
            assert granted(agent.tools, [call.name])
            output = await company.call(call.name, f"r/{digest(reply.message)}-{call.id}", **json.loads(call.arguments))
            messages.append(tool_message(call.id, output))
            called.append(call.name)
    answer = json.loads(reply.message.content)
    assert violations(step.output, answer) == []
    assert step.success is None or truth(step.success, {"output": answer}) is succeeds
    return answer, called


def _steps(process: Process) -> list[tuple[str, StepBase]]:
    found: list[tuple[str, StepBase]] = []

    def walk(steps: dict[str, Any]) -> None:
        for step_id, step in steps.items():
            found.append((step_id, step))
            if isinstance(step, GroupStep):
                walk(step.steps)

    walk(process.steps)
    return found
