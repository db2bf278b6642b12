"""What the command line refuses before anything starts, and how it says so."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.__main__ import cli
from api.settings import VERSION, is_loopback

OPTIONS = [
    ("--host", "WFE_HOST"),
    ("--port", "WFE_PORT"),
    ("--data-dir", "WFE_DATA_DIR"),
    ("--datasets-dir", "WFE_DATASETS_DIR"),
    ("--max-artifacts-mb", "WFE_MAX_ARTIFACTS_MB"),
    ("--journal", "WFE_JOURNAL"),
    ("--log-level", "WFE_LOG_LEVEL"),
    ("--log-format", "WFE_LOG_FORMAT"),
    ("--tools", "WFE_TOOLS"),
    ("--allow-remote", "WFE_ALLOW_REMOTE"),
]


@pytest.mark.parametrize(("option", "variable"), OPTIONS)
def test_help_explains_each_option_and_its_variable(option: str, variable: str) -> None:
    result = CliRunner().invoke(cli, ["--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert option in result.output
    assert variable in result.output


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "engine.example"])  # noqa: S104
@pytest.mark.parametrize("by_variable", [True, False], ids=["variable", "option"])
def test_a_host_that_others_can_reach_is_refused(tmp_path: Path, host: str, by_variable: bool) -> None:
    arguments = ["--data-dir", str(tmp_path)]
    result = CliRunner().invoke(
        cli, arguments if by_variable else [*arguments, "--host", host], env={"WFE_HOST": host} if by_variable else {}
    )
    assert result.exit_code == os.EX_CONFIG
    assert "--allow-remote" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_data_dir_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(cli, ["--data-dir", str(tmp_path / "file")])
    assert result.exit_code == os.EX_NOPERM
    assert str(tmp_path / "file") in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("example", False)],  # noqa: S104
)
def test_loopback_is_told_from_the_rest(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_the_version_is_the_project_s() -> None:
    project = Path(__file__).parents[3] / "pyproject.toml"
    assert f'\nversion = "{VERSION}"\n' in project.read_text()
