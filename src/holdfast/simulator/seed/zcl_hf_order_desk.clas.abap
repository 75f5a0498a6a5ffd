*" Takes orders and sums them up
CLASS zcl_hf_order_desk DEFINITION
  PUBLIC
  FINAL
  CREATE PUBLIC .

  PUBLIC SECTION.
    METHODS constructor
      IMPORTING
        !io_store TYPE REF TO zif_hf_order_store
        !io_clock TYPE REF TO zif_hf_clock .

    METHODS place
      IMPORTING
        !iv_customer    TYPE string
        !iv_amount      TYPE zif_hf_order_store=>ty_order-amount
      RETURNING
        VALUE(rv_order) TYPE i
      RAISING
        cx_parameter_invalid .

    METHODS total
      IMPORTING
        !iv_customer    TYPE string
      RETURNING
        VALUE(rv_total) TYPE zif_hf_order_store=>ty_order-amount .
  PROTECTED SECTION.
  PRIVATE SECTION.
    DATA mo_store TYPE REF TO zif_hf_order_store .
    DATA mo_clock TYPE REF TO zif_hf_clock .
    DATA mv_last_id TYPE i .
ENDCLASS.



CLASS zcl_hf_order_desk IMPLEMENTATION.

  METHOD constructor.
    mo_store = io_store.
    mo_clock = io_clock.
  ENDMETHOD.

  METHOD place.
    IF iv_amount <= 0.
      RAISE EXCEPTION TYPE cx_parameter_invalid
        EXPORTING
          parameter = 'IV_AMOUNT'.
    ENDIF.
    mv_last_id = mv_last_id + 1.
    mo_store->save( VALUE #( id         = mv_last_id
                             customer   = iv_customer
                             amount     = iv_amount
                             created_at = mo_clock->now( ) ) ).
    rv_order = mv_last_id.
  ENDMETHOD.

  METHOD total.
    LOOP AT mo_store->find_by_customer( iv_customer ) INTO DATA(ls_order).
      rv_total = rv_total + ls_order-amount.
    ENDLOOP.
  ENDMETHOD.

ENDCLASS.
