"""OData V4 services whose entity sets change inside of sticky sessions: a class per entity set, `Service`, `asgi`."""

from holdfast.odata.errors import Detail, ODataError, Refused
from holdfast.odata.server.compose import ODataApp, asgi
from holdfast.odata.server.context import Calling, calling
from holdfast.odata.server.entity_set import EntitySet, Page, Query, Sticky
from holdfast.odata.server.kind import sticky_kind
from holdfast.odata.server.operations import action, function, new_action
from holdfast.odata.server.service import Service
from holdfast.odata.server.shapes import Computed, Digits, ETag, Hidden, Int16, Int64, Key, Single

__all__ = [
    "Calling",
    "Computed",
    "Detail",
    "Digits",
    "ETag",
    "EntitySet",
    "Hidden",
    "Int16",
    "Int64",
    "Key",
    "ODataApp",
    "ODataError",
    "Page",
    "Query",
    "Refused",
    "Service",
    "Single",
    "Sticky",
    "action",
    "asgi",
    "calling",
    "function",
    "new_action",
    "sticky_kind",
]
