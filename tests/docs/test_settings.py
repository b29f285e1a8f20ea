"""The page of settings has every one of them, with its default, and every variable of ours that code reads."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from contracts.base import format_duration
from runtime.settings import Settings
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "settings.md").read_text()
ROWS = [
    (re.findall(r"`([^`]+)`", first), second) for first, second in re.findall(r"^\| (`.+?`) \| (.*?) ?\|", PAGE, re.M)
]
OURS = ("contracts", "language", "workflows", "activities", "runtime", "api", "cli", "evals", "testkit", "processes")


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by its name; of tables by a name of one's own, without that name."""
    for name, field in model.model_fields.items():
        within = models_in(field.annotation)
        if not within or name == "people":  # which may be a path
            yield f"{prefix}{name}", field
        for each in within:
            yield from settings(each, f"{prefix}{name}.")


ALL = dict(settings(Settings))


def test_the_page_has_every_setting_and_no_other() -> None:
    named = [name for names, _ in ROWS for name in names if not name.isupper() and "*" not in name]
    assert sorted(named) == sorted(ALL)


def shown(default: Any) -> str | None:
    """None for what the page says in words."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, timedelta):
        return format_duration(default)
    return str(default) if isinstance(default, int | str) else None


@pytest.mark.parametrize(("names", "cell"), [row for row in ROWS if set(row[0]) <= set(ALL)], ids=str)
def test_the_page_says_the_default(names: list[str], cell: str) -> None:
    defaults = [shown(ALL[name].default) for name in names]
    for default in filter(None, defaults):
        assert f"`{default}`" in cell


def test_the_page_has_every_variable_that_code_reads() -> None:
    files = [file for folder in OURS for file in (ROOT / folder).rglob("*.py")]
    files += [ROOT / "worker.py", ROOT / "starter.py"]
    read = {name for file in files for name in re.findall(r"SUREFOOT_[A-Z_]+[A-Z]", file.read_text())}
    of_settings = {f"SUREFOOT_{name.replace('.', '__').upper()}" for name in ALL}
    sections = {name.rpartition("__")[0] for name in of_settings}
    rest = {name for name in read - of_settings - sections if not name.startswith("SUREFOOT_SECRET")}
    assert {"SUREFOOT_CONFIG", "SUREFOOT_PACE"} <= rest
    assert {name for name in rest if f"`{name}`" not in PAGE} == set()
