"""Ready-made SLOs for LLM applications: one data file each, and what turns them into SLOs."""
