"""Incidents of all runs: where they are, which have the same cause."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from temporalio.client import Client

from contracts.base import Json
from contracts.incidents import Incident
from contracts.names import OPERATOR, PROCESS_ATTRIBUTE, WAITS_FOR_ATTRIBUTE
from contracts.process import Saved
from runtime.asking import views
from runtime.runs import quoted

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBERED = re.compile(r"[\w.:-]*\d[\w.:-]*")
_SAME_NODE = re.compile(r"\[\d+\]|#\d+")


@dataclass(frozen=True)
class Found:
    """An open incident of a run."""

    run: str
    process: str
    incident: Incident

    @property
    def names(self) -> dict[str, Json]:
        """What an expression about it sees."""
        incident = self.incident
        return {
            "run": self.run,
            "process": self.process,
            "step": incident.step,
            "error": incident.error.model_dump(mode="json"),
            "attempts": incident.attempts,
            "since": incident.since,
            "input": incident.input,
        }

    @property
    def cause(self) -> str:
        """The same for incidents that differ in names, texts in quotes and numbers only."""
        text = self.incident.error.message
        for own in sorted((self.run, self.incident.step), key=len, reverse=True):
            text = text.replace(own, "N")
        shape = _NUMBERED.sub("N", _QUOTED.sub("'…'", text))
        return f"{self.incident.error.type}: {' '.join(shape.split())}"


NAMES = frozenset({"run", "process", "step", "error", "attempts", "since", "input"})
"""What `Found.names` has."""


@dataclass(frozen=True)
class Cause:
    """Incidents with the same cause, the oldest first."""

    found: tuple[Found, ...]

    @property
    def oldest(self) -> datetime:
        return self.found[0].incident.since

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.run for each in self.found))

    @property
    def worth(self) -> tuple[Saved, ...]:
        """What its runs save once they are through, by currency."""
        found = {each.run: each.incident.worth for each in self.found if each.incident.worth is not None}
        sums: dict[str, Saved] = {}
        for worth in found.values():
            known = sums.get(worth.currency, Saved(minutes=0, money=0, currency=worth.currency))
            minutes, money = known.minutes + worth.minutes, known.money + worth.money
            sums[worth.currency] = Saved(minutes=minutes, money=money, currency=worth.currency)
        return tuple(sums.values())

    @property
    def steps(self) -> tuple[str, ...]:
        """As the file names them: `pay` for `pay[3]`."""
        return tuple(dict.fromkeys(_SAME_NODE.sub("", each.incident.step) for each in self.found))


def causes(found: Iterable[Found]) -> list[Cause]:
    """The incidents by cause, the most frequent first."""
    groups: dict[str, list[Found]] = {}
    for each in found:
        groups.setdefault(each.cause, []).append(each)
    made = [Cause(tuple(sorted(group, key=lambda each: each.incident.since))) for group in groups.values()]
    return sorted(made, key=lambda cause: (-len(cause.found), cause.oldest))


async def open_incidents(client: Client, process: str | None = None) -> tuple[list[Found], list[str]]:
    """Every open incident, the oldest first, and the runs that did not answer."""
    condition = f"{WAITS_FOR_ATTRIBUTE.name} = '{OPERATOR}'"
    if process is not None:
        condition += f" AND {PROCESS_ATTRIBUTE.name} = '{quoted(process)}'"
    asked = await views(client, condition)
    found = [Found(run, view.process, incident) for run, view in asked.items() if view for incident in view.incidents]
    found.sort(key=lambda each: each.incident.since)
    return found, [run for run, view in asked.items() if view is None]
