"""The manifests fit their schemas, name what is there, and agree with each other and with the worker."""

import re
from typing import Any

import pytest
import yaml
from pydantic import Field
from temporalio.envconfig import ClientConfigProfile

from contracts.base import Contract
from contracts.settings import ModelAlias
from runtime.settings import Settings
from tests.deploy.files import (
    BUILD_ID,
    DEPLOY,
    kubernetes_environment,
    manifest,
    manifests,
    worker_container,
)

VERSION = "1.37"
OF_KUBERNETES = [each for each in manifests() if re.match(r"v1|(apps|policy|networking\.k8s\.io)/", each["apiVersion"])]
NAME = f"surefoot-worker-{BUILD_ID}"


class TemporalTrigger(Contract):
    """What KEDA's scaler reads, and nothing else: `pkg/scalers/temporal_scaler.go` of 2.20.2,
    https://keda.sh/docs/2.20/scalers/temporal/. KEDA takes texts."""

    endpoint: str
    namespace: str
    task_queue: str = Field(alias="taskQueue")
    queue_types: str = Field(alias="queueTypes", pattern=r"^(workflow|activity|nexus)(,(workflow|activity|nexus))*$")
    target_queue_size: str = Field(alias="targetQueueSize", pattern=r"^\d+$")
    deployment: str = Field(alias="workerDeploymentName")
    build_id: str = Field(alias="workerDeploymentBuildId")


def ident(resource: dict[str, Any]) -> str:
    return f"{resource['kind']}-{resource.get('metadata', {}).get('name', '')}"


@pytest.mark.parametrize("resource", OF_KUBERNETES, ids=ident)
def test_a_manifest_fits_the_schema_of_kubernetes(resource: dict[str, Any]) -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="make setup WITH=deploy")
    schemas.validate(resource, VERSION, strict=True)


def test_the_scaled_object_fits_the_schema_of_keda() -> None:
    models = pytest.importorskip("cloudcoil.models.keda.v1alpha1", reason="make setup WITH=deploy")
    given = manifest("ScaledObject", NAME)
    read = models.ScaledObject.model_validate(given, strict=True)
    assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == given, "a name that it does not know"


def test_there_is_no_other_kind_of_manifest() -> None:
    others = [ident(each) for each in manifests() if each not in OF_KUBERNETES]
    assert others == ["Kustomization-", f"ScaledObject-{NAME}"]


def test_the_kustomization_names_files_that_are_there_and_all_that_is_shared() -> None:
    folder = DEPLOY / "kubernetes"
    named = set(yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"])
    there = {file.name for file in folder.glob("*.yaml")}
    assert there - named == {"kustomization.yaml", "release.yaml", "secret.example.yaml"}
    assert named <= there


def test_keda_scales_what_is_there_by_the_queue_of_this_release() -> None:
    spec = manifest("ScaledObject", NAME)["spec"]
    assert spec["scaleTargetRef"]["name"] == NAME
    assert 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "temporal"
    given, environment = TemporalTrigger.model_validate(trigger["metadata"]), kubernetes_environment()
    assert (given.endpoint, given.namespace, given.task_queue, given.deployment, given.build_id) == tuple(
        environment[name]
        for name in (
            "TEMPORAL_ADDRESS",
            "TEMPORAL_NAMESPACE",
            "SUREFOOT_TASK_QUEUE",
            "SUREFOOT_DEPLOYMENT",
            "SUREFOOT_BUILD_ID",
        )
    )
    assert "replicas" not in manifest("Deployment", NAME)["spec"], "KEDA and the manifest would contradict each other"


def test_every_setting_exists_and_is_one_that_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {name: value for name, value in kubernetes_environment().items() if name.startswith("SUREFOOT_")}
    assert {name.removeprefix("SUREFOOT_").lower().split("__")[0] for name in given} <= set(Settings.model_fields)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.deployment, settings.build_id) == ("surefoot", BUILD_ID)
    assert settings.conversations.kind == settings.records.kind == "postgresql"
    secrets = manifest("Secret", "surefoot")["stringData"]
    for reference in (settings.conversations.password, settings.records.password, *settings.links.keys):
        assert str(reference).removeprefix("env:") in secrets


def test_what_is_no_setting_of_ours_is_one_of_temporal_of_the_cloud_or_referred_to() -> None:
    secrets = re.findall(r"^  (?:# )?([A-Z_]+):", (DEPLOY / "kubernetes" / "secret.example.yaml").read_text(), re.M)
    given = {name: "value" for name in [*kubernetes_environment(), *secrets] if not name.startswith("SUREFOOT_")}
    temporal = {name for name in given if name.startswith("TEMPORAL_")}
    profile = ClientConfigProfile.load(disable_file=True, override_env_vars=given)
    assert (profile.address, profile.namespace, profile.api_key) == ("value",) * 3
    assert temporal == {"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY"}
    # https://docs.aws.amazon.com/cli/latest/topic/config-vars.html
    cloud = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}
    referred = {text.removeprefix("env:") for text in re.findall(r"env:[A-Z_]+", str(kubernetes_environment()))}
    assert given.keys() - temporal - cloud - referred == {ModelAlias.model_fields["key_env"].default}


def test_the_probes_ask_where_the_worker_answers() -> None:
    container, environment = worker_container(), kubernetes_environment()
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert ports == {"metrics": environment["SUREFOOT_METRICS_PORT"], "health": environment["SUREFOOT_HEALTH_PORT"]}
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "health"}


def test_a_worker_is_given_the_time_to_finish_what_it_does() -> None:
    pod = manifest("Deployment", NAME)["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > 2 * Settings().grace.total_seconds()


def test_selectors_meet_the_pods_of_this_release_and_no_other() -> None:
    deployment = manifest("Deployment", NAME)["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/version"] == BUILD_ID
    for selector in (deployment["selector"], manifest("PodDisruptionBudget", NAME)["spec"]["selector"]):
        assert selector["matchLabels"] == labels
    policy = manifest("NetworkPolicy", "surefoot-worker")["spec"]["podSelector"]["matchLabels"]
    assert policy.items() <= labels.items()


def test_the_pages_are_reached_where_they_listen() -> None:
    (container,) = manifest("Deployment", "surefoot-pages")["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    (served,) = manifest("Service", "surefoot-pages")["spec"]["ports"]
    assert (port["name"], port["containerPort"]) == (served["targetPort"], Settings().links.port)
    labels = manifest("Deployment", "surefoot-pages")["spec"]["template"]["metadata"]["labels"]
    assert manifest("Service", "surefoot-pages")["spec"]["selector"] == labels


@pytest.mark.parametrize("name", [NAME, "surefoot-pages"])
def test_a_pod_may_do_nothing_but_its_work(name: str) -> None:
    pod = manifest("Deployment", name)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {kubernetes_environment()["SUREFOOT_HOME"], "/tmp"} == mounted


def test_no_secret_is_committed() -> None:
    assert set(manifest("Secret", "surefoot")["stringData"].values()) == {""}
