"""Format tables as plain text. All commands use this one formatter."""

from typing import Sequence

from mmnet.io.terminal import escape_controls


def format_table(rows: Sequence[Sequence[str]], *, left_columns: int = 1) -> str:
    """Return rows of cells as aligned columns, one line per row.

    The first ``left_columns`` columns are aligned left. The others hold numbers and are aligned
    right. The header is the first row. All rows have the same number of cells.
    """
    rows = [[escape_controls(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if index < left_columns else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
