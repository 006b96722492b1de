"""Whether Prefect has to be imported to know of a server: seconds that a command without one is spared."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hbaf.home import may_name_prefect

API = "http://127.0.0.1:9/api"
FILES = {
    "home/profiles.toml": f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{API}"\n',
    "prefect.toml": f'[api]\nurl = "{API}"\n',
    "pyproject.toml": f'[tool.prefect]\napi.url = "{API}"\n',
    ".env": f"PREFECT_API_URL={API}\n",
}
VARIABLES = {"PREFECT_API_URL": API, "PREFECT_PROFILE": "local"}


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**kept, "PREFECT_HOME": str(tmp_path / "home")}


@pytest.mark.parametrize("name", FILES)
def test_a_file_can_name_a_server(name: str, environment: dict[str, str]) -> None:
    Path(name).write_text(FILES[name])
    assert may_name_prefect(environment)


@pytest.mark.parametrize("name", VARIABLES)
def test_the_environment_can_name_a_server(name: str, environment: dict[str, str]) -> None:
    assert may_name_prefect({**environment, name: VARIABLES[name]})


def test_where_nothing_does_prefect_knows_of_none_either(environment: dict[str, str]) -> None:
    Path("pyproject.toml").write_text("[tool.prefect.server]\nanalytics_enabled = false\n")
    assert not may_name_prefect(environment)
    code = "from prefect.settings import get_current_settings as now; print(now().api.url)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None"]
