"""SAP's annotation for sticky sessions: read with aliases resolved, checked against the model, written."""

import json
import logging
from collections.abc import Callable

import pytest
from msgspec import structs

from holdfast.odata import csdl
from holdfast.odata.csdl import (
    Action,
    Model,
    Parameter,
    ReturnType,
    WrongReference,
    read_json,
    read_xml,
    write_json,
    write_xml,
)
from holdfast.odata.vocabulary import TERM, Sticky, annotate, sticky_sets
from odata.csdl.documents import STICKY

TARGET = "com.example.demo.Container/Orders"
ORDERS = Sticky(
    entity_set="Orders",
    type="com.example.demo.Order",
    new="com.example.demo.Create",
    more_new=("com.example.demo.CreateFrom",),
    edit="com.example.demo.Edit",
    save="com.example.demo.Save",
    discard="Discard",
)


def changed(old: str, new: str) -> Model:
    data = STICKY.decode()
    assert old in data
    return read_xml(data.replace(old, new).encode())


def without(member: str) -> Model:
    (line,) = [line for line in STICKY.decode().splitlines() if f'Property="{member}" String' in line]
    return changed(line, "")


# O1
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("form", ["xml", "json"])
def test_the_annotation_is_read_with_every_alias_resolved(form: str, strict: bool) -> None:
    model = read_xml(STICKY)
    if form == "json":
        model = read_json(write_json(model))
    assert sticky_sets(model, strict=strict) == {"Orders": ORDERS}


# O1
def test_it_may_stand_in_the_entity_set_itself() -> None:
    data = STICKY.decode()
    annotation = data[data.index("<Annotation Term=") : data.index("</Annotations>")]
    bare = data.replace(annotation, "").replace(
        '<EntitySet Name="Orders" EntityType="SAP__self.Order"/>',
        f'<EntitySet Name="Orders" EntityType="SAP__self.Order">{annotation}</EntitySet>',
    )
    assert sticky_sets(read_xml(bare.encode())) == {"Orders": ORDERS}


def test_a_service_without_the_annotation_has_no_sticky_set() -> None:
    assert sticky_sets(changed("StickySessionSupported", "SomethingElse")) == {}
    assert sticky_sets(Model()) == {}


# O1
@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (lambda: changed("SAP__self.Save", "SAP__self.Store"), "SaveAction com.example.demo.Store is unknown"),
        (lambda: changed("com.example.demo.Edit", "Elsewhere.Edit"), "EditAction Elsewhere.Edit is unknown"),
        (
            lambda: changed('"com.example.demo.Edit"', '"SAP__self.Create"'),
            "EditAction com.example.demo.Create is no action bound to com.example.demo.Order",
        ),
        (
            lambda: changed('NewAction" String="SAP__self.Create', 'NewAction" String="SAP__self.Edit'),
            r"NewAction com.example.demo.Edit is no action bound to Collection\(com.example.demo.Order\)",
        ),
        (
            lambda: changed("<String>SAP__self.CreateFrom", "<String>SAP__self.Save"),
            "AdditionalNewActions com.example.demo",
        ),
        (lambda: changed("Container/Discard", "Container/Drop"), "DiscardAction Drop is no action import"),
        (lambda: changed('Action="SAP__self.DiscardAll"', 'Action="SAP__self.Save"'), "which is no unbound action"),
        (lambda: without("EditAction"), "EditAction is missing"),
        (lambda: without("SaveAction"), "SaveAction is missing"),
        (lambda: without("DiscardAction"), "DiscardAction is missing"),
        (lambda: changed('SaveAction" String="SAP__self.Save"', 'SaveAction" Int="5"'), "SaveAction is no name"),
        (
            lambda: changed("<Record>", "<Record/><Record>"),
            "EditAction is missing; SaveAction is missing; DiscardAction",
        ),
        (lambda: changed("<Collection><String>SAP__self.CreateFrom</String></Collection>", "<Int>1</Int>"), "no list"),
    ],
)
def test_a_wrong_reference_is_refused_and_names_the_target(model: Callable[[], Model], problem: str) -> None:
    with pytest.raises(WrongReference, match=problem) as refused:
        sticky_sets(model())
    assert TARGET in str(refused.value)
    assert refused.value.target == TARGET
    assert refused.value.code == "wrong_reference"


# O1
@pytest.mark.parametrize("action", ["Create", "CreateFrom", "Edit", "Save"])
def test_an_action_that_returns_something_else_is_refused(action: str) -> None:
    data = STICKY.decode()
    at = data.rindex(f'<Action Name="{action}" ')
    other = data[at:].replace('ReturnType Type="SAP__self.Order"', 'ReturnType Type="Collection(SAP__self.Order)"', 1)
    with pytest.raises(WrongReference, match=rf"{action} returns Collection\(com.example.demo.Order\)"):
        sticky_sets(read_xml((data[:at] + other).encode()))


