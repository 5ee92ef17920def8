"""Whether numba has compiled kernels before, on this machine."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any


def are_cached(kernels: Iterable[Any]) -> bool:
    """Whether compiled code of all these functions is on disk, as far as file times tell."""
    for kernel in kernels:
        source, folder = Path(kernel.py_func.__code__.co_filename), kernel.stats.cache_path
        if not folder:
            return False
        changed = source.stat().st_mtime
        indexes = Path(folder).glob(f"{source.stem}.{kernel.__name__}-*.nbi")
        if not any(index.stat().st_mtime >= changed for index in indexes):
            return False
    return True
