"""The adapter `as2` over the wire: what a partner gets, and whose session it is."""

import base64
import hashlib
from collections import Counter
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import anyio
import pytest

from e2e.flows_world import Receiver
from flows.adapters.as2.world import OURS, flow, sent
from holdfast.errors import BackendError, BackendUnavailable, BadInput, LogonFailed
from holdfast.flows.failures import CallRefused, NotCarriedOut
from holdfast.flows.runtime import Message, StepFailed

ORDER = "UNA:+.? 'UNB+UNOA:1+ME+YOU'\nUNZ+1'"
EDIFACT = Message(body=ORDER, headers={"Content-Type": "application/edifact"})
CURVE = "from: ec, to: you, key: me_ec.key, certificate: me_ec.pem, partner_certificate: partner.pem"
PLAIN = "from: me, to: you, sign: none, encrypt: none, receipt: unsigned"


def to(partner: Receiver, more: str = "", ours: str = OURS) -> str:
    return f"url: '{partner.url}/as2', auth: {{basic: anna}}, {ours}{', ' if more else ''}{more}"


def got(partner: Receiver) -> dict[str, Any]:
    """Return the one message that the partner got."""
    [request] = partner.tell()["requests"]
    return dict(request)


@pytest.mark.parametrize(
    ("more", "layers"),
    [
        ("", ["encrypted enveloped-data", "signed sha-256"]),
        ("encrypt: none", ["signed sha-256"]),
        ("sign: sha384, encrypt: aes128-cbc", ["encrypted enveloped-data", "signed sha-384"]),
        ("sign: sha512, pss: true, encrypt: aes192-cbc, oaep: true", ["encrypted enveloped-data", "signed sha-512"]),
        ("sign: sha1, encrypt: 3des, weak: true", ["encrypted enveloped-data", "signed sha1"]),
        ("encrypt: aes256-gcm", ["encrypted authEnveloped-data", "signed sha-256"]),
        ("sign: none", ["encrypted enveloped-data"]),
        ("sign: none, encrypt: none", []),
        ("compress: before_signing", ["encrypted enveloped-data", "signed sha-256", "compressed"]),
        ("compress: after_signing", ["encrypted enveloped-data", "compressed", "signed sha-256"]),
        ("compress: after_signing, encrypt: none", ["compressed", "signed sha-256"]),
        ("compress: before_signing, sign: none", ["encrypted enveloped-data", "compressed"]),
        ("compress: after_signing, sign: none, encrypt: none", ["compressed"]),
    ],
)
async def test_a_partner_unwraps_a_message_and_its_receipt_proves_the_same_content(
    partner: Receiver, folder: Path, more: str, layers: list[str]
) -> None:
    # F16: decrypted and verified by openssl, which has also computed what the MIC has to be
    result = await sent(folder, to(partner, f"{more}{', ' if more else ''}filename: order.edi"), EDIFACT)
    request = got(partner)
    assert (request["layers"], request["content"]) == (layers, ORDER)
    assert (request["content_type"], request["disposition"]) == (
        "application/edifact",
        'attachment; filename="order.edi"',
    )
    assert result.headers["as2-mic"] == request["mic"]
    assert result.headers["as2-message-id"] == request["headers"]["message-id"]
    assert result.headers["as2-disposition"].endswith("; processed")
    assert b"Disposition: automatic-action" in result.body


@pytest.mark.parametrize(
    "ours",
    [
        CURVE,
        f"{CURVE}, sign: sha512",
        "from: me, to: you, key: me.p12, passphrase: key, partner_certificate: partner.der",
        "from: me, to: you, key: me_locked.key, certificate: me.der, passphrase: key, partner_certificate: partner.pem",
        "from: me, to: you, key: me_both.pem, partner_certificate: partner.pem",
        "from: me, to: you, key: me_der.key, certificate: me.pem, partner_certificate: partner.pem",
    ],
)
async def test_keys_are_of_rsa_or_a_curve_in_pem_der_or_pkcs12(partner: Receiver, folder: Path, ours: str) -> None:
    await sent(folder, to(partner, ours=ours), EDIFACT)
    assert got(partner)["content"] == ORDER


async def test_the_mic_of_what_is_neither_signed_nor_encrypted_is_of_the_content_alone(
    partner: Receiver, folder: Path
) -> None:
    # RFC 4130 §7.3.1
    result = await sent(folder, to(partner, ours=PLAIN), EDIFACT)
    digest = base64.b64encode(hashlib.sha256(ORDER.encode()).digest()).decode()
    assert result.headers["as2-mic"] == f"{digest}, sha-256"
    assert "disposition-notification-options" not in got(partner)["headers"]


