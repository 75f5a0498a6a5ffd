*" Orders in memory
CLASS zcl_hf_memory_store DEFINITION
  PUBLIC
  FINAL
  CREATE PUBLIC .

  PUBLIC SECTION.
    INTERFACES zif_hf_order_store .
  PROTECTED SECTION.
  PRIVATE SECTION.
    DATA mt_orders TYPE zif_hf_order_store=>ty_orders .
ENDCLASS.



CLASS zcl_hf_memory_store IMPLEMENTATION.

  METHOD zif_hf_order_store~save.
    READ TABLE mt_orders ASSIGNING FIELD-SYMBOL(<ls_order>) WITH KEY id = is_order-id.
    IF sy-subrc = 0.
      <ls_order> = is_order.
    ELSE.
      INSERT is_order INTO TABLE mt_orders.
    ENDIF.
  ENDMETHOD.

  METHOD zif_hf_order_store~find_by_customer.
    rt_orders = VALUE #( FOR ls_order IN mt_orders
                         WHERE ( customer = iv_customer )
                         ( ls_order ) ).
  ENDMETHOD.

ENDCLASS.
