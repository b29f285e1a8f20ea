"""The model call: one conversation turn, from whichever endpoint or script answers."""
