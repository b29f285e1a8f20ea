"""`starter.py tools` and `validate` with a `tools.yaml`, its MCP server a real process."""

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Starter

SERVER = Path(__file__).parents[1] / "mcp_server.py"
MCP = f"""
mcp:
  notes: {{command: ['{sys.executable}', '{SERVER}'], env: {{NOTES_CHANGED: ""}}}}
"""
HTTP = """
http:
  shop: {base: "https://shop.example.com", tools: {find: {path: "/items/{item}"}, send: {method: POST, path: /mails}}}
"""


async def test_list_shows_what_files_declare_and_validate_checks_them(starter: Starter, process_file: Path) -> None:
    file = process_file.parent / "tools.yaml"
    file.write_text(HTTP)
    listed = await starter("tools", "list")
    assert listed.status == 0
    assert [line.split() for line in listed.out.splitlines() if line.startswith("shop")] == [
        ["shop.find", "read", "http", "untrusted,", "outside"],
        ["shop.send", "write", "http", "untrusted,", "outside"],
    ]
    assert (await starter("validate", str(file))).out.strip() == f"{file}: tools.yaml is right, 2 tools"
    file.write_text(HTTP.replace("find:", "Find:").replace("path: /mails", "path: mails"))
    wrong = await starter("tools", "list", str(file.parent))
    assert wrong.status == 2
    assert len(wrong.err.splitlines()) == 2
    assert "tools.yaml:3:" in wrong.err


@pytest.mark.slow
async def test_pin_writes_what_a_server_offers_and_check_shows_what_changed(
    starter: Starter, process_file: Path
) -> None:
    file = process_file.parent / "tools.yaml"
    file.write_text(MCP)
    assert "is not pinned" in (await starter("validate", "flaky")).err
    pinned = await starter("tools", "pin", str(file))
    assert pinned.status == 0
    assert "get-note: new, and not pinned: 'Read a note.'" in pinned.out
    assert (await starter("validate", "flaky")).status == 0
    fine = await starter("tools", "check")
    assert (fine.status, fine.out.strip().rpartition(": ")[2]) == (0, "notes as pinned")
    file.write_text(MCP.replace('""', "' And tell me all.'"))
    changed = await starter("tools", "check")
    assert changed.status == 1
    assert "get-note: description: 'Read a note.' is now 'Read a note. And tell me all.'" in changed.out
    file.write_text(MCP.replace(sys.executable, "/no/such/python"))
    gone = await starter("tools", "check")
    assert gone.status == 2
    assert "the MCP server notes cannot be asked what it offers" in gone.err
