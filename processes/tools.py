"""Tools that several processes share. A process's own are in the `tools.py` beside its `process.yaml`."""

import sqlite3

from pydantic import BaseModel

from contracts.tools import ToolContext, tool
from processes.business import apply, find, next_id, pause


class Mail(BaseModel):
    mail_id: str
    to: str
    subject: str


class Recalled(BaseModel):
    mail_id: str
    status: str


@tool(name="mail.send", effect="write", idempotent=True, timeout="30s")
def send_mail(ctx: ToolContext, to: str, body: str, subject: str = "") -> Mail:
    """Send a mail. `to` is an address or a name the mail server knows; without a `subject` the first line is it."""
    pause(0.4)
    title = subject or body.strip().partition("\n")[0][:80]

    def change(db: sqlite3.Connection) -> tuple[str, Mail]:
        mail = Mail(mail_id=next_id(db, "mails", "M"), to=to, subject=title)
        db.execute("INSERT INTO mails VALUES (?, ?, ?, ?, 'sent')", (mail.mail_id, to, title, body))
        return mail.mail_id, mail

    return apply(ctx, "mail.send", {"to": to, "subject": subject, "body": body}, Mail, change)


@tool(name="mail.recall", effect="write", idempotent=True, timeout="30s")
def recall_mail(ctx: ToolContext, mail_id: str) -> Recalled:
    """Take a mail back from the mailbox of a colleague. Works inside the company only."""

    def change(db: sqlite3.Connection) -> tuple[str, Recalled]:
        find(db, "mails", mail_id)
        db.execute("UPDATE mails SET status = 'recalled' WHERE id = ?", (mail_id,))
        return mail_id, Recalled(mail_id=mail_id, status="recalled")

    return apply(ctx, "mail.recall", {"mail_id": mail_id}, Recalled, change, undoes=mail_id)
