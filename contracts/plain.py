"""Text of processes, models and strangers as it is shown to people: with nothing in it that misleads the eye."""

import re

_MISLEADING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""Characters that are not seen or turn the direction of others around: "Trojan Source" (CVE-2021-42574)."""


def plain(text: str) -> str:
    """The text with what would mislead the eye written out: `U+202E`."""
    return _MISLEADING.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n"))