# O20
@pytest.mark.parametrize(
    ("model", "deviation"),
    [
        (lambda: without("NewAction"), "NewAction is missing"),
        (lambda: with_parameter("Create"), "NewAction com.example.demo.Create takes parameters: Extra"),
        (lambda: with_parameter("Edit"), "EditAction com.example.demo.Edit takes parameters: Extra"),
        (lambda: with_parameter("Save"), "SaveAction com.example.demo.Save takes parameters: Extra"),
        (lambda: with_parameter("DiscardAll"), "DiscardAction Discard takes parameters: Extra"),
        (lambda: changing("Edit", lambda each: replaced(each, returns=None)), "Edit returns nothing"),
        (lambda: changing("Save", lambda each: replaced(each, returns=None)), "Save returns nothing"),
        (lambda: changing("Create", lambda each: replaced(each, entity_set_path="")), "without an EntitySetPath"),
        (
            lambda: changing("DiscardAll", lambda each: replaced(each, returns=ReturnType(type="Edm.String"))),
            "DiscardAction Discard returns Edm.String",
        ),
    ],
)
def test_a_foreign_service_may_deviate_with_a_warning_where_ours_may_not(
    model: Callable[[], Model], deviation: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        (sticky,) = sticky_sets(model()).values()
    assert [deviation in each for each in sticky.deviations] == [True]
    assert deviation in caplog.text
    with pytest.raises(WrongReference, match=deviation):
        sticky_sets(model(), strict=True)


# O20
def test_an_action_that_creates_may_return_nothing() -> None:
    model = changing("Create", lambda each: replaced(each, returns=None, entity_set_path=""))
    assert sticky_sets(model, strict=True)["Orders"] == ORDERS


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(WrongReference, match=r"EditAction .* unknown; SaveAction .* unknown"):
        sticky_sets(read_xml(STICKY.replace(b"com.example.demo.Edit", b"A.B").replace(b"SAP__self.Save", b"A.C")))


# O1
def test_what_is_written_into_a_model_of_ours_is_in_both_forms_of_its_metadata() -> None:
    bare = changed('Term="SAP__session.StickySessionSupported"', 'Term="SAP__session.Removed"')
    model = annotated(csdl.Model(schemas=bare.schemas, container_name=bare.container_name, version="4.0"))
    assert sticky_sets(read_xml(write_xml(model)), strict=True) == {"Orders": ORDERS}
    assert sticky_sets(read_json(write_json(model)), strict=True) == {"Orders": ORDERS}
    document = json.loads(write_json(model))
    assert document["$Reference"] == {
        "https://sap.github.io/odata-vocabularies/vocabularies/Session.json": {
            "$Include": [{"$Namespace": "com.sap.vocabularies.Session.v1", "$Alias": "Session"}]
        }
    }
    targets = document["com.example.demo"]["$Annotations"]["SAP__self.Container/Orders"]
    assert targets["@Session.StickySessionSupported"] == {
        "NewAction": "com.example.demo.Create",
        "EditAction": "com.example.demo.Edit",
        "SaveAction": "com.example.demo.Save",
        "DiscardAction": "Discard",
        "AdditionalNewActions": ["com.example.demo.CreateFrom"],
    }


def test_a_reference_to_the_vocabulary_that_is_there_stays_the_only_one() -> None:
    bare = changed('Term="SAP__session.StickySessionSupported"', 'Term="SAP__session.Removed"')
    assert annotated(bare).references == bare.references


# O1
def test_what_cannot_be_referred_to_is_not_written() -> None:
    bare = read_xml(STICKY)
    with pytest.raises(WrongReference, match="Invoices is no entity set"):
        annotate(bare, "Invoices", new="", edit="", save="", discard="")
    with pytest.raises(WrongReference, match=r"Elsewhere\.Edit is unknown") as refused:
        annotated(bare, edit="Elsewhere.Edit")
    assert refused.value.target == TARGET
    assert TERM not in bare.set_annotations("Customers")


def annotated(model: Model, edit: str = ORDERS.edit) -> Model:
    return annotate(
        model,
        "Orders",
        new=ORDERS.new,
        edit=edit,
        save=ORDERS.save,
        discard="Discard",
        additional_new=ORDERS.more_new,
    )


def replaced(action: Action, **fields: object) -> Action:
    return structs.replace(action, **fields)


def changing(name: str, change: Callable[[Action], Action]) -> Model:
    """The sticky service with the last overload of an action changed."""
    model = read_xml(STICKY)
    schema = model.schemas["com.example.demo"]
    *others, last = schema.operations[name]
    assert isinstance(last, Action)
    schema.operations[name] = (*others, change(last))
    return model


def with_parameter(name: str) -> Model:
    return changing(name, lambda each: replaced(each, parameters=(*each.parameters, Parameter("Extra"))))
