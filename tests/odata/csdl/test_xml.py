"""CSDL XML is read as the standard has it, written so that it reads the same, and refused when it is none."""

from decimal import Decimal

import pytest

from holdfast.odata import csdl
from holdfast.odata.csdl import BadMetadata, Constant, MetadataTooLarge, read_xml, write_xml
from odata.csdl.documents import EVERYTHING, STICKY, document

BOMB = b"""<?xml version="1.0"?><!DOCTYPE e [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>
<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0">&b;</edmx:Edmx>"""


@pytest.fixture(scope="module")
def model() -> csdl.Model:
    return read_xml(EVERYTHING)


def label(annotations: csdl.Annotations) -> object:
    return annotations["org.example.ui.Label"]


# O1
@pytest.mark.parametrize("data", [EVERYTHING, STICKY], ids=["everything", "sticky"])
def test_what_is_written_is_read_as_the_same_model_and_written_as_the_same_bytes(data: bytes) -> None:
    model = read_xml(data)
    written = write_xml(model)
    assert read_xml(written) == model
    assert write_xml(read_xml(written)) == written


# O1
def test_names_have_their_namespace_in_full_wherever_an_alias_stood(model: csdl.Model) -> None:
    good = model.entity_type("shop.model.Good")
    assert good is not None
    assert good.base_type == "shop.model.Thing"
    assert good.properties["Home"].type == "shop.model.Address"
    assert good.navigation["Parts"].type == "shop.model.Good"
    assert model.container is not None
    assert model.container.entity_sets["Goods"].type == "shop.model.Good"
    assert model.schemas["shop.model"].targets.keys() == {
        "shop.model.Shop/Goods",
        "shop.model.Rename(shop.model.Good)/To",
        "shop.model.Good",
    }


def test_aliases_are_written_again(model: csdl.Model) -> None:
    written = write_xml(model)
    assert b'EntityType="self.Good"' in written
    assert b'Term="UI.Label"' in written
    assert b'AnnotationPath="Maker/@UI.Table#Short"' in written
    assert b'"shop.model.Good"' not in written


def test_facets_have_the_meaning_of_json_where_xml_has_another_default(model: csdl.Model) -> None:
    found = model.properties("shop.model.Good")
    assert (found["Name"].nullable, found["Text"].nullable, found["Tags"].nullable) == (False, True, False)
    assert (found["Name"].max_length, found["Text"].max_length) == (40, None)
    assert not found["Name"].unicode
    scales = {name: found[name].scale for name in ("Price", "Whole", "Any", "Floating")}
    assert scales == {"Price": 2, "Whole": 0, "Any": None, "Floating": "floating"}
    assert (found["Made"].precision, found["Seen"].precision) == (7, 0)
    assert (found["Place"].srid, found["Where"].srid) == (4326, "variable")


def test_default_values_are_python_values(model: csdl.Model) -> None:
    found = {name: each.default_value for name, each in model.properties("shop.model.Good").items()}
    assert (found["Name"], found["Text"], found["Price"], found["Made"]) == ("thing", "", Decimal("1.50"), None)
    assert (found["Colours"], found["Weight"], found["Sold"]) == ("Red", 7, True)


def test_navigation_tells_partner_constraints_and_what_a_deletion_does(model: csdl.Model) -> None:
    maker = model.navigation("shop.model.Good")["Maker"]
    assert (maker.partner, maker.nullable, maker.collection) == ("Goods", True, False)
    assert maker.constraints["MakerID"].referenced == "Number"
    assert maker.constraints["MakerID"].annotations == {"Org.OData.Core.V1.Description": "of a constraint"}
    assert maker.on_delete is not None
    assert maker.on_delete.action == "SetNull"
    assert model.navigation("shop.model.Good")["Parts"].contains_target


def test_a_key_may_have_an_alias_and_stand_in_a_base_type(model: csdl.Model) -> None:
    assert model.key("shop.model.Maker") == {"Number": "Number", "City": "Seat/City"}
    assert model.key("shop.model.Good") == {"ID": "ID"}


def test_members_of_an_enumeration_count_where_they_have_no_value(model: csdl.Model) -> None:
    size, colour = model.type("shop.model.Size"), model.type("shop.model.Colour")
    assert isinstance(size, csdl.EnumType)
    assert isinstance(colour, csdl.EnumType)
    assert {name: each.value for name, each in size.members.items()} == {"Small": 0, "Large": 1}
    assert (colour.underlying_type, colour.is_flags) == ("Edm.Byte", True)
    assert label(colour.members["Red"].annotations) == "red"


