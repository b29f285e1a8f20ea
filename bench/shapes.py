"""The graphs that are run both ways: who needs whom, how long each step takes, and the process that says the same."""

import random
from functools import lru_cache

from contracts.run import Definition
from contracts.tools import ToolSpec
from language.load import load_process

SEED = 7
LAYER = 50
"""Width of a layered graph, and how far back a step of a random one looks for what it needs."""

MODULUS = 97
"""Results stay small numbers, so that payloads do not grow with the depth of the graph."""

Needs = tuple[tuple[int, ...], ...]


@lru_cache(maxsize=64)
def needs(shape: str, size: int) -> Needs:
    """The indices of the steps that each step needs."""
    dice = random.Random(f"{SEED}{shape}{size}")  # noqa: S311 - reproducible, not secret
    return tuple(_needs(shape, index, dice) for index in range(size))


def _needs(shape: str, index: int, dice: random.Random) -> tuple[int, ...]:
    match shape:
        case "chain":
            return (index - 1,) if index else ()
        case "layered":
            start = (index // LAYER - 1) * LAYER
            return tuple(sorted(dice.sample(range(start, start + LAYER), 2))) if start >= 0 else ()
        case "random":
            before = range(max(0, index - LAYER), index)
            return tuple(sorted(dice.sample(before, min(len(before), dice.choice((0, 1, 1, 2, 2, 3))))))
    return ()


@lru_cache(maxsize=64)
def naps(shape: str, size: int) -> tuple[int, ...]:
    """Seconds that each step takes. Independent ones take the same, since the server may deal them in any order."""
    if shape == "fan-out":
        return (2,) * size
    return tuple(3 - index * 3 // size for index in range(size))


def least_seconds(shape: str, size: int, slots: int) -> float:
    """What no scheduler can beat: the critical path, or all the work spread over the slots."""
    seconds = naps(shape, size)
    ends: list[int] = []
    for index, before in enumerate(needs(shape, size)):
        ends.append(seconds[index] + max((ends[need] for need in before), default=0))
    return max(*ends, sum(seconds) / slots)


def definition(shape: str, size: int, tool: ToolSpec) -> Definition:
    """The process that makes these calls; a step takes the sum of what it needs, or its index."""
    lines = ["process: bench", "steps:"]
    for index, before in enumerate(needs(shape, size)):
        total = " + ".join(f"steps.s{need}.output" for need in before)
        number = f'"${{ ({total}) % {MODULUS} }}"' if before else str(index % MODULUS)
        nap = f", seconds: {naps(shape, size)[index]}" if "seconds" in tool.parameters["properties"] else ""
        lines.append(f"  s{index}: {{tool: {tool.name}, with: {{number: {number}{nap}}}}}")
    return load_process("\n".join(lines), "bench.yaml", tools={tool.name: tool})
