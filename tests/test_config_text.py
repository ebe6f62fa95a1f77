"""The template and the reference page follow from the table of keys."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from ocpphub import config, config_check, config_text
from ocpphub.config_table import TABLES


def test_template_is_a_valid_file(tmp_path: Path) -> None:
    """What `ocpphub init` writes can be run as it is."""
    path = tmp_path / "hub.toml"
    path.write_text(config_text.template())
    (point,) = config.load(path).charge_points
    assert (point.identity, point.connectors, point.electrical.connector_max_a) == ("HUB-1", 4, 32)


def test_template_runs_where_it_is_for_any_user(tmp_path: Path) -> None:
    """Socket and state lie beside the file; the URL is plainly an example (RFC 2606)."""
    path = tmp_path / "hub.toml"
    path.write_text(config_text.template())
    settings = config.load(path)
    assert (settings.hub.socket, settings.hub.state_directory) == (tmp_path / "ocpphub.sock", tmp_path / "state")
    (warning,) = config_check.warnings(settings)
    assert "csms_url is still the example" in warning
    assert "default, for a service: /run/ocpphub/ocpphub.sock\n" in config_text.template()


def test_template_names_every_key_once_per_table() -> None:
    """Nobody has to look a key up elsewhere."""
    names = re.findall(r"^#?([a-z_]+) =", config_text.template(), re.M)
    assert sorted(names) == sorted(key.name for keys in TABLES.values() for key in keys)


def test_template_with_its_defaults_uncommented_changes_nothing(tmp_path: Path) -> None:
    """A default that is written down means the same as one left out."""
    path = tmp_path / "hub.toml"
    path.write_text(config_text.template())
    before = config.load(path)
    uncommented = re.sub(r"^#([a-z_]+ = .+)$", r"\1", config_text.template(), flags=re.M)
    kept = "\n".join(line for line in uncommented.splitlines() if not _belongs_to_a_commented_table(line, uncommented))
    tomllib.loads(kept)
    path.write_text(kept)
    after = config.load(path)
    assert after.hub == before.hub
    assert after.rpc == before.rpc
    assert after.charge_points[0].link == before.charge_points[0].link


def _belongs_to_a_commented_table(line: str, text: str) -> bool:
    head = text[: text.index(line)].splitlines()
    tables = [item for item in head if re.match(r"#?\[", item)]
    return bool(tables) and tables[-1].startswith("#") and re.match(r"[a-z_]+ =", line) is not None


def test_reference_has_a_row_for_each_key() -> None:
    """Default and range of each key are documented."""
    text = config_text.reference()
    rows = [key.name for keys in TABLES.values() for key in keys if f"| `{key.name}` |" not in text]
    assert rows == []
