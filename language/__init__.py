"""The process language: YAML with places, `${ CEL }`, JSON Schema, and the checks of a definition. Pure."""
