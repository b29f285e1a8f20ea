"""What surrounds the engine: settings, Temporal server and client, sandbox, logging, the catalog of processes."""
