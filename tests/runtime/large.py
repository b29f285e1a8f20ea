"""A workflow that sends as many characters as it is told along every way a payload can go; apart from its test,
which imports what no workflow may."""

from datetime import timedelta

from temporalio import activity, workflow
from temporalio.exceptions import ActivityError, ApplicationError

TIMEOUT = timedelta(seconds=30)


@activity.defn
async def make(size: int) -> str:
    return "a" * size


@activity.defn
async def measure(text: str) -> int:
    return len(text)


@activity.defn
async def fail(size: int) -> None:
    raise ApplicationError("no", "f" * size, non_retryable=True)


@activity.defn
async def beat(size: int) -> int:
    """The size of what the first attempt said last."""
    details = activity.info().heartbeat_details
    if not details:
        activity.heartbeat("h" * size)
        raise ApplicationError("once more")
    return len(details[0])


@workflow.defn
class Echo:
    @workflow.run
    async def run(self, text: str) -> str:
        return text


@workflow.defn
class Large:
    """Each way returns the size of what arrived at its end."""

    def __init__(self) -> None:
        self._signalled = ""

    @workflow.run
    async def run(self, way: str, size: int, text: str = "") -> int:
        match way:
            case "input":
                return len(text)
            case "child":
                return len(await workflow.execute_child_workflow(Echo.run, "c" * size))
            case "continue as new" if not text:
                workflow.continue_as_new(args=[way, size, "n" * size])
            case "continue as new":
                return len(text)
            case "wait":
                await workflow.wait_condition(lambda: bool(self._signalled))
                return len(self._signalled)
        return await self._by_activity(way, size)

    async def _by_activity(self, way: str, size: int) -> int:
        match way:
            case "activity result":
                return len(await workflow.execute_activity(make, size, start_to_close_timeout=TIMEOUT))
            case "activity input":
                return await workflow.execute_activity(measure, "i" * size, start_to_close_timeout=TIMEOUT)
            case "local activity":
                return len(await workflow.execute_local_activity(make, size, start_to_close_timeout=TIMEOUT))
            case "heartbeat":
                return await workflow.execute_activity(beat, size, start_to_close_timeout=TIMEOUT)
        try:
            await workflow.execute_activity(fail, size, start_to_close_timeout=TIMEOUT)
        except ActivityError as error:
            return len(error.cause.details[0]) if isinstance(error.cause, ApplicationError) else 0
        return 0

    @workflow.query
    def answer(self, size: int) -> str:
        return "q" * size

    @workflow.update
    async def echo(self, text: str) -> str:
        return text

    @workflow.signal
    def tell(self, text: str) -> None:
        self._signalled = text
