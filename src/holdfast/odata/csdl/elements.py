"""The model of an OData service as values: what `$metadata` says (CSDL 4.01).

The values have the shape of CSDL JSON: its names in Python's spelling, its defaults (so `nullable` is False unless said
otherwise), its annotations. Names of types, terms, operations and targets have their namespace in full (`names.py`).

An annotation is an entry `"Namespace.Term#Qualifier": value`. Values are what CSDL JSON has for them: plain Python
values, a dict for a record, a list for a collection, `{"$Path": "Address/City"}` and its like for what is computed.
Annotations of an annotation, or of a member of a record, stand beside it: `"Ns.Term@Ns.Other": value`.
"""

from typing import Any, Literal, Self

from msgspec import UNSET, Struct, field

Annotations = dict[str, Any]


class Constant(str):
    """A text in an annotation that is more than a string: it knows the element of CSDL XML that it is written as.

    `kind` is such as PropertyPath, AnnotationPath, Date or EnumMember; `enum` is the enumeration type of an EnumMember,
    whose members stand in the text, divided by commas. It equals the plain text, which is all that CSDL JSON knows.
    """

    __slots__ = ("enum", "kind")
    kind: str
    enum: str

    def __new__(cls, text: str, kind: str, enum: str = "") -> Self:
        made = super().__new__(cls, text)
        made.kind, made.enum = kind, enum
        return made


def _member(name: str) -> str:
    return "$" + "".join(part.capitalize() for part in name.split("_"))


class Element(Struct, frozen=True, rename=_member):
    """What has a name and annotations."""

    name: str
    annotations: Annotations = field(default_factory=dict, name="annotations")


class Typed(Element, frozen=True, kw_only=True):
    """What has a type, with its facets. `scale` None is CSDL's "variable"; other facets that are None are not said."""

    type: str = "Edm.String"
    collection: bool = False
    nullable: bool = False
    max_length: int | None = None
    unicode: bool = True
    precision: int | None = None
    scale: int | Literal["floating"] | None = None
    srid: int | str | None = field(default=None, name="$SRID")


class Property(Typed, frozen=True, kw_only=True):
    """A structural property."""

    default_value: Any = UNSET  # None is said where the default is null


class Parameter(Typed, frozen=True, kw_only=True):
    """A parameter of an action or function; the first of a bound one is its binding parameter."""


class ReturnType(Typed, frozen=True, kw_only=True):
    """What an action or function returns; its name is empty."""

    name: str = ""


class Term(Typed, frozen=True, kw_only=True):
    """A term of a vocabulary."""

    base_term: str = ""
    applies_to: tuple[str, ...] = ()
    default_value: Any = UNSET  # None is said where the default is null


class Constraint(Struct, frozen=True):
    """The property of the other entity that a dependent property always equals."""

    referenced: str
    annotations: Annotations = field(default_factory=dict)


class OnDelete(Struct, frozen=True):
    """What becomes of the related entities when this one is deleted: Cascade, None, SetNull, SetDefault."""

    action: str
    annotations: Annotations = field(default_factory=dict)


class NavigationProperty(Element, frozen=True, kw_only=True):
    """A way to related entities. `constraints` are by dependent property; `contains_target`: they live in this one."""

    type: str
    collection: bool = False
    nullable: bool = False
    partner: str = ""
    contains_target: bool = False
    constraints: dict[str, Constraint] = field(default_factory=dict, name="constraints")
    on_delete: OnDelete | None = field(default=None, name="on_delete")


class StructuredType(Element, frozen=True, kw_only=True):
    """What entity types and complex types share; properties of base types are not repeated (`Model.properties`)."""

    base_type: str = ""
    abstract: bool = False
    open_type: bool = False
    properties: dict[str, Property] = field(default_factory=dict, name="properties")
    navigation: dict[str, NavigationProperty] = field(default_factory=dict, name="navigation")


class EntityType(StructuredType, frozen=True, kw_only=True):
    """A type of what has a key: alias of a key property to its path, which are the same where no alias is declared."""

    key: dict[str, str] = field(default_factory=dict, name="key")
    has_stream: bool = False


class ComplexType(StructuredType, frozen=True, kw_only=True):
    """A type of what has properties and no key."""


class Member(Element, frozen=True, kw_only=True):
    """A member of an enumeration."""

    value: int


