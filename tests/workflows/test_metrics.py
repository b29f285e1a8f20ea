"""What a worker measures, asked for as Prometheus does: once for what happened once, however often it is replayed."""

import json
import re
import urllib.request
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import pytest_asyncio
from temporalio.client import Client
from uuid_utils import uuid7

from activities.gauges import showing_breakers
from activities.tools.declared import Connectors
from contracts.metrics import METRICS, Metric
from contracts.run import StepStatus
from contracts.settings import ModelAlias
from runtime.client import connect
from runtime.counting import counting_runs
from runtime.health import measuring
from runtime.settings import Settings
from tests.activities.tools.declared import LOOPBACK, declare
from tests.endpoint import Answered, Asked, Endpoint, completion
from tests.runtime.waiting import until
from tests.servers import hasty, open_server
from tests.service import Answer, open_service
from tests.workflows.office import UNDO, Office, open_office
from tests.workflows.test_continue_as_new import continued
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
def measured(port: int) -> Measured:
    return Measured(port)


Opened = Callable[..., AbstractAsyncContextManager[Office]]


@asynccontextmanager
async def measuring_client(address: str, home: Path, measured: Measured) -> AsyncIterator[Client]:
    """A client of the server there that measures."""
    settings = Settings(home=home, metrics_port=measured.port)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", address)
        connection = await connect(settings, measuring(settings))
    yield connection.client
    await connection.close()


@pytest.fixture
def models(endpoint: Endpoint) -> dict[str, ModelAlias]:
    return {"default": ModelAlias(model="test-model", base_url=endpoint.url, input_price=1, output_price=10)}


@pytest_asyncio.fixture
async def opened(
    client: Client, measured: Measured, models: dict[str, ModelAlias], tmp_path: Path
) -> AsyncIterator[Opened]:
    """An office whose worker measures. One that is opened after another has the same queue and remembers no run."""
    queue = f"test-{uuid7()}"
    async with measuring_client(client.service_client.config.target_host, tmp_path / "home", measured) as own:
        yield partial(open_office, own, home=tmp_path, models=models, queue=queue)


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


CHAIN = "\n".join(f"      s{n}: {{tool: do.work, needs: [s{n - 1}], {UNDO}}}" for n in range(1, 13))
LONG = f"""
    process: long
    agents:
      clerk: {{instructions: You are a clerk., tools: [do.look]}}
    steps:
      s0: {{tool: do.work}}
{CHAIN}
      ask: {{needs: [s3], agent: clerk, task: Look.}}
      ok: {{needs: [ask, s12], approval: {{title: Go?, from: [{{any_of: [group:finance]}}]}}}}
      broken: {{needs: [s3], tool: do.work, with: {{fails: true}}}}
      bad: {{needs: [ok, broken], tool: do.work, with: {{fails: true}}, on_failure: fail}}
"""


@pytest.mark.slow
async def test_runs_that_are_evicted_all_the_time_and_go_on_as_new_measure_what_their_records_say(
    measured: Measured, endpoint: Endpoint, models: dict[str, ModelAlias], tmp_path: Path
) -> None:
    endpoint.default = in_turns
    async with (
        open_server(tmp_path, hasty(40)) as server,
        measuring_client(server.service_client.config.target_host, tmp_path / "home", measured) as client,
        # Each of the runs pushes the others out, so that most workflow tasks and looks at a run replay it all.
        open_office(client, home=tmp_path, models=models, max_cached_workflows=1) as office,
    ):
        office.broken.add("undo s12")
        runs = [await office.start(LONG) for _ in range(3)]
        for run in runs:
            await run.parked("broken")
            await run.waiting("ok")
            await continued(run)
            await run.repair("broken", "complete", value={"id": "broken"}, reason="done by hand")
            await run.decide("ok", "approve", "user:alice")
        for run in runs:
            await run.parked("s12")
            await run.repair("s12", "skip", reason="it may stay")
            await run.failed()
        events = [event for run in runs for event in await run.events("")]
    of = {name: measured.of(metric) for name, metric in METRIC.items()}
    kinds = Counter(event.kind for event in events)
    assert of["surefoot_runs_started"] == {"long": kinds["run.started"]} == {"long": 3}
    assert of["surefoot_runs"] == {"long undone": kinds["run.undone"]} == {"long undone": 3}
    steps = Counter[str]()
    for labels, value in of["surefoot_steps"].items():
        steps[f"step.{labels.split()[-1]}"] += int(value)
    assert steps == {kind: kinds[kind] for kind in kinds if kind.removeprefix("step.") in get_args(StepStatus)}
    assert of["surefoot_incidents"] == {"long ToolFailed": kinds["step.attention"]}
    assert sum(of["surefoot_repairs"].values()) == kinds["step.repaired"] == 6
    approvals = {f"long {kind.partition('.')[2]}": kinds[kind] for kind in kinds if kind.startswith("approval.")}
    assert of["surefoot_approvals"] == approvals
    assert of["surefoot_wait"] == {"long approved": kinds["approval.decided"]}
    assert of["surefoot_undo"] == {"do.undo done": kinds["step.undone"], "do.undo failed": 3}
    done = Counter(f"do.{'work' if kind == 'do' else kind} done" for kind, _, _ in office.ledger)
    assert of["surefoot_attempts"] == {**done, "do.look done": 3, "do.work ToolFailed": 6, "do.undo ToolFailed": 3}
    asked = len(endpoint.requests)
    assert of["surefoot_model_calls"] == {"default answered": asked}
    assert of["surefoot_tokens"] == {"default in": 100 * asked, "default out": 20 * asked}
    assert of["surefoot_cost"] == {"default": asked}


def in_turns(asked: Asked) -> Answered:
    """A call of the tool, then, when its result is there, an end."""
    has_looked = any(message["role"] == "tool" for message in asked.messages)
    calls: tuple[tuple[str, Any], ...] = () if has_looked else (("do_look", {}),)
    finish = "stop" if has_looked else "tool_calls"
    return Answered(body=json.dumps(completion(asked, "done" if has_looked else "", calls, finish, (100, 20))))


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


@pytest.mark.slow
async def test_a_host_of_tools_that_is_left_alone_shows(opened: Opened, measured: Measured, tmp_path: Path) -> None:
    down = Answer(status=503)
    with open_service() as service:
        host = service.base.split("/")[2]
        service.answer = lambda request: down
        text = f"""
            http:
              erp:
                base: {service.base}
                tools: {{read: {{path: /orders}}}}
        """
        connectors = Connectors(LOOPBACK)
        tools = connectors.tools(declare(tmp_path, text))
        async with opened(more=lambda office: tools) as office:
            run = await office.start("""
                process: asks-the-erp
                steps: {ask: {tool: erp.read, retry: {attempts: 5, first: 10ms, factor: 1}}}
            """)
            meter = office.client.service_client.config.runtime
            assert meter is not None
            async with showing_breakers(meter.metric_meter, list, connectors.breakers.views, every=0.1):
                await run.parked("ask")
                gauge = METRIC["surefoot_tool_breaker_open"]
                await until(lambda: measured.of(gauge) == {host: 1} or None, "the host is left alone")
        await connectors.close()


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
