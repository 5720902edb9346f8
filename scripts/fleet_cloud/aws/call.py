"""One call to AWS as a value: service, operation, parameters. It prints as the ``aws`` command that makes it. Pure."""

import dataclasses

from fleet_cloud.local.shell import Command, Word

Values = tuple[Word, ...]
Parameters = tuple[tuple[str, Values], ...]

# Listings as long as the fleet: AWS's default page is a tenth of its largest.
_PAGED = ("list-things", "list-certificates", "list-targets-for-policy")
_PAGE = ("--page-size", "250")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Where:
    """The profile, region and endpoint that a call goes to."""

    region: str
    profile: str | None = None
    endpoint_url: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The same as flags of ``aws``."""
        return (
            *(("--profile", self.profile) if self.profile else ()),
            *("--region", self.region),
            *(("--endpoint-url", self.endpoint_url) if self.endpoint_url else ()),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call(Command):
    """One call.

    Args:
        service: As ``aws`` names it, such as ``iot``.
        operation: As ``aws`` names it, such as ``list-things``.
        parameters: As ``aws`` names them, each with its values; a switch has none.
        where: Where it goes.
    """

    words: tuple[Word, ...] = dataclasses.field(init=False, default=())
    service: str
    operation: str
    parameters: Parameters
    where: Where

    def __post_init__(self) -> None:
        """Spells the command."""
        flags = (word for name, values in self.parameters for word in (f"--{name}", *values))
        form = "text" if self.into else "json"
        page = _PAGE if self.operation in _PAGED else ()
        last = (*page, *self.where.words, "--output", form)
        words = ("aws", self.service, self.operation, *flags, *last)
        object.__setattr__(self, "words", words)


def parameters(words: tuple[Word, ...]) -> Parameters:
    """Returns the parameters that these flags and values give."""
    found: list[tuple[str, list[Word]]] = []
    for word in words:
        if isinstance(word, str) and word.startswith("--"):
            found.append((word.removeprefix("--"), []))
        elif found:
            found[-1][1].append(word)
        else:
            raise ValueError(f"{word!r} is not a flag")
    return tuple((name, tuple(values)) for name, values in found)
