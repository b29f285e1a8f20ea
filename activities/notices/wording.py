"""What a notice says: Jinja templates, sandboxed; those of a folder of the settings go before our own."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any, Final

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from contracts.base import Json
from contracts.directory import User
from contracts.errors import SettingsInvalid
from contracts.notices import SendNotice, Undelivered
from contracts.plain import plain

OWN: Final = Path(__file__).with_name("templates")
NAMES: Final = ("subject.txt", "mail.txt", "mail.html", "slack.txt")

LinkFor = Callable[[SendNotice, str], str | None]
"""The address at which this user decides what the notice is about; None where there is none."""
RunUrl = Callable[[str], str | None]
"""Where a run can be looked at; None where nothing shows runs."""


class Mention(str):
    """How Slack calls somebody; the one thing that is not escaped for it."""

    __slots__ = ()


_DECIDABLE: Final = frozenset(
    {
        "approval.opened",
        "approval.edited",
        "approval.reopened",
        "approval.delegate",
        "approval.reminded",
        "approval.escalated",
    }
)


def no_link(notice: SendNotice, user: str) -> None:
    """Where no page serves decisions."""


def no_url(run: str) -> None:
    """Where nothing shows runs."""


class Wording:
    """`folder`: its templates go before our own of the same name; `approval.opened.mail.txt` is of that event alone."""

    def __init__(self, folder: Path | None = None, link: LinkFor = no_link, run_url: RunUrl = no_url) -> None:
        self._link = link
        self._run_url = run_url
        loader = jinja2.FileSystemLoader([*([folder] if folder else []), OWN])
        self._text = _environment(loader, autoescape=False, finalize=_plain)
        self._html = _environment(loader, autoescape=True, finalize=_plain)
        self._slack = _environment(loader, autoescape=False, finalize=_for_slack)
        if folder is not None:
            self._check(folder)

    def text(
        self, name: str, notice: SendNotice, user: str | None = None, person: User | None = None, **more: Any
    ) -> str:
        """Args:
        name: of the template.
        user, person: whom it is for; None: everybody.
        more: names in its scope besides `notice`, `subject`, `person`, `link`, `commands` and `run_url`.
        """
        try:
            return self._render(name, notice, user, person, **more)
        except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            said = f"the template {name} of {notice.kind} does not work: {error}; mend it in notice_templates"
            raise Undelivered(said, final=True) from error

    def _render(self, name: str, notice: SendNotice, user: str | None, person: User | None, **more: Any) -> str:
        environment = self._html if name.endswith(".html") else self._slack if name == "slack.txt" else self._text
        chosen = environment.select_template([f"{notice.kind}.{name}", name])
        if name != "subject.txt":
            more["subject"] = self.subject(notice)
        return chosen.render(
            notice=notice,
            person=person or User(),
            link=self.link(notice, user),
            commands=_commands(notice, user),
            run_url=self.run_url(notice),
            **more,
        ).strip()

    def subject(self, notice: SendNotice) -> str:
        """One line."""
        return " ".join(self.text("subject.txt", notice).split())

    def run_url(self, notice: SendNotice) -> str | None:
        """Where the run can be looked at."""
        return self._run_url(notice.run)

    def link(self, notice: SendNotice, user: str | None) -> str | None:
        """For one user only: whoever has the link decides as that user."""
        return self._link(notice, user) if user is not None and notice.kind in _DECIDABLE else None

    def _check(self, folder: Path) -> None:
        """Raises:
        SettingsInvalid: a template of the folder is none, or would never be used.
        """
        if not folder.is_dir():
            raise SettingsInvalid(f"notice_templates: there is no folder {folder}")
        for file in sorted(folder.iterdir()):
            if not any(file.name == name or file.name.endswith(f".{name}") for name in NAMES):
                raise SettingsInvalid(f"{file}: there is no such template; there are {', '.join(NAMES)}")
            try:
                self._text.get_template(file.name)
            except jinja2.TemplateSyntaxError as error:
                raise SettingsInvalid(f"{file}:{error.lineno}: {error.message}") from error


def shown(value: Json) -> str:
    """A value as people read it: text as it is, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def when(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _environment(loader: jinja2.BaseLoader, **options: Any) -> SandboxedEnvironment:
    made = SandboxedEnvironment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=False, **options)
    made.filters.update(shown=shown, when=when)
    return made


def _plain(value: object) -> object:
    """Text with nothing in it that misleads the eye; what is marked as markup stays."""
    return plain(value) if type(value) is str else value


def _for_slack(value: object) -> object:
    """As Slack wants text escaped: these three and no others. What is marked as markup stays."""
    shown = _plain(value)
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") if type(shown) is str else shown


def _commands(notice: SendNotice, user: str | None) -> Sequence[str]:
    """What to type."""
    who = f" --by {quote(user.removeprefix('user:'))}" if user else ""
    at = f"{quote(notice.run)} {quote(notice.step)}"
    if notice.kind in _DECIDABLE:
        return f"starter.py approve {at}{who}", f"starter.py reject {at}{who} --comment WHY"
    if notice.incident is not None:
        return f"starter.py status {quote(notice.run)}", *(choice.command for choice in notice.incident.actions)
    return ()
