"""Anomalies in the flow: what is watched, the readings of it, and the incidents that come of them. Pure."""
