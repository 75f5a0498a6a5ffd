"""Object types as data, names, and what is sealed for clients (A10, A15)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adt import calls
from holdfast.adt.mistakes import BadLockHandle, ForeignSessionState
from holdfast.adt.tokens import Ticket, Tokens
from holdfast.adt.types import TYPES, checked_description, checked_package, object_type
from holdfast.adt.xml import parse
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.errors import BadInput

CLASS = TYPES["CLAS/OC"]
TICKET = Ticket(b"t" * 16, b"b" * 16, b"l" * 16)


@pytest.mark.parametrize("name", ["CLAS/OC", "clas/oc", "CLAS", "clas", "class", "Class"])
def test_a_type_has_three_names_in_any_case(name: str) -> None:
    assert object_type(name) is CLASS


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("ZCL_A", "/sap/bc/adt/oo/classes/zcl_a"),
        ("/NSP/CL_A", "/sap/bc/adt/oo/classes/%2Fnsp%2Fcl_a"),
    ],
)
def test_names_are_lower_case_and_encoded_in_paths(name: str, path: str) -> None:
    # ADT §1
    assert CLASS.path(CLASS.checked_name(name)) == path


@pytest.mark.parametrize("name", ["zcl_a", " ZCL_A ", "Z" * 30, "_X", "/NSP/CL_A"])
def test_good_names_come_back_in_upper_case(name: str) -> None:
    assert CLASS.checked_name(name) == name.strip().upper()


@pytest.mark.parametrize("name", ["", "Z" * 31, "9A", "Z A", "Z-A", "Zä", "../x", "Z?x=1", "/NSP/", "//A"])
def test_bad_names_are_refused_with_the_rule(name: str) -> None:
    with pytest.raises(BadInput) as error:
        CLASS.checked_name(name)
    assert error.value.code == "bad_input"
    assert "class_name" in str(error.value)


def test_packages_and_descriptions_have_rules_too() -> None:
    assert checked_package("$tmp") == "$TMP"
    for wrong in ("", "Z" * 31, "Z B", "Z/../X"):
        with pytest.raises(BadInput):
            checked_package(wrong)
    with pytest.raises(BadInput, match="61 characters"):
        checked_description("x" * 61)


@pytest.mark.parametrize("row", TYPES.values(), ids=TYPES)
def test_every_row_can_be_created_with_well_formed_xml_whatever_the_description(row: object) -> None:
    # A15
    call = calls.create(
        row,  # type: ignore[arg-type]
        "ZA",
        description='<&"quoted">',
        package="$TMP",
        responsible="ME",
        language="EN",
        transport="",
    )
    root = parse(call.body, "x")
    assert '<&"quoted">' in root.attrib.values()


def tokens() -> Tokens:
    return Tokens(KeyRing.parse(new_key_text()))


def test_a_handle_is_bound_to_its_owner() -> None:
    # A10
    sealing = tokens()
    handle = sealing.handle(TICKET, owner="me")
    assert sealing.ticket(handle, owner="me") == TICKET
    for wrong in ((handle, "other"), (handle + "x", "me"), ("", "me"), ("v1.", "me"), ("v2" + handle[2:], "me")):
        with pytest.raises(BadLockHandle):
            sealing.ticket(wrong[0], owner=wrong[1])


def test_one_kind_of_sealed_text_never_passes_for_another() -> None:
    # A10
    sealing = tokens()
    handle = sealing.handle(TICKET, owner="me")
    with pytest.raises(ForeignSessionState):
        sealing.stamp({"cookies": handle}, owner="me", workspace=b"w" * 16)


@given(st.text(max_size=200))
def test_no_text_whatever_breaks_the_opening(text: str) -> None:
    with pytest.raises(BadLockHandle):
        tokens().ticket(text, owner="me")
