"""From the text of a directory of people to the people in it, or every mistake of it at once."""

from collections.abc import Callable, Iterable, Mapping

from contracts.directory import Directory
from contracts.errors import DefinitionInvalid
from contracts.people import ANYONE, OPERATOR_ROLE, STARTER
from language.shape import read_shape
from language.source import Path, Source, load_yaml
from language.structure import close

OPERATOR = OPERATOR_ROLE.partition(":")[2]


def load_directory(text: str | bytes, file: str) -> Directory:
    """Args:
        file: how problems name it.

    Raises:
        DefinitionInvalid: with every mistake, in the order of their places.
    """
    source = load_yaml(text, file, begins="users:")
    directory = read_shape(source, Directory)
    if directory is not None:
        _check_users(source, directory)
        _check_groups(source, directory)
        _check_roles(source, directory)
        deputies = {name: user.deputies for name, user in directory.users.items()}
        _check_circles(source, deputies, lambda name: ("users", name, "deputies"), "deputies")
    if directory is None or source.problems:
        raise DefinitionInvalid(sorted(source.problems, key=lambda problem: (problem.line, problem.column)))
    return directory


def _check_users(source: Source, directory: Directory) -> None:
    for name, user in directory.users.items():
        for key, others in (("deputies", user.deputies), ("proxies", user.proxies)):
            for index, other in enumerate(others):
                at = ("users", name, key, index)
                if other == name:
                    source.report(source.place(at), f"{name} cannot act for {name}", "name somebody else")
                else:
                    _check_user(source, directory, at, other)


def _check_groups(source: Source, directory: Directory) -> None:
    inner: dict[str, list[str]] = {}
    for name, members in directory.groups.items():
        for index, member in enumerate(members):
            _check_member(source, directory, ("groups", name, index), member)
        inner[name] = [member.partition(":")[2] for member in members if member.startswith("group:")]
    _check_circles(source, inner, lambda name: ("groups", name), "groups")


def _check_roles(source: Source, directory: Directory) -> None:
    for name, members in directory.roles.items():
        for index, member in enumerate(members):
            if member not in (ANYONE, STARTER):
                _check_member(source, directory, ("roles", name, index), member)
    if directory.roles and OPERATOR not in directory.roles:
        hint = f"add `{OPERATOR}: [...]`; `{ANYONE}` in it lets everybody repair"
        source.report(source.place(("roles",)), f"`roles` does not say who is `{OPERATOR}`, so nobody may repair", hint)


def _check_member(source: Source, directory: Directory, at: Path, member: str) -> None:
    kind, _, short = member.rpartition(":")
    if kind in ("", "user"):
        _check_user(source, directory, at, short)
    elif kind != "group":
        source.report(source.place(at), f"`{member}` is neither a user nor a group", "write NAME or group:NAME")
    elif short not in directory.groups:
        source.report(source.place(at), f"there is no group `{short}`", close(short, directory.groups))


def _check_user(source: Source, directory: Directory, at: Path, name: str) -> None:
    if name not in directory.users:
        source.report(source.place(at), f"there is no user `{name}`", close(name, directory.users))


def _check_circles(
    source: Source, follow: Mapping[str, Iterable[str]], place: Callable[[str], Path], what: str
) -> None:
    """Report each circle once, where its first member stands in the file."""
    order = {name: position for position, name in enumerate(follow)}
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            circle = way[way.index(name) :]
            at = min(range(len(circle)), key=lambda index: order[circle[index]])
            first = circle[at]
            said = f"a circle of {what}: {' -> '.join((*circle[at:], *circle[:at], first))}"
            source.report(source.place(place(first)), said, "take one of them out")
        elif name not in done:
            for other in follow.get(name, ()):
                if other != name or what == "groups":
                    walk(other, (*way, name))
            done.add(name)

    for name in follow:
        walk(name, ())
