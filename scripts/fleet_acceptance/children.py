"""Programs that this command starts: they end with it, however it ends."""

import functools
import shutil


@functools.cache
def ended_with_us() -> tuple[str, ...]:
    """Gives what starts a program so that it is ended when this one is gone, even by a kill."""
    return ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
