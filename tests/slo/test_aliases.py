"""The alias table: well formed, and the order of preference kept."""

from slo.aliases import accepted, table


def test_canonical_name_comes_first() -> None:
    for canonical in table():
        assert accepted(canonical)[0] == canonical


def test_old_names_are_accepted() -> None:
    assert accepted("gen_ai.provider.name")[1] == "gen_ai.system"
    assert "gen_ai.usage.prompt_tokens" in accepted("gen_ai.usage.input_tokens")
    assert accepted("tenant.id") == ("tenant.id", "tenant", "tenant_id")


def test_name_without_aliases_is_its_own() -> None:
    assert accepted("http.route") == ("http.route",)
    assert accepted("gen_ai.system") == ("gen_ai.system",)


def test_no_name_twice_and_no_chain() -> None:
    for canonical, alias in table().items():
        others = (*alias.also, *alias.milliseconds, *alias.when_streamed)
        assert canonical not in others
        assert len(set(others)) == len(others)
        assert not set(others) & set(table()), "an alias must not be canonical itself"
