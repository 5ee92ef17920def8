"""Golden files: inputs beside the output that they gave when a person last looked at it.

`BURNLINE_UPDATE_GOLDEN=1 pytest tests/slo` writes them anew; read the difference before committing.
"""

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def compare(path: Path, actual: str) -> None:
    if os.environ.get("BURNLINE_UPDATE_GOLDEN"):
        path.write_text(actual, "utf-8")
    assert actual == path.read_text("utf-8"), f"{path.name} differs; see tests/slo/golden.py"
