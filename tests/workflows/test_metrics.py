"""What a worker measures, asked for as Prometheus does: once for what happened once, however often it is replayed."""

import re
import socket
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client
from uuid_utils import uuid7

from contracts.metrics import METRICS, Metric
from contracts.settings import ModelAlias
from runtime.client import connect
from runtime.counting import counting_runs
from runtime.health import measuring
from runtime.settings import Settings
from tests.endpoint import Endpoint, open_endpoint
from tests.runtime.waiting import until
from tests.workflows.office import UNDO, Office, open_office
from tests.workflows.test_record import until_written

LINE = re.compile(r"^(surefoot_\w+?)(_bucket|_sum|_count)?\{(.*)\} (\S+)$")
BESIDE = {"activity_type", "namespace", "service_name", "task_queue", "workflow_type", "le"}
"""Labels that the SDK adds, and those of a histogram's buckets."""


@dataclass
class Measured:
    port: int

    def samples(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Each metric's figures, of a histogram how many it has, by our labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = defaultdict(lambda: defaultdict(float))
        for name, part, labels, value in filter(None, map(_sample, text.splitlines())):
            if part in (None, "_count"):
                found[name][tuple(sorted(labels.items()))] += value
        return found

    def of(self, metric: Metric) -> dict[str, float]:
        """Its figures, by the values of its labels: `demo completed`."""
        return {
            " ".join(dict(labels)[name] for name in metric.labels): value
            for labels, value in self.samples()[metric.exported].items()
        }


def _sample(line: str) -> tuple[str, str | None, dict[str, str], float] | None:
    found = LINE.match(line)
    if found is None:
        return None
    labels = dict(re.findall(r'(\w+)="([^"]*)"', found[3]))
    return found[1], found[2], {name: value for name, value in labels.items() if name not in BESIDE}, float(found[4])


METRIC = {metric.name: metric for metric in METRICS}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with open_endpoint() as opened:
        yield opened


@pytest.fixture
def measured() -> Measured:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return Measured(found.getsockname()[1])


Opened = Callable[[], AbstractAsyncContextManager[Office]]


@pytest_asyncio.fixture
async def opened(
    client: Client, measured: Measured, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Opened]:
    """An office whose worker measures. One that is opened after another has the same queue and remembers no run."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", client.service_client.config.target_host)
    settings = Settings(home=tmp_path / "home", metrics_port=measured.port)
    connection = await connect(settings, measuring(settings))
    models = {"default": ModelAlias(model="test-model", base_url=endpoint.url, input_price=1, output_price=10)}
    queue = f"test-{uuid7()}"
    yield lambda: open_office(connection.client, home=tmp_path, models=models, queue=queue)
    await connection.close()


@pytest_asyncio.fixture
async def office(opened: Opened) -> AsyncIterator[Office]:
    async with opened() as office:
        yield office


PROCESS = """
    process: demo
    agents:
      clerk: {instructions: You are a clerk., tools: [do.look]}
    steps:
      one: {tool: do.work}
      two: {needs: [one], tool: do.work}
      ask: {needs: [two], agent: clerk, task: Look.}
      bad: {needs: [ask], tool: do.work, with: {fails: true}}
      ok: {needs: [bad], approval: {title: Go?, from: [{any_of: [group:finance]}]}}
"""


async def test_what_happened_once_is_counted_once_however_often_it_is_replayed(
    opened: Opened, measured: Measured, endpoint: Endpoint
) -> None:
    endpoint.call(("do_look", {}))
    endpoint.say("done")
    async with opened() as office:
        run = await office.start(PROCESS)
        await run.parked("bad")
        await until_written(run)
    async with opened() as office:  # which replays all that was
        again = office.run_of(run.id)
        await again.repair("bad", "complete", value={"id": "bad"}, reason="done by hand")
        await again.waiting("ok")
        await until_written(again)
    async with opened() as office:
        await office.run_of(run.id).decide("ok", "approve", "user:alice")
        await run.handle.result()
    of = {name: measured.of(metric) for name, metric in METRIC.items()}
    assert of["surefoot_runs_started"] == {"demo": 1}
    assert of["surefoot_runs"] == {"demo completed": 1}
    steps = of["surefoot_steps"]
    assert (steps["demo tool completed"], steps["demo tool attention"]) == (3, 1)
    assert (steps["demo agent completed"], steps["demo approval completed"]) == (1, 1)
    assert of["surefoot_attempts"] == {"do.work done": 2, "do.work ToolFailed": 1, "do.look done": 1}
    assert of["surefoot_incidents"] == {"demo ToolFailed": 1}
    assert of["surefoot_repairs"] == {"demo complete": 1}
    assert of["surefoot_approvals"] == {"demo opened": 1, "demo approve": 1, "demo decided": 1}
    assert of["surefoot_wait"] == {"demo approved": 1}
    assert of["surefoot_model_calls"] == {"default answered": 2}
    assert of["surefoot_tokens"] == {"default in": 200, "default out": 40}
    assert of["surefoot_cost"] == {"default": 2}
    assert of["surefoot_breaker_open"] == {"default": 0}


async def test_effects_taken_back_are_counted_with_what_became_of_it(office: Office, measured: Measured) -> None:
    office.broken.add("undo two")
    run = await office.start(f"""
        process: taken-back
        steps:
          one: {{tool: do.work, {UNDO}}}
          two: {{needs: [one], tool: do.work, {UNDO}}}
          bad: {{needs: [two], tool: do.work, with: {{fails: true}}, on_failure: fail}}
    """)
    await run.parked("two")
    await run.repair("two", "skip", reason="it may stay")
    await run.failed()
    assert measured.of(METRIC["surefoot_undo"]) == {"do.undo failed": 1, "do.undo done": 1}
    assert measured.of(METRIC["surefoot_runs"]) == {"taken-back undone": 1}
    assert measured.of(METRIC["surefoot_steps"])["taken-back tool undone"] == 1


async def test_open_runs_are_those_that_the_server_knows(
    office: Office, measured: Measured, endpoint: Endpoint
) -> None:
    run = await office.start("process: open-ended\nsteps: {bad: {tool: do.work, with: {fails: true}}}")
    await run.parked("bad")
    meter = office.client.service_client.config.runtime
    assert meter is not None
    gauge = METRIC["surefoot_runs_open"]
    async with counting_runs(office.client, meter.metric_meter, ["open-ended"], every=0.1):
        await until(lambda: measured.of(gauge).get("open-ended attention") == 1 or None, "the incident is counted")
        await run.repair("bad", "skip")
        await run.handle.result()
        await until(lambda: measured.of(gauge)["open-ended attention"] == 0 or None, "it is counted no more")


async def test_every_figure_is_one_of_the_catalogue_with_its_labels(office: Office, measured: Measured) -> None:
    run = await office.start("process: labelled\nsteps: {one: {tool: do.work}}")
    await run.handle.result()
    exported = {metric.exported: set(metric.labels) for metric in METRICS}
    samples = measured.samples()
    assert samples
    for name, figures in samples.items():
        assert all({label for label, _ in labels} == exported[name] for labels in figures)
        assert not any(run.id in value for labels in figures for _, value in labels)
