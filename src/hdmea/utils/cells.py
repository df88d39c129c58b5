"""Text in the cells of tables that spreadsheets open: text, not a formula."""

from __future__ import annotations

FORMULA = r"^[=+\-@\t\r]"  # with which a cell begins that a spreadsheet computes


def text_cell(text: str) -> str:
    """The text, behind an apostrophe where a spreadsheet would compute it; numbers are what they are."""
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def plain_text(cell: str) -> str:
    """The text of which `text_cell` made a cell."""
    return cell[1:] if cell.startswith("'") and text_cell(cell[1:]) == cell else cell
