"""Names that others gave to their tools, as ours: lower-case words joined by `_`, different for different names."""

import hashlib
import re
from collections.abc import Iterable

LONGEST = 200
"""Characters of a name; what Temporal calls an activity has at most 1,000."""
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_REFUSED = re.compile(r"[^a-z0-9]+")


def matching(patterns: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """The names that match any pattern; `*` stands for any run of characters."""
    regexes = [re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.S) for pattern in patterns]
    return tuple(name for name in names if any(regex.fullmatch(name) for regex in regexes))


def own_names(names: Iterable[str]) -> dict[str, str]:
    """For each outside name our word for it.

    A name that is such a word already keeps it. Others that would be the same word each carry a digest of what they
    were, so that what one is called does not depend on the order of the list.
    """
    names = sorted(set(names))
    words = {name: _word(name) for name in names}
    taken = [words[name] for name in names]
    chosen: dict[str, str] = {}
    for name in names:
        word = words[name]
        if word != name and taken.count(word) > 1:
            word = f"{word}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        chosen[name] = word
    return _apart(chosen)


def _word(name: str) -> str:
    word = _REFUSED.sub("_", _HUMPS.sub("_", name).lower()).strip("_")
    word = word if word[:1].isalpha() else f"tool_{word}".rstrip("_")
    return word if len(word) <= LONGEST else f"{word[:LONGEST]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _apart(chosen: dict[str, str]) -> dict[str, str]:
    """For a name made to look like another's digest: its own full digest."""
    seen: set[str] = {word for name, word in chosen.items() if word == name}
    for name, word in chosen.items():
        if word == name:
            continue
        made = word if word not in seen else f"{word}_{hashlib.sha256(name.encode()).hexdigest()}"
        seen.add(made)
        chosen[name] = made
    return chosen
