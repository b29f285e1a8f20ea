"""What pages and files say to do with Docker and kubectl, as far as it goes without an engine and a cluster."""

import re
import shlex
from itertools import pairwise

import pytest
import yaml

from tests.deploy.files import COMPOSE_FILE, DEPLOY, ROOT, SERVICES, instructions, manifest, manifests
from tests.deploy.programs import docker_compose, kubectl
from tests.docs.pages import PAGES, blocks

NOBODY = "127.0.0.1:1"
KUBERNETES = DEPLOY / "kubernetes"
SHOWN = [each for page in PAGES for block in blocks(page) if block.language == "console" for each in block.commands]
NAMED = [
    command
    for file in (*PAGES, COMPOSE_FILE, *KUBERNETES.glob("*.yaml"))
    for command in re.findall(r"(?:`|^# {3})((?:docker|kubectl) [^\s`]+ [^`\n]+?)(?:`|$)", file.read_text(), re.M)
]
ALL = sorted({command.rpartition(" | ")[2] for command in (*SHOWN, *NAMED)})
DOCKER_COMPOSE = [command for command in ALL if command.startswith("docker compose ")]
DOCKER = [command for command in ALL if command.startswith("docker ") and command not in DOCKER_COMPOSE]
KUBECTL = [command for command in ALL if command.startswith("kubectl ")]


def test_commands_were_found_on_pages_and_in_files() -> None:
    assert len(DOCKER_COMPOSE) >= 4
    assert len(DOCKER) >= 3
    assert len(KUBECTL) >= 5


@pytest.mark.parametrize("command", DOCKER_COMPOSE)
def test_docker_compose_would_ask_its_engine(command: str) -> None:
    words = shlex.split(command)[2:]
    done = docker_compose(*words, DOCKER_HOST=f"tcp://{NOBODY}")
    assert done.returncode != 0
    assert NOBODY in done.stderr
    services = {word.partition("=")[0] for word in words} & set(SERVICES)
    assert services or words == ["up", "--build", "--detach"]


@pytest.mark.parametrize("command", KUBECTL)
def test_kubectl_would_ask_its_cluster(command: str) -> None:
    words = shlex.split(command.replace("secret.yaml", "deploy/kubernetes/secret.example.yaml"))[1:]
    done = kubectl("--server", f"http://{NOBODY}", *words)
    assert done.returncode != 0
    assert NOBODY in done.stderr
    for option, value in pairwise(words):
        if option == "--namespace":
            assert manifest("Namespace", value)
    for name in (word.partition("/")[2] for word in words if word.startswith("deployment/")):
        assert manifest("Deployment", name)


def test_kubectl_makes_of_the_kustomization_what_is_in_its_files() -> None:
    done = kubectl("kustomize", str(KUBERNETES))
    assert done.returncode == 0, done.stderr
    made = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(done.stdout)}
    named = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    written = [each for name in named for each in yaml.safe_load_all((KUBERNETES / name).read_text())]
    assert made.keys() == {(each["kind"], each["metadata"]["name"]) for each in written}
    spaces = {each["metadata"].get("namespace") for (kind, _), each in made.items() if kind != "Namespace"}
    assert spaces == {manifest("Namespace", "surefoot")["metadata"]["name"]}


@pytest.mark.parametrize("command", [each for each in DOCKER if each.startswith("docker build ")])
def test_an_image_is_made_of_arguments_that_the_dockerfile_has(command: str) -> None:
    *words, folder = shlex.split(command)[2:]
    given = {word.partition("=")[0] for option, word in pairwise(words) if option == "--build-arg"}
    assert given
    assert given <= {line.partition("=")[0] for line in instructions("ARG")}
    assert {word for word in words if word.startswith("-")} <= {"--build-arg", "--tag"}
    assert (ROOT / folder / "Dockerfile").exists()


def test_the_image_that_is_made_and_pushed_is_the_one_of_the_pods() -> None:
    (pushed,) = {shlex.split(each)[2] for each in DOCKER if each.startswith("docker push ")}
    assert any(f" --tag {pushed} " in each for each in DOCKER)
    pods = [each["spec"]["template"]["spec"] for each in manifests() if each["kind"] == "Deployment"]
    assert {container["image"] for pod in pods for container in pod["containers"]} == {pushed}
