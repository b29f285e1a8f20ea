"""Which messages were delivered, in the records database: asked before each attempt, written down after it."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects import postgresql, sqlite

from activities.conversations.encrypted import Cipher
from activities.records.database import Database
from activities.records.tables import notices
from contracts.notices import Letter, LetterState, SendNotice


class Ledger:
    """With a cipher, what a message is made of is encrypted until it is delivered, when it is forgotten. All raise
    RecordsUnavailable."""

    def __init__(self, database: Database, cipher: Cipher | None = None) -> None:
        self._database = database
        self._cipher = cipher

    async def begin(self, notice: SendNotice, recipient: str) -> Letter:
        """The message as it stood before this attempt, which is counted now."""
        identity = notice.id_for(recipient)
        text = notice.model_dump_json()
        row = {
            "id": identity,
            "run": notice.run,
            "number": notice.number,
            "kind": notice.kind,
            "channel": notice.channel,
            "recipient": recipient,
            "state": "trying",
            "attempts": 0,
            "error": "",
            "changed": datetime.now(UTC),
            "notice": None if self._cipher else text,
            "sealed": self._cipher.encrypt(text.encode(), identity.encode()) if self._cipher else None,
        }

        def begin(connection: Connection) -> Letter:
            dialect = sqlite if self._database.is_sqlite else postgresql
            connection.execute(dialect.insert(notices).values(row).on_conflict_do_nothing(index_elements=["id"]))
            found = connection.execute(select(notices).where(notices.c.id == identity)).one()
            if found.state != "delivered":
                counted = update(notices).where(notices.c.id == identity)
                connection.execute(counted.values(attempts=notices.c.attempts + 1))
            return _letter(found)

        return await self._database.write(begin)

    async def delivered(self, identity: str) -> None:
        await self._set(identity, "delivered", "", notice=None, sealed=None)

    async def failed(self, identity: str, error: str, *, dead: bool) -> None:
        await self._set(identity, "dead" if dead else "trying", error)

    async def letters(self, *, dead: bool = False, run: str | None = None, limit: int = 200) -> list[Letter]:
        """The last ones, newest first; with `dead` only those that nobody tries to deliver any more."""
        chosen = select(notices).order_by(notices.c.changed.desc(), notices.c.id).limit(limit)
        if dead:
            chosen = chosen.where(notices.c.state == "dead")
        if run is not None:
            chosen = chosen.where(notices.c.run == run)
        if not self._database.is_there:
            return []
        return await self._database.read(lambda connection: [_letter(row) for row in connection.execute(chosen)])

    async def undelivered(self, identity: str) -> tuple[SendNotice, str] | None:
        """What a message that was not delivered is made of, and its recipient; None when there is no such message.

        Raises:
            ValueError: it cannot be decrypted.
        """
        chosen = select(notices).where(notices.c.id == identity, notices.c.state != "delivered")
        if not self._database.is_there:
            return None
        row = await self._database.read(lambda connection: connection.execute(chosen).one_or_none())
        return None if row is None else (SendNotice.model_validate_json(self._text(row)), row.recipient)

    async def _set(self, identity: str, state: LetterState, error: str, **more: Any) -> None:
        values = {"state": state, "error": error, "changed": datetime.now(UTC), **more}
        changed = update(notices).where(notices.c.id == identity, notices.c.state != "delivered").values(values)
        await self._database.write(lambda connection: connection.execute(changed).rowcount)

    def _text(self, row: Row[Any]) -> bytes | str:
        if row.sealed is None:
            return str(row.notice)
        if self._cipher is None:
            raise ValueError("there are no encryption.keys")
        return self._cipher.decrypt(row.sealed, row.id.encode())


def _letter(row: Row[Any]) -> Letter:
    changed: datetime = row.changed
    return Letter(
        id=row.id,
        run=row.run,
        number=row.number,
        kind=row.kind,
        channel=row.channel,
        recipient=row.recipient,
        state=row.state,
        attempts=row.attempts,
        error=row.error,
        changed=changed.replace(tzinfo=UTC) if changed.tzinfo is None else changed.astimezone(UTC),
    )
