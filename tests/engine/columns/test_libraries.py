"""What the libraries really send for the same calls reads the same (captures of `tests/libraries`)."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from engine.columns.spans import Reader
from slo import llm
from slo.columns import Field
from tests.libraries.truth import CALLS

CAPTURES = Path(__file__).parents[2] / "libraries" / "captures"
FIELDS = [*llm.DERIVED, llm.OPERATION, llm.PROVIDER, llm.REQUEST_MODEL, llm.ERROR_TYPE, llm.INPUT_TOKENS,
          llm.OUTPUT_TOKENS, llm.CACHE_READ_TOKENS, llm.CACHE_WRITE_TOKENS, llm.REASONING_TOKENS,
          llm.TIME_TO_FIRST_CHUNK, Field("intrinsic", "status")]
NAMES = ["genai", "openai-v2", "openllmetry", "openinference", "litellm", "openlit"]


def main() -> None:
    for name in NAMES:
        path = CAPTURES / f"{name}.binpb"
        if not path.exists():
            continue
        batch = Reader(FIELDS).read([path.read_bytes()])
        calls = batch.columns[llm.CALL].bits == 1
        print(name, "spans", len(batch), "calls", calls.sum())
        for field in FIELDS:
            kinds, bits = batch.columns[field]
            vals = []
            for k, b, f in zip(kinds[calls], bits[calls], bits[calls].view(np.float64), strict=True):
                vals.append({0: None, 1: batch.strings[b] if k == 1 else 0, 2: int(b), 3: round(float(f), 6), 4: bool(b), 5: ...}[int(k)])
            print("   ", field.name, vals)


if __name__ == "__main__":
    main()
