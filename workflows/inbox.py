"""What people and programs ask and say to a run: its queries, updates and signals."""

from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    import workflows.deciding as deciding
    import workflows.messages as messages
    import workflows.operators as operators
    import workflows.remarks as remarks
    import workflows.repairing as repairing
    import workflows.rerunning as rerunning
    import workflows.steps.asks as asks
    import workflows.steps.budget as budget
    import workflows.steps.goal as goal
    import workflows.view as view
    import workflows.waiting as waiting
    from contracts.asks import Ask, Withdrawal
    from contracts.base import Json
    from contracts.decisions import Cancel, Decision, Receipt, Repair
    from contracts.errors import ErrorInfo, Refused, StepError, SurefootError
    from contracts.events import Delivery
    from contracts.migration import Migration
    from contracts.names import (
        ASK_SIGNAL,
        CANCEL,
        DECIDE,
        EVENT_SIGNAL,
        LEASE_SIGNAL,
        LOG_QUERY,
        MIGRATE,
        PREVIEW_QUERY,
        PUT_STATE,
        RECEIPT_QUERY,
        REPAIR,
        SNAPSHOT_QUERY,
        STATE_QUERY,
        VIEW_QUERY,
        WITHDRAW_SIGNAL,
    )
    from contracts.plain import short
    from contracts.record import UNKNOWN, RecordTail
    from contracts.run import Page, RunRequest, RunStatus, RunView, is_altered
    from contracts.state import PutState, StateValue
    from workflows.engine import Engine

LOADING = "the run is still loading its process; ask again in a moment"

MAX_REFUSED = 20
"""Refused signals the view remembers."""


