"""Whether numba has compiled a kernel before, on this machine."""

from collections.abc import Iterable
from pathlib import Path

from numba.core.registry import CPUDispatcher


def are_cached(kernels: Iterable[CPUDispatcher]) -> bool:
    """Whether compiled code of all these functions is on disk, as far as file times tell."""
    return all(map(_is_cached, kernels))


def _is_cached(kernel: CPUDispatcher) -> bool:
    source, folder = Path(kernel.py_func.__code__.co_filename), kernel.stats.cache_path
    if not folder:
        return False
    indexes = Path(folder).glob(f"{source.stem}.{kernel.__name__}-*.nbi")
    changed = source.stat().st_mtime
    return any(index.stat().st_mtime >= changed for index in indexes)
