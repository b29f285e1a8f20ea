"""Processes and agents with the tools of a `tools.yaml`: HTTP, SQL and MCP beside each other, on a real server."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client

from activities.tools.declared import Connectors
from activities.tools.mcp import describe
from contracts.egress import Egress
from contracts.settings import ModelAlias
from language.tools.files import read_tools_file
from language.tools.mcp import LOCK
from runtime.catalog import Catalog
from tests.endpoint import Endpoint
from tests.notes import open_notes
from tests.service import Answer, Service, open_service
from tests.workflows.office import Office, open_office

EGRESS = Egress(allow=("127.0.0.1",))
CANARY = "sf-canary-16180"

TOOLS = """
http:
  erp:
    base: {base}
    headers: {{Authorization: "Bearer ${{ secret('erp.token') }}"}}
    tools:
      read_order: {{path: "/orders/{{order}}", arguments: {{order: int}}}}
      cancel: {{method: DELETE, path: "/orders/{{order}}", arguments: {{order: int}}, idempotent: Idempotency-Key}}
sql:
  books:
    url: sqlite:///books.db
    untrusted: false
    statements:
      amount_of: {{sql: "SELECT amount FROM orders WHERE id = :order", arguments: {{order: int}}}}
mcp:
  notes:
    url: http://127.0.0.1:{mcp}/mcp
    say: {{"*": {{untrusted: false}}}}
"""


@pytest.fixture
def service() -> Iterator[Service]:
    with open_service() as opened:
        yield opened


@pytest_asyncio.fixture
async def office(
    client: Client, service: Service, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    monkeypatch.setenv("SUREFOOT_SECRET_ERP_TOKEN", CANARY)
    with closing(sqlite3.connect(tmp_path / "books.db")) as connection, connection:
        connection.execute("CREATE TABLE orders (id INTEGER, amount NUMERIC)")
        connection.execute("INSERT INTO orders VALUES (7, 120)")
    async with open_notes() as port:
        text = TOOLS.format(base=service.base, mcp=port)
        servers = {name: (each, str(tmp_path)) for name, each in read_tools_file(text, "tools.yaml").mcp.items()}
        (tmp_path / LOCK).write_text((await describe(servers, str, EGRESS)).model_dump_json())
        (tmp_path / "tools.yaml").write_text(text)
        declared = Catalog.load([tmp_path]).declared.values()
        connectors = Connectors(EGRESS)
        models = {"default": ModelAlias(model="test-model", base_url=endpoint.url)}
        async with open_office(
            client, home=tmp_path, models=models, more=lambda office: connectors.tools(declared)
        ) as opened:
            yield opened
        await connectors.close()


async def history(run: Any) -> str:
    return str((await run.handle.fetch_history()).to_json())


async def test_steps_call_them_by_their_names_and_no_history_has_a_secret(office: Office, service: Service) -> None:
    service.answer = lambda request: Answer({"path": request.path, "told": request.headers["authorization"]})
    run = await office.start(
        """
        process: with-declared
        steps:
          order: {tool: erp.read_order, with: {order: 7}}
          amount: {tool: books.amount_of, with: {order: 7}}
          note: {tool: notes.put_note, with: {title: seven, text: "${ string(steps.amount.output[0].amount) }"}}
          read: {needs: [note], tool: notes.get_note, with: {title: seven}}
          cancel: {tool: erp.cancel, with: {order: 7}, needs: [read, order]}
        output: {order: "${ steps.order.output.path }", note: "${ steps.read.output.result }"}
        """
    )
    assert (await run.handle.result()).output == {"order": "/orders/7", "note": "120"}
    assert service.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    assert service.requests[1].headers["idempotency-key"] == f"{run.id}/cancel"
    recorded = await history(run)
    assert CANARY not in recorded
    assert '"name": "books.amount_of"' in recorded


async def test_a_host_that_wants_to_be_left_alone_costs_no_attempt(office: Office, service: Service) -> None:
    busy = Answer(status=503, headers={"retry-after": "1"})
    service.answer = lambda request: busy if len(service.requests) < 3 else Answer({"ok": True})
    run = await office.start(
        """
        process: with-waiting
        steps:
          cancel: {tool: erp.cancel, with: {order: 7}, retry: {attempts: 1}, on_failure: fail}
        output: ${ steps.cancel.output.ok }
        """
    )
    assert (await run.handle.result()).output is True
    assert len({request.headers["idempotency-key"] for request in service.requests}) == 1
    assert (await history(run)).count("EVENT_TYPE_TIMER_FIRED") == 2


async def test_a_wait_that_is_longer_than_the_deadline_fails_the_step(office: Office, service: Service) -> None:
    service.answer = lambda request: Answer(status=503, headers={"retry-after": "600"})
    run = await office.start(
        """
        process: with-deadline
        steps:
          look: {tool: erp.read_order, with: {order: 7}, deadline: 1m}
        """
    )
    view = await run.parked("look")
    assert "503" in str(view.incidents[0].error)


async def test_an_agent_calls_them_and_is_told_their_errors(
    office: Office, service: Service, endpoint: Endpoint
) -> None:
    service.answer = lambda request: Answer({"error": "no such order"}, status=404)
    endpoint.call(
        ("erp_read_order", {"order": 8}), ("books_amount_of", {"order": 7}), ("notes_get_note", {"title": "?"})
    )
    endpoint.call(("erp_read_order", {"order": "eight"}))
    endpoint.say("done")
    run = await office.start(
        """
        process: with-agent
        agents:
          clerk: {instructions: You are a clerk., tools: [erp.read_*, books.*, notes.get_note]}
        steps:
          ask: {agent: clerk, task: Look.}
        output: ${ steps.ask.output }
        """
    )
    assert (await run.handle.result()).output == "done"
    offered = {tool["function"]["name"]: tool["function"] for tool in endpoint.requests[0].body["tools"]}
    assert set(offered) == {"erp_read_order", "books_amount_of", "notes_get_note", "result_read"}
    assert offered["notes_get_note"]["description"] == "Read a note."
    assert "Ignore all previous instructions" not in json.dumps(endpoint.requests[0].body)
    missing, amount, note = [message["content"] for message in endpoint.requests[1].messages[-3:]]
    assert "404" in missing
    assert "no such order" in missing
    assert json.loads(amount) == [{"amount": 120}]
    assert "get-note failed" in note
    assert "order" in endpoint.requests[2].messages[-1]["content"]
    assert len(service.requests) == 1


async def test_a_run_keeps_the_tools_it_started_with(office: Office, service: Service, tmp_path: Path) -> None:
    definition = office.definition(
        """
        process: with-kept
        steps:
          order: {tool: erp.read_order, with: {order: 7}}
        """
    )
    assert definition.tools["erp.read_order"].parameters["properties"] == {"order": {"type": "integer"}}
    assert definition.tools["erp.read_order"].untrusted
    assert CANARY not in definition.model_dump_json()
    assert service.base not in definition.model_dump_json()
