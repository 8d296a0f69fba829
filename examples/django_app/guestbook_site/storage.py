"""The data folder and the secret key kept in it; settings.py calls this and nothing else does."""

import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

_SECRET_FILE: Final = "secret_key"


def prepare_data_dir(default: Path) -> Path:
    """Return the folder of the database and the pictures, created when it is missing.

    Args:
        default: Folder used when the environment has no `GUESTBOOK_DIR`.
    """
    folder = Path(os.environ.get("GUESTBOOK_DIR") or default).resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def load_secret_key(folder: Path) -> str:
    """Return Django's signing key: `GUESTBOOK_SECRET_KEY`, or one made once and kept in `folder`.

    A kept key lets sessions and forms survive a restart; every worker process reads the same one.
    """
    from_env = os.environ.get("GUESTBOOK_SECRET_KEY")
    if from_env:
        return from_env
    path = folder / _SECRET_FILE
    if not path.exists():
        _write_once(path, secrets.token_urlsafe(48))
    return path.read_text(encoding="ascii").strip()


def _write_once(path: Path, text: str) -> None:
    """Create `path` whole and private, unless another process was first.

    A hard link appears with its content and fails when the name is taken, so a worker that starts
    at the same moment never reads half a key and never replaces one.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent)  # mode 0600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
        path.hardlink_to(draft)
    except FileExistsError:
        pass  # the other process's key is as good as ours
    finally:
        draft.unlink()
