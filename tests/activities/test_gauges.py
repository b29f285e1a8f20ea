"""Breakers as they stand show at `/metrics`, of a worker that is at work."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig
from uuid_utils import uuid7

from activities.breaker import Breaker
from activities.gauges import showing_breakers
from contracts.metrics import BREAKER_OPEN, TOOL_BREAKER_OPEN
from contracts.names import PROCESS_WORKFLOW
from contracts.settings import ModelAlias
from runtime.catalog import Catalog
from runtime.client import Connection
from runtime.settings import Settings
from tests.runtime.waiting import until
from worker import running_worker

ASKS = """
process: asks
agents: {clerk: {instructions: You are a clerk.}}
steps: {ask: {agent: clerk, task: Go on.}}
"""


class Shown:
    """What a meter of the SDK was told last, by the gauge and what it is of."""

    def __init__(self) -> None:
        self._buffer = MetricBuffer(10_000)
        self.meter = Runtime(telemetry=TelemetryConfig(metrics=self._buffer)).metric_meter
        self._last: dict[tuple[str, str], float] = {}

    def is_shown(self, gauge: str, of: str, value: int) -> Callable[[], bool | None]:
        def look() -> bool | None:
            for update in self._buffer.retrieve_updates():
                for label in update.attributes.values():
                    self._last[update.metric.name, str(label)] = update.value
            return self._last.get((gauge, of)) == value or None

        return look


async def test_a_host_is_shown_as_left_alone_until_it_would_be_called_again_though_nobody_calls() -> None:
    now = [0.0]
    breaker, shown = Breaker("erp", clock=lambda: now[0]), Shown()
    breaker.trip("it is down", pause=30)
    async with showing_breakers(shown.meter, list, lambda: [breaker.view()], every=0.02):
        await until(shown.is_shown(TOOL_BREAKER_OPEN.name, "erp", 1), "it is left alone")
        now[0] = 31
        await until(shown.is_shown(TOOL_BREAKER_OPEN.name, "erp", 0), "it would be called")


async def test_a_worker_shows_the_models_that_it_leaves_alone(
    client: Client, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.showing_breakers", partial(showing_breakers, every=0.05))
    folder = tmp_path / "processes" / "asks"
    folder.mkdir(parents=True)
    (folder / "process.yaml").write_text(ASKS)
    nobody = ModelAlias(model="test-model", base_url=f"http://127.0.0.1:{port}", probe_every=timedelta(seconds=1))
    queue, shown = f"asks-{uuid7()}", Shown()
    settings = Settings(
        home=tmp_path / "home", processes=(folder.parent,), task_queue=queue, models={"default": nobody}
    )
    connection = Connection(client, client.service_client.config.target_host, None, embedded=False)
    async with running_worker(settings, connection, Catalog.load(settings.folders), meter=shown.meter):
        run = await client.start_workflow(PROCESS_WORKFLOW, {"process": "asks"}, id=queue, task_queue=queue)
        await until(shown.is_shown(BREAKER_OPEN.name, "default", 1), "it is left alone")
        await run.terminate()
        await until(shown.is_shown(BREAKER_OPEN.name, "default", 0), "it would be asked")
