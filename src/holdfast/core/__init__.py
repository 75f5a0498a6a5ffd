"""The tree of sessions: values, decisions and ports. Only `manager` and `keeper` wait for anything."""
