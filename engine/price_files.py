"""The price table that this process costs calls by, and the file of own prices over it."""

from pathlib import Path

from burnline_llm.prices import PricesError, PriceTable, Usage, load_own, table, use

__all__ = ["PriceTable", "PricesError", "Usage", "load", "table", "use"]


def load(path: Path | None) -> PriceTable:
    """The bundled prices, with those of a file over them; given to `use`, it is what costs are found by.

    Args:
        path: own prices; None for none.

    Raises:
        PricesError: the file can't be read or has problems, of which each is a line.
    """
    return PriceTable() if path is None else load_own(path)
