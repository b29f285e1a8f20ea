"""The board where workers do not share a machine: in the store where conversations lie."""
