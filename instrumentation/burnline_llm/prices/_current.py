"""The table that this process uses."""

from hashlib import sha256
from pathlib import Path

from burnline_llm.prices._entries import OwnPrices
from burnline_llm.prices._litellm import read_litellm
from burnline_llm.prices._problems import PricesError
from burnline_llm.prices._table import PriceTable
from burnline_llm.prices._yaml_prices import read_yaml

_MOST_BYTES = 16 << 20
_used: list[PriceTable] = []


def table() -> PriceTable:
    """The table in use: the bundled one, unless `use` was given another."""
    if not _used:
        _used.append(PriceTable())
    return _used[0]


def use(table: PriceTable) -> None:
    """Let this process price by a table, such as one from `load_own`."""
    _used[:] = [table]


def load_own(path: str | Path) -> PriceTable:
    """The bundled table with own prices over it; give it to `use`.

    Args:
        path: YAML, or a `.json` file in LiteLLM's format.

    Raises:
        PricesError: the file can't be read, or something in it is wrong.
    """
    try:
        content = Path(path).read_bytes()
        text = content.decode()
    except OSError as error:
        raise PricesError(
            [f"{path}: can't be read ({error.strerror}); name a file of prices"]
        ) from error
    except UnicodeDecodeError as error:
        raise PricesError([f"{path}: is no UTF-8 text; save it as such"]) from error
    if len(content) > _MOST_BYTES:
        raise PricesError(
            [f"{path}: is larger than {_MOST_BYTES >> 20} MiB; name a file of prices"]
        )
    read = read_litellm if str(path).endswith(".json") else read_yaml
    own = OwnPrices(read(text, str(path)))
    return PriceTable(own, f"{Path(path).name} {sha256(content).hexdigest()[:12]}")