class EnumType(Element, frozen=True, kw_only=True):
    """An enumeration; values of one with `is_flags` may name several members."""

    underlying_type: str = "Edm.Int32"
    is_flags: bool = False
    members: dict[str, Member] = field(default_factory=dict, name="members")


class TypeDefinition(Element, frozen=True, kw_only=True):
    """A primitive type with facets and annotations of its own."""

    underlying_type: str
    max_length: int | None = None
    unicode: bool = True
    precision: int | None = None
    scale: int | Literal["floating"] | None = None
    srid: int | str | None = field(default=None, name="$SRID")


Type = EntityType | ComplexType | EnumType | TypeDefinition


class Operation(Element, frozen=True, kw_only=True):
    """One overload of an action or function. `entity_set_path` begins with the name of the binding parameter."""

    is_bound: bool = False
    entity_set_path: str = ""
    parameters: tuple[Parameter, ...] = field(default=(), name="parameters")
    returns: ReturnType | None = field(default=None, name="returns")

    @property
    def binding(self) -> Parameter | None:
        """The binding parameter, if it is bound."""
        return self.parameters[0] if self.is_bound and self.parameters else None

    @property
    def arguments(self) -> tuple[Parameter, ...]:
        """The parameters that a caller gives: all but the binding one."""
        return self.parameters[1:] if self.is_bound else self.parameters


class Action(Operation, frozen=True, kw_only=True):
    """What may have effects."""


class Function(Operation, frozen=True, kw_only=True):
    """What has none; `is_composable`: more path may follow a call."""

    is_composable: bool = False


class Resource(Element, frozen=True, kw_only=True):
    """What entity sets and singletons share; `bindings`: path of a navigation property to the set that it leads to."""

    type: str
    bindings: dict[str, str] = field(default_factory=dict, name="bindings")


class EntitySet(Resource, frozen=True, kw_only=True):
    """Entities of one type by key."""

    include_in_service_document: bool = True


class Singleton(Resource, frozen=True, kw_only=True):
    """One entity."""

    nullable: bool = False


class ActionImport(Element, frozen=True, kw_only=True):
    """An unbound action that can be called from the service root."""

    action: str
    entity_set: str = ""


class FunctionImport(Element, frozen=True, kw_only=True):
    """An unbound function that can be called from the service root."""

    function: str
    entity_set: str = ""
    include_in_service_document: bool = False


class EntityContainer(Element, frozen=True, kw_only=True):
    """All that a service gives at its root; `extends` names another container, whose members are not repeated."""

    extends: str = ""
    entity_sets: dict[str, EntitySet] = field(default_factory=dict, name="entity_sets")
    singletons: dict[str, Singleton] = field(default_factory=dict, name="singletons")
    action_imports: dict[str, ActionImport] = field(default_factory=dict, name="action_imports")
    function_imports: dict[str, FunctionImport] = field(default_factory=dict, name="function_imports")


class Schema(Struct, frozen=True, kw_only=True):
    """One namespace. `targets` are its external annotations by target, such as `Demo.Container/Orders`."""

    namespace: str
    alias: str = ""
    types: dict[str, Type] = field(default_factory=dict)
    operations: dict[str, tuple[Action | Function, ...]] = field(default_factory=dict)
    terms: dict[str, Term] = field(default_factory=dict)
    container: EntityContainer | None = None
    targets: dict[str, Annotations] = field(default_factory=dict)
    annotations: Annotations = field(default_factory=dict)


class Include(Struct, frozen=True):
    """A namespace of another document, and the alias it has in this one."""

    namespace: str
    alias: str = ""
    annotations: Annotations = field(default_factory=dict)


class IncludeAnnotations(Struct, frozen=True, kw_only=True):
    """Annotations of another document that count in this one: by namespace of their term, qualifier and target."""

    term_namespace: str = field(name="$TermNamespace")
    target_namespace: str = field(default="", name="$TargetNamespace")
    qualifier: str = field(default="", name="$Qualifier")


class Reference(Struct, frozen=True, kw_only=True):
    """Another document, by its URI, and what counts of it."""

    uri: str
    includes: tuple[Include, ...] = ()
    include_annotations: tuple[IncludeAnnotations, ...] = ()
    annotations: Annotations = field(default_factory=dict)
