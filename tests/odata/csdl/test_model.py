"""What servers and clients ask of a model: inheritance, overloads by binding, merged containers, names."""

import pytest

from holdfast.odata.csdl import (
    Action,
    EntityContainer,
    EntitySet,
    EntityType,
    Function,
    Model,
    Names,
    Parameter,
    Property,
    Schema,
    by_name,
    read_xml,
)
from odata.csdl.documents import EVERYTHING, document


def bound(
    name: str, to: str, *, collection: bool = False, kind: type[Action] | type[Function] = Action
) -> Action | Function:
    return kind(name, is_bound=True, parameters=(Parameter("it", type=to, collection=collection), Parameter("To")))


@pytest.fixture
def model() -> Model:
    types = by_name(
        EntityType("Base", key={"ID": "ID"}, properties=by_name(Property("ID"), Property("Note", max_length=5))),
        EntityType("Child", base_type="D.Base", properties=by_name(Property("Note", max_length=9), Property("More"))),
        EntityType("Loop", base_type="D.Loop", properties=by_name(Property("ID"))),
    )
    operations = {
        "Act": (
            bound("Act", "D.Base"),
            bound("Act", "D.Child"),
            bound("Act", "D.Base", collection=True),
            Action("Act"),
        ),
        "Ask": (bound("Ask", "D.Base", kind=Function),),
        "Go": (Action("Go"),),
    }
    base = EntityContainer("Base", entity_sets=by_name(EntitySet("Bases", type="D.Base", annotations={"T.T": 1})))
    container = EntityContainer(
        "Box", extends="B.Base", entity_sets=by_name(EntitySet("Children", type="D.Child")), annotations={"T.T": 0}
    )
    return Model(
        schemas={
            "D": Schema(namespace="D", alias="d", types=types, operations=operations, container=container),
            "B": Schema(namespace="B", container=base, targets={"B.Base/Bases": {"T.U": 2}, "D.Box/Bases": {"T.U": 3}}),
        },
        container_name="D.Box",
    )


def test_properties_of_base_types_come_first_and_are_those_of_the_type_itself_where_both_have_one(model: Model) -> None:
    found = model.properties("D.Child")
    assert list(found) == ["ID", "Note", "More"]
    assert found["Note"].max_length == 9
    assert model.key("D.Child") == {"ID": "ID"}


def test_a_type_is_what_it_derives_from(model: Model) -> None:
    assert model.is_a("D.Child", "D.Base")
    assert model.is_a("X.Unknown", "X.Unknown")
    assert not model.is_a("D.Base", "D.Child")


def test_a_type_that_is_its_own_base_ends_nothing(model: Model) -> None:
    assert list(model.properties("D.Loop")) == ["ID"]
    assert model.key("D.Loop") == {}


def test_an_overload_is_found_by_its_binding_and_the_nearest_comes_first(model: Model) -> None:
    first, second = model.bound("D.Act", "D.Child")
    assert (first.parameters[0].type, second.parameters[0].type) == ("D.Child", "D.Base")
    assert [each.parameters[0].collection for each in model.bound("D.Act", "D.Base", collection=True)] == [True]
    assert model.bound("D.Go", "D.Base") == ()
    assert model.bound("X.Act", "D.Base") == ()
    assert [each.name for each in first.arguments] == ["To"]


def test_all_that_can_be_called_on_a_type_is_found(model: Model) -> None:
    assert model.bound_names("D.Child") == ["D.Act", "D.Ask"]
    assert model.bound_names("D.Child", collection=True) == ["D.Act"]


def test_a_container_has_the_members_and_their_annotations_of_the_one_it_extends(model: Model) -> None:
    assert model.container is not None
    assert model.container.entity_sets.keys() == {"Bases", "Children"}
    assert model.container.annotations == {"T.T": 0}
    assert model.set_annotations("Bases") == {"T.T": 1, "T.U": 3}
    assert model.set_annotations("Nothing") == {}


def test_the_service_has_the_container_that_no_other_one_extends_wherever_it_stands() -> None:
    derived = "<Schema xmlns='http://docs.oasis-open.org/odata/ns/edm' Namespace='A'>"
    derived += "<EntityContainer Name='Box' Extends='Demo.Base'/></Schema>"
    behind = document("<EntityContainer Name='Base'/>").replace(b"</Schema>", b"</Schema>" + derived.encode())
    before = document("<EntityContainer Name='Base'/>").replace(b"<Schema", derived.encode() + b"<Schema", 1)
    assert read_xml(before).container_name == read_xml(behind).container_name == "A.Box"


def test_a_model_without_container_has_none() -> None:
    assert Model().container is None
    assert Model(container_name="D.Box", schemas={"D": Schema(namespace="D")}).container is None


def test_types_are_told_apart() -> None:
    model = read_xml(EVERYTHING)
    assert model.entity_type("shop.model.Address") is None
    assert model.structured("shop.model.Address") is not None
    assert model.structured("shop.model.Colour") is None
    assert model.type("Edm.String") is None


# O1
@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("self.Good", "shop.model.Good"),
        ("Collection(self.Good)", "Collection(shop.model.Good)"),
        (
            "self.Rename(Collection(self.Good),Edm.Int32)/To",
            "shop.model.Rename(Collection(shop.model.Good),Edm.Int32)/To",
        ),
        ("Maker/@UI.Table#Short.self", "Maker/@org.ui.Table#Short.self"),
        ("shop.model.Good", "shop.model.Good"),
        ("Ns.self.Good", "Ns.self.Good"),
        ("Name", "Name"),
    ],
)
def test_an_alias_is_resolved_wherever_a_name_may_stand(text: str, full: str) -> None:
    names = Names([("shop.model", "self"), ("org.ui", "UI")])
    assert names.full(text) == full
    assert names.full(names.short(text)) == full


def test_of_two_aliases_both_are_resolved_and_the_last_is_written() -> None:
    names = Names([("org.ui", "UI"), ("org.ui", "SAP__UI")])
    assert names.full("UI.Label") == names.full("SAP__UI.Label") == "org.ui.Label"
    assert names.short("org.ui.Label") == "SAP__UI.Label"
