"""What is known of a world when it has come to rest: its ledger, its records, its exported histories."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic_core import from_json
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHistory
from temporalio.converter import DataConverter

from activities.records.opening import open_records
from contracts.base import Json
from contracts.names import AGENT_WORKFLOW
from contracts.run import RunView
from contracts.state import StateValue
from contracts.stores import RecordSettings
from contracts.tools import ToolCall, ToolResult
from runtime.catalog import Catalog
from tests.chaos.people import People, Said

ENGINE = "surefoot."
STATE_PUT = "state.put"


@dataclass(frozen=True)
class Effect:
    """A row of the ledger."""

    key: str
    sequence: int
    tool: str
    undone_by: str | None

    @property
    def run(self) -> str:
        return self.key.rpartition("/")[0] if not self.key.endswith("/undo") else self.of.rpartition("/")[0]

    @property
    def of(self) -> str:
        """The key of the effect that this one takes back."""
        return self.key.removesuffix("/undo")


@dataclass(frozen=True)
class Completed:
    """An activity that completed. `chain`: the run it was of, however often that continued as new; `run`: of which it
    was a call."""

    chain: str
    workflow: str
    id: str
    type: str
    key: str | None
    run: str | None = None


class Written(NamedTuple):
    """A version that a key of a run's shared state came to."""

    run: str
    key: str
    version: int

    def __str__(self) -> str:
        return f"version {self.version} of {self.key} in {self.run}"


def ledger(home: Path) -> list[Effect]:
    file = home / "business.db"
    if not file.exists():
        return []
    with closing(sqlite3.connect(file, timeout=20)) as db:
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'effects'").fetchone() is None:
            return []  # the first call is making it
        rows = db.execute("SELECT key, sequence, tool, undone_by FROM effects ORDER BY sequence").fetchall()
    return [Effect(*row) for row in rows]


def outcome(home: Path, key: str) -> Json:
    """What the call of this key came to, or None when it had no effect."""
    file = home / "business.db"
    if not file.exists():
        return None
    with closing(sqlite3.connect(file, timeout=20)) as db:
        row = db.execute("SELECT result FROM effects WHERE key = ?", (key,)).fetchone()
    return from_json(row[0]) if row is not None else None


@dataclass
class Evidence:
    """All that is known of a world when it has come to rest. `retried`: how often operators had a step of a run tried
    again; `agents`: how often the agent of a workflow id came to its end; `said` and `acknowledged`: as people have it;
    `records`: of each run that has ended, its events as JSON; `answered`: what calls that write the shared state were
    told that they wrote."""

    effects: list[Effect]
    completed: list[Completed]
    scheduled: set[str]
    histories: list[WorkflowHistory]
    views: Mapping[str, RunView]
    catalog: Catalog
    converter: DataConverter
    retried: Counter[tuple[str, str]]
    agents: Counter[str] = field(default_factory=Counter)
    said: Counter[Said] = field(default_factory=Counter)
    acknowledged: Counter[Said] = field(default_factory=Counter)
    records: dict[str, list[str]] = field(default_factory=dict)
    answered: set[Written] = field(default_factory=set)


async def gather(client: Client, home: Path, people: People, catalog: Catalog) -> Evidence:
    evidence = Evidence(ledger(home), [], set(), [], people.ended, catalog, client.data_converter, people.tries)
    evidence.said, evidence.acknowledged = people.said, people.acknowledged
    evidence.records = await _records(home, people.ended)
    # Every run of a chain is listed, those that continued as new too.
    async for found in client.list_workflows():
        handle = client.get_workflow_handle(found.id, run_id=found.run_id)
        history = await handle.fetch_history()
        evidence.histories.append(history)
        await _read(client, history, evidence)
    return evidence


async def _records(home: Path, runs: Iterable[str]) -> dict[str, list[str]]:
    opened = open_records(RecordSettings(), home, {})
    try:
        return {run: [stored.text for stored in await opened.read(run)] for run in runs}
    finally:
        await opened.close()


async def _read(client: Client, history: WorkflowHistory, evidence: Evidence) -> None:
    started = history.events[0].workflow_execution_started_event_attributes
    chain = started.first_execution_run_id
    ended = history.events[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
    if ended and started.workflow_type.name == AGENT_WORKFLOW:
        evidence.agents[history.workflow_id] += 1
    scheduled: dict[int, Completed] = {}
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            activity = await _scheduled(client, event, chain, history.workflow_id)
            scheduled[event.event_id] = activity
            if activity.key is not None:
                evidence.scheduled.add(activity.key)
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            completed = event.activity_task_completed_event_attributes
            activity = scheduled[completed.scheduled_event_id]
            evidence.completed.append(activity)
            if activity.type == STATE_PUT and activity.run is not None:
                (result,) = await client.data_converter.decode([*completed.result.payloads], [ToolResult])
                value = StateValue.model_validate(result.output)
                evidence.answered |= {Written(activity.run, value.key, value.version)} if value.written else set()


async def _scheduled(client: Client, event: HistoryEvent, chain: str, workflow: str) -> Completed:
    asked = event.activity_task_scheduled_event_attributes
    name = asked.activity_type.name
    if name.startswith(ENGINE):
        return Completed(chain, workflow, asked.activity_id, name, None)
    (call,) = await client.data_converter.decode([*asked.input.payloads], [ToolCall])
    return Completed(chain, workflow, asked.activity_id, name, call.key, call.run)
