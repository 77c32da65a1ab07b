# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The source files of a package, also of one that was loaded from a zip file, as Ansible sends it to a host."""

from __future__ import annotations

import pkgutil
from types import ModuleType


def read(package: ModuleType) -> dict[str, bytes]:
    """The content of each source file of the package, by its path: "blksync/sync/plan.py".

    Imports each package in it, but none of its other modules. Raises ImportError or OSError.
    """
    name = package.__name__.rpartition(".")[2]
    found = {"%s/__init__.py" % name: _content(package.__name__, "__init__.py")}
    prefix = package.__name__ + "."
    for module in pkgutil.walk_packages(package.__path__, prefix, onerror=_raise):
        directory, _dot, file = module.name.rpartition(".")
        path = "/".join([name, *module.name[len(prefix) :].split(".")])
        if module.ispkg:
            found[path + "/__init__.py"] = _content(module.name, "__init__.py")
        else:
            found[path + ".py"] = _content(directory, file + ".py")
    return found


def _content(package: str, file: str) -> bytes:
    content = pkgutil.get_data(package, file)
    if content is None:
        raise ImportError("the source of %s in %s cannot be read" % (file, package))
    return content


def _raise(name: str) -> None:
    """Make walk_packages fail, because it would leave out a package that it cannot import."""
    raise ImportError("%s cannot be imported" % name)
