"""CSDL JSON is read and written as the standard has it, and says what CSDL XML says."""

import json
from decimal import Decimal

import pytest

from holdfast.odata import csdl
from holdfast.odata.csdl import BadMetadata, MetadataTooLarge, read_json, read_xml, to_json, write_json, write_xml
from odata.csdl.documents import EVERYTHING, STICKY, document


def service(**members: object) -> bytes:
    return json.dumps({"$Version": "4.01", "Demo": {"$Alias": "self", **members}}).encode()


# O1
@pytest.mark.parametrize("data", [EVERYTHING, STICKY], ids=["everything", "sticky"])
def test_what_is_written_is_read_as_the_same_model_and_written_as_the_same_bytes(data: bytes) -> None:
    model = read_json(write_json(read_xml(data)))
    written = write_json(model)
    assert read_json(written) == model
    assert write_json(read_json(written)) == written


# O1
@pytest.mark.parametrize("data", [EVERYTHING, STICKY], ids=["everything", "sticky"])
def test_json_says_what_xml_says(data: bytes) -> None:
    from_xml, from_json = read_xml(data), read_json(write_json(read_xml(data)))
    assert from_json.container == from_xml.container
    for name, schema in from_xml.schemas.items():
        assert from_json.schemas[name].types == schema.types
        assert from_json.schemas[name].operations == schema.operations
        assert from_json.schemas[name].terms == schema.terms
        assert from_json.schemas[name].targets.keys() == schema.targets.keys()
    assert to_json(read_xml(write_xml(from_json))) == to_json(from_xml)


def test_the_document_is_in_the_shape_of_the_standard() -> None:
    found = to_json(read_xml(EVERYTHING))
    assert found["$Version"] == "4.01"
    assert found["$EntityContainer"] == "shop.model.Shop"
    core = found["$Reference"]["https://oasis-tcs.github.io/odata-vocabularies/vocabularies/Org.OData.Core.V1.json"]
    assert core["$Include"] == [{"$Namespace": "Org.OData.Core.V1", "$Alias": "Core", "@Core.DefaultNamespace": True}]
    schema = found["shop.model"]
    assert schema["Maker"]["$Key"] == ["Number", {"City": "Seat/City"}]
    assert schema["Good"]["Name"] == {
        "$DefaultValue": "thing",
        "$MaxLength": 40,
        "$Unicode": False,
        "@Core.IsLanguageDependent": True,
        "@UI.Label#Long": "Name",
        "@UI.Label#Long@Core.IsLanguageDependent": False,
    }
    assert schema["Good"]["Parts"] == {
        "$Kind": "NavigationProperty",
        "$Collection": True,
        "$Type": "self.Good",
        "$ContainsTarget": True,
    }
    assert schema["Colour"] == {
        "$Kind": "EnumType",
        "$UnderlyingType": "Edm.Byte",
        "$IsFlags": True,
        "Red": 1,
        "Red@UI.Label": "red",
        "Green": 2,
        "@UI.Label": "colours",
    }
    assert [len(each["$Parameter"]) for each in schema["Rename"]] == [2, 1]
    assert schema["Shop"]["Goods"] == {
        "$Collection": True,
        "$Type": "self.Good",
        "@UI.Label": "inline",
        "$NavigationPropertyBinding": {"Maker": "Makers", "self.Good/Parts": "Goods", "Home": "base.model.Stock/Homes"},
    }


def test_a_member_of_an_enumeration_says_its_type_only_where_nothing_else_does() -> None:
    found = to_json(read_xml(EVERYTHING))["shop.model"]["$Annotations"]["self.Good"]
    assert found["@UI.Flags"] == "Red,Green"
    assert found["@UI.Table#Short"][1] == {"$Cast": "Red", "$Type": "self.Colour"}


def test_decimals_keep_their_digits() -> None:
    digits = "12345678901234567890.123456789012345678901234567890"
    model = read_xml(document(f"<Annotation Term='T.T' Decimal='{digits}'/>"))
    assert digits.encode() in write_json(model)
    assert read_json(write_json(model)).schemas["Demo"].annotations == {"T.T": Decimal(digits)}


def test_a_text_of_json_stays_a_text() -> None:
    model = read_json(service(**{"@Core.Way": "Some/@UI.Path", "@Core.Value": {"$Path": "self.Thing/Name"}}))
    assert model.schemas["Demo"].annotations == {
        "Core.Way": "Some/@UI.Path",
        "Core.Value": {"$Path": "Demo.Thing/Name"},
    }


def test_what_a_document_leaves_out_has_the_defaults_of_the_standard() -> None:
    model = read_json(service(Thing={"$Kind": "EntityType", "Name": {}}, Sets={"$Kind": "EntityContainer"}))
    found = model.properties("Demo.Thing")["Name"]
    assert (found.type, found.nullable, found.collection, found.unicode, found.scale) == (
        "Edm.String",
        False,
        False,
        True,
        None,
    )
    assert model.container_name == "Demo.Sets"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"<xml/>",
        b"\xff\xfe",
        b'{"$Version": "2.0"}',
        b'{"$Version": 4}',
        b"{}",
        b'{"$Version": "4.0", "$Reference": []}',
        b'{"$Version": "4.0", "Demo": "text"}',
        service(Thing={"$Kind": "EntityType", "Name": "text"}),
        service(Thing={"$Kind": "EntityType", "Name": {"$MaxLength": "long"}}),
        service(Thing={"$Kind": "EntityType", "Way": {"$Kind": "NavigationProperty"}}),
        service(Act=["text"]),
        service(A={"$Kind": "EntityContainer"}, B={"$Kind": "EntityContainer"}),
        service(Sets={"$Kind": "EntityContainer", "Orders": {"$Collection": True}}),
        service(Colour={"$Kind": "EnumType", "Red": "one"}),
        service(**{"$Annotations": []}),
        service(**{"@T": {"@type": 1}}),
    ],
)
def test_what_is_no_metadata_is_refused_with_a_stable_code(data: bytes) -> None:
    with pytest.raises(BadMetadata) as refused:
        read_json(data)
    assert refused.value.code == "bad_metadata"


@pytest.mark.parametrize("depth", [70, 100_000])
def test_a_document_that_is_too_deep_is_refused(depth: int) -> None:
    with pytest.raises(MetadataTooLarge):
        read_json(b'{"$Version": "4.0", "Demo": {"@T": ' + b"[" * depth + b"]" * depth + b"}}")


def test_a_document_over_the_limit_is_not_parsed() -> None:
    with pytest.raises(MetadataTooLarge, match="the limit is 10"):
        read_json(service(), limit=10)


def test_a_model_made_in_python_says_the_same_in_both() -> None:
    order = csdl.EntityType(
        "Order", key={"ID": "ID"}, properties=csdl.by_name(csdl.Property("ID", max_length=10), csdl.Property("Note"))
    )
    container = csdl.EntityContainer("Container", entity_sets=csdl.by_name(csdl.EntitySet("Orders", type="Demo.Order")))
    schema = csdl.Schema(namespace="Demo", types={"Order": order}, container=container)
    model = csdl.Model(schemas={"Demo": schema}, container_name="Demo.Container")
    assert read_xml(write_xml(model)) == model
    assert read_json(write_json(model)) == model
