"""Foreign records under our field names, and the refusal of those that cannot be mapped."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rlhf_lib.errors import quote
from rlhf_lib.feedback.annotation import Annotation


class Refused(Exception):
    """One record cannot be mapped: the field, its value and how to fix it."""

    def __init__(self, field: str, value: Any, remedy: str):
        super().__init__(field, value, remedy)
        self.field, self.value, self.remedy = field, value, remedy


@dataclass
class Mapped:
    """A foreign record under our field names.

    Attributes
    ----------
    fields : dict
        Values for `Annotation`, not validated.
    sources : dict
        Our field name → its name in the file, where they differ.
    left_out : list of str
        Names in the file that have no field in an annotation.
    actions : dict
        "edit_a_id" / "edit_b_id" → the beat actions given with that edit.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    actions: dict[str, Any] = field(default_factory=dict)

    def put(self, name: str, source: str, value: Any) -> None:
        """Set a field; two texts for `reasoning` are joined, other repeats are refused."""
        if value is None and name in Annotation.model_fields:
            return  # null means not given
        before = self.fields.get(name)
        if before is None or (name == "reasoning" and before == ""):
            self.fields[name] = value
            if source != name:
                self.sources[name] = source
        elif name == "reasoning" and isinstance(before, str) and isinstance(value, str):
            self.fields[name] = f"{before}\n{value}" if value else before
        elif before != value:
            earlier = self.sources.get(name, name)
            raise Refused(source, value, f"differs from {earlier} {quote(before)}; keep one")


def items(block: Any, name: str) -> Iterable[tuple[str, Any]]:
    """Return the fields of the object called `name`; raise Refused when it is not an object."""
    if not isinstance(block, dict):
        raise Refused(name, block, "is not an object; give {…} with named fields")
    return block.items()
