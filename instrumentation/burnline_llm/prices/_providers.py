"""Providers as instrumentation names them, in the words of genai-prices."""

# What genai-prices finds by itself ("aws.bedrock", "gcp.vertex_ai", "mistralai", "xai") is not here.
_NAMES = {
    # Without these "openai" inside the name would make them OpenAI's own.
    "azure.ai.openai": "azure",
    "az.ai.openai": "azure",
    "azure.openai": "azure",
    "azure_openai": "azure",
    "azure.ai.inference": "azure",
    "az.ai.inference": "azure",
    "azure_ai": "azure",
    "gcp.gen_ai": "google",
    "google_genai": "google",
    "x_ai": "x-ai",
    "together_ai": "together",
    "together.ai": "together",
    "fireworks_ai": "fireworks",
    "fireworks.ai": "fireworks",
    "ovhcloud.ai": "ovhcloud",
    "z.ai": "zai",
}
# A gateway, or a library that did not know: the model's name has to say it.
_NOBODY = frozenset({"", "litellm", "litellm_proxy", "unknown", "_other", "other"})


def provider_name(name: str | None) -> str | None:
    """The provider to look for; None where only the model can tell.

    Examples:
        >>> provider_name("az.ai.openai"), provider_name("OpenAI"), provider_name("litellm")
        ('azure', 'openai', None)
    """
    if name is None:
        return None
    plain = name.strip().lower()
    return None if plain in _NOBODY else _NAMES.get(plain, plain)
