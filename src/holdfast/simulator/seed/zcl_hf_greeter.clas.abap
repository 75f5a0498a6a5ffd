*" Says hello in two languages
CLASS zcl_hf_greeter DEFINITION
  PUBLIC
  FINAL
  CREATE PUBLIC .

  PUBLIC SECTION.
    CONSTANTS:
      gc_german  TYPE spras VALUE 'D',
      gc_english TYPE spras VALUE 'E'.

    CLASS-METHODS greet
      IMPORTING
        !iv_name       TYPE string DEFAULT `world`
        !iv_language   TYPE spras DEFAULT gc_english
      RETURNING
        VALUE(rv_text) TYPE string .
  PROTECTED SECTION.
  PRIVATE SECTION.
ENDCLASS.



CLASS zcl_hf_greeter IMPLEMENTATION.

  METHOD greet.
    CASE iv_language.
      WHEN gc_german.
        rv_text = |Hallo { iv_name }!|.
      WHEN OTHERS.
        rv_text = |Hello { iv_name }!|.
    ENDCASE.
  ENDMETHOD.

ENDCLASS.
