"""Has the SDK's library collect its entropy beside Python's imports.

AWS-LC seeds its random numbers from the CPU's jitter: 35 ms of a core at the start of every process, with Python's lock
held, as it happens while awscrt is imported. But s2n, through which awscrt uses AWS-LC, may be initialised before that
(aws-c-io checks). On a thread that does so, without the lock, it takes no time where there is a second core.
"""

import contextlib
import os
import resource
import threading
from importlib.util import find_spec

# Otherwise s2n gives every allocation a page of its own, and locks it into memory; awscrt's do neither.
_PLAIN_MEMORY = "S2N_DONT_MLOCK"

_thread: threading.Thread | None = None


def begin() -> None:
    """Begins to collect it on a thread; no fork may follow. Does nothing on a single core, or with another build."""
    global _thread  # noqa: PLW0603 - the library is the process's
    if len(os.sched_getaffinity(0)) == 1 or not has_random_numbers():
        return
    # A thread reserves 64 MB of addresses for what it allocates.
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return
    library = find_spec("_awscrt")
    if library is None or library.origin is None:
        return
    # Some distributions package ctypes by itself. A library that cannot be loaded is reported where it is imported; of
    # threads there may be too few.
    with contextlib.suppress(ImportError, OSError, AttributeError, RuntimeError):
        import ctypes

        s2n = ctypes.CDLL(library.origin)
        thread = threading.Thread(target=s2n.s2n_init, name="entropy", daemon=True)
        # The agent ends by ``os._exit``: nothing is left to clean up.
        s2n.s2n_disable_atexit()
        os.environ[_PLAIN_MEMORY] = "1"
        thread.start()
        _thread = thread


def finish() -> None:
    """Waits until it is collected: the library must not be initialised twice at once."""
    global _thread  # noqa: PLW0603
    if _thread is not None:
        _thread.join()
        _thread = None
    os.environ.pop(_PLAIN_MEMORY, None)


def has_random_numbers() -> bool:
    """Whether s2n can be initialised at all: without this device awscrt would abort the process."""
    return os.access("/dev/urandom", os.R_OK)
