"""Every test here runs the installed command; whatever it shows is looked through for secrets."""

from support.no_secrets import no_secret_is_shown

__all__ = ["no_secret_is_shown"]
