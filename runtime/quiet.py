"""A program that tells by itself what becomes of its calls."""

from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter


def hush_the_sdk() -> None:
    """Of the SDK's native part only what it cannot help: commands tell themselves what becomes of a call. To be called
    before the first client is made."""
    levels = TelemetryFilter(core_level="ERROR", other_level="ERROR")
    telemetry = TelemetryConfig(logging=LoggingConfig(filter=levels))
    Runtime.set_default(Runtime(telemetry=telemetry), error_if_already_set=False)
