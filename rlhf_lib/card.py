"""Cards of models and data sets: Markdown with the front matter that the Hugging Face Hub reads."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from rlhf_lib.errors import InputError


def card(front: Mapping[str, Any], text: str) -> str:
    """Return a card.

    Parameters
    ----------
    front : mapping
        Fields of the front matter, such as license and tags; those that are None are left out.
    text : str
        Markdown.
    """
    known = {name: value for name, value in front.items() if value is not None}
    fields = yaml.safe_dump(known, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{fields}---\n\n{text.strip()}\n"


def check_license(name: str | None, what: str) -> str:
    """Return the licence if it is one word, as the Hub writes them: mit, cc-by-4.0, other.

    Raises
    ------
    InputError
        When none is given, or it is not written in that way.
    """
    if not name:
        raise InputError(
            f"{what} needs a licence, which only its owners can choose: give --license, for "
            "example cc-by-4.0, mit, or other"
        )
    if not re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", name):
        raise InputError(
            f"--license {name!r} is no identifier of a licence; give one in small letters as the "
            "Hugging Face Hub writes it, for example cc-by-4.0, mit, or other"
        )
    return name
