"""What surrounds the engine: settings, the Temporal server and client, the sandbox, logging, the catalog of processes."""
