*"* use this source file for your ABAP unit test classes
CLASS ltc_greeter DEFINITION FINAL FOR TESTING
  DURATION SHORT
  RISK LEVEL HARMLESS.
  PRIVATE SECTION.
    METHODS greets_by_name FOR TESTING.
ENDCLASS.

CLASS ltc_greeter IMPLEMENTATION.
  METHOD greets_by_name.
    cl_abap_unit_assert=>assert_equals( exp = `Hello Ada!` act = zcl_hf_greeter=>greet( `Ada` ) ).
  ENDMETHOD.
ENDCLASS.
