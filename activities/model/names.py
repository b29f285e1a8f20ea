"""Tool names as endpoints take them: letters, digits, `_` and `-`, at most 64. Mapped both ways without collisions."""

import hashlib
import re
from collections.abc import Iterable

MAX_LENGTH = 64
_REFUSED = re.compile(r"[^a-zA-Z0-9_-]")


def outside_names(names: Iterable[str]) -> dict[str, str]:
    """For each tool's name the one an endpoint is shown; different for different tools."""
    chosen: dict[str, str] = {}
    for name in sorted(names):
        outside = _REFUSED.sub("_", name)
        digest = hashlib.sha256(name.encode()).hexdigest()
        length = 8
        taken = set(chosen.values())
        # A name can be made to look like another's digest, so one that is taken gets more of its own.
        while len(outside) > MAX_LENGTH or outside in taken:
            suffix = f"_{digest[:length]}"
            outside = _REFUSED.sub("_", name)[: MAX_LENGTH - len(suffix)] + suffix
            length += 8
        chosen[name] = outside
    return chosen
