"""What watches a worker from outside can ask: is it alive, is it ready, what does it measure. Off without ports."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.service import RPCError

from contracts.errors import SettingsInvalid
from contracts.metrics import METRICS, Histogram
from runtime.settings import Settings

EVERYWHERE = "0.0.0.0"  # noqa: S104 -- what asks is another machine; a port is set only where that is wanted
ANSWER_SECONDS = 4.0
"""A loop that does not come to it by then is stuck; below what probes wait."""
ASK_SECONDS = 10.0
"""Who has connected and does not say by then what it asks is left: each holds a thread."""

Check = Callable[[], Awaitable[bool]]


def measuring(settings: Settings) -> Runtime | None:
    """The SDK's runtime with its own Prometheus endpoint, `/metrics` at the port that is set; its names and units are
    those of Prometheus: `temporal_request_latency_seconds`, `temporal_workflow_completed_total`.

    Raises:
        SettingsInvalid: the port is taken.
    """
    if settings.metrics_port is None:
        return None
    prometheus = PrometheusConfig(
        bind_address=f"{EVERYWHERE}:{settings.metrics_port}",
        durations_as_seconds=True,
        unit_suffix=True,
        counters_total_suffix=True,
        histogram_bucket_overrides={metric.name: metric.bounds for metric in METRICS if isinstance(metric, Histogram)},
    )
    try:
        return Runtime(telemetry=TelemetryConfig(metrics=prometheus))
    except ValueError as error:
        raise SettingsInvalid(f"SUREFOOT_METRICS_PORT={settings.metrics_port}: {error}; set another") from error


@asynccontextmanager
async def health(settings: Settings, client: Client, is_at_work: Callable[[], bool]) -> AsyncIterator[None]:
    """`/livez` while this process can do anything, `/readyz` while it asks for work and the server would give it.

    Both for the block. `is_at_work`: whether it asks for work.

    Raises:
        SettingsInvalid: the port is taken.
    """
    if settings.health_port is None:
        yield
        return

    # Health alone would not tell that the namespace is gone, or closed to this worker.
    work = DescribeTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=settings.task_queue))

    async def is_ready() -> bool:
        try:
            await client.workflow_service.describe_task_queue(work)
        except RPCError:
            return False
        return is_at_work()

    async def lives() -> bool:
        return True

    loop = asyncio.get_running_loop()
    try:
        server = _Server((EVERYWHERE, settings.health_port), _handler(loop, {"/livez": lives, "/readyz": is_ready}))
    except OSError as error:
        raise SettingsInvalid(f"SUREFOOT_HEALTH_PORT={settings.health_port}: {error.strerror}; set another") from error
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A probe that waited no longer is no news either."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def _handler(loop: asyncio.AbstractEventLoop, checks: dict[str, Check]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = ASK_SECONDS

        def do_GET(self) -> None:
            self.wfile.write(f"{self._headed().phrase}\n".encode())

        def do_HEAD(self) -> None:
            self._headed()

        def _headed(self) -> HTTPStatus:
            check = checks.get(self.path.partition("?")[0])
            status = HTTPStatus.NOT_FOUND if check is None else self._asked(check)
            self.send_response(status)
            self.end_headers()
            return status

        def _asked(self, check: Check) -> HTTPStatus:
            asked = asyncio.run_coroutine_threadsafe(_awaited(check), loop)
            try:
                holds = asked.result(ANSWER_SECONDS)
            except TimeoutError:
                asked.cancel()
                holds = False
            return HTTPStatus.OK if holds else HTTPStatus.SERVICE_UNAVAILABLE

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
            """Probes are no news."""

    return Handler


async def _awaited(check: Check) -> bool:
    return await check()
