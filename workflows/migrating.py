"""Moving a run to another definition of its process: what keeps it from it, what changes, and how it takes hold."""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.decisions import Difference, Receipt
    from contracts.differences import difference
    from contracts.errors import Refused
    from contracts.migration import Migration
    from contracts.process import GroupStep, Process, ProcessStep, Step
    from contracts.run import Definition, RunRequest
    from contracts.state import StateEntry
    from language.schema import violations
    from workflows.engine import Engine
    from workflows.nodes import Node, Scope
    from workflows.plan import Plan

HOW = frozenset({"description", "retry", "timeout", "deadline", "priority"})
"""Keys that say how a step is carried out, and not what it does; they may change also of one that has begun."""
ASKS = frozenset({"approval", "approve", "review"})
"""Keys that ask people. While they are asked it may change what and whom: then they are asked anew."""
MAX_SHOWN = 50
"""Places that a receipt names."""


def check_migration(engine: Engine, migration: Migration) -> None:
    """Raises:
    Refused: the run cannot go on with this definition, or not now; every obstacle is named.
    """
    if engine.ending is not None:
        raise Refused(f"the run is ending already: {engine.ending.error.message}")
    if engine.migration is not None:
        raise Refused("the run is being moved already")
    if not engine.is_drained:
        at_work = sorted(node.id for node in engine.active if not isinstance(node.step, ProcessStep))
        raise Refused(f"{', '.join(at_work)} is at work; a run is moved while it waits, so try again then")
    if migration.definition is None:
        return
    if migration.definition.hash == engine.definition.hash:
        version = engine.definition.process.version
        raise Refused(f"the run is on this definition of {engine.definition.process.process} (version {version})")
    if wrong := list(_obstacles_of(engine, migration.definition)):
        raise Refused(f"the run cannot go on with it: {'; '.join(wrong)}")


def migrate(engine: Engine, migration: Migration) -> Receipt:
    """Have the run continue as new, which it does the moment it has answered."""
    if migration.definition is None:
        changes: tuple[Difference, ...] = ()
        words = "goes on with the release of the workers that new runs get"
    else:
        before, after = engine.definition.process, migration.definition.process
        changes = difference(_as_json(before), _as_json(after))
        words = f"goes on with version {after.version} of {after.process} instead of version {before.version}"
        if asked := [node.id for node in _asked_anew(engine.plan, after)]:
            words += f"; {', '.join(asked)} is asked anew"
        if len(changes) > MAX_SHOWN:
            words += f"; the first {MAX_SHOWN} of {len(changes)} changes are shown"
    shown = changes[:MAX_SHOWN]
    if migration.dry_run:
        return Receipt(outcome=f"the run can be moved: it {words}", status="can_migrate", difference=shown)
    engine.migration = migration
    return Receipt(outcome=f"the run {words}", status="migrated", difference=shown)


def next_request(engine: Engine) -> RunRequest:
    """What the run continues as new with. What began since it was asked to move may keep it where it is."""
    migration, engine.migration = engine.migration, None
    definition = (migration.definition if migration else None) or engine.definition
    if migration is not None and (wrong := list(_obstacles_of(engine, definition))):
        engine.record.add("message.refused", by=migration.by, reason=f"not migrated: {'; '.join(wrong)}")
        definition, migration = engine.definition, None
    anew: set[str] = set()
    if migration is not None:
        anew = {node.id for node in _asked_anew(engine.plan, definition.process)}
        _put_on_record(engine, migration, definition)
    snapshot = engine.snapshot()
    records = tuple(
        record.model_copy(update={"approval": None, "until": None}) if record.id in anew else record
        for record in snapshot.records
    )
    snapshot = snapshot.model_copy(update={"records": records})
    return engine.request.model_copy(update={"definition": definition, "snapshot": snapshot})


def _put_on_record(engine: Engine, migration: Migration, after: Definition) -> None:
    before = engine.definition
    engine.record.add(
        "run.migrated",
        by=migration.by,
        reason=migration.reason,
        before={"version": before.process.version, "hash": before.hash},
        after={"version": after.process.version, "hash": after.hash},
        changes=[change.path for change in difference(_as_json(before.process), _as_json(after.process))],
    )


