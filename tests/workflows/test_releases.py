"""Workers of several builds on one queue: a run stays on the build it began on, and changes it when it continues."""
