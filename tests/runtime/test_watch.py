"""Asking a run: a question that is lost on the way is asked once more, one that nobody answers is said."""

from datetime import timedelta

import pytest
from temporalio.client import Client
from temporalio.service import RPCError
from uuid_utils import uuid7

from contracts.names import PROCESS_WORKFLOW, VIEW_QUERY
from contracts.run import RunView
from runtime import watch
from tests.workflows.office import open_office

ASKED = {"process": "asked", "input": {}}


async def test_a_question_that_came_to_nothing_is_asked_once_more(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "FIRST_TIMEOUT", timedelta(milliseconds=1))
    async with open_office(client) as office:
        run = await office.start("process: asked\nsteps: {a: {tool: do.watch}}")
        await office.started["a"].wait()
        view = await watch.ask(run.handle, VIEW_QUERY, RunView)
        assert view.run == run.id
        await run.handle.terminate()


async def test_a_question_that_nobody_answers_ends(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_TIMEOUT", "QUERY_TIMEOUT"):
        monkeypatch.setattr(watch, name, timedelta(milliseconds=50))
    run = await client.start_workflow(PROCESS_WORKFLOW, ASKED, id=f"asked-{uuid7()}", task_queue="nobody-works-here")
    with pytest.raises(RPCError):
        await watch.ask(run, VIEW_QUERY, RunView)
    await run.terminate()
