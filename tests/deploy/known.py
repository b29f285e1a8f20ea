"""What the images of the compose file read from their environment and their files, by the images' own sources."""

import re
from functools import cache

from runtime.server import temporal_binary
from tests.deploy import sql_tool

UI = """
    TEMPORAL_ACTIVITY_COMMANDS_DISABLED TEMPORAL_ADDRESS TEMPORAL_AUTH_CALLBACK_URL TEMPORAL_AUTH_CLIENT_ID
    TEMPORAL_AUTH_CLIENT_SECRET TEMPORAL_AUTH_ENABLED TEMPORAL_AUTH_ISSUER_URL TEMPORAL_AUTH_LABEL
    TEMPORAL_AUTH_PROVIDER_URL TEMPORAL_AUTH_REDIRECT_TO_PROVIDER TEMPORAL_AUTH_SCOPES TEMPORAL_AUTH_TYPE
    TEMPORAL_AUTH_USE_ID_TOKEN_AS_BEARER TEMPORAL_BATCH_ACTIONS_DISABLED TEMPORAL_CLOUD_UI
    TEMPORAL_CODEC_DEFAULT_ERROR_LINK TEMPORAL_CODEC_DEFAULT_ERROR_MESSAGE TEMPORAL_CODEC_ENDPOINT
    TEMPORAL_CODEC_INCLUDE_CREDENTIALS TEMPORAL_CODEC_PASS_ACCESS_TOKEN TEMPORAL_CONFIG_REFRESH_INTERVAL
    TEMPORAL_CORS_ORIGINS TEMPORAL_CORS_UNSAFE_ALLOW_ALL_ORIGINS TEMPORAL_CSRF_COOKIE_INSECURE
    TEMPORAL_DEFAULT_NAMESPACE TEMPORAL_DISABLE_NEWS_FETCH TEMPORAL_DISABLE_WRITE_ACTIONS TEMPORAL_FEEDBACK_URL
    TEMPORAL_FORWARD_HEADERS TEMPORAL_HIDE_LOGS TEMPORAL_HIDE_WORKFLOW_QUERY_ERRORS
    TEMPORAL_NAV_COLLAPSED_BY_DEFAULT TEMPORAL_REFRESH_WORKFLOW_COUNTS_DISABLED
    TEMPORAL_SHOW_TEMPORAL_SYSTEM_NAMESPACE TEMPORAL_START_WORKFLOW_DISABLED TEMPORAL_TLS_CA
    TEMPORAL_TLS_CA_DATA TEMPORAL_TLS_CERT TEMPORAL_TLS_CERT_DATA TEMPORAL_TLS_ENABLE_HOST_VERIFICATION
    TEMPORAL_TLS_KEY TEMPORAL_TLS_KEY_DATA TEMPORAL_TLS_SERVER_NAME TEMPORAL_UI_ENABLED TEMPORAL_UI_PORT
    TEMPORAL_UI_PUBLIC_PATH TEMPORAL_UI_SERVER_TLS_CERT TEMPORAL_UI_SERVER_TLS_KEY
    TEMPORAL_WORKFLOW_CANCEL_DISABLED TEMPORAL_WORKFLOW_PAUSE_DISABLED TEMPORAL_WORKFLOW_RESET_DISABLED
    TEMPORAL_WORKFLOW_SIGNAL_DISABLED TEMPORAL_WORKFLOW_TERMINATE_DISABLED TEMPORAL_WORKFLOW_UPDATE_DISABLED
"""
"""https://github.com/temporalio/ui, `server/config/docker.yaml` of 2.53.3, of which the image makes its settings."""

POSTGRES = """
    PGDATA POSTGRES_DB POSTGRES_HOST_AUTH_METHOD POSTGRES_INITDB_ARGS POSTGRES_INITDB_WALDIR POSTGRES_PASSWORD
    POSTGRES_PASSWORD_FILE POSTGRES_USER POSTGRES_USER_FILE
"""
"""https://github.com/docker-library/postgres, `16/bookworm/docker-entrypoint.sh`."""

GRAFANA = {
    "auth": "disable_login_form disable_signout_menu oauth_auto_login",
    "auth.anonymous": "enabled hide_version org_name org_role",
    "analytics": "check_for_plugin_updates check_for_updates reporting_enabled",
    "dashboards": "default_home_dashboard_path min_refresh_interval versions_to_keep",
}
"""Sections and keys of https://github.com/grafana/grafana, `conf/defaults.ini`; a variable is `GF_SECTION_KEY`."""

PROVISIONING = {
    "datasources": "access editable isDefault jsonData name orgId secureJsonData type uid url version",
    "providers": "allowUiUpdates disableDeletion editable folder folderUid name options orgId type",
}
"""Keys of files in `provisioning/`: `pkg/services/provisioning/{datasources,dashboards}/types.go` of Grafana."""

DYNAMIC = {
    "matching.enableFairness": bool,
    "matching.numTaskqueueReadPartitions": int,
    "matching.numTaskqueueWritePartitions": int,
    "history.maxInFlightUpdates": int,
}
"""Those of the many that we set: `common/dynamicconfig/constants.go` of https://github.com/temporalio/temporal."""

CLI = "TEMPORAL_ADDRESS TEMPORAL_NAMESPACE"
"""Of the Temporal CLI, which another test runs with them."""


@cache
def server_variables() -> frozenset[str]:
    """The embedded server is the same release and holds the template of which the image makes its configuration."""
    found = re.findall(rb'env "([A-Z][A-Z0-9_]+)"', temporal_binary().read_bytes())
    return frozenset(name.decode() for name in found)


@cache
def variables(repository: str) -> frozenset[str]:
    """What an image reads. Of ours, the settings have tests of their own."""
    return {
        "postgres": frozenset(POSTGRES.split()),
        "temporalio/server": server_variables(),
        "temporalio/admin-tools": frozenset(CLI.split()) | sql_tool.VARIABLES,
        "temporalio/ui": frozenset(UI.split()),
        "grafana/grafana": frozenset(
            f"GF_{section}_{key}".replace(".", "_").upper() for section, keys in GRAFANA.items() for key in keys.split()
        ),
        "prom/prometheus": frozenset(),
        "prom/alertmanager": frozenset(),
    }[repository]
