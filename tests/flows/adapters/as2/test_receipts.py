"""What a receipt has to be over the wire (RFC 4130 §7): the partner's, for this message, of this content."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e.flows_world import Receiver
from flows.adapters.as2.test_adapter import EDIFACT, to
from flows.adapters.as2.world import sent
from holdfast.flows.adapters.as2.compressing import compress
from holdfast.flows.adapters.as2.receipts import MOST_BYTES, Expected, Receipt, authenticate, judge, read
from holdfast.flows.failures import BadReceipt, DispositionRefused
from holdfast.flows.runtime import Message, StepFailed

OTHER = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
PKCS7 = "application/pkcs7-mime; smime-type="
BARE = "multipart/report; report-type=disposition-notification; boundary=b"
NOTE = "--b\r\nContent-Type: message/disposition-notification\r\n\r\n"
CURVE = "partner_signs_with: partner_ec.pem"


async def refused(partner: Receiver, folder: Path, answer: dict[str, Any], more: str = "") -> StepFailed:
    """Return how a message fails that is answered like this; it has been sent once."""
    partner.tell("answer", answer)
    with pytest.raises(StepFailed) as caught:
        await sent(folder, to(partner, more), EDIFACT)
    assert len(partner.tell()["requests"]) == 1
    return caught.value


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"mic": f"{OTHER}, sha-256"}, "the partner got another content than was sent"),
        ({"mic": f"{OTHER}, sha1"}, "the receipt is by sha1, not by sha-256"),
        ({"mic": f"{OTHER}, sha-512"}, "the partner got another content than was sent"),
        ({"micalg": "sha1"}, "the receipt is by sha1, not by sha-256"),
        ({"mic": OTHER}, "the receipt is by no named hash, not by sha-256"),
        ({"mic": ""}, "the receipt does not say which content came"),
        ({"id": "<another@you>"}, "the receipt is for another message"),
        ({"id": ""}, "the receipt is for another message"),
        ({"signer": ""}, "the receipt is not signed; it says: automatic-action/MDN-sent-automatically; processed"),
        ({"signer": "other"}, "not the partner's: it is signed by somebody else than the partner's certificate says"),
        ({"signer": "partner_ec"}, "it is signed by somebody else"),
        ({"change": ["processed", "processeD"]}, "not the partner's: the content is another than what was signed"),
        ({"digest": "sha1"}, "the hash sha1 is not allowed"),
        ({"digest": "md5"}, r"the hash 1\.2\.840\.113549\.2\.5 is not allowed"),
        ({"options": ["-noattr"]}, "its signed attributes do not say"),
        ({"options": ["-nodetach"]}, "the signature is not detached"),
        ({"raw": ["text/plain", ""]}, "the partner sent no receipt"),
        ({"raw": ["text/html", "<p>thanks</p>"]}, "what came instead of a receipt: it is 'text/html', no report"),
        ({"raw": ["multipart/report", "--x"]}, "it names no boundary"),
        ({"raw": [BARE, "--b\r\n\r\nfine\r\n--b--"]}, "a report without one disposition notification"),
        ({"raw": [BARE, "--b\r\n\r\nfine\r\n"]}, "it has no end"),
        ({"raw": [BARE, f"{NOTE}Original-Message-ID: <1@me>\r\n\r\n--b--"]}, "a notification without a disposition"),
        ({"raw": ["multipart/signed; boundary=b", "--b\r\n\r\nfine\r\n--b--"]}, "a signed receipt has not two parts"),
        ({"raw": [f"{PKCS7}enveloped-data", "?"]}, "it is 'application/pkcs7-mime', no report"),
        ({"raw": [f"{PKCS7}compressed-data", "?"]}, "what came instead of a receipt"),
    ],
)
async def test_a_receipt_that_proves_nothing_is_an_error(
    partner: Receiver, folder: Path, answer: dict[str, Any], said: str
) -> None:
    failure = await refused(partner, folder, answer)
    assert isinstance(failure.cause, BadReceipt)
    assert failure.cause.code == "as2_receipt"
    assert str(failure).startswith(f"{folder}/orders.yaml:6: call: ")
    assert re.search(said, str(failure))


async def test_a_compressed_receipt_is_read_but_no_bomb(partner: Receiver, folder: Path) -> None:
    bomb = compress(b"a" * (MOST_BYTES + 1))
    assert len(bomb) < 1000
    failure = await refused(partner, folder, {"raw": [f"{PKCS7}compressed-data", bomb.decode("latin-1")]})
    assert "it has more than 262,144 bytes when it is no more compressed" in str(failure)
    inner = f"Content-Type: {BARE}\r\n\r\n{NOTE}Original-Message-ID: <1@me>\r\nDisposition: x; processed\r\n--b--"
    receipt = read({"content-type": f"{PKCS7}compressed-data"}, compress(inner.encode()))
    assert (receipt.message_id, receipt.disposition) == ("<1@me>", "x; processed")
    layers = compress(f"Content-Type: {PKCS7}compressed-data\r\n\r\n".encode() + compress(b"a"))
    for _ in range(3):
        layers = compress(f"Content-Type: {PKCS7}compressed-data\r\n\r\n".encode() + layers)
    with pytest.raises(BadReceipt, match="too many layers"):
        read({"content-type": f"{PKCS7}compressed-data"}, layers)


@pytest.mark.parametrize(
    ("disposition", "more"),
    [
        ("processed/error: authentication-failed", ""),
        ("processed/Error: decryption-failed", ""),
        ("processed/failure: unsupported MIC-algorithms", ""),
        ("failed/failure: unsupported format", ""),
        ("failed", ""),
        ("processed/warning: authentication-failed, processing continued", ""),
        ("processed/error: unknown-trading-relationship", "accept_warnings: true"),
        ("dispatched", ""),
    ],
)
async def test_a_partner_that_did_not_process_the_message_is_told_with_its_words(
    partner: Receiver, folder: Path, disposition: str, more: str
) -> None:
    failure = await refused(partner, folder, {"disposition": disposition, "text": "Ask Bert."}, more)
    assert isinstance(failure.cause, DispositionRefused)
    assert (failure.cause.code, failure.cause.disposition) == ("as2_disposition", disposition)
    assert str(failure).endswith(f"the partner did not process the message: {disposition} (Ask Bert.)")


async def test_a_flow_can_go_on_after_a_refusal(partner: Receiver, folder: Path) -> None:
    partner.tell("answer", {"disposition": "failed/failure: no space"})
    steps = "- try: {do: [{call: partner}], on_error: [{modify: {body: '${properties.error.code}'}}]}"
    assert (await sent(folder, to(partner), EDIFACT, steps=steps)).body == "as2_disposition"


@pytest.mark.parametrize(
    ("answer", "more"),
    [
        ({"disposition": "processed/warning: duplicate-document"}, ""),
        ({"disposition": "processed/Warning: duplicate-document", "mic": ""}, ""),
        ({"disposition": "processed/warning: authentication-failed"}, "accept_warnings: true"),
        ({"digest": "sha1"}, "weak: true"),
        ({"digest": "sha384"}, ""),
        ({"digest": "sha512"}, "sign: sha512"),
        ({"options": ["-keyopt", "rsa_padding_mode:pss"]}, ""),
        ({"options": ["-keyid"]}, ""),
        ({"ber": True}, ""),
        ({"extra": True}, ""),
        ({"micalg": "sha-512"}, ""),
        ({"micalg": "sha1"}, "weak: true"),
        ({"micalg": "sha1"}, "receipt: unsigned"),
        ({"bare": True}, ""),
        ({"options": ["-nocerts"]}, ""),
        ({"signer": "partner_ec"}, CURVE),
        ({"signer": "partner_ec", "digest": "sha512"}, CURVE),
        ({"signer": "", "mic": ""}, "receipt: unsigned"),
    ],
)
async def test_a_receipt_that_says_processed_is_taken(
    partner: Receiver, folder: Path, answer: dict[str, Any], more: str
) -> None:
    # F16: signed by openssl, with RSA, PSS and a curve, in DER and in BER
    partner.tell("answer", answer)
    result = await sent(folder, to(partner, more), EDIFACT)
    assert "processed" in result.headers["as2-disposition"]


async def test_an_unsigned_receipt_has_to_fit_as_well(partner: Receiver, folder: Path) -> None:
    failure = await refused(partner, folder, {"mic": f"{OTHER}, sha-256"}, "receipt: unsigned")
    assert isinstance(failure.cause, BadReceipt)


async def test_a_receipt_of_an_earlier_message_is_not_taken_for_another(partner: Receiver, folder: Path) -> None:
    first = await sent(folder, to(partner), Message(body="1"))
    replayed = {"raw": [first.headers["content-type"], first.body.decode("latin-1")]}
    partner.tell("answer", replayed)
    with pytest.raises(StepFailed, match="the receipt is for another message"):
        await sent(folder, to(partner), Message(body="1"))


@pytest.mark.parametrize("mic", ["abc=, SHA256", "abc=, sha-256", "a bc=,Sha-256", "abc=,sha256"])
def test_a_mic_is_compared_however_its_hash_is_written(mic: str) -> None:
    expected = Expected(message_id="<1@me>", mics=("abc=, sha-256",))
    receipt = Receipt("<1@me>", "automatic-action/MDN-sent-automatically;processed", mic)
    authenticate(expected, receipt)
    judge(expected, receipt)


LINES = [b"--b", b"--b--", b"\r\n", b"\r\n\r\n", b": "]
WORDS = [*LINES, b"Content-Type: ", BARE.encode(), b"multipart/signed; boundary=b"]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([BARE, "multipart/signed; boundary=b", f"{PKCS7}compressed-data", "", "multipart/report"]),
    st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=20)), max_size=30),
)
def test_nothing_that_comes_instead_of_a_receipt_does_harm(kind: str, pieces: list[bytes]) -> None:
    expected = Expected(message_id="<1@me>", mics=("abc=, sha-256",))
    with pytest.raises(BadReceipt):
        authenticate(expected, read({"Content-Type": kind}, b"".join(pieces)))
