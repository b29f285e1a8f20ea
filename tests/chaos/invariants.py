"""What must hold whatever happened: read from the ledger, from exported histories and from what people saw."""

import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator

from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from contracts.process import ToolStep
from contracts.record import RunEvent, break_of
from contracts.run import RunView
from runtime.sandbox import workflow_runner
from tests.chaos.evidence import Effect, Evidence, Written
from tests.chaos.people import Said
from workflows.registered import WORKFLOWS

ROUND = re.compile(r"#\d+")


async def violations(evidence: Evidence) -> list[str]:
    """Every promise that was broken, in words."""
    return [
        *_each_effect_once(evidence),
        *_nothing_again(evidence),
        *_state_written_once(evidence),
        *_undone_in_reverse(evidence),
        *_counted_as_told(evidence),
        *_no_task_failed(evidence),
        *await _replays(evidence),
    ]


def _each_effect_once(evidence: Evidence) -> list[str]:
    """Keys are those of the calls, so an effect under any other key is one too many; each completed write has one, and
    so has each step that a run that completed takes for done, whether it was called or not."""
    counts = Counter(effect.key for effect in evidence.effects)
    wrong = [f"{count} effects under {key}" for key, count in counts.items() if count > 1]
    wrong += [f"an effect under {key}, which nobody asked for" for key in counts if key not in evidence.scheduled]
    specs = evidence.catalog.specs
    done = {
        activity.key
        for activity in evidence.completed
        if activity.key and activity.type in specs and specs[activity.type].effect == "write"
    }
    done |= {key for view in evidence.views.values() for key in _taken_for_done(evidence, view)}
    return wrong + [f"{key} completed and has no effect" for key in sorted(done - counts.keys())]


def _taken_for_done(evidence: Evidence, view: RunView) -> list[str]:
    """Keys of the writes that steps of the file are, where a run that completed says that they are completed."""
    if view.status != "completed":
        return []
    definition = evidence.catalog.definition(view.process)
    writes = {
        name: step
        for name, step in definition.process.steps.items()
        if isinstance(step, ToolStep) and definition.tools[step.tool].effect == "write"
    }
    return [
        f"{view.run}/{step.id}"
        for step in view.steps
        if step.status == "completed" and (write := writes.get(_without_item(step.id))) is not None
        # What is made for each of many is made by the items.
        if write.for_each is None or "[" in step.id
    ]


def _nothing_again(evidence: Evidence) -> list[str]:
    """Within a chain a tool's call completes once, and so does a turn of an agent; what it answered is not asked for
    anew, but when an operator says so of what was not accepted."""
    calls = Counter(
        (activity.chain, activity.key or activity.id)
        for activity in evidence.completed
        if activity.key is not None or activity.type == "surefoot.call_model"
    )
    wrong = [
        f"{what} completed {count} times"
        for (_, what), count in calls.items()
        if count > 1 + (evidence.retried[_run_and_step(what)] if _may_be_refused(evidence, what) else 0)
    ]
    for agent, count in evidence.agents.items():
        retried = sum(times for (run, step), times in evidence.retried.items() if _is_asked_anew(agent, run, step))
        if count > 1 + retried:
            wrong.append(f"{agent} completed {count} times")
    return wrong


def _run_and_step(key: str) -> tuple[str, str]:
    run, _, step = key.rpartition("/")
    return run, step


def _may_be_refused(evidence: Evidence, key: str) -> bool:
    """Whether it is the call of a step of a file that says what its output must be."""
    run, name = _run_and_step(key)
    view = evidence.views.get(run)
    steps = evidence.catalog.definition(view.process).process.steps if view is not None else {}
    step = steps.get(_without_item(name))
    return step is not None and (step.success is not None or step.output is not None)


def _is_asked_anew(agent: str, run: str, step: str) -> bool:
    """Whether it may be when this step is tried again: it works for the step; or it plans, and the step is of its plan
    and may fail again."""
    goal = step.rpartition(".")[0]
    return agent.startswith(f"{run}/{step}") or (bool(goal) and agent.startswith(f"{run}/{goal}/plan-"))


def _state_written_once(evidence: Evidence) -> list[str]:
    """By the record: what calls wrote into the shared state is what they were answered. An attempt whose answer was
    lost wrote what the next one is answered, and nothing besides."""
    steps = {run: _steps_of_state(view) for run, view in evidence.views.items()}
    written = {
        Written(event.run, event.data["key"], event.data["version"])
        for run, events in _events(evidence).items()
        for event in events
        if event.kind == "state.written" and ROUND.sub("", event.by) not in steps[run]
    }
    answered = {each for each in evidence.answered if each.run in evidence.records}
    return [
        *(f"{each} was written, and no call was answered so" for each in sorted(written - answered)),
        *(f"{each} was answered, and is not in the record" for each in sorted(answered - written)),
    ]


def _steps_of_state(view: RunView) -> set[str]:
    """Those that write the state without a call, as the record names them but for their round: a view has the last."""
    return {f"step:{ROUND.sub('', step.id)}" for step in view.steps if step.kind == "state"}


def _undone_in_reverse(evidence: Evidence) -> list[str]:
    """Of a run that people or failures ended: what had an undo is undone, once, and nothing before what needed it."""
    wrong: list[str] = []
    of_run: dict[str, list[Effect]] = defaultdict(list)
    for effect in evidence.effects:
        of_run[effect.run].append(effect)
    for run, view in evidence.views.items():
        effects = of_run[run]
        undone = [effect for effect in effects if effect.undone_by is not None]
        if view.status == "completed":
            wrong += [f"{effect.key} was undone, and {run} completed" for effect in undone]
            continue
        wrong += _left_over(evidence, view, effects)
        wrong += _too_early(view, effects)
    return wrong


