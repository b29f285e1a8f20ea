"""What the process of a bad day calls: a `tools.py` for its folder."""

TOOLS = '''
import json, os, time
from pathlib import Path
from contracts.tools import ToolContext, tool

HOME = Path(os.environ["DAY_LEDGER"])

def wait_for(name):
    while not (HOME / name).exists():
        time.sleep(0.05)

def note(ctx, *, again=False):
    known = HOME / "keys"
    known.mkdir(exist_ok=True)
    name = known / ctx.idempotency_key.replace("/", "_")
    if again or not name.exists():
        name.touch()
        with (HOME / "ledger").open("a") as ledger:
            ledger.write(json.dumps([ctx.step, ctx.idempotency_key]) + "\\n")

@tool(name="day.work", effect="write", idempotent=True)
def work(ctx: ToolContext, what: str = "") -> str:
    """Work."""
    note(ctx)
    return what or ctx.step

@tool(name="day.big", effect="write", idempotent=True)
def big(ctx: ToolContext) -> str:
    """Give what is too large for a history."""
    note(ctx)
    return "x" * 100_000

@tool(name="day.held", effect="write", idempotent=True)
def held(ctx: ToolContext) -> str:
    """Work that lasts until the test lets it go."""
    (HOME / f"began-{ctx.step}").touch()
    wait_for("go")
    note(ctx)
    (HOME / f"ended-{ctx.step}").touch()
    return ctx.step

@tool(name="day.once", effect="write")
def once(ctx: ToolContext) -> str:
    """The same, and must not be made twice."""
    (HOME / f"began-{ctx.step}").touch()
    wait_for("go")
    note(ctx, again=True)
    (HOME / f"ended-{ctx.step}").touch()
    return ctx.step
'''
