"""Sends notices: to each person concerned once, however often it is tried, and whoever else cannot be reached."""

from collections.abc import Iterable, Mapping

import jinja2

from activities.notices.carriers import Carrier, Recipient, SlackCarrier, WebhookCarrier
from activities.notices.mail import MailCarrier
from activities.notices.wording import Wording
from contracts.channels import Channel, MailChannel, SlackChannel
from contracts.directory import PeopleDirectory, UnknownName, User
from contracts.notices import NoticeLedger, SendNotice, Sent, Undelivered
from contracts.people import ANYONE, STARTER


class Notifier:
    """The channels of the settings. What was delivered is in the ledger before it is said to be; a worker that is lost
    in between leaves the message to be sent again, under the same id."""

    def __init__(self, channels: Mapping[str, Carrier], ledger: NoticeLedger, directory: PeopleDirectory) -> None:
        self._channels = channels
        self._ledger = ledger
        self._directory = directory

    async def close(self) -> None:
        for carrier in self._channels.values():
            await carrier.close()

    async def send(self, notice: SendNotice) -> Sent:
        """Raises:
        Undelivered: somebody was not told. Final, when nobody is left for whom trying again would help.
        LedgerUnavailable, DirectoryUnavailable, SettingsInvalid: nobody else was told.
        """
        carrier = self._channels.get(notice.channel)
        if carrier is None:
            known = ", ".join(self._channels) or "none"
            raise Undelivered(f"there is no channel {notice.channel!r} in `notices` any more; there are {known}", final=True)
        people = await self._people(notice.to)
        recipients = carrier.recipients(people)
        unreachable = tuple(each.key for each in recipients if each.user is not None and not each.address)
        reached = [each for each in recipients if each.key not in unreachable]
        if not reached:
            who = ", ".join(unreachable or notice.to) or "nobody"
            raise Undelivered(f"notices.{notice.channel} reaches none of those concerned ({who})", final=True)
        told: list[str] = []
        failures: list[Undelivered] = []
        for recipient in reached:
            try:
                await self._once(carrier, notice, recipient, people)
                told.append(recipient.key)
            except Undelivered as error:
                failures.append(error)
        if failures:
            raise _together(failures)
        return Sent(told=tuple(key for key in told if key), unreachable=unreachable)

    async def _once(
        self, carrier: Carrier, notice: SendNotice, recipient: Recipient, people: Mapping[str, User]
    ) -> None:
        letter = await self._ledger.begin(notice, recipient.key)
        if letter.state == "delivered":
            return
        if letter.state == "dead" and not notice.last:
            raise Undelivered(letter.error, final=True)
        try:
            await carrier.deliver(letter.id, notice, recipient, people)
        except jinja2.TemplateError as error:
            failed = Undelivered(f"the template of {notice.kind} does not work: {error}", final=True)
        except Undelivered as error:
            failed = error
        else:
            await self._ledger.delivered(letter.id)
            return
        await self._ledger.failed(letter.id, str(failed), dead=failed.final or notice.last)
        raise failed

    async def _people(self, names: Iterable[str]) -> Mapping[str, User]:
        """The users concerned. Whoever left the directory meanwhile is told nothing."""
        names = tuple(names)
        directory = await self._directory.find(names)
        found: dict[str, User] = {}
        for name in names:
            try:
                users = directory.users_of(name)
            except UnknownName:
                continue
            found.update({user: directory.user(user) or User() for user in users if user not in (ANYONE, STARTER)})
        return found


def _together(failures: list[Undelivered]) -> Undelivered:
    """What several failures are as one: worth another try while one of them is, no sooner than each of them says."""
    open_ones = [failure for failure in failures if not failure.final]
    delays = [failure.after for failure in open_ones if failure.after is not None]
    said = "; ".join(dict.fromkeys(str(failure) for failure in failures))
    return Undelivered(said, final=not open_ones, after=max(delays, default=None))


def carrier_of(channel: Channel, environment: Mapping[str, str], proxy: str | None, wording: Wording) -> Carrier:
    """Raises:
    SettingsInvalid: a secret of it is missing or none.
    """
    if isinstance(channel, MailChannel):
        return MailCarrier(channel, environment, wording)
    if isinstance(channel, SlackChannel):
        return SlackCarrier(channel, environment, proxy, wording)
    return WebhookCarrier(channel, environment, proxy)
