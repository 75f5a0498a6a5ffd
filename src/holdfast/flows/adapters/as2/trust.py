"""Whose keys a partner's messages are made with, loaded from the files that the settings name."""

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.as2 import keys
from holdfast.flows.adapters.as2.keys import Identity
from holdfast.flows.adapters.as2.message import Manner
from holdfast.flows.adapters.as2.settings import As2
from holdfast.flows.adapters.as2.signing import HASHES, STRONG


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are, whom messages are encrypted for, and by which certificate receipts are verified."""

    me: Identity | None = None
    partner: x509.Certificate | None = None
    receipts_by: x509.Certificate | None = None
    weak: bool = False

    def check(self, now: float) -> None:
        """Raise ConfigurationError if a certificate does not hold now."""
        if self.me is not None:
            keys.check(self.me.certificate, "our own", now=now, weak=self.weak)
        for theirs in (self.partner, self.receipts_by):
            if theirs is not None:
                keys.check(theirs, "the partner's", now=now, weak=self.weak)

    def manner(self, options: As2) -> Manner:
        """Return how messages are wrapped."""
        return Manner(
            hash="sha256" if options.sign == "none" else options.sign,
            mics=tuple(sorted(STRONG if options.receipt == "signed" and not options.weak else HASHES)),
            me=self.me,
            pss=options.pss,
            partner=self.partner,
            encrypt="" if options.encrypt == "none" else options.encrypt,
            oaep=options.oaep,
            compress="" if options.compress == "none" else options.compress,
        )

    @property
    def verifies(self) -> bytes:
        """The certificate that verifies receipts, in DER; empty if they need no signature."""
        return b"" if self.receipts_by is None else self.receipts_by.public_bytes(Encoding.DER)


def load(options: As2, means: Means) -> Trust:
    """Return keys and certificates that hold now. Raises ConfigurationError: which file is wrong, and why."""
    partner = keys.certificate(means.folder, options.partner_certificate) if options.partner_certificate else None
    if partner is not None and options.encrypt != "none":
        keys.check_encrypts(partner)
    other = options.partner_signs_with
    signs_with = keys.certificate(means.folder, other) if other else partner
    trust = Trust(
        me=_identity(options, means),
        partner=partner,
        receipts_by=signs_with if options.receipt == "signed" else None,
        weak=options.weak,
    )
    trust.check(means.clock())
    return trust


def _identity(options: As2, means: Means) -> Identity | None:
    if options.sign == "none":
        return None
    secret = means.credentials(options.passphrase).secret if options.passphrase else ""
    return keys.identity(means.folder, options.key, options.certificate, secret)
