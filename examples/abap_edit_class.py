"""Edit an ABAP class from Python: create, lock, update, check, unlock, activate, read back.

Without configuration it works on a simulated system in this process; HOLDFAST_SAP_URL, HOLDFAST_SAP_CLIENT,
HOLDFAST_SAP_USER and HOLDFAST_SAP_PASSWORD point it at a real one.

    python examples/abap_edit_class.py ZCL_MY_CLASS
"""

import sys

from holdfast.adt.handlers import (
    LockLostError,
    SessionExpiredError,
    activate_class,
    check_class,
    close_session,
    create_class,
    get_session,
    lock_class,
    read_class,
    unlock_class,
    update_class,
)

SOURCE = """\
CLASS {name} DEFINITION PUBLIC FINAL CREATE PUBLIC.
  PUBLIC SECTION.
    METHODS greet IMPORTING who TYPE string RETURNING VALUE(text) TYPE string.
ENDCLASS.

CLASS {name} IMPLEMENTATION.
  METHOD greet.
    text = |Hello, {{ who }}|.
  ENDMETHOD.
ENDCLASS.
"""


def edit(name: str) -> bool:
    """Write the class and activate it; say whether it is active now."""
    session = get_session()
    print(session["message"])
    named = {"class_name": name, "session_id": session["session_id"]}
    try:
        print(create_class(**named, description="Made by an example")["message"])
        lock = lock_class(**named)
        try:
            update_class(**named, lock_handle=lock["lock_handle"], source_code=SOURCE.format(name=name.lower()))
            print(check_class(**named)["message"])
        finally:
            unlock_class(**named, lock_handle=lock["lock_handle"])
        activation = activate_class(**named)
        print(activation["message"], *(message["text"] for message in activation.get("messages", [])))
        print(read_class(**named, version="active")["source_code"])
        return activation["success"]
    except (SessionExpiredError, LockLostError) as error:
        print(f"{error.code}: {error}\n{error.hint}")
        return False
    finally:
        close_session(session_id=session["session_id"])


if __name__ == "__main__":
    sys.exit(0 if edit(sys.argv[1] if len(sys.argv) > 1 else "ZCL_MY_CLASS") else 1)
