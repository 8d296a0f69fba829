from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import pytest

from asgi_tunnel_edge.settings.config import EdgeConfig, Limits, TlsConfig
from asgi_tunnel_edge.settings.file import write_config

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("mode", ["off", "internal", "files"])
def test_reads_back(tmp_path: Path, mode: Literal["off", "internal", "files"]) -> None:
    """What was written is what is read."""
    config = EdgeConfig(
        data_dir=tmp_path, domain="a.test", listen="127.0.0.1:0", tls=TlsConfig(mode=mode)
    )
    path = write_config(config)
    assert EdgeConfig.load(tmp_path) == config
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_comments_are_settings(tmp_path: Path) -> None:
    """With the comment signs off its examples, the file is still valid, and shows every limit."""
    config = EdgeConfig(data_dir=tmp_path, domain="a.test", listen="0.0.0.0:443")
    path = write_config(config)
    text = re.sub(r"(?m)^# (\w+ = )", r"\1", path.read_text())
    path.write_text(text)
    loaded = EdgeConfig.load(tmp_path)
    assert loaded.public_url == "https://a.test"
    assert loaded.access_log.path == "access.log"
    assert loaded.limits == Limits()
    for name in Limits.__struct_fields__:
        assert f"\n{name} = " in text
