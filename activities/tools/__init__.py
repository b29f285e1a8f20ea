"""Tools as Temporal activities: `runner.py` makes a tool an activity, `context.py` is what a tool may ask for."""
