"""Finds the app that ``module:attribute`` names, and says what to write where it finds none.

Called by :mod:`.runner`.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any, Final

from .asgi.adapt import takes_arguments
from .asgi.types import ASGIApp
from .errors import ConfigError
from .mcp import make_app

_USUAL: Final = ("app", "application", "api", "main", "create_app", "make_app")
_MAX_FOLDERS: Final = 200  # looked at for a module that was not found


def load_app(where: str, *, factory: bool = False) -> ASGIApp:
    """Import ``module:attribute`` of an ASGI app.

    Args:
        where: Module and attribute, both may have dots; a server of the MCP SDK or of FastMCP is
            asked for its app.
        factory: The attribute is called to get the app.

    Raises:
        ConfigError: As :func:`load_object`; or what is there is no ASGI app.
    """
    found = make_app(load_object(where, factory=factory))
    check_app(found, where, factory=factory)
    return found  # type: ignore[no-any-return]


def load_object(where: str, *, factory: bool = False) -> Any:
    """Import ``module:attribute``, whatever it is.

    Args:
        where: Module and attribute, both may have dots.
        factory: The attribute is called to get the app.

    Raises:
        ConfigError: The form is wrong, or module or attribute do not exist.  An error inside the
            module is raised as it is: its traceback is what helps.
    """
    module_name, attribute = _split(where)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        raise ConfigError(repr(where), *_not_found(error.name, where)) from error
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise ConfigError(
                repr(where),
                f"names {part!r}, which {module_name!r} does not have",
                _other_names(module, module_name, part),
            ) from error
    if factory:
        found = _make(found, where)
    return found


def import_name(app: object) -> str:
    """Return ``module:attribute`` of an app, where the command line or the program names it.

    Returns:
        What a server's command line says (``uvicorn main:app``); else the name that the program's
        own file has for it; empty when neither does.
    """
    for argument in sys.argv[1:]:
        module_name, colon, attribute = argument.partition(":")
        if colon and attribute and module_name in sys.modules:
            found: object = sys.modules[module_name]
            for part in attribute.split("."):
                found = getattr(found, part, None)
            if callable(found):
                return argument
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if file:
        for name, value in vars(main).items():
            if value is app and not name.startswith("_"):
                return f"{Path(file).stem}:{name}"
    return ""


def display_name(app: object) -> str:
    """Return what the log calls an app: its import name, its title, or its type."""
    title = getattr(app, "title", None)
    return import_name(app) or (title if isinstance(title, str) and title else type(app).__name__)


def _split(where: str) -> tuple[str, str]:
    """Take the two names apart.

    Raises:
        ConfigError: The form is wrong.
    """
    module_name, colon, attribute = (
        where.rpartition(":") if ".py:" in where else where.partition(":")
    )
    if not colon:
        module_name, attribute = where, ""
    if "/" in module_name or "\\" in module_name or module_name.endswith(".py"):
        raise ConfigError(repr(where), "names a file, not a module", _as_module(where))
    if not module_name or not attribute:
        good = f"{module_name}:app" if _is_dotted(module_name) else "main:app"
        hint = "" if good == "main:app" else f", here perhaps {good}"
        raise ConfigError(
            repr(where), "does not say where the app is", f"write it like main:app{hint}"
        )
    if attribute.endswith(")"):
        name = attribute.partition("(")[0]
        raise ConfigError(
            repr(where),
            "has a call in it",
            f"write {module_name}:{name} --factory, and what it needs into the environment",
        )
    if not _is_dotted(module_name) or not _is_dotted(attribute):
        raise ConfigError(
            repr(where), "holds something that is no name of Python", "write it like main:app"
        )
    return module_name, attribute


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _as_module(where: str) -> str:
    """Return the right command for the path of a file."""
    file, colon, attribute = where.rpartition(":")
    if not colon or "/" in attribute or "\\" in attribute:
        file, attribute = where, "app"
    attribute = attribute or "app"
    path = Path(file.replace("\\", "/"))
    names = [path.name.removesuffix(".py")]
    folder = path.parent
    # Inside a package the module has the package's name as well: its imports may be relative.
    while folder.name and (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    place = "" if str(folder) in (".", "") else f" --app-dir {folder}"
    return f"write `asgi-tunnel run {'.'.join(names)}:{attribute}{place}`"


def _not_found(missing: str, where: str) -> tuple[str, str]:
    """Return why and what to do for a module that is not there."""
    start = Path(sys.path[0] or ".") if sys.path else Path()
    why = f"names the module {missing!r}, which cannot be found from {start.absolute()}"
    fix = "change to its folder or give it with --app-dir"
    if missing.count(".") == 0 and start.is_dir():
        folders = [one for one in sorted(start.iterdir())[:_MAX_FOLDERS] if one.is_dir()]
        for folder in folders:
            is_there = (folder / f"{missing}.py").is_file() or (
                folder / missing / "__init__.py"
            ).is_file()
            if is_there and not folder.name.startswith("."):
                return why, f"write `asgi-tunnel run {where} --app-dir {folder.name}`"
    return why, fix


def _other_names(module: Any, module_name: str, wrong: str) -> str:
    import difflib  # costs a millisecond, and most apps are found

    names = [name for name, value in vars(module).items() if callable(value) and name[0] != "_"]
    own = [
        name
        for name in names
        if name in _USUAL or getattr(getattr(module, name), "__module__", "") == module_name
    ]
    near = difflib.get_close_matches(wrong, own, n=1) or [one for one in _USUAL if one in own]
    hint = f"; perhaps {module_name}:{near[0]}" if near else ""
    return f"check the name after the colon{hint}"


def _make(factory: Any, where: str) -> Any:
    """Call a factory.

    Raises:
        ConfigError: It is none.
    """
    if not callable(factory):
        raise ConfigError(repr(where), "is not callable", "name a function that returns the app")
    if not takes_arguments(factory, 0):
        raise ConfigError(
            repr(where),
            "is no factory: it cannot be called without arguments",
            "leave out --factory, or name a function without arguments that returns the app",
        )
    if inspect.iscoroutinefunction(factory):
        raise ConfigError(
            repr(where),
            "is a coroutine function; a factory is called before the event loop runs",
            "make it a plain function, and put what it awaits into the app's lifespan",
        )
    return factory()


def check_app(app: Any, where: str, *, factory: bool) -> None:
    """See that something can be an ASGI app.

    Raises:
        ConfigError: It cannot.
    """
    said = f"returned {type(app).__name__}, which" if factory else ""
    if inspect.ismodule(app):
        raise ConfigError(
            repr(where), f"{said} is not callable: it is a module", f"write {app.__name__}:app"
        )
    if not callable(app):
        raise ConfigError(repr(where), f"{said} is not callable".strip(), "name an ASGI app")
    if takes_arguments(app, 3):
        return
    if takes_arguments(app, 0):
        if inspect.isclass(app):
            why = "is a class"
            raise ConfigError(
                repr(where), why, "name an app that is made from it, or add --factory"
            )
        raise ConfigError(
            repr(where),
            "can be called without arguments: it looks like a factory, not like an app",
            "add --factory",
        )
    if takes_arguments(app, 1) or not _has_signature(
        app
    ):  # ASGI 2; or a built-in, which nobody can ask
        return
    if takes_arguments(app, 2):
        raise ConfigError(
            repr(where),
            "takes two arguments, as a WSGI app does; this serves ASGI apps",
            "wrap it with asgiref.wsgi.WsgiToAsgi; in Django name mysite.asgi:application",
        )
    raise ConfigError(
        repr(where), "cannot be called with scope, receive and send", "name an ASGI app"
    )


def _has_signature(app: Any) -> bool:
    try:
        inspect.signature(app)
    except (TypeError, ValueError):
        return False
    return True
