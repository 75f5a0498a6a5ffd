"""Encrypted assertions, opened with our own keys (Core §2.3.4, XML Encryption 1.1); the primitives are cryptography's.

AES-GCM and RSA-OAEP alone. CBC and PKCS#1 v1.5 are refused before anything is computed: whoever may ask often enough
whether a changed message makes sense reads what they protect (Jager and Somorovsky 2011, Bleichenbacher 1998). What
cannot be opened is refused in one way, whatever is wrong with it. An encrypted assertion is believed no more than a
plain one: anybody can encrypt for us.
"""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from itertools import product
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.identity.saml.names import DSIG, XENC, XENC11, ds, xenc
from holdfast.identity.saml.refusals import SamlEncrypted, SamlMalformed, SamlUndecipherable
from holdfast.identity.saml.xml import Element, children, only, optional, parse

CONTENT: Final = {XENC11 + "aes128-gcm": 16, XENC11 + "aes192-gcm": 24, XENC11 + "aes256-gcm": 32}
TRANSPORT: Final = frozenset({XENC + "rsa-oaep-mgf1p", XENC11 + "rsa-oaep"})
DIGESTS: Final[dict[str, type[hashes.HashAlgorithm]]] = {
    DSIG + "sha1": hashes.SHA1,  # of OAEP it is as good as any, and what goes without saying
    XENC + "sha256": hashes.SHA256,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": hashes.SHA384,
    XENC + "sha512": hashes.SHA512,
}
MASKS: Final[dict[str, type[hashes.HashAlgorithm]]] = {
    XENC11 + "mgf1sha1": hashes.SHA1,
    XENC11 + "mgf1sha256": hashes.SHA256,
    XENC11 + "mgf1sha384": hashes.SHA384,
    XENC11 + "mgf1sha512": hashes.SHA512,
}
MOST_WRAPPED: Final = 4  # copies of the key, each for another recipient
NONCE_BYTES: Final = 12  # XML Encryption 1.1 §5.2.4


def decrypted(element: Element, keys: Sequence[RSAPrivateKey]) -> Element:
    """Return what an element such as EncryptedAssertion holds, as a document of its own.

    Raises:
        SamlEncrypted: It is encrypted in a way that is not accepted, or there is no key here.
        SamlUndecipherable: None of our keys opens it, or it was changed on its way.
        SamlMalformed, SamlTooLarge: What is in it cannot be read.
    """
    if not keys:
        raise SamlEncrypted("the assertion is encrypted, and this site has no key to open it")
    data = only(element, xenc("EncryptedData"))
    length = CONTENT.get(_algorithm(data))
    if length is None:
        raise SamlEncrypted("the assertion is encrypted by an algorithm that is not accepted")
    sealed = _value(data)
    wrapped = [(_value(one), _padding(one)) for one in _encrypted_keys(element, data)]
    for (secret, padding), key in product(wrapped, keys):
        plain = _opened(sealed, secret, padding, key, length)
        if plain is not None:
            return parse(plain)
    raise SamlUndecipherable("no key of this site opens the assertion")


def _encrypted_keys(element: Element, data: Element) -> list[Element]:
    """Return the copies of the key, which stand in the data's KeyInfo or beside the data."""
    info = optional(data, ds("KeyInfo"))
    inside = [] if info is None else children(info, xenc("EncryptedKey"))
    found = [*inside, *children(element, xenc("EncryptedKey"))]
    if not 0 < len(found) <= MOST_WRAPPED:
        raise SamlMalformed(f"the assertion comes with {len(found)} keys; 1 to {MOST_WRAPPED} are read")
    return found


def _algorithm(element: Element) -> str:
    return only(element, xenc("EncryptionMethod")).get("Algorithm", "")


def _padding(encrypted_key: Element) -> OAEP:
    method = only(encrypted_key, xenc("EncryptionMethod"))
    digest, mask = optional(method, ds("DigestMethod")), optional(method, f"{{{XENC11}}}MGF")
    hashed = DIGESTS.get(DSIG + "sha1" if digest is None else digest.get("Algorithm", ""))
    masked = MASKS.get(XENC11 + "mgf1sha1" if mask is None else mask.get("Algorithm", ""))
    plain = method.get("Algorithm") in TRANSPORT and not children(method, xenc("OAEPparams"))
    if not plain or hashed is None or masked is None:
        raise SamlEncrypted("the assertion's key is encrypted by an algorithm that is not accepted")
    return OAEP(MGF1(masked()), hashed(), None)


def _value(element: Element) -> bytes:
    value = only(only(element, xenc("CipherData")), xenc("CipherValue"))
    try:
        return b64decode("".join((value.text or "").split()), validate=True)
    except (ValueError, binascii.Error):
        raise SamlMalformed("what is encrypted is not in base64") from None


def _opened(sealed: bytes, secret: bytes, padding: OAEP, key: RSAPrivateKey, length: int) -> bytes | None:
    """Return what is in it; None for whatever reason it does not open."""
    try:
        content_key = key.decrypt(secret, padding)
        if len(content_key) != length:
            return None
        return AESGCM(content_key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
    except (ValueError, InvalidTag):
        return None
