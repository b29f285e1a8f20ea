"""Who may repair, pause, amend, migrate and cancel a run: the role `operator`, asked of the directory each time."""

from pydantic import TypeAdapter, ValidationError
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.activities import RESOLVE_PEOPLE
    from contracts.base import Contract, Json
    from contracts.decisions import PARENT, Actor, Cancel, Repair, is_of_system
    from contracts.errors import Refused, StepError
    from contracts.migration import Migration
    from contracts.people import ANYONE, OPERATOR_ROLE, STARTER, ResolvePeople
    from contracts.run import RunRequest
    from workflows.calls import Call, call_engine
    from workflows.engine import Engine

ASKED = "operators-are-asked"
"""The patch of runs that were told something before there were roles."""

_ACTOR: TypeAdapter[str] = TypeAdapter(Actor)

_ABOUT_THE_RUN = ("pause", "resume", "note", "amend")
_PARENTS = ("pause", "resume", "cancel", "rerun")
"""What a run says to its sub-processes. Anyone can send a signal in its name, and gets no further with it than that."""


def person(said: Json) -> str | None:
    """Who says to have sent something, when that can be somebody."""
    try:
        by = _ACTOR.validate_python(said)
    except ValidationError:
        return None
    return None if is_of_system(by) else by


def check_actor(message: Contract) -> None:
    """Raises:
    Refused: somebody says something in the engine's name, which speaks to itself by signals only.
    """
    if isinstance(message, Repair | Cancel | Migration) and is_of_system(message.by):
        raise Refused(f"{message.by} is the engine itself, and no person; say who you are, for example user:alice")


async def authorise(engine: Engine, message: Repair | Cancel | Migration) -> None:
    """Raises:
    Refused: whoever says this is no operator, or who is cannot be told.
    """
    if message.id is not None and message.id in engine.seen:
        return
    if not workflow.patched(ASKED):
        return
    await check_operator(engine.request, message.by, _verb(message))


async def check_operator(request: RunRequest, by: str, verb: str) -> None:
    """Raises:
    Refused: this is no operator of the run, or who is cannot be told.
    """
    if by == PARENT and verb in _PARENTS and workflow.info().parent is not None:
        return
    try:
        asked = ResolvePeople(names=(OPERATOR_ROLE,))
        call = Call(f"operators-{workflow.uuid4().hex[:8]}", f"may {by} {verb} it?", priority=request.priority)
        allowed = (await call_engine(RESOLVE_PEOPLE, asked, call)).users[OPERATOR_ROLE]
    except StepError as error:
        raise Refused(f"whether {by} may {verb} this run cannot be told, so it is refused: {error}") from error
    is_operator = ANYONE in allowed or by in allowed or (STARTER in allowed and by == request.started_by)
    if not is_operator or is_of_system(by):
        people = ", ".join(_named(request, name) for name in allowed) or "nobody"
        raise Refused(f"{by} may not {verb} this run: that is for {OPERATOR_ROLE} ({people})")


def _verb(message: Repair | Cancel | Migration) -> str:
    if not isinstance(message, Repair):
        return "cancel" if isinstance(message, Cancel) else "migrate"
    return message.action if message.action in _ABOUT_THE_RUN else "repair"


def _named(request: RunRequest, name: str) -> str:
    return name if name != STARTER else f"the starter {request.started_by}" if request.started_by else "the starter"
