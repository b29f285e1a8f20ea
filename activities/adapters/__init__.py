"""Agents of other frameworks in the model's place: one module each advances such an agent by one turn."""
