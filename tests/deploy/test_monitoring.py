"""What watches the workers: configurations hold, alerts fire when they should, and only what is measured is asked."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import temporalio.bridge
import yaml

from contracts.metrics import METRICS
from tests.deploy.files import DEPLOY, ROOT, SERVICES
from tests.deploy.programs import program

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "surefoot.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
SOURCES: list[dict[str, Any]] = yaml.safe_load(
    (DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
)["datasources"]
RULES: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
EXPRESSIONS = [
    *(target["expr"] for panel in PANELS for target in panel.get("targets", [])),
    *(rule["expr"] for group in RULES["groups"] for rule in group["rules"]),
]


def run(name: str, *arguments: str | Path) -> None:
    found = program(name, "prometheus prometheus-alertmanager")
    done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_its_configuration_and_rules() -> None:
    run("promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yml")


def test_alerts_fire_when_they_should_and_not_before() -> None:
    run("promtool", "test", "rules", DEPLOY / "prometheus" / "rules.test.yml")


def test_alertmanager_takes_its_configuration() -> None:
    run("amtool", "check-config", DEPLOY / "alertmanager" / "alertmanager.yml")


def test_every_question_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"asked:{number}", "expr": text} for number, text in enumerate(EXPRESSIONS)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    run("promtool", "check", "rules", "--lint=none", tmp_path / "rules.yml")


def test_only_what_is_measured_is_asked_for() -> None:
    used = {name for text in EXPRESSIONS for name in re.findall(r"\b(?:temporal|surefoot)_\w+", text)}
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used if name.startswith("surefoot_")}
    assert ours == {metric.exported for metric in METRICS}
    library = next(Path(temporalio.bridge.__path__[0]).glob("temporal_sdk_bridge*")).read_bytes()
    names = {
        re.sub(r"^temporal_|(_seconds)?_bucket$|_total$", "", name) for name in used if name.startswith("temporal_")
    }
    assert len(names) > 8
    assert [name for name in names if name.encode() not in library] == []


def test_the_page_has_every_metric_with_its_labels() -> None:
    page = (ROOT / "docs" / "cluster.md").read_text()
    rows = re.findall(r"^\| `(surefoot_\w+)` \| \w+ \| (.*?) \|", page, re.M)
    named = {name: set(re.findall(r"\w+", labels)) for name, labels in rows}
    assert named == {metric.exported: set(metric.labels) for metric in METRICS}


def test_what_is_watched_is_a_service_of_the_compose_file() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    jobs = [*config["scrape_configs"], *config["alerting"]["alertmanagers"]]
    targets = [target for job in jobs for each in job.get("static_configs", []) for target in each["targets"]]
    hosts = {target.split(":")[0] for target in targets}
    hosts |= {name for job in jobs for each in job.get("dns_sd_configs", []) for name in each["names"]}
    hosts |= {str(urlsplit(source["url"]).hostname) for source in SOURCES}
    assert hosts == {"worker", "temporal", "alertmanager", "prometheus"}
    assert hosts <= set(SERVICES)


def test_the_dashboard_shows_each_panel_beside_the_others() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    cells = [
        (x, y)
        for panel in PANELS
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    uids = {target["datasource"]["uid"] for target in PANELS if "datasource" in target}
    provisioned = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert uids <= {source["uid"] for source in provisioned}
