"""The adapter `as2`: sends a message to a partner and gets a receipt for it (RFC 4130).

The message is compressed, signed and encrypted as the settings say. The answer's body is the receipt as it came; its
headers are `as2-message-id` and `as2-mic`, and those of a receipt have `as2-disposition`. A receipt that does not prove
that the partner has processed just what was sent is an error.
"""

import re
import uuid
from email.utils import formatdate

import anyio.to_thread
import httpx2

from holdfast.errors import BackendError, BadInput, ConfigurationError, LogonFailed
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.as2 import mime
from holdfast.flows.adapters.as2.awaited import Awaited, arrived
from holdfast.flows.adapters.as2.message import Made, make
from holdfast.flows.adapters.as2.receipts import MOST_BYTES, Expected, Receipt, authenticate, judge, read
from holdfast.flows.adapters.as2.settings import As2, contradictions
from holdfast.flows.adapters.as2.trust import Trust, load
from holdfast.flows.adapters.ids import message_id
from holdfast.flows.adapters.sending import Answer, Sending, merged
from holdfast.flows.content import decoded, encoded
from holdfast.flows.expressions import render
from holdfast.flows.failures import BadReceipt, CallRefused, NotCarriedOut
from holdfast.flows.message import Message
from holdfast.flows.serving.paths import Asked, Place, Told


class As2Adapter(Sending):
    """Sends messages to one partner."""

    def __init__(self, name: str, options: As2, means: Means) -> None:
        super().__init__(name, options, means)
        self._options = options
        if wrong := list(contradictions(options)):
            raise ConfigurationError("; ".join(wrong))
        self._trust = Trust()
        self._manner = self._trust.manner(options)

    async def prepare(self) -> None:
        """Load keys and certificates, and be where receipts are sent to."""
        self._trust = await anyio.to_thread.run_sync(load, self._options, self._means)
        self._manner = self._trust.manner(self._options)
        if self._options.receipt_url:
            self._listen()

    def _listen(self) -> None:
        manager = self._means.manager
        if manager is None:
            raise ConfigurationError("a receipt that comes later needs a store", hint="Leave `receipt_url` out.")

        async def answer(asked: Asked) -> Told:
            await arrived(manager, asked.headers, asked.body)
            return Told(200)

        place = Place(answer=answer, owner="AS2 receipts", anonymous=True, max_body=MOST_BYTES)
        self._means.paths.offer(self._options.receipt_path, place)

    async def call(self, message: Message, session: httpx2.AsyncClient, delivery: uuid.UUID) -> Message:
        """Send the message and return the receipt, or what the partner answered if none comes with the answer."""
        self._trust.check(self._means.clock())
        made = await anyio.to_thread.run_sync(self._make, message)
        expected = Expected(
            message_id=self._id(message, delivery),
            mics=made.mics,
            certificate=self._trust.verifies,
            weak=self._options.weak,
            warnings=self._options.accept_warnings,
        )
        if self._options.receipt_url:
            return await self._deferred(message, session, made, expected)
        answer = await self._post(message, session, made, expected.message_id)
        if self._options.receipt == "none":
            return _result(message, expected, answer)
        receipt = _in_the(answer)
        authenticate(expected, receipt)
        return _judged(message, expected, receipt)

    async def _deferred(self, message: Message, session: httpx2.AsyncClient, made: Made, expected: Expected) -> Message:
        """Send the message, and wait for its receipt if settings say so. What was processed is not sent again."""
        manager, options = self._means.manager, self._options
        assert manager is not None  # noqa: S101 - see `_listen`
        awaited = Awaited(manager, expected.message_id)
        before = await awaited.begin(self.channel.name, expected, options.receipt_within)
        if before is not None:
            return _result(message, expected, before)
        try:
            answer = await self._post(message, session, made, expected.message_id)
        except (CallRefused, NotCarriedOut, LogonFailed):
            await awaited.forget()
            raise
        if not options.wait:
            return _result(message, expected, answer)
        return _judged(message, expected, await awaited.wait(options.wait))

    def _id(self, message: Message, delivery: uuid.UUID) -> str:
        """Return the Message-ID: the same whenever the message is sent again (RFC 5322 §3.6.4)."""
        right = re.sub(r"[^A-Za-z0-9-]+", "-", self._options.from_).strip("-")
        return f"<{message_id(self._options.message_id, message, delivery)}@{right or 'as2'}>"

    def _make(self, message: Message) -> Made:
        options, names = self._options, message.names
        content, media = encoded(message)
        if content is None:
            raise BadInput("a message without a body cannot be sent by AS2")
        media = render(options.content_type, names) or media
        inner = mime.payload(content, media, render(options.filename, names))
        return make(self._manner, inner, now=self._means.clock())

    async def _post(self, message: Message, session: httpx2.AsyncClient, made: Made, sent_as: str) -> Answer:
        options = self._options
        own = {
            "AS2-Version": "1.2",
            "AS2-From": mime.as2_name(options.from_),
            "AS2-To": mime.as2_name(options.to),
            "Message-ID": sent_as,
            "Date": formatdate(self._means.clock(), usegmt=True),
            "MIME-Version": "1.0",
        }
        if subject := render(options.subject, message.names):
            own["Subject"] = mime.subject(subject)
        of_the_content = {name: value for name, value in made.entity.headers.items() if name not in mime.BINARY}
        headers = merged(of_the_content, own, self._asked_for(), self.authorization(message))
        url = render(options.url, message.names, in_url=True)
        return self.succeeded(await self.send(session, "POST", url, headers, made.entity.content))

    def _asked_for(self) -> dict[str, str]:
        """Return the headers that ask for a receipt (RFC 4130 §7.3)."""
        options = self._options
        if options.receipt == "none":
            return {}
        asked = {"Disposition-Notification-To": mime.as2_name(options.from_)}
        micalg = f"signed-receipt-micalg=optional, {self._manner.micalg}"
        if options.receipt == "signed":
            protocol = "signed-receipt-protocol=optional, pkcs7-signature"
            asked["Disposition-Notification-Options"] = f"{protocol}; {micalg}"
        if options.receipt_url:
            asked["Receipt-Delivery-Option"] = options.receipt_url
        return asked


def _in_the(answer: Answer) -> Receipt:
    """Return the receipt that an answer is. Raises BadReceipt."""
    if not answer.content:
        raise BadReceipt("the partner sent no receipt")
    return read(answer.headers, answer.content)


def _judged(message: Message, expected: Expected, receipt: Receipt) -> Message:
    """Return what an authentic receipt makes of the message. Raises BadReceipt, DispositionRefused."""
    judge(expected, receipt)
    return _result(message, expected, receipt)


def _result(message: Message, expected: Expected, came: Answer | Receipt) -> Message:
    told = {"as2-message-id": expected.message_id, "as2-mic": expected.mics[0]}
    if isinstance(came, Receipt):
        told |= {"as2-disposition": came.disposition, "content-type": came.content_type}
        return message.changed(headers=told, body=came.content)
    try:
        body = decoded(came.content, came.headers.get("content-type", ""))
    except ValueError as exc:
        raise BackendError(f"the partner's answer makes no sense: {exc}") from exc
    return message.changed(headers={**came.told, **told, "http-status": came.status}, body=body)
