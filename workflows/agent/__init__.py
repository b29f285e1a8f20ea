"""Workflow `Agent`: one agent's turns. `agent.py` is its state, `workflow.py` its loop; each other file one concern."""
