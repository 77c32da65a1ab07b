#!/usr/bin/env bash
# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Make .venv with all that tests/requirements.txt names, and install the system packages of apt-packages.txt.
set -eu -o pipefail
cd "$(dirname "$0")/../.."

# Python 3.11 is the oldest that runs an ansible-core new enough for meta/runtime.yml.
is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3; do
        if is_recent "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    echo "setup: needs Python 3.11 or later; set PYTHON=/path/to/python3 (the managed hosts may have 3.8)" >&2
    return 1
}

tests/tooling/install-packages.sh tests/tooling/apt-packages.txt

python=$(find_python)
if ! .venv/bin/python -c '' 2>/dev/null || ! is_recent .venv/bin/python; then
    rm -rf .venv
    if ! "$python" -m venv .venv >/dev/null 2>&1; then
        tests/tooling/install-packages.sh python3-venv
        rm -rf .venv
        "$python" -m venv .venv
    fi
fi
echo "setup: pip install -r tests/requirements.txt"
.venv/bin/python -m pip install -qq --disable-pip-version-check --requirement tests/requirements.txt
touch .venv/.ready
