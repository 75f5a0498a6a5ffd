"""What a flow says of an AS2 partner."""

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from holdfast.flows.parts import URL, Positive, Receiver, Seconds
from holdfast.flows.serving.paths import PATH

Hash = Literal["sha256", "sha384", "sha512", "sha1"]
Encryption = Literal["none", "aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-gcm", "aes192-gcm", "aes256-gcm", "3des"]
Party = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[ -~]+$", description="RFC 4130 §6.2")]
WEAK: Final = ("sha1", "3des")


class As2(Receiver, frozen=True, kw_only=True, tag_field="adapter", tag="as2"):
    """A partner that takes messages by AS2. Files are PEM, DER or PKCS#12, relative to the flow's file.

    Args:
        from_: Our name, `from` in YAML.
        to: The partner's.
        key: File of our key.
        certificate: File of our certificate, if it is not with the key.
        passphrase: Name of the credential whose secret opens the key.
        partner_certificate: File of the partner's certificate: encrypts for it, and its receipts are verified by it.
        partner_signs_with: Another certificate by which its receipts are verified.
        sign: The hash of the signature, and of the MIC; `none` signs nothing and the MIC is by SHA-256.
        pss: The signature has PSS padding.
        encrypt: The cipher.
        oaep: The cipher's key goes with OAEP padding (SHA-256).
        compress: Before or after signing.
        weak: SHA-1, Triple DES and RSA keys of less than 2048 bits may be used.
        content_type: Of the content (template); the message's own, if it does not say.
        filename: Of the content (template).
        subject: Of the message (template).
        message_id: What the Message-ID is made of (template), so that it is the same whenever the sender repeats.
        receipt: Whether the partner is asked for one, which then has to come.
        receipt_url: Where the partner sends it; without it, it comes in the answer.
        receipt_path: Where `holdfast serve` takes it, below the prefix of flows.
        receipt_within: Seconds after which one that is missing is told.
        wait: Seconds for which a call waits for it; without it, the log tells of it.
        accept_warnings: Processed with a warning is processed.
    """

    from_: Party = field(name="from")
    to: Party
    key: str = ""
    certificate: str = ""
    passphrase: str = ""
    partner_certificate: str = ""
    partner_signs_with: str = ""
    sign: Hash | Literal["none"] = "sha256"
    pss: bool = False
    encrypt: Encryption = "aes256-cbc"
    oaep: bool = False
    compress: Literal["none", "before_signing", "after_signing"] = "none"
    weak: bool = False
    content_type: str = ""
    filename: str = ""
    subject: str = ""
    message_id: str = ""
    receipt: Literal["signed", "unsigned", "none"] = "signed"
    receipt_url: str = ""
    receipt_path: Annotated[str, Meta(pattern=PATH)] = "/as2/receipts"
    receipt_within: Seconds = 86_400.0
    wait: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    accept_warnings: bool = False
    max_answer: Positive = 1024 * 1024


def contradictions(options: As2) -> Iterator[str]:
    """Return what does not go together in the settings."""
    weak = [name for name in (options.sign, options.encrypt) if name in WEAK]
    if weak and not options.weak:
        yield f"{' and '.join(weak)} can be broken: use another one, or say `weak: true`"
    if options.sign != "none" and not options.key:
        yield "signing needs a `key` and its `certificate`; `sign: none` does not sign"
    if options.encrypt != "none" and not options.partner_certificate:
        yield "encrypting needs a `partner_certificate`; `encrypt: none` does not encrypt"
    if options.receipt == "signed" and not (options.partner_certificate or options.partner_signs_with):
        yield "a signed receipt needs a `partner_certificate`; `receipt: unsigned` believes any"
    if options.receipt_url and (options.receipt == "none" or not re.match(URL, options.receipt_url)):
        yield "`receipt_url` is an http or https URL, for receipts that are asked for"
    if options.wait and not options.receipt_url:
        yield "`wait` is for receipts that come to a `receipt_url`"
    if options.wait >= options.timeout:
        yield f"`wait` has to be less than `timeout`, which is {options.timeout:g} s"
