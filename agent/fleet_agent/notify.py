"""What systemd is told: READY, STATUS and the watchdog. Outside a notify unit every call does nothing."""

import os


def send(message: str) -> None:
    """Send one sd_notify message, for example ``READY=1`` or ``STATUS=connected``."""
    if "NOTIFY_SOCKET" not in os.environ:
        return
    try:
        from systemd import daemon
    except (
        ImportError
    ):  # a venv without systemd-python: the unit would time out, so say it where one looks
        import logging

        logging.getLogger(__name__).warning("systemd-python is missing: cannot notify systemd")
        return
    daemon.notify(message)


def ready() -> None:
    """Configuration and state are sound: dependants may start."""
    send("READY=1")


def status(words: str) -> None:
    """Show a line in ``systemctl status``."""
    send(f"STATUS={words}")


def stopping() -> None:
    """A clean end has begun."""
    send("STOPPING=1")


def alive() -> None:
    """Feed the watchdog."""
    send("WATCHDOG=1")


def watchdog_interval() -> float | None:
    """Seconds between proofs of life (half of what the unit allows), or None without a watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        allowed = int(os.environ["WATCHDOG_USEC"])
    except (KeyError, ValueError):
        return None
    return allowed / 2_000_000 if allowed > 0 else None
