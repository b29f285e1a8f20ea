"""What holds a tool of a recorded run, or an answer of its model, until the run is where the history wants it."""

import threading
from collections import defaultdict

GATES: defaultdict[str, threading.Event] = defaultdict(threading.Event)
"""By the run and the step of the tool, or by the name of the model. One that is set lets all through."""
