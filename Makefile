# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

.PHONY: setup
setup: .venv/.ready ## Make .venv and install what the tests need
.venv/.ready: tests/requirements.txt tests/tooling/apt-packages.txt tests/tooling/setup.sh tests/tooling/install-packages.sh
	@tests/tooling/setup.sh
