"""A desk that sends, and receivers for it."""

from tests.activities.notices.desk import desk, mailbox, service

__all__ = ["desk", "mailbox", "service"]
