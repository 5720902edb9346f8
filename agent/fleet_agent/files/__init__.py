"""Files: written as a whole or not at all, read without surprises, and never the agent's own by another's link."""

from fleet_agent.files.failures import move_aside, out_of_the_way
from fleet_agent.files.reading import (
    is_folder,
    is_link,
    is_there,
    link,
    names,
    owner,
    read,
    read_given,
)
from fleet_agent.files.writing import (
    append_line,
    make_folder,
    move,
    overwrite,
    point,
    remove,
    remove_folder,
    write,
)

__all__ = [
    "append_line",
    "is_folder",
    "is_link",
    "is_there",
    "link",
    "make_folder",
    "move",
    "move_aside",
    "names",
    "out_of_the_way",
    "overwrite",
    "owner",
    "point",
    "read",
    "read_given",
    "remove",
    "remove_folder",
    "write",
]
