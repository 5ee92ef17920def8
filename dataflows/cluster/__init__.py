"""Several processes that run one flow: who they are, how they meet, and how they end together."""