def _left_over(evidence: Evidence, view: RunView, effects: list[Effect]) -> list[str]:
    steps = evidence.catalog.definition(view.process).process.steps
    # What is no step of the file is one of a plan; in those of the samples whatever writes has an undo.
    undoable = {
        f"{view.run}/{step.id}"
        for step in view.steps
        if (of_file := steps.get(_without_item(step.id))) is None or of_file.undo is not None
    }
    return [
        f"{effect.key} was not undone, and {view.run} is {view.status}"
        for effect in effects
        if effect.key in undoable and effect.undone_by is None
    ]


def _too_early(view: RunView, effects: list[Effect]) -> list[str]:
    """Pairs of undone effects of which the later needed the earlier, undone in the order in which they were made."""
    at = {effect.of: effect.sequence for effect in effects if effect.key != effect.of}
    made = [effect for effect in effects if effect.key in at]
    return [
        f"{earlier.key} was undone before {later.key}, which needed it"
        for earlier in made
        for later in made
        if _name(earlier.key) in _needs(view, _name(later.key)) and at[earlier.key] < at[later.key]
    ]


def _name(key: str) -> str:
    """The step of a key, without its item: `accounts` of `run/accounts[1]`."""
    return _without_item(key.rpartition("/")[2])


def _without_item(step: str) -> str:
    return step.partition("[")[0]


def _needs(view: RunView, name: str) -> set[str]:
    """All that a step waits for, directly or through others; of a goal or a group, all that is in it too."""
    needs: dict[str, set[str]] = defaultdict(set)
    for step in view.steps:
        needs[_without_item(step.id)].update(map(_without_item, step.needs))
    needed: set[str] = set()
    pending = [name]
    while pending:
        for need in needs.get(pending.pop(), ()):
            found = {need, *(each for each in needs if each.startswith(f"{need}."))} - needed
            needed |= found
            pending += found
    return needed


def _counted_as_told(evidence: Evidence) -> list[str]:
    """By the run's record, which is whole: what was acknowledged was done, and nothing oftener than it was said; an
    approval was decided by the votes that were given."""
    wrong = [f"the record of {run}: {broken}" for run, lines in evidence.records.items() if (broken := break_of(lines))]
    if wrong:
        return wrong
    events = [event for events in _events(evidence).values() for event in events]
    counted = Counter(_said(event) for event in events)
    for said, times in evidence.said.items():
        told = evidence.acknowledged[said]
        least, most = (told, times) if said.id is None else (min(told, 1), 1)
        if said.run in evidence.records and not least <= counted[said] <= most:
            wrong.append(f"{said} was said {times} times and acknowledged {told} times; counted {counted[said]} times")
    return wrong + _decided_by_others(events)


def _events(evidence: Evidence) -> dict[str, list[RunEvent]]:
    """The records, by run."""
    return {run: [RunEvent.model_validate_json(line) for line in lines] for run, lines in evidence.records.items()}


def _said(event: RunEvent) -> Said:
    identity = event.data.get("id")
    return Said(event.run, event.kind, event.step, event.by, None if identity is None else str(identity))


def _decided_by_others(events: list[RunEvent]) -> list[str]:
    """Approvals of which the outcome says other voters than those who voted since it was opened."""
    wrong: list[str] = []
    given: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for event in events:
        voters = given[event.run, event.step]
        match event.kind:
            case "approval.opened":
                voters.clear()
            case "approval.approve" | "approval.reject":
                voters.append(event.by)
            case "approval.decided":
                decided = [vote["by"] for vote in event.data["votes"]]
                if decided != voters:
                    wrong.append(f"{event.step} of {event.run} was decided by {decided}, and {voters} voted")
    return wrong


def _no_task_failed(evidence: Evidence) -> list[str]:
    """Killed workers time out; what fails a task is a bug of ours."""
    ours = {
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
    }
    return [
        f"a task of {history.workflow_id} failed: {failed.failure.message}"
        for history in evidence.histories
        for event in history.events
        if (failed := event.workflow_task_failed_event_attributes).cause in ours
    ]


async def _replays(evidence: Evidence) -> list[str]:
    together = await _replayer(evidence).replay_workflows(
        _one_by_one(evidence.histories), raise_on_replay_failure=False
    )
    if not together.replay_failures:
        return []
    wrong: list[str] = []
    for history in evidence.histories:  # each by one of its own: a replayer that has failed remembers it
        found = await _replayer(evidence).replay_workflow(history, raise_on_replay_failure=False)
        if found.replay_failure is not None:
            wrong.append(f"{history.workflow_id} does not replay: {found.replay_failure}")
    return wrong


def _replayer(evidence: Evidence) -> Replayer:
    return Replayer(
        workflows=WORKFLOWS,
        workflow_runner=workflow_runner(),
        data_converter=evidence.converter,
        build_id="chaos",
        debug_mode=True,  # else a task of two seconds is taken for a deadlock, which a busy machine may need
    )


async def _one_by_one(histories: list[WorkflowHistory]) -> AsyncIterator[WorkflowHistory]:
    for history in histories:
        yield history
