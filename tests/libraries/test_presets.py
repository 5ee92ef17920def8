"""The presets over what each library really sent for the same calls."""

from typing import NamedTuple

import pytest

import slo
from engine.columns.spans import Reader
from slo.masks import mask
from slo.model import SpanSli
from tests.libraries.reading import captured


class Counts(NamedTuple):
    """(bad, total) by preset."""

    availability: tuple[int, int] = (4, 16)
    latency: tuple[int, int] = (0, 12)
    first_token: tuple[int, int] = (0, 3)
    time_per_output_token: tuple[int, int] = (0, 2)
    refusals: tuple[int, int] = (0, 11)
    truncation: tuple[int, int] = (1, 11)
    # Of the four that failed, 500 and 529 are the provider's fault; 400 and 429 are not.
    provider_availability: tuple[int, int] = (2, 14)


# Where a library leaves something out: `README.md` says what.
SENT = {
    "burnline": Counts(),
    "genai": Counts(),
    "openllmetry": Counts(),
    "openinference": Counts(),
    "litellm": Counts(first_token=(0, 0), time_per_output_token=(0, 0)),
}


@pytest.mark.parametrize("library", SENT)
def test_every_library_gives_the_same_service_levels(library: str) -> None:
    presets = [name.replace("_", "-") for name in Counts._fields]
    slos = "".join(f"  - {{preset: {name}, scope: '{{ }}'}}\n" for name in presets)
    loaded = slo.load({"f": f"apiVersion: burnline/v1\nservice: s\nslos:\n{slos}"})
    assert not loaded.problems
    counts = []
    for objective in loaded.objectives:
        sli = objective.sli
        assert isinstance(sli, SpanSli)
        assert sli.bad is not None
        batch = Reader(sli.total.fields() | sli.bad.fields()).read([captured(library)])
        total, bad = mask(sli.total, batch), mask(sli.bad, batch)
        counts.append((int((total & bad).sum()), int(total.sum())))
    assert Counts(*counts) == SENT[library]
