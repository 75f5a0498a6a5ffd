"""SAP's vocabulary for sticky sessions: which entity sets need one, and by which actions it begins and ends (O1, O20).

Written into `$metadata` for services of ours, whose actions must be just as the vocabulary has them; read from any
service, where only what could not be called at all is an error and other deviations are told with what was read.
Source: com.sap.vocabularies.Session.v1, terms and signatures; for what real services do, sticky OData §5.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct, structs

from holdfast.odata.csdl import Action, Include, Model, Reference, ReturnType, WrongReference
from holdfast.odata.csdl.names import namespace

NAMESPACE: Final = "com.sap.vocabularies.Session.v1"
TERM: Final = f"{NAMESPACE}.StickySessionSupported"
URI: Final = "https://sap.github.io/odata-vocabularies/vocabularies/Session.xml"
ALIAS: Final = "Session"
logger = logging.getLogger(__name__)


class Sticky(Struct, frozen=True, kw_only=True):
    """The choreography of one entity set.

    Names of actions are qualified, with their namespace in full. `deviations` are sentences on what is not as the
    vocabulary has it, for a log; a service of ours has none.
    """

    entity_set: str
    type: str  # of its entities
    new: str = ""  # bound to the collection; "" if the service has none, so that nothing can be created
    more_new: tuple[str, ...] = ()
    edit: str  # this one and `save` are bound to the entity
    save: str
    discard: str  # the name of an action import
    deviations: tuple[str, ...] = ()


def sticky_sets(model: Model, *, strict: bool = False) -> dict[str, Sticky]:
    """Return the choreographies of all annotated entity sets of a service, by name of the set.

    Deviations from the vocabulary that do no harm are logged as warnings, too (O20).

    Raises:
        WrongReference: An annotation names what cannot be called: an unknown action, one bound to something else, one
            that returns something else, no action import; or, if `strict`, deviates in any way from the vocabulary.
    """
    container = model.container
    found: dict[str, Sticky] = {}
    for name, entity_set in (container.entity_sets if container else {}).items():
        annotations = model.set_annotations(name)
        if TERM in annotations:
            reading = _Reading(model, name, entity_set.type)
            found[name] = reading.sticky(annotations[TERM], strict=strict)
    return found


def annotate(
    model: Model,
    entity_set: str,
    *,
    new: str,
    edit: str,
    save: str,
    discard: str,
    additional_new: Iterable[str] = (),
) -> Model:
    """Return the model with an entity set of its container annotated; the actions must be in it already.

    `discard` is the name of an action import, the others are qualified names of actions.

    Raises:
        WrongReference: The set or an action is not there, or is not just as the vocabulary has it.
    """
    container, more = model.container, list(additional_new)
    if container is None or entity_set not in container.entity_sets:
        raise WrongReference(f"{entity_set} is no entity set of the service", target=entity_set)
    record = {"NewAction": new, "EditAction": edit, "SaveAction": save, "DiscardAction": discard}
    annotation = {TERM: record | ({"AdditionalNewActions": more} if more else {})}
    schema, target = model.schemas[namespace(model.container_name)], f"{model.container_name}/{entity_set}"
    targets = schema.targets | {target: schema.targets.get(target, {}) | annotation}
    annotated = structs.replace(
        model,
        schemas=model.schemas | {schema.namespace: structs.replace(schema, targets=targets)},
        references=_referring(model),
    )
    sticky_sets(annotated, strict=True)
    return annotated


def _referring(model: Model) -> tuple[Reference, ...]:
    """Return the references of a model with one to the vocabulary."""
    includes = [each for reference in model.references for each in reference.includes]
    if any(each.namespace == NAMESPACE for each in includes):
        return model.references
    taken = {each.alias for each in includes} | {schema.alias for schema in model.schemas.values()}
    include = Include(NAMESPACE, "" if ALIAS in taken else ALIAS)
    return (*model.references, Reference(uri=URI, includes=(include,)))


class _Reading:
    """Reads the annotation of one entity set, and gathers what is wrong with it."""

    def __init__(self, model: Model, entity_set: str, of: str) -> None:
        self._model, self._set, self._type = model, entity_set, of
        self._full = model.names().full
        self._wrong: list[str] = []
        self._deviations: list[str] = []

    def sticky(self, record: Any, *, strict: bool) -> Sticky:
        found = record if isinstance(record, Mapping) else {}
        sticky = Sticky(
            entity_set=self._set,
            type=self._type,
            new=self._new(found),
            more_new=self._more_new(found),
            edit=self._of_entity("EditAction", found),
            save=self._of_entity("SaveAction", found),
            discard=self._discard(found),
            deviations=tuple(self._deviations),
        )
        wrong = self._wrong + (self._deviations if strict else [])
        if wrong:
            target = f"{self._model.container_name}/{self._set}"
            raise WrongReference(f"StickySessionSupported of {target}: {'; '.join(wrong)}", target=target)
        for deviation in self._deviations:
            logger.warning("the service's metadata deviates at %s: %s", self._set, deviation)
        return sticky

    def _text(self, member: str, record: Mapping[str, Any]) -> str:
        text = record.get(member, "")
        if not isinstance(text, str):
            self._wrong.append(f"{member} is no name")
            return ""
        return self._full(str(text).strip())

    def _new(self, record: Mapping[str, Any]) -> str:
        name = self._text("NewAction", record)
        if not name:
            self._deviations.append("NewAction is missing")
        elif action := self._bound("NewAction", name, collection=True):
            self._without_arguments("NewAction", name, action)
            self._returns_new("NewAction", name, action)
        return name

    def _more_new(self, record: Mapping[str, Any]) -> tuple[str, ...]:
        member = "AdditionalNewActions"
        listed = record.get(member, [])
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            self._wrong.append(f"{member} is no list of names")
            return ()
        names = tuple(self._full(str(name).strip()) for name in listed)
        for name in names:
            if action := self._bound(member, name, collection=True):
                self._returns_new(member, name, action)
        return names

    def _of_entity(self, member: str, record: Mapping[str, Any]) -> str:
        name = self._text(member, record)
        if not name:
            self._wrong.append(f"{member} is missing")
        elif action := self._bound(member, name, collection=False):
            self._without_arguments(member, name, action)
            if action.returns is None:
                self._deviations.append(f"{member} {name} returns nothing, where it should return the entity")
            elif not self._is_entity(action.returns, action):
                self._wrong.append(f"{member} {name} returns {_told(action.returns)}, not {self._type}")
        return name

    def _discard(self, record: Mapping[str, Any]) -> str:
        """Return the name of the action import, which some services write after that of their container."""
        name = self._text("DiscardAction", record).rpartition("/")[2]
        container = self._model.container
        called = container.action_imports.get(name) if container else None
        if not name:
            self._wrong.append("DiscardAction is missing")
        elif called is None:
            self._wrong.append(f"DiscardAction {name} is no action import of the service")
        else:
            self._unbound(name, called.action)
        return name

    def _unbound(self, name: str, qualified: str) -> None:
        overloads = [each for each in self._model.operations(qualified) if isinstance(each, Action)]
        action = next((each for each in overloads if not each.is_bound), None)
        if action is None:
            self._wrong.append(f"DiscardAction {name} imports {qualified}, which is no unbound action")
            return
        self._without_arguments("DiscardAction", name, action)
        if action.returns is not None:
            self._deviations.append(f"DiscardAction {name} returns {_told(action.returns)}, where it should nothing")

    def _bound(self, member: str, name: str, *, collection: bool) -> Action | None:
        """Return the overload of an action that can be called on the set, or on its entities."""
        overloads = self._model.bound(name, self._type, collection=collection)
        action = next((each for each in overloads if isinstance(each, Action)), None)
        if action is None:
            to = f"Collection({self._type})" if collection else self._type
            known = bool(self._model.operations(name))
            self._wrong.append(f"{member} {name} is {f'no action bound to {to}' if known else 'unknown'}")
        return action

    def _without_arguments(self, member: str, name: str, action: Action) -> None:
        if action.arguments:
            given = ", ".join(each.name for each in action.arguments)
            self._deviations.append(f"{member} {name} takes parameters: {given}")

    def _returns_new(self, member: str, name: str, action: Action) -> None:
        """Check what is returned by an action that creates: nothing, or the entity with the set that it is in."""
        if action.returns is None:
            return
        if not self._is_entity(action.returns, action):
            self._wrong.append(f"{member} {name} returns {_told(action.returns)}, not {self._type} or nothing")
        elif action.binding is None or action.entity_set_path != action.binding.name:
            self._deviations.append(f"{member} {name} returns an entity without an EntitySetPath to its set")

    def _is_entity(self, returns: ReturnType, action: Action) -> bool:
        """Say whether one entity is returned, of the type that the action is bound to or that is in the set."""
        bound = action.binding.type if action.binding else self._type
        return not returns.collection and returns.type in {bound, self._type}


def _told(returns: ReturnType) -> str:
    return f"Collection({returns.type})" if returns.collection else returns.type
