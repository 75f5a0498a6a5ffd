"""Servers of tests go with the process that started them, however that ends."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def go_with_parent() -> None:
    """Let the system end the server when the process that runs it is killed; with a session of its own.

    For `preexec_fn` of `subprocess.Popen`.
    """
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
