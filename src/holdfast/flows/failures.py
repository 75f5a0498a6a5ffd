"""What can go wrong with a message.

* StepFailed           where it failed, and the `cause`: one of those below or of `holdfast.errors`
* ScriptFailed         the script raised, or did not come to an end
* LoopTooLong          a loop reached its `max` and would have gone on
* CertificateRefused   the receiver's certificate is not trusted: nothing was sent
* CallRefused          the receiver answered 300 or more; `answer` is what it said
  - SoapFault          it answered with a SOAP fault, which has a `fault` code, a `text` and a `detail`
  - XiError            an integration engine answered with an error of the XI protocol
* DispositionRefused   an AS2 partner's receipt says that it did not process the message; `disposition` is how
* BadReceipt           no receipt came from an AS2 partner, or one that proves nothing
* Unavailable          the receiver did not serve the call, though something may have happened there
  - NotCarriedOut      nothing has: the call may be sent again
"""

from typing import Any

from holdfast.errors import BackendError, BackendUnavailable, HoldfastError


class StepFailed(HoldfastError):
    """A step failed: `place` is its file and line, or its path in a flow that was made in Python."""

    code = "step_failed"
    status = 502

    def __init__(self, place: str, kind: str, cause: HoldfastError) -> None:
        super().__init__(f"{place}: {kind}: {cause}", hint=cause.hint)
        self.place, self.kind, self.cause = place, kind, cause


class ScriptFailed(HoldfastError):
    """A script raised, or did not come to an end in time."""

    code = "script_failed"
    default_hint = "Correct the script where the message says."


class LoopTooLong(HoldfastError):
    """A loop has had all the rounds it may have, and its condition still holds."""

    code = "loop_too_long"
    default_hint = "See why its condition stays true, or raise `max`."


class CallRefused(BackendError):
    """A receiver answered with an error; `answer` is its body."""

    code = "call_refused"

    def __init__(self, message: str, *, http_status: int, answer: object = None) -> None:
        super().__init__(message)
        self.http_status, self.answer = http_status, answer

    @property
    def facts(self) -> dict[str, Any]:
        """What a step `try` tells of it in `properties.error`, besides code and text."""
        return {"http_status": self.http_status, "answer": self.answer}


class SoapFault(CallRefused):
    """A receiver answered with a SOAP fault: the local part of its code is `fault`, `detail` is XML, `answer` too."""

    code = "soap_fault"

    def __init__(self, name: str, fault: str, text: str, *, detail: str = "", http_status: int = 500) -> None:
        self.said = f"{text or 'no reason'} ({fault or 'no code'})"
        super().__init__(f"{name} answered with a fault: {self.said}", http_status=http_status, answer=detail)
        self.fault, self.text, self.detail = fault.rpartition(":")[2], text, detail

    @property
    def facts(self) -> dict[str, Any]:
        """The same, with what the fault says."""
        return {**super().facts, "faultcode": self.fault, "faultstring": self.text}


class DispositionRefused(BackendError):
    """An AS2 partner's receipt says that it did not process the message (RFC 4130 §7.5)."""

    code = "as2_disposition"

    def __init__(self, disposition: str, text: str = "") -> None:
        super().__init__(f"the partner did not process the message: {disposition}{f' ({text})' if text else ''}")
        self.disposition, self.text = disposition, text


class BadReceipt(BackendError):
    """No receipt came from an AS2 partner, or one that proves nothing: what became of the message is not known."""

    code = "as2_receipt"
    default_hint = "Ask the partner whether the message came; sent again, it has the same Message-ID."


class XiError(CallRefused):
    """An integration engine answered with an error, such as XIProxy, ABAP, INTERFACE_SIGNATURE_ERROR.

    Args:
        category: Whose error it is: XIServer, XIProxy, Application and others.
        area: What the code is one of.
        fault: The code.
        text: What the engine says of it.
        parameters: P1 to P4: what the code's text speaks of.
        answer: What the application says, in its own words, if it is an application's error; else the error's XML.
    """

    code = "xi_error"

    def __init__(
        self,
        name: str,
        *,
        category: str,
        area: str,
        fault: str,
        text: str,
        parameters: tuple[str, ...],
        http_status: int,
        answer: str,
    ) -> None:
        what = ".".join(part for part in (category, area, fault) if part)
        self.said = f"{text or 'no reason'} ({what or 'no code'})"
        super().__init__(f"{name} answered with an error: {self.said}", http_status=http_status, answer=answer)
        self.category, self.area, self.fault, self.text, self.parameters = category, area, fault, text, parameters


class CertificateRefused(BackendError):
    """Whoever answers for the receiver has a certificate that is not trusted."""

    code = "certificate"
    default_hint = "Check the receiver's certificate, and its URL; SSL_CERT_FILE names a file of authorities to trust."


class Unavailable(BackendUnavailable):
    """The receiver did not serve the call, perhaps having begun; it asks for `retry_after` seconds, if it says."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotCarriedOut(Unavailable):
    """The call has not reached the receiver, or was turned away unread."""
