*" The clock of the application server
CLASS zcl_hf_system_clock DEFINITION
  PUBLIC
  FINAL
  CREATE PUBLIC .

  PUBLIC SECTION.
    INTERFACES zif_hf_clock .
    ALIASES now FOR zif_hf_clock~now .
  PROTECTED SECTION.
  PRIVATE SECTION.
ENDCLASS.



CLASS zcl_hf_system_clock IMPLEMENTATION.

  METHOD zif_hf_clock~now.
    GET TIME STAMP FIELD rv_now.
  ENDMETHOD.

ENDCLASS.
