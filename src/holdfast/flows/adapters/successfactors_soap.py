"""The adapter `successfactors_soap`: queries and changes by SFAPI.

    hr: {adapter: successfactors_soap, url: https://api4.successfactors.com/sfapi/v1/soap, company: ACME,
         auth: {basic: sf-user}, query: "SELECT id, firstName FROM User WHERE lastName = '${body.name}'"}

A query makes the body the list of its rows. The other operations take a list of objects, or one, as mappings, and make
the body the list of what has become of each.
"""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import httpx2

from holdfast.errors import BadInput, ConfigurationError
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.envelope import Element
from holdfast.flows.adapters.sfapi import NAMESPACE, Row, Sfapi, SfapiSending, elements, make, values
from holdfast.flows.failures import CallRefused
from holdfast.flows.message import Message

HARMLESS_TWICE: Final = frozenset({"query", "update", "upsert"})
SHOWN: Final = 3


class SuccessFactorsSoap(Sfapi, frozen=True, kw_only=True, tag_field="adapter", tag="successfactors_soap"):
    """A receiver that is called by SFAPI. Calls are repeatable but for `insert` and `delete`.

    Args:
        query: In SFQL (template). What is put in stands between quotes of the query, and may hold none itself.
        object: The entity whose objects are changed.
        accept_errors: Objects that were not changed are no error: the body says it of each.
    """

    operation: Literal["query", "insert", "update", "upsert", "delete"] = "query"
    query: str = ""
    object: str = ""
    accept_errors: bool = False


class SuccessFactorsSoapAdapter(SfapiSending):
    """Queries and changes. Raises ConfigurationError: the operation lacks what it is about."""

    def __init__(self, name: str, options: SuccessFactorsSoap, means: Means) -> None:
        super().__init__(name, options, means)
        self._options = options

    async def prepare(self) -> None:
        """Look whether there is something to ask for."""
        needed = "query" if self._options.operation == "query" else "object"
        if not getattr(self._options, needed):
            raise ConfigurationError(f"the operation `{self._options.operation}` needs `{needed}`")

    def safe(self, message: Message) -> bool:
        """Say it of the operation."""
        return self._options.operation in HARMLESS_TWICE

    async def call(self, message: Message, session: httpx2.AsyncClient, delivery: uuid.UUID) -> Message:
        """Make the query, or the changes, and return what comes of it."""
        if self._options.operation == "query":
            pages = self.rows(self._options.query, message, session)
            return message.changed(body=[row async for page in pages for row in page])
        changed: list[Row] = []
        for batch in self._batches(message.body):
            changed += await self._change(batch, message, session, len(changed))
        return message.changed(body=changed)

    async def _change(
        self, batch: list[Element], message: Message, session: httpx2.AsyncClient, before: int
    ) -> list[Row]:
        """Return what has become of these objects, `before` having been changed by calls before."""
        options = self._options
        parameters = self.parameters(**options.parameters)
        for parameter in parameters:
            parameter.tag = f"{{{NAMESPACE}}}processingParam"
        content = make(options.operation, make.type(options.object), *batch, *parameters)
        result = await self.result(content, message, session)
        told = values(result)
        results = [values(found) for found in result.iterfind(f"{{{NAMESPACE}}}objectEditResult")]
        wrong = [each for each in results if each.get("errorStatus") not in (None, "", "OK")]
        if (wrong or told.get("jobStatus") != "OK") and not options.accept_errors:
            why = [str(each.get("message") or each["errorStatus"]) for each in wrong] or [str(told.get("message"))]
            raise CallRefused(
                f"{self.channel.name} did not {options.operation} {len(wrong) or len(batch)} of {len(batch)} objects, "
                f"having done {before} before: {'; '.join(why[:SHOWN])}",
                http_status=200,
                answer=results,
            )
        return results

    def _batches(self, body: Any) -> Iterator[list[Element]]:
        """Yield as many objects as one call takes, as elements: `id` first, then `type`, as SFAPI's schema wants it."""
        objects = [body] if isinstance(body, Mapping) else body
        if not isinstance(objects, list | tuple) or not all(isinstance(each, Mapping) for each in objects):
            raise BadInput("the body is neither an object nor a list of objects")
        made = [self._object(each) for each in objects]
        yield from (made[at : at + self._options.page] for at in range(0, len(made), self._options.page))

    def _object(self, given: Mapping[str, Any]) -> Element:
        fields = {name: value for name, value in given.items() if name not in ("id", "type")}
        named = {"id": given["id"]} if "id" in given else {}
        return make.sfobject(*elements(named), make.type(self._options.object), *elements(fields))
