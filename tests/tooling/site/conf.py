# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of Sphinx for the site of the documentation: those of "antsibull-docs sphinx-init", and Markdown."""

project = title = html_short_title = "blksync.backup"
copyright = "blksync.backup contributors"

# No intersphinx: the build works without network. ansible.md has the labels that would be found with it.
extensions = ["myst_parser", "sphinx_antsibull_ext"]
include_patterns = ["ansible.md", "index.md", "[A-Z]*.md", "docs/**.md", "roles/*/README.md", "reference/*.rst"]

myst_heading_anchors = 4
nitpicky = True
default_role = "any"
highlight_language = "none"
pygments_style = "ansible"

html_theme = "sphinx_ansible_theme"
html_show_sphinx = False
html_use_modindex = False
html_use_index = False
html_copy_source = False
