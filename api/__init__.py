"""The pages where people decide: a Temporal client with a browser in front of it."""
