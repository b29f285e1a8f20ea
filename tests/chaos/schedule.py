"""What happens under a seed: which runs are started, which faults their worker makes, which blows fall."""

import json
import random
from collections.abc import Iterable
from typing import Any, Literal

from contracts.base import Contract
from contracts.faults import Faults, ModelFaults
from tests.chaos.people import Verdict

Blow = Literal["worker killed", "worker stopped", "workers drained", "server killed", "both killed"]

INPUTS: dict[str, list[dict[str, Any]]] = {
    "employee-onboarding": [
        {"name": "Nadia Okafor", "role": "data engineer", "start_date": "2026-12-01", "manager": "Mia Tanaka"},
        {
            "name": "Jo Li",
            "role": "accountant",
            "start_date": "2026-12-01",
            "manager": "Mia Tanaka",
            "systems": ["erp"],
        },
    ],
    "invoice-approval": [
        {"invoice_id": "INV-2041", "amount": 1840, "supplier": "Nordwind GmbH"},
        {"invoice_id": "INV-2042", "amount": 420, "supplier": "Halden Office"},
        {"invoice_id": "INV-2043", "amount": 760, "supplier": "Quickparts Ltd"},
        {"invoice_id": "INV-2044", "amount": 5200, "supplier": "Murkwater Trading"},
        {"invoice_id": "INV-2045", "amount": 68000, "supplier": "Nordwind GmbH"},
    ],
    "supplier-onboarding": [
        {
            "supplier": "Kestrel Components",
            "country": "SI",
            "iban": "SI56191000000123438",
            "volume": 180000,
            "contact": "sales@kestrel.example",
        },
        {
            "supplier": "Alpenrad GmbH",
            "country": "DE",
            "iban": "DE89370400440532013000",
            "volume": 240000,
            "contact": "info@alpenrad.example",
        },
    ],
    "order-desk": [{"order": "W-5001"}, {"order": "W-5002"}, {"order": "W-5003"}],
    "budget-planning": [{"year": 2027, "total": 1060000}],
}
"""The first of each takes the longest way. The other sample processes are started by what these say."""

SHORT = {"order": "W-5001", "sku": "CH-7", "missing": 28, "within_days": 7}
REGRETTED = {process: inputs[0] for process, inputs in INPUTS.items()} | {"stock-watch": SHORT}
"""Inputs of the processes that have something to take back. What events start is not regretted when what started it
is."""

STARTED_BY = {"order-desk": ("stock-watch", "customer-news")}
"""What the events of a process start."""

PLACES = {
    "employee-onboarding": ["record", "training[1]", "accounts[0]", "hardware", "welcome", "equipment/turn-2"],
    "invoice-approval": ["order", "pay", "audit/turn-1", "audit/1.1-erp.read_supplier"],
    "supplier-onboarding": ["checks.record", "checks.account", "activate", "checks/plan-1.1/turn-1", "welcome"],
    "order-desk": ["reserve", "ship", "short", "carrier/turn-1", "shipped"],
    "budget-planning": ["budgets[0]", "budgets[2]", "round#1.sales/2.1-planning.read_price", "announce"],
}
"""Activities that a run of the process is sure to come to, or nearly so."""
SURE = {
    "employee-onboarding": ["record"],
    "invoice-approval": ["order", "audit/turn-1"],
    "supplier-onboarding": ["company", "checks/plan-1.1/turn-1"],
    "order-desk": ["reserve"],
    "budget-planning": ["round#1.sales/turn-1"],
}
"""Activities that come before anybody is asked anything, so that a run comes to them whatever people say."""
UNDONE: dict[Verdict, dict[str, list[str]]] = {
    "approve": {},
    "reject": {
        "employee-onboarding": ["record", "accounts[0]"],
        "supplier-onboarding": ["checks.record", "checks.account"],
    },
    "cancel": {"employee-onboarding": ["record", "accounts[0]"]},
    "regret": {
        "employee-onboarding": ["record", "training[1]", "accounts[0]", "meeting", "hardware", "welcome"],
        "invoice-approval": ["pay"],
        "supplier-onboarding": ["checks.record", "checks.account", "activate"],
        "order-desk": ["reserve", "top_up", "ship"],
        "budget-planning": ["budgets[0]", "budgets[2]", "announce"],
    },
}
"""Steps whose effect is taken back when people say this, as it was made before they did, or nearly always was."""

BAD_LINES = 0.25
"""Share of the schedules in which the line to the model endpoint is bad."""

DRAINED = 0.25
"""Share of the schedules in which all workers are told to stop, and another takes over, as when a release comes."""


class Start(Contract):
    process: str
    run: str
    input: dict[str, Any]
    verdict: Verdict


