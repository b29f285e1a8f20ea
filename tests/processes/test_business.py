"""The pretend company: every effect once per key, whoever asks and however often; every undo restores what was."""

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from processes.business import SCHEMA

ROOT = Path(__file__).parents[2]
TRANSFER = {"to": "Nordwind GmbH", "amount": 1840}

WORKER = """
import asyncio, json, sys
from pathlib import Path
from temporalio.testing import ActivityEnvironment
from activities.tools.runner import tool_activities
from contracts.tools import ToolCall
from runtime.catalog import Catalog

tool = Catalog.load([Path("processes")]).tools["bank.transfer"]

async def main():
    run = tool_activities([tool])[0]
    calls = [ToolCall(args={"to": "Halden Office", "amount": 5}, key=f"run-{n}/pay", run=f"run-{n}", step="pay")
             for n in range(20)]
    results = await asyncio.gather(*(ActivityEnvironment().run(run, call) for call in calls))
    print(json.dumps([result.output["transfer_id"] for result in results]), flush=True)

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""


async def test_the_same_key_has_its_effect_once_and_gets_the_first_result(company: Any) -> None:
    first = await company.call("bank.transfer", "run-1/pay", **TRANSFER)
    again = await company.call("bank.transfer", "run-1/pay", **TRANSFER)
    assert again == first
    assert company.rows("SELECT key, tool, undone_by, sequence FROM effects") == [
        ("run-1/pay", "bank.transfer", None, 1)
    ]
    assert company.rows("SELECT account, cents FROM balances ORDER BY account") == [
        ("Nordwind GmbH", 184_000),
        ("operating", 1_000_000_000 - 184_000),
    ]


def test_two_processes_at_once_make_each_effect_once(tmp_path: Path) -> None:
    environment = {**os.environ, "SUREFOOT_HOME": str(tmp_path), "SUREFOOT_PACE": "0"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER],
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        lines = [worker.communicate(timeout=60)[0].splitlines() for worker in workers]
        outputs = [json.loads(next(line for line in said if line.startswith("["))) for said in lines]  # the rest is log
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert outputs[0] == outputs[1]
    assert len(set(outputs[0])) == 20
    query = "SELECT cents FROM balances WHERE account = 'Halden Office'"
    assert _rows(tmp_path, query) == [(20 * 500,)]
    sequences = [sequence for (sequence,) in _rows(tmp_path, "SELECT sequence FROM effects ORDER BY sequence")]
    assert sequences == list(range(1, 21))


async def test_a_file_of_an_older_copy_gets_what_it_lacks_and_keeps_what_it_has(company: Any) -> None:
    with closing(sqlite3.connect(company.home / "business.db")) as db:
        db.executescript(SCHEMA)
        db.executescript("INSERT INTO balances VALUES ('Nordwind GmbH', 5); PRAGMA user_version = 1")
    await company.call("planning.read_needs", "r/needs", department="sales")
    assert company.rows("SELECT cents FROM balances WHERE account = 'Nordwind GmbH'") == [(5,)]


async def test_a_key_that_was_used_for_something_else_is_refused(company: Any) -> None:
    await company.call("bank.transfer", "run-1/pay", **TRANSFER)
    with pytest.raises(ApplicationError, match=r"run-1/pay was used for bank\.transfer") as caught:
        await company.call("bank.transfer", "run-1/pay", to="Nordwind GmbH", amount=9)
    assert caught.value.non_retryable
    assert len(company.rows("SELECT * FROM transfers")) == 1


async def test_a_refused_change_leaves_no_effect(company: Any) -> None:
    with pytest.raises(ApplicationError, match=r"our account holds 10000000\.00 EUR, not enough"):
        await company.call("bank.transfer", "run-1/pay", to="Nordwind GmbH", amount=99_000_000)
    assert company.rows("SELECT * FROM effects") == []


async def test_a_reversed_transfer_restores_the_balances_once(company: Any) -> None:
    paid = await company.call("bank.transfer", "run-1/pay", **TRANSFER)
    for key in ("run-1/pay:undo", "run-1/pay:undo", "run-1/another"):
        await company.call("bank.reverse", key, transfer=paid["transfer_id"])
    assert dict(company.rows("SELECT account, cents FROM balances")) == {"operating": 1_000_000_000, "Nordwind GmbH": 0}
    assert company.rows("SELECT undone_by FROM effects WHERE key = 'run-1/pay'") == [("run-1/pay:undo",)]


async def test_each_onboarding_effect_can_be_taken_back(company: Any) -> None:
    person = {"name": "Nadia Okafor", "role": "data engineer", "start_date": "2026-12-01", "manager": "Mia Tanaka"}
    employee = (await company.call("hris.create_employee", "r/record", **person))["id"]
    made = {
        "directory.close_account": ("account", "directory.create_account", {"employee": employee, "system": "vpn"}),
        "learning.withdraw": ("enrollment", "learning.enroll", {"employee": employee, "course": "SEC-1"}),
        "calendar.cancel": ("meeting", "calendar.book", {"title": "Hello", "day": "2026-12-01", "people": ["mia"]}),
        "helpdesk.cancel_order": (
            "order",
            "helpdesk.order_hardware",
            {"employee": employee, "sku": "NB-16", "price": 2460},
        ),
        "mail.recall": ("mail_id", "mail.send", {"to": "nadia.okafor@example.com", "body": "Welcome"}),
        "hris.withdraw_employee": ("employee", None, {}),
    }
    for undo, (argument, tool, args) in made.items():
        output = await company.call(tool, f"r/{tool}", **args) if tool else {"id": employee}
        subject = output.get("id") or output["mail_id"]
        await company.call(undo, f"r/{undo}", **{argument: subject})
    undone = dict(company.rows("SELECT tool, undone_by FROM effects WHERE undone_by IS NOT NULL"))
    assert undone == {tool or "hris.create_employee": f"r/{undo}" for undo, (_, tool, _) in made.items()}
    tables = ("employees", "accounts", "enrollments", "meetings", "orders", "mails")
    states = Counter(state for table in tables for (state,) in company.rows(f"SELECT status FROM {table}"))  # noqa: S608
    assert states == {"withdrawn": 2, "closed": 1, "cancelled": 2, "recalled": 1}


async def test_hardware_is_ordered_at_the_agreed_price_only(company: Any) -> None:
    with pytest.raises(ApplicationError, match=r"NB-16 costs 2460\.00, not the 1000\.00"):
        await company.call("helpdesk.order_hardware", "r/hardware", employee="E-1001", sku="NB-16", price=1000)
    assert company.rows("SELECT * FROM orders") == []


async def test_two_people_of_one_name_get_addresses_of_their_own(company: Any) -> None:
    person = {"name": "Nadia Okafor", "role": "designer", "start_date": "2026-12-01", "manager": "Mia Tanaka"}
    made = [await company.call("hris.create_employee", f"run-{n}/record", **person) for n in (1, 2)]
    assert [employee["email"] for employee in made] == ["nadia.okafor@example.com", "nadia.okafor2@example.com"]


async def test_an_order_belongs_to_one_supplier(company: Any) -> None:
    with pytest.raises(ApplicationError, match="belongs to an order from Nordwind GmbH, not Halden Office"):
        await company.call("erp.read_order", "r/order", supplier="Halden Office", invoice="INV-2041")


def _rows(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home / "business.db")) as db:
        return db.execute(sql).fetchall()
