"""A model call as the workflow makes it: the real activity, store and HTTP endpoint, one conversation."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json, to_json
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.conversations import ConversationStore, SqliteConversations
from activities.model.call import Heard, ModelCall, unheard
from contracts.board import BoardStore
from contracts.messages import Brief, Message, OfferedTool
from contracts.model import ModelReply, ModelRequest
from contracts.settings import ModelAlias, ModelApi
from tests.endpoint import MODEL, Endpoint
from workflows.agent.conversation import Conversation

KEY = "sk-test-canary-0123456789"
PARAMETERS = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
TOOLS = (
    OfferedTool(name="erp.read_order", description="Read an order.", parameters=PARAMETERS),
    OfferedTool(name="mail.send", description="Send a mail.", parameters={}),
)
SCHEMA = {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}


def brief(**changes: Any) -> Brief:
    given: dict[str, Any] = {
        "process": "invoice-approval",
        "agent": "auditor",
        "instructions": "You check invoices.",
        "task": "Compare invoice 7.",
        "context": {"amount": 12},
        "models": ("default",),
        "tools": TOOLS,
    }
    return Brief(**(given | changes))


def new_workflow() -> str:
    return f"agent-{uuid.uuid4()}"


@dataclass
class Desk:
    """One conversation and the activity that continues it. `beats`: what an attempt left for the next, as Temporal
    carries it. `workflow`, `attempted` and `which`: the agent, its run, and which call of a turn it is."""

    store: ConversationStore
    aliases: Mapping[str, ModelAlias]
    environment: Mapping[str, str]
    rehearsal: Path | None = None
    api: ModelApi | None = None
    beats: tuple[Any, ...] = ()
    board: BoardStore | None = None
    clock: Callable[[], float] = time.monotonic
    heard: Heard = unheard
    conversation: Conversation = field(default_factory=lambda: Conversation(brief()))
    turn: int = 0
    workflow: str = field(default_factory=new_workflow)
    attempted: str = "run-1"
    which: str = ""

    def __post_init__(self) -> None:
        self.models = ModelCall(
            self.store,
            lambda _: self.rehearsal,
            self.aliases,
            api=self.api,
            environment=self.environment,
            board=self.board,
            clock=self.clock,
            heard=self.heard,
        )

    async def restart(self) -> None:
        """Another worker, with the settings as they are now."""
        await self.models.close()
        self.__post_init__()

    def begin(self, **changes: Any) -> None:
        self.workflow = new_workflow()
        self.conversation = Conversation(brief(**changes))

    async def ask(self, cap: int | None = None) -> ModelReply:
        """One turn, with whatever the store turns out to lack supplied once, as the workflow does."""
        self.turn += 1
        request = self.conversation.request(run="r-1", step="audit", turn=self.turn, max_output_tokens=cap)
        try:
            reply = await self.run(request)
        except ApplicationError as error:
            if error.type != "ConversationLost":
                raise
            reply = await self.run(self.conversation.resupply(request, error.details[0]))
        self.conversation.commit()
        self.conversation.add(reply.message, stored=True)
        return reply

    async def run(self, request: ModelRequest) -> ModelReply:
        environment = ActivityEnvironment()
        environment.info = replace(
            environment.info,
            workflow_id=self.workflow,
            workflow_run_id=self.attempted,
            activity_id=f"turn-{len(self.conversation.turns) + 1}{self.which}",
            heartbeat_details=self.beats,
        )
        environment.on_heartbeat = self._beat
        reply: ModelReply = await environment.run(self.models.activity(), request)
        self.beats = ()
        return reply

    def _beat(self, *details: Any) -> None:
        self.beats = tuple(from_json(to_json(detail)) for detail in details)

    async def failure(self) -> ApplicationError:
        """What the next turn fails with."""
        with pytest.raises(ApplicationError) as caught:
            await self.ask()
        return caught.value

    def add(self, message: Message) -> None:
        self.conversation.add(message, stored=False)


def desk_at(endpoint: Endpoint, path: Path, *, api: ModelApi = "chat", **alias: Any) -> Desk:
    """A desk whose alias `default` is the endpoint."""
    default = ModelAlias(model=MODEL, base_url=endpoint.url, api=api, **alias)
    return Desk(SqliteConversations(path / "c.db"), {"default": default}, {"OPENAI_API_KEY": KEY})
