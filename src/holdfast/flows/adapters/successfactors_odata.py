"""The adapters `successfactors_odata_v2` and `successfactors_odata_v4`: OData of SAP SuccessFactors.

Sessions of V2 have to be re-used: the flow's setting `none` is told as a mistake. V4 has no sessions: whatever the
setting, each call brings its token, and no cookie is ever sent (F5).
Source: SAP SuccessFactors Platform, "OData API V2": MERGE as POST with `x-http-method`, upsert as POST to `/upsert`.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from holdfast.errors import BadInput, ConfigurationError
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.odata_payloads import Page
from holdfast.flows.adapters.odata_v2 import V2, ODataV2Adapter
from holdfast.flows.adapters.odata_v4 import ODataV4, ODataV4Adapter
from holdfast.flows.adapters.sending import Answer
from holdfast.flows.failures import CallRefused
from holdfast.flows.message import Message

UPSERT: Final = "upsert"
TOLD: Final = 3  # of entities that were refused


class SuccessFactorsODataV2(V2, frozen=True, kw_only=True, tag_field="adapter", tag="successfactors_odata_v2"):
    """SuccessFactors in V2: `upsert` besides, which updates or inserts one entity or a list of them.

    Snapshots for paging: `query: {paging: snapshot}`. An entity of an upsert says in `__metadata.uri` which one it is.

    Args:
        purge: Of an upsert: `full` replaces what belongs to the entity.
        partial: An upsert of which some entities were refused is an answer like others.
    """

    operation: Literal["query", "read", "create", "update", "merge", "patch", "delete", "function_import", "upsert"] = (
        "query"
    )
    purge: Literal["", "full", "incremental"] = ""
    partial: bool = False
    tunnel: bool = True
    csrf: bool = False


class SuccessFactorsODataV2Adapter(ODataV2Adapter):
    """Carries out one operation on SuccessFactors."""

    wants_reuse = True
    methods: ClassVar[Mapping[str, str]] = {**ODataV2Adapter.methods, UPSERT: "POST"}

    def __init__(self, name: str, options: SuccessFactorsODataV2, means: Means) -> None:
        self._successfactors = options
        super().__init__(name, options, means)
        if self._upserts and options.format == "atom":
            raise ConfigurationError("format: an upsert goes out as JSON")

    def safe(self, message: Message) -> bool:
        """Say it of the method; an upsert does the same again."""
        return self._upserts or super().safe(message)

    def resource(self, message: Message) -> str:
        """Return the URL of the resource; upserts have one for all entities."""
        return f"{self.service(message)}/{UPSERT}" if self._upserts else super().resource(message)

    def options(self, message: Message) -> dict[str, str]:
        """Return the query options."""
        purge = self._successfactors.purge
        return super().options(message) | ({"purgeType": purge} if purge and self._upserts else {})

    def content(self, message: Message) -> bytes | None:
        """Return the body of the request; in an upsert, `resource` says of entities that do not what they are."""
        entities = message.body
        if not self._upserts or isinstance(entities, str | bytes) or entities is None:
            return super().content(message)
        many = entities if isinstance(entities, list) else [entities]
        if not all(isinstance(each, Mapping) for each in many):
            raise BadInput("an upsert is of an entity, or a list of them")
        named = {"__metadata": {"uri": self._successfactors.resource}} if self._successfactors.resource else {}
        return self.payloads.write([named | dict(each) for each in many])

    def page(self, answer: Answer) -> Page:
        """Return what the answer holds; an upsert's has a result for each entity, whatever the status of all."""
        page = super().page(answer)
        if self._upserts and not self._successfactors.partial:
            self._all_accepted(page, answer)
        return page

    def _all_accepted(self, page: Page, answer: Answer) -> None:
        results = page.body if isinstance(page.body, list) else [page.body]
        refused = [each for each in results if not isinstance(each, Mapping) or each.get("status") != "OK"]
        if refused:
            said = "; ".join(str(each.get("message") if isinstance(each, Mapping) else each) for each in refused[:TOLD])
            raise CallRefused(
                f"{self.channel.name} refused {len(refused)} of {len(results)} entities: {' '.join(said.split())}",
                http_status=answer.status,
                answer=page.body,
            )

    @property
    def _upserts(self) -> bool:
        return self._successfactors.operation == UPSERT


class SuccessFactorsODataV4(ODataV4, frozen=True, kw_only=True, tag_field="adapter", tag="successfactors_odata_v4"):
    """SuccessFactors in V4. It wants a bearer token, and no CSRF token, for which there would have to be a session."""


class SuccessFactorsODataV4Adapter(ODataV4Adapter):
    """Carries out one operation on SuccessFactors, without a session."""

    reuses = False

    def __init__(self, name: str, options: SuccessFactorsODataV4, means: Means) -> None:
        super().__init__(name, options, means)
        if options.auth.basic or not options.auth.bearer:
            raise ConfigurationError("auth: SuccessFactors takes a bearer token here")
        if options.csrf:
            raise ConfigurationError("csrf: a token would need a session, and there is none")
