"""Text in CSV files: spreadsheets must not run it, and readers must find the ends of rows."""

import re

# Spreadsheets run cells that start like this; an apostrophe before them makes them text. A cell
# may also start within our text: after a semicolon or tab where these separate the columns, and
# after a line end, because quotes do not count there. Blanks and quotes before the formula are
# passed over. The full-width forms are run too.
_FORMULA = r"[=+\-@＝＋－＠]"
_CELL_START = r"(?:^|[;\t\r\n])[ \"]*"
_RUN = re.compile(rf"{_CELL_START}(?='*{_FORMULA})")
_DEFUSED = re.compile(rf"({_CELL_START})'(?='*{_FORMULA})")
# Spreadsheets drop these at the start of a cell and then look at what follows.
_BLANK_FIRST = re.compile(r"'*[\t\r\n]")


def defused(text: str) -> str:
    """Return `text` with an apostrophe before what a spreadsheet would run as a formula."""
    defused = _RUN.sub(r"\g<0>'", text)
    return f"'{defused}" if _BLANK_FIRST.match(defused) else defused


def restored(cell: str) -> str:
    """Return the text that `defused` made this cell from."""
    if cell.startswith("'") and _BLANK_FIRST.match(cell):
        cell = cell[1:]
    return _DEFUSED.sub(r"\1", cell)


def quoted(cell: str) -> str:
    """Return a cell in quotes where it needs them.

    Python's own writer leaves a lone carriage return bare, and a reader ends the row there.
    """
    return '"' + cell.replace('"', '""') + '"' if re.search(r'[",\r\n]', cell) else cell
