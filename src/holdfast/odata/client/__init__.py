"""A client for OData services that change only inside sticky sessions (O15-O19)."""

from holdfast.odata.client.client import StickyClient
from holdfast.odata.client.driver import Closed
from holdfast.odata.client.entity import Entity
from holdfast.odata.client.errors import EntityChanged, Loss, ServiceError, StickySessionLost

__all__ = ["Closed", "Entity", "EntityChanged", "Loss", "ServiceError", "StickyClient", "StickySessionLost"]
