"""What a step of each kind does: one file for each, one action for the engine to call."""
