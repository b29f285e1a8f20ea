"""`starter.py models`: which models there are, how workers find them, and an operator's word on their breakers."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError
from rich.table import Column, Table
from rich.text import Text

from cli.output import Exit, Output
from cli.parts import OpenBoard
from contracts.base import Contract
from contracts.board import FORCES, WORKERS, BoardStore, BoardUnavailable, Force, ForcedState, ModelState, WorkerModels
from contracts.errors import CallerError
from contracts.settings import (
    DEFAULT_MODEL,
    OPENAI_URL,
    ModelAlias,
    answers_by_script,
    without_credentials,
)
from runtime.settings import Settings, load_settings

GONE_AFTER = timedelta(hours=1)
"""A worker that has asked no model for so long, or was killed, is not shown."""

STYLES = {"closed": "completed", "half-open": "waiting", "open": "attention"}


class OfWorker(ModelState):
    """How one worker finds a model, and when it said so. Requests and tokens are of the minute before now."""

    worker: str
    at: datetime


class Shown(Contract):
    """A model alias as it is shown. `key_set`: as seen from where the command runs; `limits` in a minute."""

    alias: str
    model: str
    endpoint: str
    key_env: str
    key_set: bool
    window: int | None
    max_output: int | None
    input_price: float | None
    output_price: float | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    forced: Force | None
    workers: tuple[OfWorker, ...]


async def show_models(output: Output, open_board: OpenBoard) -> Exit:
    settings = load_settings()
    async with open_board(settings) as board:
        models = await _shown(settings, board)
    output.show(_table(models), {"models": [model.model_dump(mode="json") for model in models]})
    return Exit.HOLDS


async def force_model(
    output: Output, open_board: OpenBoard, alias: str, state: ForcedState, by: str | None, reason: str
) -> Exit:
    settings = load_settings()
    known = _aliases(settings)
    if alias not in known:
        raise CallerError(f"there is no model alias {alias!r}; there are {', '.join(known)}")
    actor = settings.actor if by is None else by if ":" in by else f"user:{by}"
    force = Force(state=state, at=datetime.now(UTC), by=actor, reason=reason)
    async with open_board(settings) as board:
        try:
            await board.write(FORCES + alias, force.model_dump_json())
        except BoardUnavailable as error:
            raise CallerError(f"{error}; workers did not hear it") from error
    means = {
        "open": "runs wait, or use the next of their chain, until it is set to auto",
        "close": "it is asked whatever its breaker finds, until it is set to auto",
        "auto": "its breaker decides again, and starts afresh",
    }
    said = f"{alias}: {means[state]}; workers hear it within seconds"
    output.show(Text(said, no_wrap=True, overflow="ignore"), {"alias": alias, "forced": force.model_dump(mode="json")})
    return Exit.HOLDS


def _aliases(settings: Settings) -> Mapping[str, ModelAlias]:
    """All that an agent may name; `default` is there without being declared."""
    return {"default": ModelAlias(), **settings.models}


async def _shown(settings: Settings, board: BoardStore) -> list[Shown]:
    try:
        forces = {key.removeprefix(FORCES): value for key, value in (await board.read(FORCES)).items()}
        reports = list((await board.read(WORKERS)).values())
    except BoardUnavailable as error:
        raise CallerError(str(error)) from error
    said = _of_workers(reports, datetime.now(UTC))
    return [
        _alias(name, alias, settings, forces.get(name), [each for each in said if each.alias == name])
        for name, alias in _aliases(settings).items()
    ]


def _alias(name: str, alias: ModelAlias, settings: Settings, force: str | None, said: Sequence[OfWorker]) -> Shown:
    url = alias.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
    every = (ModelAlias(), *settings.models.values())
    scripted = all(answers_by_script(each, os.environ) for each in every)
    return Shown(
        alias=name,
        model="rehearsal" if scripted else alias.model or os.environ.get("OPENAI_MODEL") or DEFAULT_MODEL,
        endpoint="rehearsal.yaml of each process" if scripted else without_credentials(url),
        key_env=alias.key_env,
        key_set=bool(os.environ.get(alias.key_env)),
        window=alias.window,
        max_output=alias.max_output,
        input_price=alias.input_price,
        output_price=alias.output_price,
        requests_per_minute=alias.requests_per_minute,
        tokens_per_minute=alias.tokens_per_minute,
        forced=_force(force),
        workers=tuple(said),
    )


def _of_workers(reports: Sequence[str], now: datetime) -> list[OfWorker]:
    found: list[OfWorker] = []
    for report in reports:
        try:
            said = WorkerModels.model_validate_json(report)
        except ValidationError:
            continue  # of another version
        if now - said.at > GONE_AFTER:
            continue
        rates = {} if now - said.at < timedelta(minutes=1) else {"requests": 0, "tokens": 0}
        found += [
            OfWorker.model_validate({**state.model_dump(), **rates, "worker": said.worker, "at": said.at})
            for state in said.models
        ]
    return found


def _force(value: str | None) -> Force | None:
    try:
        force = None if value is None else Force.model_validate_json(value)
    except ValidationError:
        return None  # of another version
    return None if force is None or force.state == "auto" else force


def _table(models: Sequence[Shown]) -> Table:
    """For each alias what it stands for, its limits, and a line for each worker that asked it."""
    table = Table(Column(no_wrap=True), Column(overflow="fold"), box=None, show_header=False, padding=(0, 2, 0, 0))
    for model in models:
        key = Text("key set") if model.key_set else Text(f"{model.key_env} not set", style="faint")
        where = Text(f"{model.model} at {model.endpoint}, ").append_text(key)
        table.add_row(Text(model.alias, style="name"), where)
        if limits := _limits(model):
            table.add_row("", Text(limits, style="faint"))
        if model.forced is not None:
            table.add_row("", _forced(model.forced))
        for state in model.workers:
            table.add_row("", _found(state))
        if not model.workers:
            table.add_row("", Text("not asked yet", style="faint"))
    return table


def _found(state: OfWorker) -> Text:
    line = Text(state.state, style=STYLES[state.state])
    rate = f"{state.requests} requests, {state.tokens} tokens in a minute"
    said = Text(f", {rate}, says worker {state.worker} at {state.at.astimezone():%H:%M:%S}", style="faint")
    line.append(f": {state.why}" if state.why else "", style="")
    line.append(f", {state.waiting} waiting" if state.waiting else "", style="")
    return line.append_text(said)


def _forced(force: Force) -> Text:
    state = {"open": "open", "close": "closed"}[force.state]
    reason = f": {force.reason}" if force.reason else ""
    return Text(f"forced {state} by {force.by}{reason}", style="attention" if state == "open" else "waiting")


def _limits(model: Shown) -> str:
    sent, received = model.input_price, model.output_price
    parts = {
        "window {} tokens": model.window,
        "answers of up to {}": model.max_output,
        "{} requests a minute": model.requests_per_minute,
        "{} tokens a minute": model.tokens_per_minute,
        "{} US dollars per million tokens": None
        if sent is None and received is None
        else f"{sent or 0:g} in, {received or 0:g} out,",
    }
    return ", ".join(text.format(value) for text, value in parts.items() if value is not None)
