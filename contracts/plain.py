"""Text as it is shown to people: with nothing in it that misleads the eye, and no longer than they read."""

import re
from collections.abc import Sequence

_MISLEADING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""Characters that are not seen or turn the direction of others around: "Trojan Source" (CVE-2021-42574)."""


MAX_NAMED = 10
"""Of many names in one message."""

MAX_REASON = 2_000
"""Characters of a reason that is kept: of an event, of a signal that did not hold."""
MAX_MESSAGE = 20_000
"""Characters of an error's message. The server takes 2 MiB at most, and what is over that fails the workflow task: of a
message as long as whoever sent it waits, of a run's start or end for ever."""
MAX_LEFT_OUT = 60
"""Characters of the word that some are left out, so that what was abridged is not again."""


def plain(text: str) -> str:
    """The text with what would mislead the eye written out: `U+202E`."""
    return _MISLEADING.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n"))


def short(text: str, longest: int = MAX_REASON) -> str:
    """The text, cut when it has more characters: a reason can quote whatever somebody sent."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def abridged(text: str, longest: int) -> str:
    """The beginning and the end of a text with more characters, and how much it had: what it quotes is in between."""
    if len(text) <= longest:
        return text
    half = (longest - MAX_LEFT_OUT) // 2
    return f"{text[:half]} ... {len(text) - 2 * half:,} characters left out ... {text[-half:]}"


def some(names: Sequence[str]) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
