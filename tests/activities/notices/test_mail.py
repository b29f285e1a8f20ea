"""Notices by mail, to a real SMTP server."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.activities.notices.desk import NOW, Desk, asked, incident, mail, notice
from tests.mailbox import Mailbox, open_mailbox, text_of


async def test_everybody_concerned_gets_one_mail_of_their_own(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox))
    for _ in range(2):
        assert set((await desk.send(notice("mail"))).told) == {"user:alice", "user:bob"}
    assert sorted(to for to, _ in mailbox.received) == ["alice@example.com", "bob@example.com"]
    (message,) = mailbox.to("alice@example.com")
    assert message["To"] == "Alice Moreau <alice@example.com>"
    assert message["From"] == "Surefoot <surefoot@example.com>"
    assert message["Subject"] == "Please decide: Pay 1840 to acme?"
    assert message["Message-ID"] == f"<{notice('mail').id_for('user:alice')}@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    plain, html = text_of(message), text_of(message, "html")
    for said in ("Alice Moreau,", "acme <GmbH> & Co", "line two", "group:finance", "2026-12-24 09:30 UTC"):
        assert said in plain
    assert "starter.py approve invoice-7 sign_off --by alice" in plain
    assert "https://temporal.example/invoice-7" in plain
    assert "acme &lt;GmbH&gt; &amp; Co" in html
    assert "<GmbH>" not in html


async def test_a_mail_says_what_others_said_and_what_it_was_changed_to(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox))
    await desk.send(notice("mail", kind="approval.reminded", question=asked()))
    message = mailbox.to("bob@example.com")[0]
    for text in (text_of(message), text_of(message, "html")):
        for said in (
            "user:carol said",
            "fits the order",
            "user:alice, 2026-12-20 09:30 UTC: Known?",
            "Changed to",
            "1700",
        ):
            assert said in text


async def test_what_is_said_of_one_step_is_one_conversation(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox))
    for more in ({}, {"kind": "approval.reminded", "number": 9}, {"step": "other", "number": 10}):
        await desk.send(notice("mail", to=("user:bob",), **more))
    first, second, third = mailbox.to("bob@example.com")
    assert first["References"] == second["References"] != third["References"]
    assert second["Subject"] == "Still waiting for you: Pay 1840 to acme?"


async def test_a_link_to_decide_goes_to_its_person_alone(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(
        mail(mailbox, copies=["team@example.com"]), link=lambda sent, user: f"https://decide.example/{sent.step}/{user}"
    )
    await desk.send(notice("mail"))
    assert "https://decide.example/sign_off/user:alice" in text_of(mailbox.to("alice@example.com")[0])
    assert "https://decide.example/sign_off/user:bob" not in text_of(mailbox.to("alice@example.com")[0], "html")
    assert "decide.example" not in text_of(mailbox.to("team@example.com")[0])


async def test_a_title_is_one_line_of_text_and_no_header(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox))
    await desk.send(notice("mail", title="Pay?\r\nBcc: eve@example.com\n\n\u202etxt", reason="{{ 7 * 7 }}\u200b"))
    message = mailbox.to("alice@example.com")[0]
    assert message["Subject"] == "Please decide: Pay? Bcc: eve@example.com ⟨U+202E⟩txt"
    assert message["Bcc"] is None
    for kind in ("plain", "html"):
        assert "{{ 7 * 7 }}⟨U+200B⟩" in text_of(message, kind)
    assert mailbox.to("eve@example.com") == []


async def test_one_who_is_refused_does_not_stop_the_others(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox))
    mailbox.refused = {"alice@example.com": "550 no such user"}
    error = await desk.failed(notice("mail"))
    assert error.non_retryable
    assert error.message == "notices.mail: 127.0.0.1 refuses alice@example.com: 550 no such user"
    assert [to for to, _ in mailbox.received] == ["bob@example.com"]
    assert await desk.states() == {"mail:user:alice": "dead", "mail:user:bob": "delivered"}


async def test_one_who_is_busy_is_tried_again_and_the_others_are_not(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox))
    mailbox.refused = {"alice@example.com": "451 try again later"}
    assert not (await desk.failed(notice("mail"))).non_retryable
    mailbox.refused = {}
    await desk.send(notice("mail"))
    assert sorted(to for to, _ in mailbox.received) == ["alice@example.com", "bob@example.com"]


async def test_who_has_no_address_is_named_and_does_not_stop_the_others(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox))
    sent = await desk.send(notice("mail", to=("user:bob", "user:carol", "user:left")))
    assert (sent.told, sent.unreachable) == (("user:bob",), ("user:carol",))
    error = await desk.failed(notice("mail", number=5, to=("user:carol",)))
    assert (error.non_retryable, "user:carol" in error.message) == (True, True)
    assert str(desk.file) in error.message


async def test_a_dead_letter_is_sent_again_to_the_address_that_holds_now(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox))
    mailbox.refused = {"alice@example.com": "550 no such user"}
    await desk.failed(notice("mail"))
    (letter,) = await desk.notifier.letters(dead=True)
    desk.file.write_text(desk.file.read_text().replace("alice@example.com", "a.moreau@example.com"))
    await desk.notifier.resend(letter.id)
    assert [to for to, _ in mailbox.received] == ["bob@example.com", "a.moreau@example.com"]
    assert set((await desk.states()).values()) == {"delivered"}


async def test_operators_are_told_of_incidents_the_starter_where_the_role_says_so(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox))
    await desk.send(incident("mail", started_by="user:alice"))
    assert sorted(to for to, _ in mailbox.received) == ["alice@example.com", "bob@example.com"]
    said = text_of(mailbox.to("bob@example.com")[0])
    for part in ("the bank says no", "5 times", "Waits for it: notify", "Done, and not done again: order"):
        assert part in said
    assert "starter.py repair invoice-7 pay retry" in said


async def test_incidents_reach_the_copies_where_anyone_is_operator(desk: Desk, mailbox: Mailbox) -> None:
    desk.file.write_text("users: {}")
    desk.open(mail(mailbox), mail(mailbox, name="team", copies=["ops@example.com"]))
    assert (await desk.failed(incident("mail"))).non_retryable
    assert (await desk.send(incident("team"))).told == ("ops@example.com",)


async def test_a_directory_that_does_not_hold_now_is_asked_again(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox))
    desk.file.write_text("users: [")
    assert not (await desk.failed(notice("mail"))).non_retryable


async def test_a_subject_cannot_add_headers(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox))
    await desk.send(notice("mail", title="Pay?\r\nBcc: mallory@example.com"))
    message = mailbox.to("bob@example.com")[0]
    assert message["Bcc"] is None
    assert message["Subject"] == "Please decide: Pay? Bcc: mallory@example.com"


async def test_a_server_that_is_not_there_is_tried_again(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox, port=9))
    assert not (await desk.failed(notice("mail"))).non_retryable


async def test_a_server_without_tls_is_not_spoken_to_in_clear(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox, security="starttls"))
    error = await desk.failed(notice("mail"))
    assert (error.non_retryable, "notices.mail.security" in error.message) == (True, True)
    assert mailbox.received == []


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Of a server whose certificate this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = tmp_path / "server.pem", tmp_path / "server.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, secret)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return context


async def test_with_starttls_and_a_password_it_logs_in(desk: Desk, tls: ssl.SSLContext) -> None:
    async with open_mailbox(tls_context=tls, require_starttls=True, auth_required=True) as mailbox:
        said = mail(mailbox, security="starttls", user="robot", password="env:SMTP")
        desk.open(said, environment={"SMTP": "right"})
        await desk.send(notice("mail"))
        assert mailbox.logins == [("robot", "right")] * 2
        assert len(mailbox.received) == 2


async def test_a_wrong_password_names_its_setting_and_is_not_repeated(desk: Desk, tls: ssl.SSLContext) -> None:
    async with open_mailbox(tls_context=tls, auth_required=True) as mailbox:
        said = mail(mailbox, security="starttls", user="robot", password="env:SMTP")
        desk.open(said, environment={"SMTP": "smtp-canary-5521"})
        error = await desk.failed(notice("mail"))
    assert (error.non_retryable, "notices.mail.user and .password" in error.message) == (True, True)
    assert "canary" not in error.message


async def test_a_certificate_that_does_not_hold_is_refused(
    desk: Desk, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    async with open_mailbox(tls_context=tls) as mailbox:
        desk.open(mail(mailbox, security="starttls"))
        error = await desk.failed(notice("mail"))
        assert (error.non_retryable, "certificate" in error.message) == (True, True)
        assert mailbox.received == []


async def test_a_mail_about_nobody_is_none(desk: Desk, mailbox: Mailbox) -> None:
    desk.open(mail(mailbox))
    assert (await desk.send(notice("mail", kind="approval.decided", to=(), at=NOW))).told == ()
    assert mailbox.received == []
