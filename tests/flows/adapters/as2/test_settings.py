"""What is wrong with the settings of an AS2 partner is told with the flow's file and line, before anything is sent."""

from pathlib import Path

import msgspec
import pytest

from flows.adapters.as2.world import OURS, flow
from holdfast.errors import ConfigurationError
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.as2 import As2, As2Adapter
from holdfast.flows.adapters.as2.keys import identity

NAMES = "from: me, to: you"
SIGNS = f"{NAMES}, encrypt: none, receipt: unsigned"
PARTNERS = f"{NAMES}, key: me.key, certificate: me.pem"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        # what does not go together
        (NAMES, "signing needs a `key`.*; encrypting needs a `partner_certificate`.*; a signed receipt needs"),
        (f"{OURS}, sign: sha1", "sha1 can be broken: use another one, or say `weak: true`"),
        (f"{OURS}, sign: sha1, encrypt: 3des", "sha1 and 3des can be broken"),
        (f"{OURS}, receipt_url: 'ftp://x'", "`receipt_url` is an http or https URL"),
        (f"{OURS}, receipt_url: 'http://x', receipt: none", "for receipts that are asked for"),
        (f"{OURS}, wait: 5", "`wait` is for receipts that come to a `receipt_url`"),
        (f"{OURS}, wait: 60, receipt_url: 'http://x'", "`wait` has to be less than `timeout`, which is 60 s"),
        (f"{OURS}, receipt_url: 'http://x/r'", "has to answer at /as2/receipts, and no server runs"),
        # keys and certificates
        (f"{SIGNS}, key: none.key, certificate: me.pem", r"none\.key cannot be read \(FileNotFoundError\)"),
        (f"{SIGNS}, key: '.', certificate: me.pem", r"\. cannot be read \(IsADirectoryError\)"),
        (f"{SIGNS}, key: me.key, certificate: none.pem", r"none\.pem cannot be read"),
        (f"{SIGNS}, key: me.key", "me.key holds no certificate"),
        (f"{SIGNS}, key: me.pem, certificate: me.pem", "me.pem holds no key that can be read without a passphrase"),
        (f"{SIGNS}, key: me.key, certificate: me.key", "me.key holds no certificate"),
        (f"{SIGNS}, key: me.key, certificate: broken.pem", "broken.pem holds no certificate"),
        (f"{SIGNS}, key: me.key, certificate: partner.pem", "certificate in partner.pem does not match the key"),
        (f"{SIGNS}, key: me_locked.key, certificate: me.pem", "the key in me_locked.key needs a passphrase"),
        (f"{SIGNS}, key: me_locked.key, certificate: me.pem, passphrase: other", "or its passphrase is another"),
        (f"{SIGNS}, key: me.key, certificate: me.pem, passphrase: key", "the key in me.key needs no passphrase"),
        (f"{SIGNS}, key: me.p12", "me.p12 holds no key that can be read without a passphrase"),
        (f"{SIGNS}, key: me.p12, passphrase: other", "me.p12 holds no key, or its passphrase is another"),
        (f"{SIGNS}, key: partner.p12, passphrase: key", "partner.p12 holds no key"),
        (f"{SIGNS}, key: me.der, certificate: me.der", "me.der holds no key"),
        (f"{SIGNS}, key: ed.key, certificate: me.pem", "the key in ed.key is neither RSA nor of an elliptic curve"),
        (f"{SIGNS}, key: big.key, certificate: me.pem", "big.key has more than 1,048,576 bytes"),
        (f"{PARTNERS}, partner_certificate: expired.pem", "the partner's certificate expired on 20"),
        (f"{PARTNERS}, partner_certificate: early.pem", "the partner's certificate holds from 20.* only"),
        (f"{PARTNERS}, partner_certificate: short.pem", "the partner's key has 1024 bits"),
        (f"{PARTNERS}, partner_certificate: partner_ec.pem", "has no RSA key: nothing can be encrypted for it"),
        (f"{PARTNERS}, partner_certificate: signs.pem", r"is not for encrypting \(key usage\)"),
        (f"{PARTNERS}, partner_certificate: partner.pem, partner_signs_with: expired.pem", "certificate expired on"),
        # values
        (OURS.replace("from: me", "from: ''"), "expected `str` of length >= 1"),
        (OURS.replace("from: me", "from: 'größe'"), "expected"),
        (f"{OURS}, encrypt: rot13", "invalid enum value 'rot13'"),
        (f"{OURS}, receipt_path: 'receipts'", "expected"),
        (f"{OURS}, keys: me.key", "the key 'keys' is not known here"),
    ],
)
async def test_a_wrong_setting_is_told_with_its_line(folder: Path, settings: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        async with flow(folder, f"url: 'http://x', {settings}"):
            pass
    assert str(caught.value).startswith(f"{folder}/orders.yaml:4: ")
    assert "open sesame" not in f"{caught.value}{caught.value.hint}"


async def test_a_step_that_changes_a_setting_to_a_wrong_one_is_told_with_its_own_line(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"orders\.yaml:6: sha1 can be broken"):
        async with flow(folder, f"url: 'http://x', {OURS}", steps="- call: {receiver: partner, sign: sha1}"):
            pass


def test_nobody_sees_a_key(folder: Path) -> None:
    me = identity(folder, "me.key", "me.pem", "")
    assert repr(me) == "Identity('CN=me')"


async def test_a_receipt_that_comes_later_needs_a_store(folder: Path) -> None:
    settings = {"url": "http://x", "from": "me", "to": "you", "sign": "none", "encrypt": "none", "receipt": "unsigned"}
    options = msgspec.convert({"adapter": "as2", **settings, "receipt_url": "http://x"}, As2)
    with pytest.raises(ConfigurationError, match="a receipt that comes later needs a store"):
        await As2Adapter("partner", options, Means(folder=folder)).prepare()


async def test_what_is_weak_can_be_allowed(folder: Path) -> None:
    ours = f"{PARTNERS}, partner_certificate: short.pem, sign: sha1, encrypt: 3des, weak: true"
    async with flow(folder, f"url: 'http://x', {ours}") as running:
        assert running.flow.name == "orders"
