"""The deployment files are right as far as it can be told without a container engine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = Path(sys.executable).parent
COMPOSE = ROOT / "docker-compose.yml"
REQUIRED = sorted(set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text())))


@pytest.fixture
def resolved(tmp_path):
    """What compose makes of the file with only these variables set.

    `config` starts no container, but podman-compose asks for the version of podman first; where no engine is
    installed a one-line program answers that question and nothing else.
    """
    podman = tmp_path / "podman"
    podman.write_text('#!/bin/sh\n[ "$1" = --version ] || exit 1\necho "podman version 4.3.1"\n')
    podman.chmod(0o755)

    def resolve(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(TOOLS / "podman-compose"), "--podman-path", str(podman), "-f", str(COMPOSE), "config"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment},
        )

    return resolve


def test_compose_file_follows_the_compose_schema():
    check = subprocess.run(
        [str(TOOLS / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE)],
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stdout + check.stderr


def test_compose_file_resolves_when_every_variable_is_given(resolved):
    answer = resolved(**{**dict.fromkeys(REQUIRED, "x"), "TLS_FOLDER": "/tls"})
    assert answer.returncode == 0, answer.stderr
    assert "postgresql://readerstudy:x@database:5432/readerstudy" in answer.stdout


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_missing_variable_fails_with_its_name(missing, resolved):
    answer = resolved(**{name: "/x" for name in REQUIRED if name != missing})
    assert answer.returncode != 0
    assert missing in answer.stdout + answer.stderr


def test_no_secret_is_inside():
    text = COMPOSE.read_text() + (ROOT / "deploy" / "example.env").read_text()
    for name in ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "S3_SECRET_KEY"):
        assert name in REQUIRED
        assert re.search(rf"^{name}=$", (ROOT / "deploy" / "example.env").read_text(), re.MULTILINE)
        assert f"{name}:-" not in text


def test_every_lasting_service_has_a_health_check():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"migrate"}


@pytest.mark.parametrize("name", ["web", "recon"])
def test_dockerfiles_pass_hadolint(name):
    check = subprocess.run(
        [str(TOOLS / "hadolint"), "--failure-threshold", "warning", str(ROOT / "deploy" / f"{name}.Dockerfile")],
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.parametrize("name", ["web", "recon"])
def test_everything_that_a_dockerfile_copies_is_there(name):
    for line in (ROOT / "deploy" / f"{name}.Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), line


def test_the_proxy_never_compresses():
    text = (ROOT / "deploy" / "proxy.conf").read_text()
    assert "gzip off;" in text
    assert "gzip on" not in text
    assert "brotli" not in text
