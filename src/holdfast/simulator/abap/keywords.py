"""The words an ABAP statement may begin with, and the blocks they open and close."""

from typing import Final

STATEMENTS: Final = frozenset(
    """
    ADD ADD-CORRESPONDING ALIASES APPEND ASSERT ASSIGN AT AUTHORITY-CHECK BACK BREAK BREAK-POINT CALL CASE CATCH CHECK
    CLASS CLASS-DATA CLASS-EVENTS CLASS-METHODS CLASS-POOL CLEANUP CLEAR CLOSE COLLECT COMMIT COMMUNICATION COMPUTE
    CONCATENATE CONDENSE CONSTANTS CONTEXTS CONTINUE CONTROLS CONVERT CREATE DATA DEFINE DELETE DEMAND DESCRIBE DETAIL
    DIVIDE DO EDITOR-CALL ELSE ELSEIF END-ENHANCEMENT-SECTION END-OF-DEFINITION END-OF-PAGE END-OF-SELECTION
    END-TEST-INJECTION END-TEST-SEAM ENDAT ENDCASE ENDCATCH ENDCLASS ENDDO ENDENHANCEMENT ENDEXEC ENDFORM ENDFUNCTION
    ENDIF ENDINTERFACE ENDLOOP ENDMETHOD ENDMODULE ENDON ENDPROVIDE ENDSELECT ENDTRY ENDWHILE ENDWITH ENHANCEMENT
    ENHANCEMENT-POINT ENHANCEMENT-SECTION EVENTS EXEC EXIT EXPORT EXTRACT FETCH FIELD-GROUPS FIELD-SYMBOLS FIELDS FIND
    FORM FORMAT FREE FUNCTION FUNCTION-POOL GENERATE GET HIDE IF IMPORT INCLUDE INFOTYPES INITIALIZATION INSERT
    INTERFACE INTERFACE-POOL INTERFACES LEAVE LOAD LOAD-OF-PROGRAM LOCAL LOG-POINT LOOP MAXIMUM MESSAGE METHOD METHODS
    MINIMUM MODIFY MODULE MOVE MOVE-CORRESPONDING MULTIPLY NEW-LINE NEW-PAGE NEW-SECTION NODES ON OPEN OVERLAY PACK
    PARAMETERS PERFORM POSITION PRINT-CONTROL PRIVATE PROGRAM PROTECTED PROVIDE PUBLIC PUT RAISE RANGES READ RECEIVE
    REFRESH REJECT REPLACE REPORT RESERVE RESUME RETRY RETURN ROLLBACK SCAN SCROLL SEARCH SELECT SELECT-OPTIONS
    SELECTION-SCREEN SET SHIFT SKIP SORT SPLIT START-OF-SELECTION STATICS STOP SUBMIT SUBTRACT SUM SUMMARY
    SUPPLY SUPPRESS SYNTAX-TRACE TABLES TEST-INJECTION TEST-SEAM TOP-OF-PAGE TRANSFER TRANSLATE TRY TYPE-POOL
    TYPE-POOLS TYPES ULINE UNASSIGN UNPACK UPDATE VALIDATE WAIT WHEN WHILE WINDOW WITH WRITE
    """.split()  # noqa: SIM905 - the list reads better as text
)

EXPRESSION_STARTS: Final = frozenset(
    ("CAST", "COND", "CONV", "CORRESPONDING", "EXACT", "FILTER", "FINAL", "NEW", "REDUCE", "SWITCH", "VALUE")
)
"""Words that begin an expression such as `NEW zcl_a( )->run( )`."""

ASSIGNMENTS: Final = frozenset(("=", "?=", "+=", "-=", "*=", "/=", "&&="))

CLOSERS: Final = {
    "ENDCLASS": "CLASS",
    "ENDINTERFACE": "INTERFACE",
    "ENDMETHOD": "METHOD",
    "ENDIF": "IF",
    "ENDLOOP": "LOOP",
    "ENDDO": "DO",
    "ENDWHILE": "WHILE",
    "ENDCASE": "CASE",
    "ENDTRY": "TRY",
    "ENDFORM": "FORM",
    "ENDFUNCTION": "FUNCTION",
    "ENDMODULE": "MODULE",
    "ENDAT": "AT",
    "ENDON": "ON",
    "ENDSELECT": "SELECT",
    "ENDPROVIDE": "PROVIDE",
    "ENDEXEC": "EXEC",
    "END-OF-DEFINITION": "DEFINE",
    "END-TEST-SEAM": "TEST-SEAM",
    "END-TEST-INJECTION": "TEST-INJECTION",
    "ENDENHANCEMENT": "ENHANCEMENT",
    "END-ENHANCEMENT-SECTION": "ENHANCEMENT-SECTION",
    "ENDWITH": "WITH",
}
OPENERS: Final = {opener: closer for closer, opener in CLOSERS.items()}

MIDDLES: Final = {
    "ELSE": "IF",
    "ELSEIF": "IF",
    "WHEN": "CASE",
    "CATCH": "TRY",
    "CLEANUP": "TRY",
}
"""Statements that may stand in one kind of block only."""


def opens_block(words: list[str]) -> bool:
    """Tell whether this statement opens a block that an END statement must close."""
    first = words[0]
    second = words[1] if len(words) > 1 else ""
    if first in ("CLASS", "INTERFACE"):
        tail = words[2:5]
        return not {"DEFERRED", "LOAD", "LOCAL"}.intersection(tail)
    if first == "AT":
        return second in ("NEW", "FIRST", "LAST", "END")
    if first == "ON":
        return second == "CHANGE"
    if first == "SELECT":
        return _select_loops(words)
    if first == "MODULE":
        return words[-1] in ("INPUT", "OUTPUT")
    if first == "WITH":
        return False
    return first in OPENERS


def _select_loops(words: list[str]) -> bool:
    """A SELECT without SINGLE whose result goes into a work area is a loop."""
    if words[1:2] == ["SINGLE"] or words[1:2] in (["COUNT"], ["MAX"], ["MIN"], ["SUM"], ["AVG"]):
        return False
    targets = [index for index, word in enumerate(words) if word in ("INTO", "APPENDING")]
    return bool(targets) and "TABLE" not in words[targets[-1] : targets[-1] + 6]
