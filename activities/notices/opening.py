"""From settings to the channels by which people are told."""

from collections.abc import Mapping, Sequence

from activities.conversations.encrypted import Cipher
from activities.notices.ledger import Ledger
from activities.notices.sending import Notifier, carrier_of
from activities.notices.wording import Wording
from activities.records.database import Database
from contracts.channels import Channel
from contracts.directory import PeopleDirectory


def open_notifier(
    channels: Sequence[Channel],
    wording: Wording,
    database: Database,
    directory: PeopleDirectory,
    environment: Mapping[str, str],
    *,
    proxy: str | None = None,
    cipher: Cipher | None = None,
) -> Notifier:
    """Raises:
    SettingsInvalid: a channel's secret is missing or none.
    """
    carriers = {channel.name: carrier_of(channel, environment, proxy, wording) for channel in channels}
    return Notifier(carriers, Ledger(database, cipher), directory)
