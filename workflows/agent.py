"""Workflow `Agent`: one agent's turns, from its task to an answer that fits, inside its grants and limits."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Literal, NoReturn

from pydantic_core import from_json, to_json
from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from contracts.activities import CALL_MODEL
    from contracts.agent import AgentRequest, AgentResult, AgentSnapshot, AgentView
    from contracts.base import Json, format_duration
    from contracts.errors import (
        AnswerRefused,
        LimitReached,
        ModelFailed,
        OutcomeUnknown,
        OutputInvalid,
        StepError,
    )
    from contracts.messages import (
        AssistantMessage,
        Brief,
        CalledTool,
        OfferedTool,
        ToolMessage,
        UserMessage,
        tool_message,
    )
    from contracts.model import CONVERSATION_LOST, ModelReply, ModelRequest, Usage
    from contracts.names import AGENT_WORKFLOW, VIEW_QUERY
    from contracts.process import Retry
    from contracts.tools import ToolCall, ToolSpec
    from language.schema import violations
    from workflows.calls import Call, call_tool, failure
    from workflows.conversation import Conversation

MAX_CORRECTIONS = 2
"""Turns an agent gets to mend an answer that does not fit its schema."""

MODEL_TIMEOUT = timedelta(minutes=10)
FIRST_CAP = 8_192
"""Output tokens allowed in the one more try after an answer was cut off for its length without a cap of ours."""


@workflow.defn(name=AGENT_WORKFLOW)
class AgentWorkflow:
    @workflow.init
    def __init__(self, request: AgentRequest) -> None:
        snapshot = request.snapshot
        self._request = request
        self._conversation = Conversation(_brief(request), snapshot.turns if snapshot else ())
        self._started = snapshot.started if snapshot else workflow.now()
        self._turn = snapshot.turn if snapshot else 0
        self._usage = snapshot.usage if snapshot else Usage()
        self._tool_calls = snapshot.tool_calls if snapshot else 0
        self._calls_by_content = dict(snapshot.calls_by_content) if snapshot else {}
        self._corrections = snapshot.corrections if snapshot else 0
        self._generation = snapshot.generation if snapshot else 1
        self._status: Literal["running", "completed", "failed"] = "running"
        self._last = "starting"
        if snapshot:
            for message in snapshot.pending:
                self._conversation.add(message, stored=True)

    @workflow.run
    async def run(self, request: AgentRequest) -> AgentResult:
        try:
            output = await self._work()
        except StepError as error:
            self._status, self._last = "failed", str(error)
            details = {"usage": self._usage.model_dump(mode="json"), "turns": self._turn, "detail": error.detail}
            raise ApplicationError(str(error), details, type=error.type_name(), non_retryable=True) from error
        self._status, self._last = "completed", "answered"
        return AgentResult(output=output, usage=self._usage, turns=self._turn, tool_calls=self._tool_calls)

    @workflow.query(name=VIEW_QUERY)
    def view(self) -> AgentView:
        return AgentView(
            run=self._request.run,
            step=self._request.step,
            agent=self._request.agent,
            status=self._status,
            turns=self._turn,
            tool_calls=self._tool_calls,
            usage=self._usage,
            last=self._last,
        )

    async def _work(self) -> Json:
        while True:  # Until an answer or a limit; `turns` always is one.
            self._check_limits()
            reply = await self._ask()
            self._conversation.add(reply.message, stored=True)
            if reply.message.tool_calls:
                await self._call_tools(reply.message.tool_calls)
            elif (problems := self._problems(reply.message)) is None:
                return self._answer(reply.message)
            else:
                self._correct(problems, reply)
            if workflow.info().is_continue_as_new_suggested():
                self._continue_as_new()

    # Asking the model

    async def _ask(self) -> ModelReply:
        self._turn += 1
        self._last = f"turn {self._turn}: thinking"
        reply = await self._call_model(None)
        if reply.finish == "length":
            cap = max(FIRST_CAP, 2 * reply.usage.output_tokens)
            self._last = f"turn {self._turn}: cut off for its length, once more with up to {cap} tokens"
            reply = await self._call_model(cap)
        if reply.finish == "length":
            used = reply.usage.output_tokens
            raise ModelFailed(f"{reply.model} was cut off for its length twice, the second time after {used} tokens")
        if reply.finish in ("refusal", "content_filter"):
            how = "declined" if reply.finish == "refusal" else "was stopped by a content filter"
            raise AnswerRefused(f"{reply.model} {how}: {reply.message.content[:500] or 'no reason given'}")
        self._conversation.commit()
        return reply

    async def _call_model(self, cap: int | None) -> ModelReply:
        request = self._conversation.request(
            run=self._request.run, step=self._request.step, turn=self._turn, max_output_tokens=cap
        )
        try:
            reply = await self._execute_model(request)
        except ActivityError as error:
            missing = _missing(error)
            if missing is None:
                self._check_limits()
                raise failure(error, "model").as_error() from error
            reply = await self._execute_resupplied(request, missing)
        self._usage += reply.usage
        return reply

    async def _execute_resupplied(self, request: ModelRequest, missing: Sequence[str]) -> ModelReply:
        try:
            return await self._execute_model(self._conversation.resupply(request, missing))
        except ActivityError as error:
            raise failure(error, "model").as_error() from error

    async def _execute_model(self, request: ModelRequest) -> ModelReply:
        call = Call(
            id=f"turn-{self._turn}" + ("-longer" if request.max_output_tokens else ""),
            summary=f"turn {self._turn}: {self._request.agent} thinks",
            deadline=self._time_left(),
            priority=self._request.priority,
        )
        reply: ModelReply = await workflow.execute_activity(
            CALL_MODEL.name, request, result_type=ModelReply, **call.options(Retry(), MODEL_TIMEOUT)
        )
        return reply

    # Calling tools

    async def _call_tools(self, calls: Sequence[CalledTool]) -> None:
        """Reads side by side, writes one after the other in the model's order; answers in the model's order."""
        names = ", ".join(call.name for call in calls)
        self._last = f"turn {self._turn}: {names}"
        prepared = [self._prepare(call, number) for number, call in enumerate(calls, start=1)]
        answers: dict[int, tuple[ToolMessage, bool]] = {}

        async def answer(number: int) -> None:
            answers[number] = await self._answer_call(calls[number], prepared[number])

        async def write_in_order() -> None:
            for number, plan in enumerate(prepared):
                if not isinstance(plan, str) and plan[0].effect == "write":
                    await answer(number)

        reads = [
            answer(number) for number, plan in enumerate(prepared) if isinstance(plan, str) or plan[0].effect == "read"
        ]
        # Every call is waited for before a failure is raised: an effect on its way is never abandoned.
        ended = await asyncio.gather(*reads, write_in_order(), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error
        for number in range(len(calls)):
            message, stored = answers[number]
            self._conversation.add(message, stored=stored)

    def _prepare(self, call: CalledTool, number: int) -> "tuple[ToolSpec, ToolCall, str] | str":
        """The activity call for what the model asked, or why there is none, for the model to read."""
        spec = self._request.tools.get(call.name)
        if spec is None:
            granted = ", ".join(self._request.tools) or "none"
            return f"{call.name} is not one of your tools. Your tools: {granted}"
        try:
            args = from_json(call.arguments or "{}")
        except ValueError as error:
            return f"the arguments are not JSON: {error}"
        if not isinstance(args, dict):
            return "the arguments must be a JSON object"
        self._tool_calls += 1
        key = self._key(spec, args)
        tool_call = ToolCall(args=args, key=key, run=self._request.run, step=self._request.step, call_id=call.id)
        return spec, tool_call, f"{self._turn}.{number}-{spec.name}"

    def _key(self, spec: ToolSpec, args: dict[str, Json]) -> str:
        """By content and occurrence: an agent that is started afresh by a repair and makes the same calls repeats no
        effect, while two calls alike in one conversation are two effects."""
        content = sha256(to_json([spec.name, sorted(args.items())])).hexdigest()[:16]
        occurrence = self._calls_by_content[content] = self._calls_by_content.get(content, 0) + 1
        return f"{workflow.info().workflow_id}/{spec.name}/{content}/{occurrence}"

    async def _answer_call(
        self, call: CalledTool, plan: "tuple[ToolSpec, ToolCall, str] | str"
    ) -> tuple[ToolMessage, bool]:
        if isinstance(plan, str):
            return ToolMessage(call_id=call.id, content=f"error: {plan}"), False
        spec, tool_call, activity_id = plan
        try:
            text = f"{spec.name} {call.arguments}"
            result = await call_tool(spec, tool_call, Call(activity_id, text, priority=self._request.priority))
        except OutcomeUnknown:
            raise
        except StepError as error:
            return ToolMessage(call_id=call.id, content=f"error: {error}"), False
        return tool_message(call.id, result.output), True

    # Answering

    def _problems(self, message: AssistantMessage) -> str | None:
        """What keeps an answer from fitting its schema, for the model to read."""
        if self._request.output is None:
            return None if message.content.strip() else "The answer is empty."
        try:
            value = from_json(message.content)
        except ValueError as error:
            return f"The answer is not JSON: {error}. Answer with the JSON value alone."
        wrong = violations(self._request.output, value)
        if not wrong:
            return None
        return f"The answer does not fit its schema: {'; '.join(wrong)}. Answer again, with the JSON value alone."

    def _answer(self, message: AssistantMessage) -> Json:
        return message.content if self._request.output is None else from_json(message.content)

    def _correct(self, problems: str, reply: ModelReply) -> None:
        if self._corrections == MAX_CORRECTIONS:
            said = reply.message.content[:500]
            raise OutputInvalid(
                f"{reply.model} gave no answer that fits, also after {MAX_CORRECTIONS} corrections: {problems}",
                {"answer": said},
            )
        self._corrections += 1
        self._conversation.add(UserMessage(content=problems), stored=False)

    # Limits

    def _check_limits(self) -> None:
        limits = self._request.limits
        if self._turn >= limits.turns:
            self._stop(f"{self._turn} turns used of {limits.turns}", "turns")
        if limits.tokens is not None and self._usage.tokens >= limits.tokens:
            self._stop(f"{self._usage.tokens} tokens used of {limits.tokens}", "tokens")
        if limits.cost is not None and self._usage.cost >= limits.cost:
            self._stop(f"{self._usage.cost:.4f} USD used of {limits.cost}", "cost")
        left = self._time_left()
        if limits.time is not None and left is not None and left <= timedelta(0):
            self._stop(f"its time of {format_duration(limits.time)} is over", "time")

    def _time_left(self) -> timedelta | None:
        time = self._request.limits.time
        return None if time is None else self._started + time - workflow.now()

    def _stop(self, used: str, limit: str) -> NoReturn:
        raise LimitReached(
            f"{self._request.agent} stopped at its limit: {used}; raise agents.{self._request.agent}.limits.{limit}",
            {"limit": limit},
        )

    def _continue_as_new(self) -> NoReturn:
        snapshot = AgentSnapshot(
            started=self._started,
            turns=tuple(self._conversation.turns),
            pending=tuple(self._conversation.pending),
            turn=self._turn,
            usage=self._usage,
            tool_calls=self._tool_calls,
            calls_by_content=self._calls_by_content,
            corrections=self._corrections,
            generation=self._generation + 1,
        )
        workflow.continue_as_new(self._request.model_copy(update={"snapshot": snapshot}))


def _brief(request: AgentRequest) -> Brief:
    return Brief(
        process=request.process,
        agent=request.agent,
        instructions=request.instructions,
        task=request.task,
        context=request.context,
        models=request.models,
        tools=tuple(
            OfferedTool(name=spec.name, description=spec.description, parameters=spec.parameters)
            for spec in request.tools.values()
        ),
        output=request.output,
    )


def _missing(error: ActivityError) -> Sequence[str] | None:
    """The digests that the store lacks, when that is why a model call failed."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == CONVERSATION_LOST:
        return [str(digest) for digest in cause.details[0]]
    return None
