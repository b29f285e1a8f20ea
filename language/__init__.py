"""The process language: YAML with places, `${ CEL }`, JSON Schema, and the checks that make a file a definition. Pure."""
