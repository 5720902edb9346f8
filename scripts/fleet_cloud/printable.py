"""Foreign text as a terminal may have it: nothing that moves the cursor, changes colours or hides other text. Pure."""


def printable(text: str) -> str:
    r"""Returns text as one line that looks like what it is: everything that is not printable is escaped, as ``\x1b``.

    Control characters, line breaks, text direction marks and halves of surrogate pairs are all not printable.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
