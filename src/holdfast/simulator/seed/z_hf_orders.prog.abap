*& Places a few orders and lists the sums
REPORT z_hf_orders.

DATA(go_desk) = NEW zcl_hf_order_desk( io_store = NEW zcl_hf_memory_store( )
                                       io_clock = NEW zcl_hf_system_clock( ) ).

START-OF-SELECTION.
  TRY.
      go_desk->place( iv_customer = `Kelp` iv_amount = '12.50' ).
      go_desk->place( iv_customer = `Wrack` iv_amount = '99.00' ).
    CATCH cx_parameter_invalid INTO DATA(gx_invalid).
      MESSAGE gx_invalid TYPE 'E'.
  ENDTRY.
  PERFORM show USING: `Kelp`, `Wrack`.

FORM show USING pv_customer TYPE string.
  WRITE: / pv_customer, go_desk->total( pv_customer ).
ENDFORM.