class Shock(Contract):
    """A blow once the ledger has so many effects; if it never has, there is none."""

    blow: Blow
    effects: int


class Schedule(Contract):
    """`hurried`: the worker is killed while it takes a decision. `hasty`: runs are to continue as new `soon`, after so
    many events. `bad_line`: to the model endpoint, as of `tests/chaos/line.py`."""

    seed: int
    starts: tuple[Start, ...]
    faults: Faults
    shocks: tuple[Shock, ...] = ()
    hurried: bool = False
    hasty: bool = False
    soon: int = 40
    bad_line: bool = False

    @classmethod
    def of(cls, seed: int) -> "Schedule":
        dice = random.Random(seed)  # noqa: S311 - the same again for the same seed is what it is for
        processes = dice.choices([*INPUTS], weights=[4, 5, 4, 3, 1], k=2)
        starts = tuple(_start(dice, process, number) for number, process in enumerate(processes))
        blows: list[Blow] = ["worker killed", "worker stopped", "server killed", "both killed"]
        kinds = dice.choices(blows, weights=[3, 2, 2, 1], k=dice.randint(1, 2))
        kinds += ["workers drained"] if dice.random() < DRAINED else []
        return cls(
            seed=seed,
            starts=starts,
            faults=Faults(
                namespace="default",
                seed=seed,
                late=dice.choice([0, 0.1]),
                longest=dice.choice(["1s", "3s"]),
                lost=dice.choice([0, 0.1]),
                at=tuple(place for start in starts for place in _places(dice, start)),
                model=_bad_day(dice),
            ),
            shocks=tuple(Shock(blow=kind, effects=dice.randint(0, 8)) for kind in kinds),
            hurried=dice.random() < 0.4,
            hasty=dice.random() < 0.5,
            bad_line=dice.random() < BAD_LINES,
        )

    @classmethod
    def calm(cls, process: str, verdict: Literal["approve", "regret"], at: Iterable[str] = ()) -> "Schedule":
        """One run the longest way, in which nothing happens but at these places: a cell of the kill matrix."""
        given = INPUTS[process][0] if verdict == "approve" else REGRETTED[process]
        start = Start(process=process, run=f"{process}-m", input=given, verdict=verdict)
        return cls(seed=0, starts=(start,), faults=Faults(namespace="default", at=tuple(at)))

    @property
    def processes(self) -> set[str]:
        """All that a run of these starts can be of."""
        of_starts = {start.process for start in self.starts}
        return of_starts.union(*(STARTED_BY.get(process, ()) for process in of_starts))

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.faults}"]
        lines += [f"  {start.run} {json.dumps(start.input)}: people {start.verdict}" for start in self.starts]
        lines += [f"  worker dies or loses its answer at {place}" for place in self.faults.at]
        lines += [f"  {shock.blow} after {shock.effects} effects" for shock in self.shocks]
        lines += ["  worker killed while it takes a decision"] if self.hurried else []
        lines += ["  runs continue as new every now and then"] if self.hasty else []
        lines += ["  the line to the model endpoint is bad"] if self.bad_line else []
        return "\n".join(lines)


def _start(dice: random.Random, process: str, number: int) -> Start:
    verdicts: list[Verdict] = ["approve", "reject", "cancel", "regret"]
    verdict = dice.choices(verdicts, weights=[5, 2, 1, 2])[0]
    # What is regretted is to have been done.
    given = INPUTS[process][0] if verdict == "regret" else dice.choice(INPUTS[process])
    return Start(process=process, run=f"{process}-{number}", input=given, verdict=verdict)


def _places(dice: random.Random, start: Start) -> list[str]:
    chosen = dice.sample(PLACES[start.process], k=2)
    places = [f"{start.run}/{place}:{dice.choice(['before', 'between', 'after', 'between'])}" for place in chosen]
    undone = UNDONE[start.verdict].get(start.process, [])
    undone = dice.sample(undone, k=min(len(undone), dice.randint(0, 2)))
    places += [f"{start.run}/{step}:undo:{dice.choice(['before', 'between', 'after'])}" for step in undone]
    # One is sure to be reached, so that no run gets by without a fault. After a completion the worker may be dying for
    # another step already.
    sure = [f"{start.run}/{place}:{point}" for place in SURE[start.process] for point in ("before", "between")]
    return places if any(place in sure for place in places) else [*places, dice.choice(sure)]


def _bad_day(dice: random.Random) -> ModelFaults:
    """Two of the faults of an endpoint, each for a tenth of the requests."""
    kinds = dice.sample(["busy", "down", "garbage", "cut", "huge", "refusing", "slow"], k=2)
    return ModelFaults.model_validate(dict.fromkeys(kinds, 0.15))
