"""Each back end of the conversation store on a real server of its kind."""

import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.conversations import OpenedStore
from activities.conversations.opening import FILE, open_conversations
from contracts.stores import ConversationSettings
from runtime.keys import Keys
from tests.runtime.bucket import bucket_server
from tests.stores import Server, needs, redis_server

RETENTION = timedelta(days=30)
CONTENT = "/content/"
"""What a bucket's lifecycle rule is about."""
CLOUD = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "something",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_MAX_ATTEMPTS": "1",
}


@dataclass
class BackEnd:
    """`rows`: everything that is stored, by key. `age`: makes it all older by so many days, and has the server forget
    what it forgets by itself. `lose`: empties it, at any time and from any thread. `break_`: makes it unusable."""

    settings: ConversationSettings
    home: Path
    environment: dict[str, str]
    rows: Callable[[], Awaitable[dict[str, bytes]]]
    age: Callable[[float], Awaitable[None]]
    lose: Callable[[], None]
    break_: Callable[[], None]
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def open(self, keys: Keys | None = None) -> OpenedStore:
        store = open_conversations(self.settings, self.home, RETENTION, self.environment, keys)
        self.closing.append(store.close)
        return store


@pytest.fixture(scope="session")
def redis() -> Iterator[Server]:
    needs("redis")
    with redis_server() as server:
        yield server


@pytest.fixture
def sqlite_back_end(tmp_path: Path) -> BackEnd:
    file = tmp_path / FILE

    def do(statement: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(file, timeout=20)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    async def rows() -> dict[str, bytes]:
        return dict(do("SELECT key, body FROM content"))

    async def age(days: float) -> None:
        do("UPDATE content SET used = used - ?", days * 86_400)

    def break_() -> None:
        for path in tmp_path.glob(f"{FILE}*"):
            path.unlink()
        file.mkdir()

    return BackEnd(ConversationSettings(), tmp_path, {}, rows, age, lambda: void(do("DELETE FROM content")), break_)


@pytest.fixture
def postgres_back_end(postgres: Server, tmp_path: Path) -> BackEnd:
    import psycopg

    def do(statement: Any, *values: Any) -> list[Any]:
        with psycopg.connect(postgres.url, password=postgres.password) as connection:
            done = connection.execute(statement, values)
            return done.fetchall() if done.description else []

    async def rows() -> dict[str, bytes]:
        return {key: bytes(body) for key, body in do("SELECT key, body FROM surefoot_content")}

    async def age(days: float) -> None:
        do("UPDATE surefoot_content SET used = used - %s", days * 86_400)

    do("DROP TABLE IF EXISTS surefoot_content, surefoot_board")
    settings = ConversationSettings(store=postgres.url, password="env:DATABASE_PASSWORD")
    return BackEnd(
        settings,
        tmp_path,
        {"DATABASE_PASSWORD": postgres.password},
        rows,
        age,
        lambda: void(do("DELETE FROM surefoot_content")),
        lambda: void(do("ALTER TABLE surefoot_content DROP COLUMN body")),
    )


@pytest.fixture
def redis_back_end(redis: Server, tmp_path: Path) -> Iterator[BackEnd]:
    from redis import Redis

    from activities.conversations.redis import PREFIX

    with Redis.from_url(redis.url, password=redis.password) as connection:

        async def rows() -> dict[str, bytes]:
            keys = list(connection.scan_iter(f"{PREFIX}*"))
            return {key.decode().removeprefix(PREFIX): connection.get(key) for key in keys}

        async def age(days: float) -> None:
            for key in connection.scan_iter(f"{PREFIX}*"):
                connection.pexpire(key, connection.pttl(key) - int(days * 86_400_000))

        def break_() -> None:
            for key in connection.scan_iter(f"{PREFIX}*"):
                connection.delete(key)
                connection.rpush(key, "a list")

        connection.flushall()
        settings = ConversationSettings(store=redis.url, password="env:REDIS_PASSWORD")
        environment = {"REDIS_PASSWORD": redis.password}
        yield BackEnd(settings, tmp_path, environment, rows, age, lambda: void(connection.flushall()), break_)


@pytest.fixture
def s3_back_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackEnd]:
    needs("s3")
    with bucket_server() as objects:
        for name, value in {**CLOUD, "AWS_ENDPOINT_URL": objects.url}.items():
            monkeypatch.setenv(name, value)

        async def rows() -> dict[str, bytes]:
            held = {place: body for place, body in objects.held.items() if CONTENT in place}
            return {place.rpartition("/")[2]: body for place, body in held.items()}

        async def age(days: float) -> None:
            for place in [place for place in objects.held if CONTENT in place]:
                objects.written[place] -= days * 86_400
                if objects.written[place] < time.time() - RETENTION.total_seconds():  # the bucket's lifecycle rule
                    del objects.held[place]

        def break_() -> None:
            objects.denies = True

        settings = ConversationSettings(store="s3://acme/surefoot")
        yield BackEnd(settings, tmp_path, dict(os.environ), rows, age, objects.held.clear, break_)


def void(_: object) -> None:
    """For a function whose value nobody wants."""


KINDS = ["sqlite", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("postgres", "redis", "s3"))]


@pytest.fixture(params=KINDS)
async def back_end(request: pytest.FixtureRequest) -> Any:
    made: BackEnd = request.getfixturevalue(f"{request.param}_back_end")
    yield made
    for close in made.closing:
        await close()
