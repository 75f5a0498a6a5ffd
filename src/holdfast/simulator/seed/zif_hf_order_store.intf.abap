*" Keeps orders
INTERFACE zif_hf_order_store
  PUBLIC .

  TYPES:
    BEGIN OF ty_order,
      id         TYPE i,
      customer   TYPE string,
      amount     TYPE p LENGTH 13 DECIMALS 2,
      created_at TYPE timestampl,
    END OF ty_order,
    ty_orders TYPE STANDARD TABLE OF ty_order WITH EMPTY KEY.

  METHODS save
    IMPORTING
      !is_order TYPE ty_order .

  METHODS find_by_customer
    IMPORTING
      !iv_customer     TYPE string
    RETURNING
      VALUE(rt_orders) TYPE ty_orders .

ENDINTERFACE.