@pytest.mark.parametrize(
    ("kind", "body", "content"),
    [
        ("text/csv", "a\nb\r\nc\r", "a\r\nb\r\nc\r\n"),
        ("text/plain; charset=utf-16-le", "a\n".encode("utf-16-le"), "a\0\n\0"),
        ("application/octet-stream", b"\r\n\n\0\xff\r", "\r\n\n\0\xff\r"),
        ("", {"items": [1]}, '{"items":[1]}'),
    ],
)
async def test_a_text_is_sent_in_its_canonical_form_and_anything_else_as_it_is(
    partner: Receiver, folder: Path, kind: str, body: Any, content: str
) -> None:
    # RFC 8551 §3.1.1
    await sent(folder, to(partner), Message(body=body, headers={"content-type": kind} if kind else {}))
    assert got(partner)["content"] == content


async def test_what_the_headers_say(partner: Receiver, folder: Path) -> None:
    # RFC 4130 §6.2: names are quoted where they must be
    ours = OURS.replace("from: me, to: you", "from: 'My Company', to: 'the \"other\" \\ one'")
    about = "subject: 'Bestellung ${body}', filename: 'größe ${body}.txt', content_type: 'text/${headers.kind}'"
    receiver = to(partner, f"{about}, encrypt: none, compress: before_signing", ours)
    await sent(folder, receiver, Message(body="7", headers={"kind": "x"}))
    request = got(partner)
    headers = request["headers"]
    assert (headers["as2-from"], headers["as2-to"]) == ('"My Company"', r'"the \"other\" \\ one"')
    assert (headers["as2-version"], headers["mime-version"]) == ("1.2", "1.0")
    assert headers["message-id"].endswith("@My-Company>")
    assert (headers["subject"], headers["disposition-notification-to"]) == ("Bestellung 7", '"My Company"')
    assert headers["content-type"].startswith("multipart/signed; ")
    assert "content-transfer-encoding" not in headers
    assert request["content_type"] == "text/x"
    assert request["disposition"] == "attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe%207.txt"


async def test_a_subject_may_be_in_any_language(partner: Receiver, folder: Path) -> None:
    # RFC 2047
    await sent(folder, to(partner, "subject: '${body}'"), Message(body="größe " * 20))
    written = got(partner)["headers"]["subject"]
    assert str(make_header(decode_header(written))).strip() == ("größe " * 20).strip()


@pytest.mark.parametrize("setting", ["filename", "content_type", "subject"])
async def test_what_a_message_brings_begins_no_other_header(partner: Receiver, folder: Path, setting: str) -> None:
    with pytest.raises(StepFailed, match="the header") as caught:
        await sent(folder, to(partner, f"{setting}: '${{body}}'"), Message(body="a\r\nEvil: yes"))
    assert isinstance(caught.value.cause, BadInput)
    assert partner.tell()["requests"] == []


async def test_a_message_without_a_body_is_not_sent(partner: Receiver, folder: Path) -> None:
    with pytest.raises(StepFailed, match="without a body"):
        await sent(folder, to(partner), Message())
    assert partner.tell()["requests"] == []


async def test_no_receipt_is_asked_for_where_none_is_wanted(partner: Receiver, folder: Path) -> None:
    result = await sent(folder, to(partner, "receipt: none"), EDIFACT)
    assert (result.body, result.headers["http-status"]) == ("thanks", 200)
    assert not [name for name in got(partner)["headers"] if name.startswith("disposition")]


async def test_an_answer_that_makes_no_sense_is_told(partner: Receiver, folder: Path) -> None:
    partner.tell("answer", {"raw": ["application/json", "{"]})
    with pytest.raises(StepFailed, match="the partner's answer makes no sense"):
        await sent(folder, to(partner, "receipt: none"), EDIFACT)


# -- repeating


async def test_a_repeated_message_is_the_same_one_to_the_partner(partner: Receiver, folder: Path) -> None:
    # F17: exactly once, at a partner that knows a Message-ID again
    partner.tell("answer", {"status": 503})
    with pytest.raises(StepFailed, match="partner answered 503"):
        await sent(folder, to(partner, "repeatable: true"), EDIFACT)
    requests = partner.tell()["requests"]
    assert Counter((one["headers"]["message-id"], one["mic"]) for one in requests).most_common(1)[0][1] == 3


