"""Sends notices: to each person concerned once, however often it is tried, and whoever else cannot be reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from activities.notices.carriers import Carrier, Recipient, SlackCarrier, WebhookCarrier
from activities.notices.ledger import Ledger
from activities.notices.mail import MailCarrier
from activities.notices.wording import Wording
from contracts.channels import Channel, MailChannel, SlackChannel
from contracts.directory import DirectoryUnavailable, PeopleDirectory, UnknownName, User
from contracts.errors import CallerError, SettingsInvalid
from contracts.notices import Letter, SendNotice, Sent, Undelivered
from contracts.people import ANYONE, STARTER


@dataclass(frozen=True)
class _Addressed:
    carrier: Carrier
    people: Mapping[str, User]
    reached: Sequence[Recipient]
    unreachable: tuple[str, ...]


class Notifier:
    """The channels of the settings, by name. A message is in the ledger as delivered before anybody says so; a worker
    that is lost between the two leaves it to be sent again, under the same id."""

    def __init__(self, channels: Mapping[str, Carrier], ledger: Ledger, directory: PeopleDirectory) -> None:
        self._channels = channels
        self._ledger = ledger
        self.directory = directory

    async def close(self) -> None:
        for carrier in self._channels.values():
            await carrier.close()

    async def send(self, notice: SendNotice) -> Sent:
        """Raises:
        Undelivered: somebody was not told. Final, when nobody is left for whom trying again would help.
        RecordsUnavailable: what was delivered is not known; nobody else was told.
        """
        try:
            addressed = await self._address(notice)
        except Undelivered as error:
            letter = await self._ledger.begin(notice, "")
            await self._ledger.failed(letter.id, str(error), dead=error.final or notice.last)
            raise
        return await self._send(notice, addressed)

    async def letters(self, *, dead: bool = False, run: str | None = None, limit: int = 200) -> list[Letter]:
        return await self._ledger.letters(dead=dead, run=run, limit=limit)

    async def resend(self, identity: str) -> None:
        try:
            found = await self._ledger.undelivered(identity)
        except ValueError as error:
            raise CallerError(f"notice {identity} cannot be decrypted: {error}") from error
        if found is None:
            raise CallerError(f"no notice {identity} waits to be sent; `starter.py notices` lists them")
        notice, recipient = found
        notice = notice.model_copy(update={"last": True})
        addressed = await self._address(notice)
        if recipient:
            only = [each for each in addressed.reached if each.key == recipient]
            if not only:
                raise Undelivered(f"notices.{notice.channel} has no address of {recipient}", final=True)
            addressed = _Addressed(addressed.carrier, addressed.people, only, ())
        await self._send(notice, addressed)
        await self._ledger.delivered(identity)

    async def _send(self, notice: SendNotice, to: _Addressed) -> Sent:
        told: list[str] = []
        failures: list[Undelivered] = []
        for recipient in to.reached:
            try:
                await self._once(to, notice, recipient)
                told.append(recipient.key)
            except Undelivered as error:
                failures.append(error)
        if failures:
            raise _together(failures)
        return Sent(told=tuple(key for key in told if key), unreachable=to.unreachable)

    async def _once(self, to: _Addressed, notice: SendNotice, recipient: Recipient) -> None:
        letter = await self._ledger.begin(notice, recipient.key)
        if letter.state == "delivered":
            return
        if letter.state == "dead" and not notice.last:
            raise Undelivered(letter.error, final=True)
        try:
            await to.carrier.deliver(letter.id, notice, recipient, to.people)
        except Undelivered as error:
            await self._ledger.failed(letter.id, str(error), dead=error.final or notice.last)
            raise
        await self._ledger.delivered(letter.id)

    async def _address(self, notice: SendNotice) -> _Addressed:
        """Raises:
        Undelivered: it is not known to whom, or how.
        """
        if (carrier := self._channels.get(notice.channel)) is None:
            known = ", ".join(self._channels) or "none"
            said = f"there is no channel {notice.channel!r} in the setting notices; there are {known}"
            raise Undelivered(said, final=True)
        people = await self._people(notice) if carrier.asks else {}
        recipients = carrier.recipients(people)
        unreachable = tuple(each.key for each in recipients if each.user is not None and not each.address)
        reached = [each for each in recipients if each.key not in unreachable]
        if notice.to and not reached:
            who = ", ".join(unreachable or notice.to) or "nobody"
            place = self.directory.place
            said = f"notices.{notice.channel} has no address of anybody concerned ({who}); see {place}"
            raise Undelivered(said, final=True)
        return _Addressed(carrier, people, reached, unreachable)

    async def _people(self, notice: SendNotice) -> Mapping[str, User]:
        """The users concerned. Whoever left the directory meanwhile is told nothing."""
        starter = (notice.started_by,) if notice.started_by else ()
        try:
            directory = await self.directory.find((*notice.to, *starter))
        except DirectoryUnavailable as error:
            raise Undelivered(str(error), after=error.after) from error
        except SettingsInvalid as error:
            raise Undelivered(str(error)) from error
        found: dict[str, User] = {}
        for name in notice.to:
            try:
                users = directory.users_of(name)
            except UnknownName:
                continue
            for user in users:
                meant = starter if user == STARTER else () if user == ANYONE else (user,)
                found.update({each: directory.user(each) or User() for each in meant})
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
