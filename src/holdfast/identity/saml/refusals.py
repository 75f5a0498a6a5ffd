"""Why a SAML message is refused. Each kind has a code that is safe to show and to count; no text quotes the message.

* SamlRefused
  - SamlMalformed, SamlTooLarge, SamlEncrypted, SamlUndecipherable      it cannot be read, or is not read
  - SamlUnsigned, SamlBadSignature                  nobody vouches for it
  - SamlWrongIssuer, SamlWrongDestination, SamlWrongRecipient, SamlWrongAudience    it is somebody else's
  - SamlUnsolicited, SamlReplayed, SamlOutOfTime, SamlStaleLogon                    it is no answer to us, now
  - SamlStatus, SamlBadAssertion                    it says nothing that helps
* SamlUnavailable                                   we cannot look at it now
"""

from typing import ClassVar

from holdfast.errors import HoldfastError


class SamlRefused(HoldfastError):
    """A message that changes nothing here."""

    code: ClassVar[str] = "saml_refused"
    status: ClassVar[int] = 400
    default_hint: ClassVar[str] = "Start again from the application; if it happens again, ask its administrator."


class SamlMalformed(SamlRefused):
    """It is no XML that is read here, or not the message that belongs here."""

    code = "saml_malformed"


class SamlTooLarge(SamlRefused):
    """It is larger, deeper, or of more parts than any honest message."""

    code = "saml_too_large"
    status = 413


class SamlEncrypted(SamlRefused):
    """A part is encrypted that must not be, in a way that is not accepted, or with no key here to open it."""

    code = "saml_encrypted"
    default_hint = (
        "Let the identity provider encrypt whole assertions alone, by AES-GCM and RSA-OAEP for the key in this site's "
        "metadata, or nothing: TLS protects them."
    )


class SamlUndecipherable(SamlRefused):
    """It is encrypted for somebody else, or was changed on its way."""

    code = "saml_undecipherable"
    default_hint = "Give the identity provider this site's present metadata: it encrypts for the key in them."


class SamlUnsigned(SamlRefused):
    """What had to be signed is not."""

    code = "saml_unsigned"


class SamlBadSignature(SamlRefused):
    """The signature is not the identity provider's, is made over something else, or in a way not accepted."""

    code = "saml_bad_signature"


class SamlWrongIssuer(SamlRefused):
    """It comes from a party that is not known here, or not from the one that was asked."""

    code = "saml_wrong_issuer"


class SamlWrongDestination(SamlRefused):
    """It was sent to another address."""

    code = "saml_wrong_destination"


class SamlWrongRecipient(SamlRefused):
    """The assertion may be presented at another address only."""

    code = "saml_wrong_recipient"


class SamlWrongAudience(SamlRefused):
    """The assertion is meant for others."""

    code = "saml_wrong_audience"


class SamlUnsolicited(SamlRefused):
    """It answers no request that this browser has open."""

    code = "saml_unsolicited"


class SamlReplayed(SamlRefused):
    """It has been here before."""

    code = "saml_replayed"


class SamlOutOfTime(SamlRefused):
    """It is too old, or not valid yet."""

    code = "saml_out_of_time"
    default_hint = "Start again; if it happens again, the clocks of the two systems differ."


class SamlStaleLogon(SamlRefused):
    """A fresh logon was demanded, and an old one came (R29)."""

    code = "saml_stale_logon"


class SamlStatus(SamlRefused):
    """The identity provider says that it has not done what was asked."""

    code = "saml_status"
    status = 403
    default_hint = "Ask the identity provider's administrator; the message names the status it gave."


class SamlBadAssertion(SamlRefused):
    """The assertion, or the number of them, is not what the profile asks for."""

    code = "saml_bad_assertion"


class SamlUnavailable(HoldfastError):
    """More messages come in than are verified, or the other side cannot be reached or is not known at the moment."""

    code = "saml_unavailable"
    status = 503
    default_hint = "Try again in a few seconds."
