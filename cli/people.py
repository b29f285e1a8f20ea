"""`starter.py people`: who there is, in which groups and roles, who is away and who acts for them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from rich.table import Column, Table
from rich.text import Text

from cli.output import Exit, Output
from cli.parts import OpenPeople
from contracts.base import Contract
from contracts.directory import Away, Directory
from contracts.people import Deputy
from runtime.settings import load_settings


class ShownUser(Contract):
    """`away`: now. `acting`: who may decide in their place now."""

    user: str
    name: str
    email: str
    away: bool
    periods: tuple[Away, ...]
    acting: tuple[Deputy, ...]


class Shown(Contract):
    """`groups`, `roles`: with all users they stand for now."""

    place: str
    users: tuple[ShownUser, ...]
    groups: dict[str, tuple[str, ...]]
    roles: dict[str, tuple[str, ...]]


async def show_people(output: Output, open_people: OpenPeople) -> Exit:
    async with open_people(load_settings()) as people:
        shown = _shown(await people.everyone(), people.place, datetime.now(UTC))
    output.show(_table(shown), shown.model_dump(mode="json"))
    return Exit.HOLDS


def _shown(directory: Directory, place: str, now: datetime) -> Shown:
    names = [f"user:{name}" for name in directory.users]
    acting = directory.resolve(names, now).deputies
    return Shown(
        place=place,
        users=tuple(
            ShownUser(
                user=f"user:{name}",
                name=user.name,
                email=user.email,
                away=any(_holds(away, now) for away in user.away),
                periods=user.away,
                acting=tuple(deputy for deputy in acting.get(f"user:{name}", ()) if deputy.acts(now)),
            )
            for name, user in directory.users.items()
        ),
        groups={f"group:{name}": directory.users_of(f"group:{name}") for name in directory.groups},
        roles={f"role:{name}": directory.users_of(f"role:{name}") for name in directory.roles},
    )


def _holds(away: Away, now: datetime) -> bool:
    return (away.from_ is None or away.from_ <= now) and (away.until is None or now < away.until)


def _table(shown: Shown) -> Table:
    table = Table(Column(no_wrap=True), Column(overflow="fold"), box=None, show_header=False, padding=(0, 2, 0, 0))
    for user in shown.users:
        table.add_row(Text(user.user, style="name"), Text(", ".join(each for each in (user.name, user.email) if each)))
        for line in _absence(user):
            table.add_row("", line)
    for name, users in (shown.groups | shown.roles).items():
        table.add_row(Text(name, style="name"), Text(", ".join(users) or "nobody"))
    if not shown.roles:
        table.add_row(Text("role:operator", style="name"), Text("anyone, since no roles are declared", style="faint"))
    table.add_row(Text("directory", style="faint"), Text(shown.place, style="faint"))
    return table


def _absence(user: ShownUser) -> Iterator[Text]:
    for away in user.periods:
        yield Text(f"away {_period(away)}", style="waiting")
    for deputy in user.acting:
        why = f"while {user.user} is away" if deputy.why == "away" else "at any time"
        yield Text(f"{deputy.user} may decide in their place, {why}", style="waiting")
    if user.away and not user.acting:
        yield Text("nobody acts for them", style="attention")


def _period(away: Away) -> str:
    since = f"from {_shown_time(away.from_)}" if away.from_ else ""
    until = f"until {_shown_time(away.until, end=True)}" if away.until else ""
    return " ".join(each for each in (since, until) if each) or "until further notice"


def _shown_time(at: datetime, *, end: bool = False) -> str:
    """A day where one was written, the last one as it was written."""
    utc = at.astimezone(UTC)
    if (utc.hour, utc.minute, utc.second) == (0, 0, 0):
        return f"{utc - timedelta(days=end):%Y-%m-%d}"
    return f"{utc:%Y-%m-%d %H:%M} UTC"
