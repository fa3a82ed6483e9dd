"""Write docs/descriptors.md from the table of descriptors: .venv/bin/python docs/descriptors.py"""

from pathlib import Path

from rlhf_lib.editing.descriptors import ADDITIVE, DESCRIPTOR_TABLE, Descriptor
from rlhf_lib.paths import atomic_path

PAGE = Path(__file__).with_suffix(".md")
_DIRECTIONS = {-1: "a cost", 0: "a matter of taste", 1: "a merit"}


def page() -> str:
    """Return the page as it belongs into docs/."""
    others = [one for one in DESCRIPTOR_TABLE if not one.additive]
    return f"""# Descriptors

The {len(DESCRIPTOR_TABLE)} numbers that describe an edit. Dense reward, reward model, planner
and search, and the tastes of simulated raters are weights over them. The script
`docs/descriptors.py` writes this page from `rlhf_lib/editing/descriptors.py`; a test compares
the two.

A cost stays a cost and a merit a merit in every fit; a matter of taste may go either way.

## Additive: sums over the steps of an edit, planned exactly

{_rows(ADDITIVE)}

## Of the whole edit: served by the search

{_rows(others)}
"""


def _rows(descriptors: list[Descriptor] | tuple[Descriptor, ...]) -> str:
    lines = ["| name | what it is | direction | less of it | more of it |", "|---|---|---|---|---|"]
    for one in descriptors:
        cells = (f"`{one.name}`", one.about, _DIRECTIONS[one.direction], one.less, one.more)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    with atomic_path(PAGE) as part:
        part.write_text(page(), encoding="utf-8")
    print(PAGE)
