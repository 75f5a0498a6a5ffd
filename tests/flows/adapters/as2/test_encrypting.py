"""What is encrypted is decrypted by openssl, and by `cryptography` as far as it can."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import pkcs7_decrypt_der

from flows.adapters.as2.world import openssl
from holdfast.flows.adapters.as2.encrypting import ENCRYPTIONS, encrypt

CONTENTS = (b"", b"a" * 16, b"Content-Type: text/plain\r\n\r\nhello\nworld\0\xff", b"x" * 100_000)


def partner(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "partner.pem").read_bytes())


@pytest.mark.parametrize("oaep", [False, True])
@pytest.mark.parametrize("how", ENCRYPTIONS)
def test_openssl_decrypts_what_is_encrypted(folder: Path, how: str, oaep: bool) -> None:
    # F16
    for content in CONTENTS[1:]:
        encrypted = encrypt(content, partner(folder), how=how, oaep=oaep)
        arguments = ("-decrypt", "-binary", "-inform", "DER", "-recip", "partner.pem", "-inkey", "partner.key")
        assert openssl(folder, *arguments, data=encrypted) == content
        assert content not in encrypted


@pytest.mark.parametrize("how", ["aes128-cbc", "aes256-cbc"])
def test_another_library_decrypts_it_too(folder: Path, how: str) -> None:
    key = load_pem_private_key((folder / "partner.key").read_bytes(), None)
    for content in CONTENTS:
        encrypted = encrypt(content, partner(folder), how=how, oaep=False)
        assert pkcs7_decrypt_der(encrypted, partner(folder), key, []) == content  # type: ignore[arg-type]


def test_no_two_messages_are_encrypted_alike(folder: Path) -> None:
    for how in ENCRYPTIONS:
        assert encrypt(b"a", partner(folder), how=how, oaep=False) != encrypt(
            b"a", partner(folder), how=how, oaep=False
        )


def test_nothing_is_encrypted_for_a_key_that_is_not_of_rsa(folder: Path) -> None:
    curve = x509.load_pem_x509_certificate((folder / "partner_ec.pem").read_bytes())
    with pytest.raises(TypeError, match="without an RSA key"):
        encrypt(b"a", curve, how="aes256-cbc", oaep=False)
