"""Stands in for `temporal-sql-tool` of Temporal 1.32.0: takes the options and variables that it takes, and no others.

Of https://github.com/temporalio/temporal at 6805cae: `tools/sql/main.go`, names in `tools/common/schema/types.go`. It
notes what it is told, a line of JSON each, in the file that `LOG` names.
"""

import argparse
import json
import os
from pathlib import Path

GLOBAL = {
    "endpoint": ("ep", "SQL_HOST"),
    "port": ("p", "SQL_PORT"),
    "user": ("u", "SQL_USER"),
    "password": ("pw", "SQL_PASSWORD"),
    "database": ("db", "SQL_DATABASE"),
    "plugin": ("pl", "SQL_PLUGIN"),
    "connect-attributes": ("ca", "SQL_CONNECT_ATTRIBUTES"),
    "tls-cert-file": (None, "SQL_TLS_CERT_FILE"),
    "tls-key-file": (None, "SQL_TLS_KEY_FILE"),
    "tls-ca-file": (None, "SQL_TLS_CA_FILE"),
    "tls-server-name": (None, "SQL_TLS_SERVER_NAME"),
}
"""Options before the command: the short name, the variable. Switches (`quiet`, `tls`, ...) are not among them."""
SWITCHES = ("SQL_TLS", "SQL_TLS_DISABLE_HOST_VERIFICATION")
PLUGINS = ("mysql8", "postgres12", "postgres12_pgx", "sqlite")
COMMANDS: dict[tuple[str, str], dict[str, str | None]] = {
    ("setup-schema", "setup"): {"version": "v", "schema-file": "f", "schema-name": None},
    ("update-schema", "update"): {"version": "v", "schema-dir": "d", "schema-name": "s"},
    ("create-database", "create"): {"defaultdb": None},
}
SCHEMAS = tuple(f"/etc/temporal/schema/postgresql/v12/{name}/versioned" for name in ("temporal", "visibility"))
"""What is in the image for PostgreSQL: `docker/targets/admin-tools.Dockerfile` copies `schema/` there."""
VARIABLES = {variable for _, variable in GLOBAL.values()} | set(SWITCHES)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("temporal-sql-tool", allow_abbrev=False)
    for name, (short, variable) in GLOBAL.items():
        choices = PLUGINS if name == "plugin" else None
        made.add_argument(*_flags(name, short), default=os.environ.get(variable), choices=choices)
    commands = made.add_subparsers(dest="command", required=True)
    for (name, alias), options in COMMANDS.items():
        command = commands.add_parser(name, aliases=[alias], allow_abbrev=False)
        for option, short in options.items():
            command.add_argument(*_flags(option, short))
    return made


def _flags(name: str, short: str | None) -> list[str]:
    return [f"--{name}", *([f"--{short}", f"-{short}"] if short else [])]


if __name__ == "__main__":
    told = vars(parser().parse_args())
    with Path(os.environ["LOG"]).open("a") as log:
        log.write(json.dumps(told) + "\n")
