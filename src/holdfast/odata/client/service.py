"""What a client has to know of a service: its entity sets, which of them are sticky, and by which actions (O1).

All of it is learnt from `$metadata`. Paths are relative to the service's root: `Orders`, `Orders('1')`,
`Customers(7)/Orders('1')`, with or without query options.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from holdfast.errors import BadInput, HoldfastError, NotFound
from holdfast.odata import edm
from holdfast.odata.client.values import to_service, written
from holdfast.odata.csdl import Model
from holdfast.odata.query.path import Call, Path, parse_path
from holdfast.odata.vocabulary import Sticky, sticky_sets

log: Final = logging.getLogger("holdfast.odata.client")
IN_KEYS: Final = "'(),=:@$!*;~-._"  # what stands in a key as it is
NOWHERE: Final = Path()


class Service:
    """The metadata of one service, asked about paths.

    Raises:
        WrongReference: An annotation for sticky sessions names what cannot be called; what merely deviates is logged.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._stickies = sticky_sets(model)
        for sticky in self._stickies.values():
            for deviation in sticky.deviations:
                log.warning("%s: %s", sticky.entity_set, deviation)

    def sticky(self, path: str, *, one: bool) -> Sticky:
        """Return the actions of the sticky set that a path leads to.

        Raises:
            NotFound: There is no such entity set.
            BadInput, ODataError: It is not sticky; or one entity is meant and many are named, or the other way round;
                or the path is malformed.
        """
        place = parse_path(self.model, path)
        if not place.entity_set:
            raise NotFound(f"{path} leads to no entity set of the service", hint="See its $metadata for entity sets.")
        found = self._stickies.get(place.entity_set)
        if found is None:
            raise BadInput(f"{place.entity_set} needs no sticky session", hint="Change it by patch, post and delete.")
        if place.collection == one:
            raise BadInput(f"{path} is {'a collection' if place.collection else 'one entity'}")
        return found

    def is_sticky(self, path: str) -> bool:
        """Say whether a path leads to entities of a sticky set, rather than calling something on them."""
        place = self._place(path)
        return place.entity_set in self._stickies and not isinstance(place.last, Call)

    def choreographed(self, path: str) -> bool:
        """Say whether a path calls an action that begins or ends a session, which are steps of their own."""
        last = self._place(path).last
        if not isinstance(last, Call):
            return False
        every = self._stickies.values()
        return any(last.name == each.discard if last.imported else last.name in actions_of(each) for each in every)

    def type_of(self, path: str) -> str:
        """Return the qualified type of what a path leads to, empty if it is not known."""
        return self._place(path).type

    def body(self, path: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is sent to a path for these values: an entity's properties, or the parameters of an action.

        Raises:
            BadInput, EdmError: As `to_service`.
        """
        place = self._place(path)
        if isinstance(place.last, Call):
            parameters = {each.name: each for each in place.last.operation.arguments}
            return written(self.model, parameters, values, place.last.name)
        return to_service(self.model, place.type, values)

    def _place(self, path: str) -> Path:
        try:
            return parse_path(self.model, path.partition("?")[0])
        except HoldfastError:  # the service is the judge of it
            return NOWHERE

    def entity_path(self, collection: str, row: Mapping[str, Any]) -> str:
        """Return the path of an entity of a collection, empty if the row lacks a part of its key.

        Raises:
            EdmError: A part of the key is none of its type.
        """
        type_name = self.type_of(collection)
        properties, key = self.model.properties(type_name), self.model.key(type_name)
        if not key or any(path not in row for path in key.values()):
            return ""
        literals = {alias: edm.to_url(properties[path].type, row[path]) for alias, path in key.items()}
        written = next(iter(literals.values())) if len(literals) == 1 else ",".join(map("=".join, literals.items()))
        return f"{collection}({quote(written, safe=IN_KEYS)})"


def actions_of(sticky: Sticky) -> tuple[str, ...]:
    """Return the qualified names of the bound actions of the choreography."""
    return tuple(name for name in (sticky.new, sticky.edit, sticky.save, *sticky.more_new) if name)
