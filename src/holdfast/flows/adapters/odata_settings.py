"""What receivers that speak OData are told, and which settings no message can make right."""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType, field

from holdfast.errors import ConfigurationError
from holdfast.flows.parts import Positive, Receiver

READING: Final = frozenset({"GET", "HEAD"})
POST: Final = "POST"
COUNTS: Final = ("top", "skip")
Number = Annotated[int, Meta(ge=0)] | str


class OData(Receiver, frozen=True, kw_only=True):
    """What all receivers that speak OData are told. `url` is the root of the service, without a query.

    Args:
        resource: Path below it (template), such as `Orders`, `Orders('${body.id}')/Items`, the name of a function.
        key: Of the one entity that is meant (template): a value, or a mapping of them. Texts become literals.
        select, filter, expand, orderby, top, skip: The query options with these names (templates), where they mean
            something: for one entity only the first and the third, for changes none.
        count: Ask how many entities there are in all: header `odata-count`.
        query: Further options (templates), such as `search` or `sap-language`; a name that OData defines has its `$`.
        parameters: Of a function or action (templates), by name.
        etag: Carry a change out only if the entity has this one (template); `*`: whichever it has.
        headers: What goes out with each call (template); `forward`: those of the message that do too.
        csrf: The service wants a CSRF token with changes.
        process_in_pages: One page for each call: while there are more, `properties.pages.<receiver>` is true.
        page_size: Entities of a page. In V2 it is the flow that asks page by page, so the last one may be empty; with
            `count` it is not.
        max_pages: How many may be read into one body.
    """

    resource: str = ""
    key: Any = None
    select: str = ""
    filter: str = ""
    expand: str = ""
    orderby: str = ""
    top: Number = ""
    skip: Number = ""
    count: bool = False
    query: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    etag: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    forward: tuple[str, ...] = ()
    csrf: bool = False
    process_in_pages: bool = False
    page_size: Positive | UnsetType = UNSET
    max_pages: Positive = 1000
    operation: str = "query"


def check(options: OData, method: str) -> None:
    """Raise ConfigurationError for what can be seen to be wrong before any message comes; `method` is HTTP's."""
    if "?" in options.url or "#" in options.url:
        raise ConfigurationError("url: the root of a service has no query; options stand in `query`")
    if "?" in options.resource:
        raise ConfigurationError("resource: query options have keys of their own, such as `filter` and `query`")
    if options.key is not None and options.resource.endswith(")"):
        raise ConfigurationError("key: the resource has a key already")
    if isinstance(options.page_size, int) and options.top != "":
        raise ConfigurationError("page_size: it cannot stand beside `top`")
    if "$format" in options.query:
        raise ConfigurationError("query: the format is not chosen by $format, but by the adapter")
    if options.etag and method in (*READING, POST):
        raise ConfigurationError(f"etag: the operation {options.operation} compares no versions")
    for name in COUNTS:
        value = getattr(options, name)
        if isinstance(value, str) and value and "${" not in value:
            raise ConfigurationError(f"{name}: {value!r} is no number of entities")
