"""A24: the ABAP lexer and the syntax check."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.simulator import Simulator
from holdfast.simulator.abap.checker import Finding, check
from holdfast.simulator.abap.lexer import read

REPORT = "REPORT z_a.\n"


def program(body: str) -> list[Finding]:
    return check("PROG/P", "Z_A", {"main": REPORT + body})


def found(body: str) -> list[tuple[int, int, str]]:
    return [(finding.line, finding.column, finding.text) for finding in program(body)]


GOOD = {
    "chained": "DATA: a TYPE i, b TYPE i.\nWRITE: / 'a', b.",
    "literal with quotes": "WRITE 'it''s'.\nWRITE `a``b . c`.",
    "period in literal": "WRITE 'a. b.'.",
    "comment lines": "* WRIET x\n  \" WRIET y\nWRITE 'x'. \" . WRIET",
    "pragma and pseudo comment": 'DATA x TYPE i ##NEEDED. "#EC NEEDED',
    "template": "DATA(x) = |a { b } \\| \\{ c { |inner { d } . | }|.",
    "template across lines": "DATA(x) = |a { b\n  } c|.",
    "template with format": "DATA(x) = |{ x WIDTH = 5 ALIGN = RIGHT }|.",
    "calls": "go->run( ).\nzcl_a=>run( x = 1 y = 2 ).\nrun( ).\nNEW zcl_a( )->run( ).\nCAST zif_a( x )->y( ).",
    "assignments": "x = 1.\n<fs>-a = 2.\nx += 1.\nlt[ 1 ]-a = 3.\ny ?= x.\nx+2(1) = 'a'.\ndata = 5.\nif = 2.",
    "inline": "DATA(x) = VALUE ty( FOR a IN b ( a ) ).\nFINAL(y) = 1.\nFIELD-SYMBOLS <z> TYPE i.",
    "nested blocks": "IF a = 1.\n  LOOP AT b INTO c.\n    CASE c.\n      WHEN 1.\n    ENDCASE.\n  ENDLOOP.\n"
    "ELSEIF x.\nELSE.\nENDIF.",
    "select loop": "SELECT * FROM t000 INTO @DATA(x).\nENDSELECT.",
    "select table": "SELECT * FROM t000 INTO TABLE @DATA(x).",
    "select single": "SELECT SINGLE * FROM t000 INTO @DATA(x).",
    "select count": "SELECT COUNT( * ) FROM t000 INTO @DATA(x).",
    "select new syntax": "SELECT mandt FROM t000 WHERE mandt = '001' INTO TABLE @DATA(x) UP TO 5 ROWS.",
    "try": "TRY.\n    x = 1.\n  CATCH cx_root INTO y.\n  CLEANUP.\nENDTRY.",
    "loops": "DO 3 TIMES.\nENDDO.\nWHILE a < 1.\nENDWHILE.\nLOOP AT a INTO b.\n  AT NEW c.\n  ENDAT.\nENDLOOP.",
    "events": "INITIALIZATION.\nAT SELECTION-SCREEN.\nSTART-OF-SELECTION.\nFORM x.\nENDFORM.",
    "macro": "DEFINE say.\n  WRITE &1.\nEND-OF-DEFINITION.\nsay 'x'.",
    "native sql": "EXEC SQL.\n  SELECT 'it is not abap FROM |dual\nENDEXEC.",
    "local class": "CLASS lcl DEFINITION.\n  PUBLIC SECTION.\n    METHODS: a, b.\nENDCLASS.\n"
    "CLASS lcl IMPLEMENTATION.\n  METHOD a.\n  ENDMETHOD.\n  METHOD b.\n  ENDMETHOD.\nENDCLASS.",
    "deferred": "CLASS lcl DEFINITION DEFERRED.\nINTERFACE lif DEFERRED.\nCLASS zcl_x DEFINITION LOAD.",
    "brackets over lines": "x = foo( a = 1\n         b = VALUE #( ( 1 )\n                      ( 2 ) ) ).",
    "empty statements": ". .",
    "lower case": "if a = 1. write 'x'. endif.",
}

BAD = {
    "unknown word": ("WRIET 'x'.", [(2, 0, 'Statement "WRIET" is not defined. Check your spelling.')]),
    "missing period": ("WRITE 'x'", [(2, 9, "The last statement is not complete (period missing).")]),
    "open literal": ("WRITE 'x.\nWRITE 'y'.", [(2, 6, "Literals across more than one line are not allowed")]),
    "open template": ("x = |a { b.", [(2, 4, 'The string template is not closed with "|"')]),
    "open if": ("IF a = 1.\n  WRITE 'x'.", [(2, 0, '"IF" is not closed by "ENDIF"')]),
    "stray endif": ("WRITE 'x'.\nENDIF.", [(3, 0, '"ENDIF" has no opening "IF"')]),
    "crossed": (
        "IF a = 1.\nLOOP AT b INTO c.\nENDIF.\nENDLOOP.",
        [(3, 0, '"LOOP" is not closed by "ENDLOOP"'), (5, 0, '"ENDLOOP" has no opening "LOOP"')],
    ),
    "else outside": ("ELSE.", [(2, 0, '"ELSE" stands outside of a "IF" block')]),
    "when outside": ("WHEN 1.", [(2, 0, '"WHEN" stands outside of a "CASE" block')]),
    "catch outside": ("CATCH cx_root.", [(2, 0, '"CATCH" stands outside of a "TRY" block')]),
    "open bracket": ("x = foo( a.", [(2, 7, '"(" is not closed')]),
    "closing bracket": ("x = foo ).", [(2, 8, '")" has no opening bracket')]),
    "method outside": ("METHOD a.\nENDMETHOD.", [(2, 0, '"METHOD" is only possible in the implementation of a class')]),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_good_abap_is_found_to_be_so(name: str) -> None:
    assert found(GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named_with_line_and_column(name: str) -> None:
    source, expected = BAD[name]
    messages = found(source)
    assert all(one in messages for one in expected), messages


CLASS = """CLASS zcl_a DEFINITION PUBLIC.
  PUBLIC SECTION.
    INTERFACES zif_a.
    ALIASES run FOR zif_a~run.
    METHODS: one, two IMPORTING x TYPE i.
    METHODS three ABSTRACT.
    METHODS four DEFAULT IGNORE.
