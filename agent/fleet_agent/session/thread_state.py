"""Keeps Python's state of the SDK's thread from one callback to the next.

For each callback Python makes such a state, with memory that it maps and unmaps, and drops it afterwards: two thirds of
what a PUBACK costs. It stays where its owner enters once more than it leaves (``PyGILState_Ensure`` without a Release).
The SDK's thread lives as long as the process.
"""

import contextlib
import threading

_kept = threading.local()


def keep() -> None:
    """Keeps the state of this thread, one that the SDK has made; called in a callback."""
    # What is in a ``threading.local`` is part of the state, and goes with it.
    if not hasattr(_kept, "entered"):
        # Some distributions package it by itself.
        with contextlib.suppress(ImportError):
            import ctypes

            ctypes.pythonapi.PyGILState_Ensure()
        _kept.entered = True
