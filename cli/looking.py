"""What the commands that look do: a run as it stands or goes on, and lists of runs."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Column, Table
from rich.text import Text
from temporalio.client import Client

from cli.connection import connected
from cli.follow import follow, marks_of, print_run, screen_for
from cli.live import print_events
from cli.marks import Marks, took
from cli.output import Exit, Output, command
from cli.picture import save_run
from contracts.run import RunStatus
from runtime.live import Follower
from runtime.runs import Listed, list_runs
from runtime.watch import Watch


async def status(output: Output, workflow_id: str, *, watch: bool, svg: str | None = None) -> Exit:
    async with connected() as connection:
        if watch and output.as_json:
            return await print_events(output, connection.client, workflow_id)
        if watch:
            return await follow_to_end(output, connection.client, workflow_id)
        seen = await Watch(connection.client, workflow_id).look()
        if svg is not None:
            save_run(seen, Path(svg))
        print_run(seen, output)
    return Exit.HOLDS


async def show_list(output: Output, of_status: RunStatus | None, process: str | None, limit: int) -> Exit:
    async with connected() as connection:
        runs, more = await list_runs(connection.client, status=of_status, process=process, limit=limit)
    if not runs and not output.as_json:
        output.say("no runs" if of_status is None and process is None else "no such runs")
        return Exit.HOLDS
    output.show(_table(runs, marks_of(output)), {"runs": [run.model_dump(mode="json") for run in runs], "more": more})
    if more and not output.as_json:
        output.say(f"the newest {limit}; --limit shows more")
    return Exit.HOLDS


async def follow_to_end(output: Output, client: Client, workflow_id: str, *, past: bool = False) -> Exit:
    by_lines = not output.as_json and not output.live
    follower = Follower(client, workflow_id, past=past) if by_lines else None
    try:
        seen = await follow(client, workflow_id, screen_for(output), follower=follower)
    except asyncio.CancelledError:
        output.say(f"{workflow_id} goes on without you; see it with `{command('status', workflow_id)}`")
        raise
    print_run(seen, output)
    return Exit.HOLDS if seen.view.status == "completed" else Exit.RUN_FAILED


def _table(runs: list[Listed], marks: Marks) -> Table:
    table = Table(
        Column("run", no_wrap=True, overflow="fold", ratio=1),
        Column("status", no_wrap=True),
        Column("waits for", overflow="fold"),
        Column("started", no_wrap=True),
        Column("took", no_wrap=True, justify="right"),
        box=None,
        header_style="faint",
        pad_edge=False,
        padding=(0, 2, 0, 0),
        expand=False,
    )
    now = datetime.now(UTC)
    for run in runs:
        table.add_row(
            Text(run.run),
            Text(f"{marks.icon(run.status)} {run.status}", style=run.status),
            Text(", ".join(run.waits_for)),
            Text(run.started.astimezone().strftime("%m-%d %H:%M")),
            Text(took(run.started, run.ended or now)),
        )
    return table
