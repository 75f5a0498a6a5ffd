"""Property: whatever annotation a model has, both forms bring it back."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.odata.csdl import (
    Constant,
    Include,
    Model,
    Reference,
    Schema,
    read_json,
    read_xml,
    to_json,
    write_json,
    write_xml,
)

names = st.text("abXY_", min_size=1, max_size=4)
terms = st.builds("org.example.ui.{}".format, names)
keys = st.one_of(terms, st.builds("{}#{}".format, terms, names))
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"))
paths = st.builds("{}/org.example.ui.{}".format, names, names)
KINDS = ("Binary", "Date", "Duration", "Guid", "TimeOfDay", "PropertyPath", "AnnotationPath", "NavigationPropertyPath")
constants = st.one_of(
    st.booleans(),
    st.integers(),
    texts,
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda found: found + Decimal("0.5")),
    st.builds(Constant, paths, st.sampled_from(KINDS)),
    st.builds(
        lambda members: Constant(",".join(members), "EnumMember", "org.example.ui.Enum"), st.lists(names, min_size=1)
    ),
    st.builds(lambda path: {"$Path": path}, paths),
    st.builds(lambda url: {"$UrlRef": url}, texts),
)


def composed(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pair = st.lists(values, min_size=2, max_size=2)
    return st.one_of(
        st.lists(values, max_size=3),
        st.builds(record, st.dictionaries(names, values, max_size=3), st.dictionaries(terms, values, max_size=2)),
        st.builds(lambda kind, both: {f"${kind}": both}, st.sampled_from(("And", "Eq", "Add", "If", "In")), pair),
        st.builds(lambda value: {"$Not": value}, values),
        st.builds(lambda value, name: {"$LabeledElement": value, "$Name": name}, values, names),
        st.builds(lambda both, name: {"$Apply": both, "$Function": f"org.example.ui.{name}"}, pair, names),
        st.just(None),
    )


def record(members: dict[str, Any], annotations: dict[str, Any]) -> dict[str, Any]:
    """A record with annotations of its own and of its first member."""
    first = next(iter(members), "")
    beside = {f"{name}@{term}": value for term, value in annotations.items() for name in {"", first}}
    return {"@type": "org.example.ui.Record"} | members | beside


values = st.recursive(constants, composed, max_leaves=6)
annotated = st.dictionaries(keys, values, max_size=4)


def model_of(found: dict[str, Any]) -> Model:
    reference = Reference(uri="ui.xml", includes=(Include("org.example.ui", "UI"),))
    return Model(schemas={"Demo": Schema(namespace="Demo", annotations=found)}, references=(reference,), version="4.01")


# O1
@settings(max_examples=60, deadline=None)
@given(annotated)
def test_xml_brings_every_annotation_back(found: dict[str, Any]) -> None:
    model = model_of(found)
    written = write_xml(model)
    assert read_xml(written) == model
    assert write_xml(read_xml(written)) == written


# O1
@settings(max_examples=60, deadline=None)
@given(annotated)
def test_json_of_what_xml_has_is_the_same(found: dict[str, Any]) -> None:
    model = model_of(found)
    written = write_json(model)
    assert to_json(read_xml(write_xml(model))) == to_json(model)
    assert write_json(read_json(written)) == written
