"""Which source files decide a result: a module and all of this package that it imports.

The Snakefile makes them inputs of the rule, so that an edited source reruns what it may change and
nothing else. Found by reading the files, not by running them, for rules are read before every run.
"""

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
# they carry settings, which a job is given as params, or messages: neither is a result
SETTINGS = {"dissection.config", "dissection.errors", "dissection.paths"}


def sources(*modules: str) -> list[str]:
    """Sorted paths below the repository root of `modules` and of what they import in turn."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found | SETTINGS:
            found.add(module)
            waiting += imports(module)
    return sorted(f"src/{_file(module).relative_to(PACKAGE.parent)}" for module in found)


@cache
def imports(module: str) -> set[str]:
    """Modules of this package that a module imports, at its head or in a function."""
    names = set()
    for node in ast.walk(ast.parse(_file(module).read_text(), _file(module))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {n for n in names if n.startswith("dissection.") and _file(n).is_file()}


def _file(module: str) -> Path:
    path = PACKAGE.parent / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
