"""What comes from several parts is in one order while any of them replays."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from slo.origins import WHOLE, Origin
from slo.together import Together


@dataclass(frozen=True)
class Said:
    """A message."""

    clock: float
    origin: Origin
    live: bool = True
    number: int = 0


def _part(name: str, parts: int, clocks: list[int], replayed: int) -> list[Said]:
    """The messages of a part: some of before the restart, then live ones, one at least."""
    return [
        # What is live has just come; what is replayed came before the restart.
        Said(clock + 10.0 * (number >= replayed), Origin(name, parts), number >= replayed, number)
        for number, clock in enumerate(sorted(clocks))
    ]


@st.composite
def inputs(draw: st.DrawFn) -> list[list[Said]]:
    """Parts of an input, each with its messages in order."""
    parts = draw(st.integers(2, 4))
    found = []
    for number in range(parts):
        clocks = draw(st.lists(st.integers(0, 9), min_size=1, max_size=8))
        replayed = draw(st.integers(0, len(clocks) - 1))
        found.append(_part(f"topic/{number}", parts, clocks, replayed))
    return found


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[list[Said]], list[Said]]:
    """An input, and all of its messages in an order in which they may come."""
    parts = draw(inputs())
    turns = draw(st.permutations([n for n, part in enumerate(parts) for _ in part]))
    left = [iter(part) for part in parts]
    return parts, [next(left[turn]) for turn in turns]


def _oracle(messages: list[Said]) -> list[Said]:
    """By brute force: sort all that came until every part was live; then all as it comes."""
    parts = messages[0].origin.parts
    live: set[str] = set()
    for count, message in enumerate(messages, 1):
        live |= {message.origin.part} if message.live else set()
        if len(live) == parts:
            before = sorted(messages[:count], key=lambda m: (m.clock, m.origin.part, m.number))
            return [*before, *messages[count:]]
    raise AssertionError("every part becomes live")


@settings(max_examples=50)
@given(interleaved())
def test_any_interleaving_gives_one_order_until_all_are_live(
    case: tuple[list[list[Said]], list[Said]],
) -> None:
    _, messages = case
    together: Together[Said] = Together()
    passed = [said for message in messages for said in together.take([message])]
    assert [(p.origin.part, p.number) for p in passed] == [
        (m.origin.part, m.number) for m in _oracle(messages)
    ]
    assert together.held() == []


@settings(max_examples=50)
@given(interleaved())
def test_nothing_is_live_before_all_are_and_everything_is_from_then_on(
    case: tuple[list[list[Said]], list[Said]],
) -> None:
    parts, messages = case
    together: Together[Said] = Together()
    live: set[str] = set()
    for message in messages:
        passed = together.take([message])
        was = len(live) == len(parts)
        live |= {message.origin.part} if message.live else set()
        if len(live) < len(parts):
            assert not any(said.live for said in passed)
        elif was:
            assert [said.live for said in passed] == [True]
        else:
            assert [said.live for said in passed] == [False] * (len(passed) - 1) + [True]


@settings(max_examples=50)
@given(interleaved())
def test_nothing_passes_what_may_still_come_before_it(
    case: tuple[list[list[Said]], list[Said]],
) -> None:
    """While a part is not live, nothing is passed on that is later than its newest."""
    parts, messages = case
    together: Together[Said] = Together()
    newest: dict[str, float] = {}
    live: set[str] = set()
    for message in messages:
        newest[message.origin.part] = message.clock
        live |= {message.origin.part} if message.live else set()
        passed = together.take([message])
        behind = [newest.get(p[0].origin.part, -1.0) for p in parts if p[0].origin.part not in live]
        if behind:
            assert all(said.clock <= min(behind) for said in passed)


@settings(max_examples=50)
@given(interleaved(), st.data())
def test_batches_and_a_restart_in_the_middle_change_no_order(
    case: tuple[list[list[Said]], list[Said]], data: st.DataObject
) -> None:
    """A restart: what is held is saved, every part goes on where it was and becomes live anew."""
    _, messages = case
    parts = messages[0].origin.parts
    together: Together[Said] = Together()
    passed: list[Said] = []
    for message in messages[: data.draw(st.integers(0, len(messages) - 1))]:
        passed += together.take([message])
        if any(said.live for said in passed):
            return  # from there on there is no order to keep
    before = len(passed) + len(together.held())
    together = Together(together.held())
    # Parts that were live already are not, until they say so again.
    rest = messages[before:]
    for name in sorted({m.origin.part for m in messages} - {m.origin.part for m in rest if m.live}):
        rest.append(Said(100.0, Origin(name, parts), number=1000))
    size = data.draw(st.integers(1, 4))
    for start in range(0, len(rest), size):
        passed += together.take(rest[start : start + size])
    assert together.held() == []
    assert sorted(map(_key, passed)) == sorted(map(_key, messages[:before] + rest))
    replayed = [_key(said) for said in passed if not said.live]
    assert replayed == sorted(replayed)


def _key(said: Said) -> tuple[float, str, int]:
    return said.clock, said.origin.part, said.number


def test_an_input_of_one_part_is_passed_on_as_it_is() -> None:
    together: Together[Said] = Together()
    messages = [Said(2.0, WHOLE, live=False), Said(1.0, WHOLE), Said(3.0, WHOLE, live=False)]
    assert together.take(messages) is messages
    one = [Said(9.0, Origin("topic/0", 1), live=False)]
    assert together.take(one) is one


def test_a_part_that_is_added_later_holds_up_nothing() -> None:
    together: Together[Said] = Together()
    for name in "ab":
        together.take([Said(1.0, Origin(name, 2))])
    fresh = Said(0.5, Origin("c", 3), live=False)
    later = Said(2.0, Origin("a", 3))
    assert [(s.clock, s.live) for s in together.take([fresh])] == [(0.5, True)]
    assert together.take([later]) == [later]


def test_a_part_added_to_an_input_of_one_holds_up_nothing() -> None:
    together: Together[Said] = Together()
    together.take([Said(1.0, Origin("a", 1))])
    assert together.take([Said(2.0, Origin("a", 2))])[0].live


def test_live_messages_of_a_batch_are_in_the_order_of_their_clocks() -> None:
    together: Together[Said] = Together()
    together.take([Said(1.0, Origin("a", 2)), Said(1.0, Origin("b", 2))])
    batch = [Said(11.2, Origin("a", 2)), Said(10.9, Origin("b", 2))]
    assert [said.clock for said in together.take(batch)] == [10.9, 11.2]


def test_parts_that_are_not_heard_of_hold_up_the_others() -> None:
    together: Together[Said] = Together()
    assert together.take([Said(1.0, Origin("a", 2))]) == []
    assert [s.clock for s in together.held()] == [1.0]
    passed = together.take([Said(5.0, Origin("b", 2))])
    assert [(s.clock, s.live) for s in passed] == [(1.0, False), (5.0, True)]


def test_a_part_fewer_is_no_longer_waited_for() -> None:
    """As when a topic was made anew with fewer partitions: the others say so, sooner or later."""
    together: Together[Said] = Together()
    for name in "ab":
        together.take([Said(1.0, Origin(name, 3))])
    together.take([Said(2.0, Origin("a", 2))])
    assert [s.live for s in together.take([Said(2.0, Origin("b", 2))])][-1]
