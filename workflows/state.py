"""The run's shared state: every write sees a version, and one that saw an old one is settled by the key's policy."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from contracts.base import MAX_DEPTH, Json, nests_too_deep
from contracts.errors import OutputInvalid, StateConflict, StepError
from contracts.process import OnConflict, Operation, StateKey
from contracts.state import Conflict, StateEntry, StateValue
from language.schema import violations

REMEMBERED_CONFLICTS = 10

OnWrite = Callable[[StateValue, Operation, str], None]
"""Told of every write that took hold: what the key holds now, how it was written, and by whom."""


class SharedState:
    """`entries`: what was declared or written, by key."""

    def __init__(
        self, declared: Mapping[str, StateKey], entries: Mapping[str, StateEntry], on_write: OnWrite = lambda *_: None
    ) -> None:
        self._declared = declared
        self._on_write = on_write
        self.entries = {key: StateEntry(value=made.initial) for key, made in declared.items()} | dict(entries)

    def values(self) -> dict[str, Json]:
        return {key: entry.value for key, entry in self.entries.items()}

    def read(self, key: str) -> StateValue:
        entry = self.entries.get(key, StateEntry())
        return StateValue(key=key, value=entry.value, version=entry.version, tainted=entry.tainted)

    def write(
        self,
        key: str,
        operation: Operation,
        operand: Json,
        *,
        saw: int | None,
        by: str,
        at: datetime,
        tainted: bool = False,
    ) -> StateValue:
        """Write a key. `saw`: the version the writer had seen; None writes whatever the version is. `tainted`: the
        operand may hold text from outside.

        Raises:
            StateConflict: somebody was faster, and the key's policy is `reject`; `detail` has the newer value.
            OutputInvalid: the new value does not fit the key's schema.
            StepError: the operation does not go with what the key holds.
        """
        entry = self.entries.get(key, StateEntry())
        is_late = saw is not None and saw != entry.version
        policy = self._declared[key].on_conflict if key in self._declared else "reject"
        if is_late:
            kept = _kept(policy, entry.value, operand, operation)
            entry = self.entries[key] = _with_conflict(entry, by, saw or 0, at, kept)
            if kept == "rejected":
                detail = {"key": key, "value": entry.value, "version": entry.version, "saw": saw}
                held = _told(entry.value, tainted=entry.tainted)
                raise StateConflict(
                    f"state.{key} is at version {entry.version}, and the write saw version {saw}; it holds "
                    f"{held} now. Write with version {entry.version} if it still should be",
                    detail,
                )
            if kept == "kept the first":
                return StateValue(key=key, value=entry.value, version=entry.version, tainted=entry.tainted)
            if kept == "merged":
                operation = "merge"
        value = _applied(key, operation, entry.value, operand)
        if nests_too_deep(value):
            raise StepError(f"state.{key} would be nested more than {MAX_DEPTH} levels deep; flatten it")
        keeps_taint = entry.tainted and operation != "set"
        if key in self._declared and (wrong := violations(self._declared[key].schema_, value)):
            told = _told(value, tainted=keeps_taint)
            why = f": {'; '.join(wrong)}" if not keeps_taint else ", which does not fit its schema"
            raise OutputInvalid(f"state.{key} cannot be {told}{why}", {"value": value})
        version = entry.version + 1
        tainted = tainted or keeps_taint
        changes = {"value": value, "version": version, "by": by, "at": at, "tainted": tainted}
        self.entries[key] = entry.model_copy(update=changes)
        written = StateValue(key=key, value=value, version=version, written=True, tainted=tainted)
        self._on_write(written, operation, by)
        return written


def _kept(policy: OnConflict, held: Json, operand: Json, operation: Operation) -> str:
    """What becomes of a late write."""
    match policy:
        case "last_wins":
            return "written over"
        case "first_wins":
            return "kept the first"
        case "merge" if operation != "set" or _can_merge(held, operand):
            return "merged" if operation == "set" else "written over"
    return "rejected"


def _with_conflict(entry: StateEntry, by: str, saw: int, at: datetime, outcome: str) -> StateEntry:
    conflict = Conflict(at=at, by=by, saw=saw, was=entry.version, outcome=outcome)
    last = (*entry.last_conflicts, conflict)[-REMEMBERED_CONFLICTS:]
    return entry.model_copy(update={"conflicts": entry.conflicts + 1, "last_conflicts": last})


def _applied(key: str, operation: Operation, held: Json, operand: Json) -> Json:
    match operation:
        case "set":
            return operand
        case "merge":
            if held is not None and not _can_merge(held, operand):
                raise StepError(f"state.{key} holds {_shown(held)}, which cannot be merged with {_shown(operand)}")
            return operand if held is None else merged(held, operand)
        case "append":
            if not isinstance(held, list | None):
                raise StepError(f"state.{key} holds {_shown(held)}, which is no list to append to")
            return [*(held or ()), operand]
        case "add":
            if not _is_number(operand) or not (held is None or _is_number(held)):
                raise StepError(f"state.{key} holds {_shown(held)}, to which {_shown(operand)} cannot be added")
            return operand if held is None else held + operand


def merged(held: Json, other: Json) -> Json:
    """Objects key by key, deeply; lists united in order; of anything else the second."""
    if isinstance(held, Mapping) and isinstance(other, Mapping):
        return {**held, **{key: merged(held[key], value) if key in held else value for key, value in other.items()}}
    if isinstance(held, list) and isinstance(other, list):
        return [*held, *(item for item in other if item not in held)]
    return other


def _can_merge(held: Json, other: Json) -> bool:
    both: tuple[Any, Any] = (held, other)
    return all(isinstance(value, Mapping) for value in both) or all(isinstance(value, list) for value in both)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _told(value: Json, *, tainted: bool) -> str:
    """A value for whoever wrote, and so may not have read: an error carries no mark of text from outside."""
    return "what may be text from outside" if tainted else _shown(value)


def _shown(value: Json) -> str:
    text = to_json(value).decode()
    return text if len(text) <= 200 else f"{text[:197]}..."
