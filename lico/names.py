"""Look names up, and say which was meant when one is not there."""

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(name: str, allowed: Iterable[str]) -> str:
    """`; did you mean …?` for an error message, or nothing."""
    close = get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def class_index(names: list[str], name: str, key: str) -> int:
    """The index of a class name.

    Raises:
        ValueError: if there is no such class; names the setting `key` and the nearest class.
    """
    if name not in names:
        raise ValueError(f"{key}={name} is no class of the data set{suggestion(name, names)}")
    return names.index(name)
