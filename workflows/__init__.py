"""Deterministic: what decides. `process.py` runs a plan, `agent.py` one agent's turns. Nothing here does I/O."""
