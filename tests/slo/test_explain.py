"""The burning slice: what is over-represented among bad events."""

import doctest

from hypothesis import given
from hypothesis import strategies as st

import slo.explain
from slo.explain import COMBINATIONS_PER_SLOT, Explainer, rank

NAMES = ("span.gen_ai.request.model", "span.tenant.id", "span.error.type")
MODELS, TENANTS = ("m1", "m2", "m3"), ("a", "b", "c", "d")


def _fill(explainer, clock, failing):
    for model in MODELS:
        for tenant in TENANTS:
            explainer.add(clock, (model, tenant, ""), 0, 100, ())
            if failing(model, tenant):
                explainer.add(clock, (model, tenant, "timeout"), 60, 60, (f"{model}{tenant}",))
    explainer.add(clock, ("m3", "d", "other"), 2, 2, ("ff",))


def test_one_model_failing_for_one_tenant_is_named_as_the_pair():
    explainer = Explainer()
    _fill(explainer, 1000, lambda m, t: (m, t) == ("m2", "c"))
    found = explainer.explain(1500, NAMES)
    assert found.slices[0].values == (
        ("span.gen_ai.request.model", "m2"),
        ("span.tenant.id", "c"),
    )
    assert (found.slices[0].bad, found.slices[0].total) == (60, 160)
    assert found.slices[0].lift > 5
    assert found.errors == (("timeout", 60), ("other", 2))
    assert found.trace_ids[0] == "m2c"


def test_one_model_failing_for_all_is_named_alone():
    explainer = Explainer()
    _fill(explainer, 1000, lambda m, _t: m == "m1")
    assert explainer.explain(1000, NAMES).slices[0].values == (("span.gen_ai.request.model", "m1"),)


def test_what_is_older_than_an_hour_is_forgotten():
    explainer = Explainer()
    _fill(explainer, 600, lambda m, _t: m == "m1")
    assert explainer.explain(600 + 3599, NAMES).slices
    assert not explainer.explain(600 + 4200, NAMES).slices


def test_many_combinations_share_a_place_and_are_still_counted():
    explainer = Explainer()
    for n in range(10 * COMBINATIONS_PER_SLOT):
        explainer.add(0, ("m1" if n % 2 else "m2", f"t{n}", ""), n % 2, 1, ())
    counts = explainer.slots[0].counts
    assert len(counts) <= COMBINATIONS_PER_SLOT + 1
    assert sum(total for _, total in counts.values()) == 10 * COMBINATIONS_PER_SLOT


def test_no_bad_events_explain_nothing():
    assert rank(NAMES, {("m1", "a", ""): (0, 10)}) == ()
    assert rank(NAMES, {}) == ()


def test_a_few_bad_events_by_chance_name_no_slice():
    counts = {("m1", f"t{n}"): (int(n == 3), 7) for n in range(20)}
    assert rank(("model", "tenant"), counts) == ()


def test_a_pair_that_leaves_nothing_out_is_not_named_beside_its_value():
    counts = {("m1", "a"): (0, 500), ("m1", "b"): (50, 100)}
    (only,) = rank(("model", "tenant"), counts)
    assert only.values == (("tenant", "b"),)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(MODELS), st.sampled_from(TENANTS)),
        st.tuples(st.integers(0, 50), st.integers(0, 50)),
    )
)
def test_lift_is_the_ratio_of_shares(cells):
    counts = {values: (bad, bad + good) for values, (bad, good) in cells.items()}
    bad = sum(b for b, _ in counts.values())
    total = sum(t for _, t in counts.values())
    for found in rank(("model", "tenant"), counts):
        inside = [
            c
            for values, c in counts.items()
            if all(
                dict(zip(("model", "tenant"), values, strict=True))[n] == v for n, v in found.values
            )
        ]
        assert found.bad == sum(b for b, _ in inside)
        assert found.total == sum(t for _, t in inside)
        assert abs(found.lift - (found.bad / bad) / (found.total / total)) < 1e-9
        assert found.lift > 1


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(slo.explain).failed == 0
