*" Tells the time, so that tests can bring their own
INTERFACE zif_hf_clock
  PUBLIC .

  "! Current point in time, UTC
  METHODS now
    RETURNING
      VALUE(rv_now) TYPE timestampl .

ENDINTERFACE.
