"""Values given on the command line: a file, inline JSON or YAML, or standard input; people and durations."""

import json
import sys
from datetime import timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from contracts.base import MAX_DEPTH, Json, nests_too_deep, parse_duration
from contracts.decisions import Actor, is_of_system
from contracts.errors import CallerError, DefinitionInvalid, InputInvalid
from language.source import load_yaml
from runtime.settings import Settings

MAX_SHOWN = 60
_PERSON: TypeAdapter[str] = TypeAdapter(Actor)


def read_value(given: str, option: str) -> Json:
    """The JSON value that an option's text stands for.

    Raises:
        InputInvalid: it is neither a file nor JSON nor YAML, or the file cannot be read; with the place. Or it is
            nested too deep.
    """
    value = _read(given, option)
    if nests_too_deep(value):
        raise InputInvalid(f"{option}: nested more than {MAX_DEPTH} levels deep; flatten it")
    return value


def _read(given: str, option: str) -> Json:
    if given == "-":
        return _parsed(sys.stdin.read(), "standard input")
    try:
        return json.loads(given)
    except RecursionError as error:
        raise InputInvalid(f"{option}: nested more than {MAX_DEPTH} levels deep; flatten it") from error
    except ValueError:
        if given.lstrip()[:1] in ("{", "[", '"'):
            return _parsed(given, option)
    path = Path(given).expanduser()
    if _is_file(path):
        try:
            return _parsed(path.read_text("utf-8"), given)
        except (OSError, UnicodeDecodeError) as error:
            raise InputInvalid(f"{option} {given}: the file cannot be read: {error}") from error
    if ": " in given or "\n" in given:
        return _parsed(given, option)
    shown = given if len(given) <= MAX_SHOWN else given[:MAX_SHOWN] + "..."
    raise InputInvalid(
        f"{option} {shown}: there is no such file, and it is no JSON or YAML; give a file, inline JSON such as "
        "'{\"amount\": 5}' (a text in double quotes), or - for standard input"
    )


def read_text(given: str, option: str) -> str:
    """A text, or that of a file when it is `@FILE`.

    Raises:
        InputInvalid: the file cannot be read.
    """
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputInvalid(f"{option} {given}: the file cannot be read: {error}") from error


def actor_of(by: str | None, settings: Settings) -> str:
    """Who says something: `--by`, else the settings.

    Raises:
        CallerError: it is no name of a person.
    """
    named = read_person(by or settings.actor, "--by")
    if is_of_system(named):
        raise CallerError(f"{named} is the engine itself, and no person; write alice or user:alice")
    return named


def read_person(given: str, option: str) -> str:
    """`user:alice`, also of `alice`.

    Raises:
        CallerError: it is no name.
    """
    try:
        return _PERSON.validate_python(given)
    except ValidationError as error:
        raise CallerError(f"{option} {given!r} is no name of a person; write alice or user:alice") from error


def read_duration(given: str, option: str) -> timedelta:
    """Raises:
    CallerError: it is no duration.
    """
    try:
        return parse_duration(given)
    except ValueError as error:
        raise CallerError(f"{option}: {error}") from error


def _parsed(text: str, place: str) -> Json:
    if not text.strip():
        raise InputInvalid(f"{place} is empty; write {{}} for an input without values")
    try:
        source = load_yaml(text, place)
    except DefinitionInvalid as error:
        raise InputInvalid(str(error)) from error
    if source.problems:
        raise InputInvalid("\n".join(str(problem) for problem in source.problems))
    return source.data


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # a name longer than the file system allows
        raise CallerError(f"{path!s:.60}: {error.strerror}") from error
