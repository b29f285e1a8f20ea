"""The help screens: every command is listed, in a line of its own that reads to its end, and speaks to programs too."""

from typing import cast

import pytest
import typer

from cli.app import app, call
from cli.groups import GROUPS, Grouped
from starter import PARTS

COMMANDS = cast("Grouped", typer.main.get_command(app)).commands


def test_every_command_is_in_one_group() -> None:
    listed = [name for names in GROUPS.values() for name in names]
    assert sorted(listed) == sorted(COMMANDS)


def test_every_command_is_told_in_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert call(["--help"], PARTS) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for name, command in COMMANDS.items():
        told = (command.help or "").partition("\n")[0]
        assert f"{name.ljust(max(map(len, COMMANDS)))}  {told}" in lines


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_json(name: str) -> None:
    assert "--json" in {option for parameter in COMMANDS[name].params for option in parameter.opts}
