"""`tools.yaml`: declared tools, one file per section."""