def obstacles(
    plan: Plan, before: Definition, after: Definition, given: Json, state: Mapping[str, StateEntry]
) -> Iterator[str]:
    """What keeps a run with this plan, input and shared state from going on with a definition, in words."""
    process = after.process
    if process.process != before.process.process:
        yield f"it is of process {process.process}, and the run is one of {before.process.process}"
        return
    for wrong in violations(process.input, given):
        yield f"the run's input does not fit it: {wrong}"
    for key, entry in state.items():
        if key not in process.state:
            yield f"state.{key} was written, and is not declared in it"
        elif wrong_value := violations(process.state[key].schema_, entry.value):
            yield f"state.{key} does not fit it: {'; '.join(wrong_value)}"
    yield from _circles(process.steps)
    yield from _of_scope(plan.root, process.steps)
    for node in plan.walk():
        undo = node.step.undo.tool if node.step.undo else None
        needed = {getattr(node.step, "tool", None), undo} - {None, *after.tools}
        if needed and not node.is_untouched:
            yield f"{node.id} needs tool {', '.join(map(str, needed))}, which it does not bring"


def _obstacles_of(engine: Engine, definition: Definition) -> Iterator[str]:
    state = engine.state.entries
    return obstacles(engine.plan, engine.definition, definition, engine.request.input, state)


def _of_scope(scope: Scope, steps: Mapping[str, Step]) -> Iterator[str]:
    for name, node in scope.nodes.items():
        if not node.is_untouched:
            yield from _of_node(node, steps.get(name))
    owner = scope.owner
    if owner is not None and owner.is_settled and (late := steps.keys() - scope.nodes.keys()):
        yield f"{owner.id} is {owner.record.status}, and {', '.join(sorted(late))} would be added inside"


def _of_node(node: Node, new: Step | None) -> Iterator[str]:
    begun = f"{node.id} is {node.record.status}"
    if new is None:
        yield f"{begun}, and is not in it"
    elif new.kind != node.step.kind:
        yield f"{begun} as a {node.step.kind} step, and is a {new.kind} step in it"
    else:
        if changed := [key for key in _changed(node.step, new) if not _may_change(node, new, key)]:
            yield f"{begun}, and its {', '.join(changed)} would change"
        if isinstance(new, GroupStep):
            for scope in _scopes(node):
                yield from _of_scope(scope, new.steps)


def _changed(old: Step, new: Step) -> list[str]:
    """The keys in which what two steps do differs, but for the steps inside."""
    before, after = (_as_json(step) for step in (old, new))
    keys = [key for key in dict.fromkeys((*before, *after)) if key not in HOW and key != "steps"]
    return [key for key in keys if _plain(key, before.get(key)) != _plain(key, after.get(key))]


def _plain(key: str, value: Json) -> Json:
    return sorted(value) if key == "needs" and value else value


def _may_change(node: Node, new: Step, key: str) -> bool:
    return key in ASKS and getattr(new, key) is not None and _is_open(node)


def _is_open(node: Node) -> bool:
    """Whether people are being asked."""
    state = node.record.approval
    return node.record.status == "waiting" and state is not None and state.outcome is None


def _asked_anew(plan: Plan, process: Process) -> list[Node]:
    """Steps whose open approval is another in a definition that nothing keeps the run from."""
    return [node for node, new in _pairs(plan.root, process.steps) if _is_open(node) and _changed(node.step, new)]


def _pairs(scope: Scope, steps: Mapping[str, Step]) -> Iterator[tuple[Node, Step]]:
    """Every node of a file's steps with what it is in other ones; items and rounds each with their step."""
    for name, node in scope.nodes.items():
        if (new := steps.get(name)) is not None:
            yield from ((each, new) for each in (node, *_instances(node)))
            if isinstance(new, GroupStep):
                for inner in _scopes(node):
                    yield from _pairs(inner, new.steps)


def _instances(node: Node) -> Iterator[Node]:
    if node.inner is not None and (node.has_items or node.has_rounds):
        for inner in node.inner.nodes.values():
            yield inner
            yield from _instances(inner)


def _scopes(node: Node) -> Iterator[Scope]:
    """The open scopes of a group: its own, or one for each of its items and rounds."""
    for each in (node, *_instances(node)):
        if each.inner is not None and not (each.has_items or each.has_rounds):
            yield each.inner


def _circles(steps: Mapping[str, Step]) -> Iterator[str]:
    try:
        TopologicalSorter({name: step.needs for name, step in steps.items()}).prepare()
    except CycleError as error:
        yield f"its steps wait for each other in a circle: {' -> '.join(error.args[1])}"
    for step in steps.values():
        if isinstance(step, GroupStep):
            yield from _circles(step.steps)


def _as_json(model: Process | Step) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