ENDCLASS.
CLASS zcl_a IMPLEMENTATION.
  METHOD zif_a~run.
  ENDMETHOD.
  METHOD one.
  ENDMETHOD.
  METHOD two.
  ENDMETHOD.
ENDCLASS."""


def class_texts(main: str, **parts: str) -> list[str]:
    findings = check(
        "CLAS/OC",
        "ZCL_A",
        {"main": main} | parts,
        interface_methods=lambda name: frozenset({"RUN", "STOP"}) if name == "ZIF_TWO" else frozenset({"RUN"}),
    )
    return [finding.text for finding in findings]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("one, two", "one, extra, two", 'Implementation missing for method "EXTRA"'),
        ("METHOD one", "METHOD other", 'Method "OTHER" is not declared or inherited in class "ZCL_A"'),
        ("METHOD zif_a~run.\n  ENDMETHOD.", "", 'Implementation missing for method "ZIF_A~RUN"'),
        ("INTERFACES zif_a.", "INTERFACES: zif_a, zif_two.", 'Implementation missing for method "ZIF_TWO~STOP"'),
        ("CLASS zcl_a DEFINITION", "CLASS zcl_b DEFINITION", '"CLASS ZCL_A DEFINITION" is missing'),
        ("CLASS zcl_a IMPLEMENTATION", "CLASS zcl_b IMPLEMENTATION", '"CLASS ZCL_A IMPLEMENTATION" is missing'),
    ],
)
def test_a_class_needs_its_name_both_blocks_and_every_method(old: str, new: str, text: str) -> None:
    assert class_texts(CLASS) == []
    assert text in class_texts(CLASS.replace(old, new))


def test_a_method_may_be_implemented_under_its_alias() -> None:
    assert class_texts(CLASS.replace("METHOD zif_a~run", "METHOD run")) == []


def test_local_classes_may_stand_in_different_includes() -> None:
    local = {
        "definitions": "CLASS lcl DEFINITION.\n  PUBLIC SECTION.\n    METHODS a.\nENDCLASS.",
        "implementations": "CLASS lcl IMPLEMENTATION.\n  METHOD a.\n  ENDMETHOD.\nENDCLASS.",
        "macros": "DEFINE say.\n  WRITE &1.\nEND-OF-DEFINITION.",
        "testclasses": "* none",
    }
    assert class_texts(CLASS, **local) == []
    assert class_texts(CLASS, **{**local, "implementations": ""}) == ['The implementation of class "LCL" is missing']
    assert class_texts(CLASS, **{**local, "definitions": ""}) == ['The definition of class "LCL" is missing']


def test_a_database_procedure_is_not_read_as_abap() -> None:
    body = (
        "METHOD two BY DATABASE PROCEDURE FOR HDB LANGUAGE SQLSCRIPT.\n  it = select 'x from |dual; -- no\n  ENDMETHOD."
    )
    assert class_texts(CLASS.replace("METHOD two.\n  ENDMETHOD.", body)) == []


@pytest.mark.parametrize(("kind", "name"), [("CLAS/OC", "ZCL_A"), ("INTF/OI", "ZIF_A"), ("PROG/P", "Z_A")])
@pytest.mark.parametrize("source", ["...", "", "* only a comment"])
def test_three_dots_or_nothing_is_an_error_in_line_1(kind: str, name: str, source: str) -> None:
    findings = check(kind, name, {"main": source})
    assert findings
    assert {(finding.line, finding.severity) for finding in findings} == {(1, "E")}


def test_a_report_of_another_name_is_a_warning_only() -> None:
    [finding] = check("PROG/P", "Z_B", {"main": "REPORT z_a."})
    assert (finding.severity, finding.line, finding.column) == ("W", 1, 7)


def test_the_demo_objects_are_without_findings() -> None:
    for target in Simulator().repository:
        sources = {name: part.active.source for name, part in target.parts.items() if part.active is not None}
        assert not sources or check(target.type, target.name, sources) == []


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_makes_the_check_fail(text: str) -> None:
    for kind, name in (("CLAS/OC", "ZCL_A"), ("PROG/P", "Z_A")):
        for finding in check(kind, name, {"main": text}):
            assert 1 <= finding.line <= text.count("\n") + 1


@settings(deadline=None)
@given(st.lists(st.sampled_from(["IF a.", "ENDIF.", "DO.", "ENDDO.", "x = |{ y }|.", "WRITE: 'a', 'b'.", "* c"])))
def test_blocks_are_balanced_exactly_if_nothing_is_found(lines: list[str]) -> None:
    stack: list[str] = []
    balanced = True
    for line in lines:
        if line in ("IF a.", "DO."):
            stack.append("ENDIF." if line == "IF a." else "ENDDO.")
        elif line.startswith("END"):
            balanced = balanced and bool(stack) and stack.pop() == line
    assert (program("\n".join(lines)) == []) is (balanced and not stack)


def test_a_statement_of_a_chain_repeats_the_words_before_the_colon() -> None:
    statements, flaws = read("DATA: a TYPE i,\n      b TYPE c LENGTH 2 VALUE 'x'.")
    assert [" ".join(token.text for token in statement.tokens) for statement in statements] == [
        "DATA a TYPE i",
        "DATA b TYPE c LENGTH 2 VALUE 'x'",
    ]
    assert flaws == []
    assert (statements[1].tokens[1].line, statements[1].tokens[1].column) == (2, 6)
