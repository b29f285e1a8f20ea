"""Faults on purpose: at activities, and between the worker and its model endpoints. Off unless `[faults]` is set."""
