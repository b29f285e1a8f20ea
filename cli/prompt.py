"""Asking at the terminal while the run goes on: the question goes away when somebody else answers it."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.text import Text

CHOICES = {"a": "approve", "approve": "approve", "y": "approve", "yes": "approve"} | {
    "r": "reject",
    "reject": "reject",
    "n": "reject",
    "no": "reject",
    "l": "later",
    "later": "later",
}


@dataclass(frozen=True)
class Answer:
    decision: Literal["approve", "reject", "later"]
    comment: str = ""


def question(who: str) -> str:
    return f"Decide as {who}:  [a]pprove  [r]eject  [l]ater > "


async def ask_decision(console: Console, who: str) -> Answer:
    """Approve, reject with a reason, or later; end of input means later."""
    while True:
        word = await _ask(console, question(who))
        choice = "later" if word is None else CHOICES.get(word.strip().lower(), "")
        if choice == "approve":
            return Answer("approve")
        if choice == "later":
            return Answer("later")
        if choice == "reject" and (comment := await _ask(console, "Why is it rejected? > ")) and comment.strip():
            return Answer("reject", comment.strip())
        console.print(Text("please answer a, r or l; a rejection needs a reason", style="faint"))


async def _ask(console: Console, prompt: str) -> str | None:
    """A line of standard input, None at its end. The terminal gives whole lines, so reading one never blocks; a thread
    that waited for it could not be told to stop."""
    console.print(Text(prompt, style="bold"), end="")
    console.file.flush()
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    line = sys.stdin.readline()
    return line if line else None
