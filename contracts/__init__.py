"""What crosses a boundary: models, names, errors and activity stubs. Pure: no I/O, no clock, no randomness."""
