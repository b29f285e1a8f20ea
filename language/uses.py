"""Which keys of a variable a CEL text uses."""

import re
from functools import lru_cache

STRING = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")

_KEY_OF = r"""(?<![\w.])%s\b(?:\s*\.\s*(?P<dotted>[A-Za-z_]\w*)|\s*\[\s*(?P<quoted>%s)\s*\])?|(?P<string>%s)"""


@lru_cache(maxsize=32_768)
def keys_used(name: str, expression: str) -> tuple[str | None, ...]:
    """The key of each use of a name, None where it is not a plain `name.KEY` or `name['KEY']`."""
    found = (match for match in _uses_of(name).finditer(expression) if match["string"] is None)
    return tuple(match["dotted"] or _plain(match["quoted"]) for match in found)


def _plain(quoted: str | None) -> str | None:
    """What is in the quotes; None where only CEL knows, for an escape in them."""
    return None if quoted is None or "\\" in quoted else quoted[1:-1]


@lru_cache
def _uses_of(name: str) -> re.Pattern[str]:
    return re.compile(_KEY_OF % (name, STRING.pattern, STRING.pattern))