async def test_a_message_is_repeated_only_if_it_is_said_that_it_may(partner: Receiver, folder: Path) -> None:
    partner.tell("answer", {"status": 503})
    with pytest.raises(StepFailed, match="partner answered 503"):
        await sent(folder, to(partner), EDIFACT)
    assert len(partner.tell()["requests"]) == 1


async def test_a_message_that_is_processed_again_has_the_same_message_id(partner: Receiver, folder: Path) -> None:
    for id_of_message in ("m1", "m1", "m2"):
        await sent(folder, to(partner), EDIFACT.named(id_of_message))
    first, second, third = [one["headers"]["message-id"] for one in partner.tell()["requests"]]
    assert first == second != third


async def test_the_sender_can_name_the_message(partner: Receiver, folder: Path) -> None:
    named = "6f0b1a4e-2f43-4a51-9f0c-6d2f2d1f5b7e"
    message = Message(body=ORDER, properties={"id": named})
    result = await sent(folder, to(partner, "message_id: '${properties.id}'"), message)
    assert result.headers["as2-message-id"] == f"<{named}@me>" == got(partner)["headers"]["message-id"]


# -- what goes wrong on the way


@pytest.mark.parametrize(
    ("answer", "more", "error", "said"),
    [
        ({"status": 500}, "", CallRefused, "partner answered 500"),
        ({"status": 404}, "", CallRefused, "partner answered 404"),
        ({"status": 429}, "retry: {times: 0}", NotCarriedOut, "partner answered 429"),
        ({"hang": True}, "timeout: 0.7", BackendUnavailable, "did not answer within 0.7 s"),
        ({"cut": True}, "", BackendUnavailable, "did not answer"),
        ({"text": "x" * 5000}, "max_answer: 4000", BackendError, "answered with more than 4,000 bytes"),
        ({}, "auth: {basic: key}", LogonFailed, "partner answered 401"),
    ],
)
async def test_an_answer_that_is_none_is_an_error_and_the_message_was_sent_once(
    partner: Receiver, folder: Path, answer: dict[str, Any], more: str, error: type[BackendError], said: str
) -> None:
    partner.tell("answer", answer)
    receiver = to(partner, more) if "auth" not in more else to(partner, more).replace("auth: {basic: anna}, ", "")
    with pytest.raises(StepFailed, match=said) as caught:
        await sent(folder, receiver, EDIFACT)
    assert isinstance(caught.value.cause, error)
    assert len(partner.tell()["requests"]) == (0 if error is LogonFailed else 1)
    assert "secret" not in str(caught.value)


async def test_a_partner_that_nobody_is_at_is_told_with_the_line(folder: Path) -> None:
    receiver = f"url: 'http://127.0.0.1:9/as2', {OURS}"
    with pytest.raises(StepFailed, match=r"orders\.yaml:6: call: partner cannot be reached"):
        await sent(folder, receiver, EDIFACT)


# -- sessions


CALLS = (
    "- loop: {max: 3, while: 'properties.n < 3', do: [{script: 'flows.adapters.as2.scripts:count'}, {send: partner}]}"
)


@pytest.mark.parametrize(("reuse", "sessions"), [("none", 6), ("on_exchange", 2), ("on_integration_flow", 1)])
async def test_sessions_are_re_used_as_the_setting_says(
    partner: Receiver, folder: Path, reuse: str, sessions: int
) -> None:
    # F1, F2, F5, statement 30
    async with flow(folder, to(partner), steps=CALLS, reuse=reuse) as running:
        for _ in range(2):
            await running.process(Message(body=ORDER))
    assert (partner.authentications, partner.sessions) == (sessions, sessions)
    requests = partner.tell()["requests"]
    assert len(requests) == 6
    assert sum(one["cookie"] is None for one in requests) == sessions
    assert len({one["headers"]["message-id"] for one in requests}) == 6
    assert sum("authorization" in one["headers"] for one in requests) == sessions


async def test_messages_in_parallel_get_their_own_receipts(partner: Receiver, folder: Path) -> None:
    results: dict[int, Message | None] = {}
    async with flow(folder, to(partner, "sign: none"), reuse="on_integration_flow") as running:

        async def one(number: int) -> None:
            results[number] = await running.process(Message(body=f"order {number}"))

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(one, number)
    requests = {one["content"]: one["headers"]["message-id"] for one in partner.tell()["requests"]}
    answered = {f"order {number}": result.headers["as2-message-id"] for number, result in results.items() if result}
    assert answered == requests
    assert partner.authentications == 1
