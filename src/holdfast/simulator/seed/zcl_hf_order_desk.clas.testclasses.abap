*"* use this source file for your ABAP unit test classes
CLASS ltd_clock DEFINITION FINAL FOR TESTING.
  PUBLIC SECTION.
    INTERFACES zif_hf_clock.
ENDCLASS.

CLASS ltd_clock IMPLEMENTATION.
  METHOD zif_hf_clock~now.
    rv_now = '20261121055500.0000000'.
  ENDMETHOD.
ENDCLASS.

CLASS ltc_order_desk DEFINITION FINAL FOR TESTING
  DURATION SHORT
  RISK LEVEL HARMLESS.

  PRIVATE SECTION.
    DATA mo_cut TYPE REF TO zcl_hf_order_desk.

    METHODS: setup,
      sums_what_was_placed FOR TESTING RAISING cx_static_check,
      refuses_an_empty_amount FOR TESTING.
ENDCLASS.

CLASS ltc_order_desk IMPLEMENTATION.
  METHOD setup.
    mo_cut = NEW #( io_store = NEW zcl_hf_memory_store( )
                    io_clock = NEW ltd_clock( ) ).
  ENDMETHOD.

  METHOD sums_what_was_placed.
    mo_cut->place( iv_customer = `Kelp` iv_amount = '12.50' ).
    mo_cut->place( iv_customer = `Kelp` iv_amount = '7.50' ).
    cl_abap_unit_assert=>assert_equals( exp = '20.00' act = mo_cut->total( `Kelp` ) ).
  ENDMETHOD.

  METHOD refuses_an_empty_amount.
    TRY.
        mo_cut->place( iv_customer = `Kelp` iv_amount = 0 ).
        cl_abap_unit_assert=>fail( 'an amount of zero was taken' ).
      CATCH cx_parameter_invalid ##NO_HANDLER.
    ENDTRY.
  ENDMETHOD.
ENDCLASS.