def test_a_container_has_the_members_of_those_it_extends(model: csdl.Model) -> None:
    assert model.container_name == "shop.model.Shop"
    assert model.container is not None
    assert model.container.entity_sets.keys() == {"Goods", "Makers", "Homes"}
    assert model.container.entity_sets["Goods"].bindings == {
        "Maker": "Makers",
        "shop.model.Good/Parts": "Goods",
        "Home": "base.model.Stock/Homes",
    }
    assert not model.container.entity_sets["Makers"].include_in_service_document
    assert model.container.singletons["Boss"].nullable


def test_external_annotations_stand_over_inline_ones(model: csdl.Model) -> None:
    assert label(model.set_annotations("Goods")) == "external"
    target = "shop.model.Rename(shop.model.Good)/To"
    assert model.annotations(target) == {"org.example.ui.Label#Tablet": "new name"}


@pytest.mark.parametrize(
    ("term", "value"),
    [
        ("Binary", "T0RhdGE"),
        ("Decimal", Decimal("3.1400")),
        ("Float", Decimal("1.5E3")),
        ("Infinite", "-INF"),
        ("Int", 42),
        ("Null", None),
        ("NullSaid", {"$Null": None, "@Org.OData.Core.V1.Description": "why"}),
        ("Flags", "Red,Green"),
        ("Element", "shop.model.Good/shop.model.Rename"),
        ("Facet", "Maker/@org.example.ui.Table#Short"),
        ("Value", {"$Path": "Maker/shop.model.Maker/Number"}),
        ("Url", {"$UrlRef": "http://example.org/"}),
        ("ComputedUrl", {"$UrlRef": {"$Path": "Name"}}),
        ("Again", {"$LabeledElementReference": "shop.model.Twice"}),
        ("Cast", {"$Cast": {"$Path": "Name"}, "$Type": "Edm.Decimal", "$Precision": 5, "$Scale": "variable"}),
        ("IsOf", {"$IsOf": {"$Path": "Parts"}, "$Collection": True, "$Type": "shop.model.Good"}),
        (
            "Call",
            {"$Apply": [" a ", {"$LabeledElement": {"$Path": "Name"}, "$Name": "Twice"}], "$Function": "odata.concat"},
        ),
        (
            "Hidden",
            {
                "$If": [
                    {
                        "$And": [
                            {"$Not": {"$Eq": [{"$Path": "Sold"}, True]}},
                            {"$Or": [{"$Gt": [{"$Path": "Price"}, 3]}, {"$In": [{"$Path": "Name"}, []]}]},
                        ]
                    },
                    {"$Neg": {"$Add": [{"$Path": "Price"}, Decimal("0.5")]}},
                    None,
                ],
                "@Org.OData.Core.V1.Description": "of an If",
            },
        ),
        (
            "Table#Short",
            [
                "Name",
                "Red",
                {"$Path": "Price"},
                1,
                ["inner"],
                {
                    "@type": "org.example.ui.Field",
                    "Value": {"$Path": "Name"},
                    "Deep": {"Flag": False},
                    "Value@org.example.ui.Label": "of a member",
                    "@org.example.ui.Label": "of a record",
                },
            ],
        ),
    ],
)
def test_an_annotation_has_the_value_of_csdl_json(model: csdl.Model, term: str, value: object) -> None:
    assert model.annotations("shop.model.Good")[f"org.example.ui.{term}"] == value


def test_a_text_remembers_what_it_was_written_as(model: csdl.Model) -> None:
    found = model.annotations("shop.model.Good")
    kinds = {
        term: found[f"org.example.ui.{term}"].kind for term in ("Date", "Instant", "Time", "Column", "Way", "Facet")
    }
    assert kinds == {
        "Date": "Date",
        "Instant": "DateTimeOffset",
        "Time": "TimeOfDay",
        "Column": "PropertyPath",
        "Way": "NavigationPropertyPath",
        "Facet": "AnnotationPath",
    }
    flags = found["org.example.ui.Flags"]
    assert isinstance(flags, Constant)
    assert flags.enum == "shop.model.Colour"


def test_an_annotation_of_an_annotation_stands_beside_it(model: csdl.Model) -> None:
    found = model.properties("shop.model.Good")["Name"].annotations
    assert found["org.example.ui.Label#Long"] == "Name"
    assert found["org.example.ui.Label#Long@Org.OData.Core.V1.IsLanguageDependent"] is False


