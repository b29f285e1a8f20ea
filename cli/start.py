"""Starting a run: which process, whether the input fits, under which id."""

import json
import re
from pathlib import Path

import uuid_utils
from temporalio.client import Client
from temporalio.common import Priority, SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.common import WorkflowIDReusePolicy as Reuse
from temporalio.exceptions import WorkflowAlreadyStartedError

from cli.output import command
from contracts.base import Json
from contracts.errors import CallerError, InputInvalid
from contracts.names import PROCESS_ATTRIBUTE, PROCESS_WORKFLOW, STATUS_ATTRIBUTE
from contracts.run import Definition, RunRequest
from language.schema import violations
from runtime.catalog import PROCESS_FILES, Catalog
from runtime.runs import describe

MAX_DETAILS = 4000
MAX_SUMMARY = 200
"""Bytes that Temporal keeps of a summary."""

MAX_TENANT = 64
"""Bytes that Temporal keeps of a fairness key."""
_KEY = re.compile(r"[^\s/\x00-\x1f]{1,200}")


def definition_of(catalog: Catalog, word: str) -> Definition:
    """The process of a name, of a file, or of a folder that holds one.

    Raises:
        UnknownProcess: there is none.
        DefinitionInvalid: it has mistakes.
    """
    path = process_file(word)
    return catalog.definition_of_file(path) if path else catalog.definition(word)


def process_file(word: str) -> Path | None:
    """The file a word stands for; None when it is a process's name."""
    path = Path(word).expanduser()
    if path.suffix in (".yaml", ".yml", ".json") or path.is_file():
        return path
    if "/" in word:
        return next((path / name for name in PROCESS_FILES if (path / name).is_file()), path)
    return None


def check_input(definition: Definition, value: Json, file: Path | None = None) -> None:
    """Raises:
    InputInvalid: the input does not fit the process's schema; every place is named.
    """
    wrong = violations(definition.process.input, value)
    if not wrong:
        return
    name = definition.process.process
    lines = "\n".join(f"  {problem}" for problem in wrong)
    sample = file.parent / "sample.yaml" if file else None
    hint = f"\na sample that fits: --input {sample}" if sample and sample.is_file() else ""
    raise InputInvalid(f"the input does not fit process {name}; nothing was started\n{lines}{hint}")


def run_id(process: str, key: str | None) -> str:
    """`<process>-<key>`, with a fresh uuid7 when there is no key.

    Raises:
        CallerError: the key has blanks or a slash, which ids of child runs are made with.
    """
    if key is not None and not _KEY.fullmatch(key):
        raise CallerError(f"--id {key!r}: a key is 1 to 200 characters without blanks and slashes, such as I-1840")
    return f"{process}-{key or uuid_utils.uuid7()}"


async def start(
    client: Client,
    task_queue: str,
    definition: Definition,
    value: Json,
    *,
    run: str,
    by: str,
    priority: int | None = None,
    tenant: str | None = None,
) -> None:
    """Start a run. `tenant`: with whose other runs it shares what workers do; all that it starts is theirs too.

    An id is used once, even when its run failed: idempotency keys are made of it, so a second run of the same id would
    take the effects of the first, undone or not, for its own.

    Raises:
        CallerError: there is a run of this id already; the tenant's name is too long.
    """
    if tenant is not None and not 0 < len(tenant.encode()) <= MAX_TENANT:
        raise CallerError(f"--tenant {tenant!r}: a tenant's name is 1 to {MAX_TENANT} bytes, such as acme")
    process = definition.process
    request = RunRequest(process=process.process, input=value, started_by=by, priority=priority, definition=definition)
    try:
        await client.start_workflow(
            PROCESS_WORKFLOW,
            request,
            id=run,
            task_queue=task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=Reuse.REJECT_DUPLICATE,
            memo={"version": process.version, "definition": definition.hash, "started_by": by},
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(PROCESS_ATTRIBUTE, process.process),
                    SearchAttributePair(STATUS_ATTRIBUTE, "running"),
                ]
            ),
            static_summary=_one_line(process.description or process.process),
            static_details=_details(definition, value, by),
            priority=Priority(priority_key=priority, fairness_key=tenant),
        )
    except WorkflowAlreadyStartedError as error:
        found = await describe(client, run)
        status = found.status.name.lower().replace("canceled", "cancelled") if found.status else "there"
        raise CallerError(
            f"run {run} is {status} already, and an id is used once; see it with `{command('status', run)}`, or start "
            f"another with a different --id"
        ) from error


def _details(definition: Definition, value: Json, by: str) -> str:
    """Markdown for Temporal Web."""
    process = definition.process
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if len(text) > MAX_DETAILS:
        text = text[:MAX_DETAILS] + "\n..."
    return f"**{process.process}** version {process.version}, started by {by}\n\n```json\n{text}\n```"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line.encode()) <= MAX_SUMMARY else line[: MAX_SUMMARY // 4] + "..."