class Inbox:
    """Payloads are taken as plain JSON, however many, and read here: what cannot be read is then refused with what is
    wrong in it, where a typed handler would fail the workflow task for ever."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._status: RunStatus = "running"
        self._output: Json = None
        self._error: ErrorInfo | None = None
        self._ended: datetime | None = None
        self._not_started: str | None = None

    @workflow.query(name=VIEW_QUERY)
    def view(self, *payload: Json) -> RunView:
        try:
            page = messages.parse(Page, payload) if payload else Page()
        except Refused as error:
            raise _refusal(error) from None
        if self._engine is None:
            raise ApplicationError(self._not_started or LOADING, type="Loading")
        status = self._status if self._ended else view.live_status(self._engine)
        return view.run_view(
            self._engine,
            status,
            output=self._output,
            error=self._error,
            ended=self._ended,
            page=page,
        )

    @workflow.query(name=SNAPSHOT_QUERY)
    def snapshot(self, *payload: Json) -> RunRequest:
        """What a rerun begins with. Takes nothing; whatever is sent is not looked at."""
        if self._engine is None:
            raise ApplicationError(self._not_started or LOADING, type="Loading")
        return rerunning.as_request(self._engine)

    @workflow.query(name=PREVIEW_QUERY)
    def preview(self, *payload: Json) -> Receipt:
        if self._engine is None:
            raise ApplicationError(self._not_started or LOADING, type="Loading")
        try:
            return messages.preview(self._engine, messages.parse(Repair, payload))
        except Refused as error:
            raise _refusal(error) from None

    @workflow.query(name=RECEIPT_QUERY)
    def receipt(self, id: str) -> Receipt | None:  # noqa: A002 - as a decision calls it
        taken = self._engine.seen.get(id) if self._engine is not None else None
        return taken if isinstance(taken, Receipt) else None

    @workflow.update(name=DECIDE)
    async def decide(self, *payload: Json) -> Receipt:
        return await self._receipt(Decision, payload)

    @decide.validator
    def _validate_decide(self, *payload: Json) -> None:
        self._check(Decision, payload)

    @workflow.update(name=REPAIR)
    async def repair(self, *payload: Json) -> Receipt:
        return await self._receipt(Repair, payload)

    @repair.validator
    def _validate_repair(self, *payload: Json) -> None:
        self._check(Repair, payload)

    @workflow.update(name=CANCEL)
    async def cancel(self, *payload: Json) -> Receipt:
        return await self._receipt(Cancel, payload)

    @cancel.validator
    def _validate_cancel(self, *payload: Json) -> None:
        self._check(Cancel, payload)

    @workflow.update(name=MIGRATE)
    async def migrate(self, *payload: Json) -> Receipt:
        return await self._receipt(Migration, payload)

    @migrate.validator
    def _validate_migrate(self, *payload: Json) -> None:
        self._check(Migration, payload)
        if is_altered(payload[0].get("definition")):
            raise _refusal(
                Refused(
                    "the definition is not the one that was compiled: it does not have the SHA-256 that it carries; "
                    "move the run with `starter.py migrate`, which compiles it"
                )
            )

    @workflow.signal(name=DECIDE)
    async def decide_by_signal(self, *payload: Json) -> None:
        await self._take_signal(Decision, payload)

    @workflow.signal(name=REPAIR)
    async def repair_by_signal(self, *payload: Json) -> None:
        await self._take_signal(Repair, payload)

    @workflow.signal(name=CANCEL)
    async def cancel_by_signal(self, *payload: Json) -> None:
        await self._take_signal(Cancel, payload)

    @workflow.update(name=PUT_STATE)
    async def put_state(self, *payload: Json) -> StateValue:
        taken = await self._take(PutState, payload)
        if isinstance(taken, Receipt):
            raise _refusal(Refused("this id was used for a decision already; give the write one of its own"))
        return taken

    @put_state.validator
    def _validate_put_state(self, *payload: Json) -> None:
        self._check(PutState, payload)

    @workflow.query(name=STATE_QUERY)
    def state(self, key: str) -> StateValue:
        if self._engine is None:
            raise ApplicationError(LOADING, type="Loading")
        return self._engine.state.read(key)

    @workflow.query(name=LOG_QUERY)
    def log(self, *payload: Json) -> RecordTail:
        """What of the record is not written yet. Takes nothing; whatever is sent is not looked at."""
        if self._engine is None:
            raise ApplicationError(self._not_started or LOADING, type="Loading")
        return self._engine.record.tail()

    @workflow.signal(name=EVENT_SIGNAL)
    async def event(self, *payload: Json) -> None:
        if (delivery := messages.readable(Delivery, payload)) is not None:
            messages.deliver(await self._loaded(), delivery)

    @workflow.signal(name=LEASE_SIGNAL)
    async def lease(self, *payload: Json) -> None:
        await budget.take(await self._loaded(), payload)

    @workflow.signal(name=ASK_SIGNAL)
    async def ask(self, *payload: Json) -> None:
        if (ask := messages.readable(Ask, payload)) is not None:
            asks.open_ask(await self._loaded(), ask)

    @workflow.signal(name=WITHDRAW_SIGNAL)
    async def withdraw(self, *payload: Json) -> None:
        if (withdrawal := messages.readable(Withdrawal, payload)) is not None:
            asks.withdraw(await self._loaded(), withdrawal)

    def _check(self, model: type[messages.M], payload: tuple[Json, ...]) -> None:
        try:
            message = messages.parse(model, payload)
            operators.check_actor(message)
            if self._engine is not None:
                self._check_now(self._engine, message)
        except Refused as error:
            raise _refusal(error) from None

    async def _take(self, model: type[messages.M], payload: tuple[Json, ...]) -> Receipt | StateValue:
        engine = await self._loaded()
        try:
            message = messages.parse(model, payload)
            self._check_now(engine, message)
            if isinstance(message, Repair | Cancel | Migration):
                await operators.authorise(engine, message)
                self._check_now(engine, message)  # again: the run went on while the directory was asked
            if isinstance(message, Decision | Repair):
                await _prepare(engine, message)
                self._check_now(engine, message)
            is_new = not messages.is_known(engine, message)
            taken = messages.take(engine, message)
            if is_new:
                await remarks.pass_on(engine, message)
            return taken
        except Refused as error:
            self._record_refusal(model, payload, error)
            raise _refusal(error) from None
        except StepError as error:
            self._record_refusal(model, payload, error)
            raise ApplicationError(str(error), error.detail, type=error.type_name(), non_retryable=True) from None

    async def _receipt(self, model: type[messages.M], payload: tuple[Json, ...]) -> Receipt:
        taken = await self._take(model, payload)
        if isinstance(taken, StateValue):
            raise _refusal(Refused("this id was used for a write to the state already; use another"))
        return taken

    async def _take_signal(self, model: type[messages.M], payload: tuple[Json, ...]) -> None:
        try:
            await self._take(model, payload)
        except ApplicationError as error:
            workflow.logger.warning("signal refused: %s", error.message)
            if self._engine is not None:
                _remember(self._engine, error.message)

    def _check_now(self, engine: Engine, message: messages.Message) -> None:
        """Raises:
        Refused: the message does not hold as the run stands; it has ended, and writes its record's last events.
        """
        if self._ended is not None:
            raise Refused(f"the run has ended: it is {self._status}")
        messages.check(engine, message)

    def _record_refusal(self, model: type[messages.M], payload: tuple[Json, ...], error: SurefootError) -> None:
        """What was sent and did not hold. What a validator refuses never reaches the run, so this is of signals."""
        if self._engine is not None and self._ended is None:
            said = payload[0] if payload and isinstance(payload[0], dict) else {}
            step = said.get("step")
            is_known = isinstance(step, str) and step in self._engine.plan.nodes
            self._engine.record.add(
                "message.refused",
                by=operators.person(said.get("by")) or UNKNOWN,
                step=step if is_known else None,
                reason=str(error),
                message=model.__name__.lower(),
            )

    async def _loaded(self) -> Engine:
        """The engine, once it has taken in whatever came in the same workflow task.

        A worker that did not hold the run may get a message together with results that came long before it, while
        replay gets them one after the other (github.com/temporalio/sdk-rust/issues/1146). Both see the same run when
        messages come last.
        """
        if workflow.patched("messages-come-last"):
            await waiting.until(lambda: self._engine is not None)
        while self._engine is None:
            await waiting.until(lambda: self._engine is not None)
        return self._engine


async def _prepare(engine: Engine, message: Decision | Repair) -> None:
    """What a message that `check` let through needs from outside before it is taken.

    Raises:
        Refused: it does not hold after all.
    """
    if messages.is_known(engine, message):
        return
    if isinstance(message, Decision):
        deciding.check_edits_are_read(engine, message)
        await goal.check_edits(engine, message)
        await deciding.check_person(engine, message)
    else:
        await repairing.prepare(engine, message)


def _remember(engine: Engine, why: str) -> None:
    """For the view: a signal has no answer."""
    engine.refused = (*engine.refused, f"{workflow.now():%Y-%m-%d %H:%M:%S} {short(why)}")[-MAX_REFUSED:]


def _refusal(error: Refused) -> ApplicationError:
    """Without its cause, which can quote all of the message once more."""
    return ApplicationError(str(error), type=Refused.type_name(), non_retryable=True)
