"""The command line: a Temporal client with a terminal in front of it."""
