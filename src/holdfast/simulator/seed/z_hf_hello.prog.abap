*& Greets whoever is named
REPORT z_hf_hello.

PARAMETERS p_name TYPE string DEFAULT `world` LOWER CASE.

START-OF-SELECTION.
  WRITE / zcl_hf_greeter=>greet( p_name ).