def test_references_to_one_document_become_one() -> None:
    twice = STICKY.replace(
        b"<edmx:DataServices>",
        b'<edmx:Reference Uri="https://sap.github.io/odata-vocabularies/vocabularies/Session.xml">'
        b'<edmx:Include Namespace="org.other" Alias="Other"/></edmx:Reference><edmx:DataServices>',
    )
    (reference,) = read_xml(twice).references
    assert [each.alias for each in reference.includes] == ["SAP__session", "Other"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (BOMB, "bad_metadata"),
        (b'<!DOCTYPE e SYSTEM "http://127.0.0.1:9/x.dtd"><e/>', "bad_metadata"),
        (b"", "bad_metadata"),
        (b"{}", "bad_metadata"),
        (b"<html><body>Logon</body></html>", "bad_metadata"),
        (document("")[:-8], "bad_metadata"),
        (document("", version="2.0"), "bad_metadata"),
        (document("").replace(b' Version="4.0"', b""), "bad_metadata"),
        (document("").decode().encode("utf-16"), "bad_metadata"),
        (document("<Annotation Term='T'>" + "<Collection>" * 70 + "</Collection>" * 70 + "</Annotation>"), "too_large"),
        (
            document("<Annotation Term='T'>" + "<Collection>" * 400 + "</Collection>" * 400 + "</Annotation>"),
            "bad_metadata",
        ),
        (document("", attributes=""), "bad_metadata"),
        (document("<Annotation String='no term'/>"), "bad_metadata"),
        (document("<EntityType/>"), "bad_metadata"),
        (document("<EntityType Name='A'/><ComplexType Name='A'/>"), "bad_metadata"),
        (
            document("<EntityType Name='A'><Property Name='P' Type='T'/><Property Name='P' Type='T'/></EntityType>"),
            "bad_metadata",
        ),
        (document("<EntityType Name='A'><Property Name='P' Type='T' MaxLength='long'/></EntityType>"), "bad_metadata"),
        (
            document("<EntityType Name='A'><Property Name='P' Type='T' Nullable='perhaps'/></EntityType>"),
            "bad_metadata",
        ),
        (document("<EntityContainer Name='A'/><EntityContainer Name='B'/>"), "bad_metadata"),
        (
            document("</Schema><Schema xmlns='http://docs.oasis-open.org/odata/ns/edm' Namespace='Demo'>"),
            "bad_metadata",
        ),
    ],
)
def test_what_is_no_metadata_is_refused_with_a_stable_code(data: bytes, code: str) -> None:
    with pytest.raises(BadMetadata) as refused:
        read_xml(data)
    assert code in refused.value.code


def test_a_document_over_the_limit_is_not_parsed() -> None:
    with pytest.raises(MetadataTooLarge, match="the limit is 100"):
        read_xml(EVERYTHING, limit=100)


def test_a_document_of_too_many_elements_is_not_parsed() -> None:
    with pytest.raises(MetadataTooLarge, match="500000 elements"):
        read_xml(document("<a/>" * 1_000_001))


def test_the_wrong_property_is_named() -> None:
    with pytest.raises(BadMetadata) as refused:
        read_xml(document("<EntityType Name='A'><Property Name='P' Type='T' MaxLength='long'/></EntityType>"))
    assert refused.value.target == "P"
    assert "MaxLength" in str(refused.value)


def test_what_the_standard_does_not_know_is_passed_over() -> None:
    found = read_xml(
        document("<Annotation Term='T'><Strange/></Annotation><Odd Name='x'/><EntityType Name='A' Odd='1'/>")
    )
    assert found.schemas["Demo"].annotations == {"T": True}
    assert found.schemas["Demo"].types.keys() == {"A"}


@pytest.mark.parametrize("value", ["\0", {"$And": 1}, {"$Apply": []}, {"$LabeledElement": 1}, object()])
def test_what_xml_cannot_say_is_not_written(value: object) -> None:
    schema = csdl.Schema(namespace="Demo", annotations={"Core.Description": value})
    with pytest.raises(BadMetadata):
        write_xml(csdl.Model(schemas={"Demo": schema}))


def test_an_annotation_of_what_is_not_there_cannot_be_written() -> None:
    schema = csdl.Schema(namespace="Demo", annotations={"Some.Term@Core.Description": "of nothing"})
    with pytest.raises(BadMetadata, match=r"Some\.Term"):
        write_xml(csdl.Model(schemas={"Demo": schema}))
