"""What a process shows the others of its settings."""

import pytest

from dataflows.cluster.cards import Card, Unfit, agree
from dataflows.cluster.joining import _same
from dataflows.settings import Settings


@pytest.mark.parametrize(("option", "field"), [("--workers", "workers"), ("--shards", "shards")])
def test_what_must_be_the_same_and_is_not_is_named(option: str, field: str) -> None:
    ours, theirs = Settings(slos=()), Settings(slos=(), **{field: 7})
    cards = [Card(0, 2, _same(ours)), Card(1, 2, _same(theirs))]
    with pytest.raises(Unfit, match=f"process 1 has {option} 7 and process 0 has"):
        agree(cards, 8)
