# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The core of blksync.backup: everything that observes, decides, copies and protects.

Standard library only, no Ansible import: the Ansible modules and the ``blksync`` command run this same code.

Its packages are layers; each imports only from those below it:

========================  ============================================================================
``cli``                   the ``blksync`` command, one file a subcommand
``jobs``                  job files, their runs, the history, and what others are told of a run
``deltas``                deltas of an image, made and applied
``sync``                  the story of a sync: plan, refuse, lock, quiesce, copy, verify, report
``engines``               what compares and copies blocks: ``native`` and ``blocksync_fast``
``live``                  what is written to a source while it is copied
``quiesce``               freezing or unmounting a source, and putting it back whatever happens
``records``               what is known of each backup disk, and the history of all runs
``digests``               checksums kept from run to run
``superblocks``           what superblocks say: errors, sector sizes, parts on other devices
``used_blocks``           which blocks a file system uses
``formats``               blocksync-fast's files, byte for byte
``options``               every option with its kind, default and limits, and the requests that they make
``discovery``             the machine as plain data, and where it comes from
``partition_table``       what a partition table on the medium says
``system``                what the operating system offers, whatever a disk means
========================  ============================================================================

Below them all: ``errors``, ``paths``, ``ranges``, ``text``.
"""

from __future__ import annotations

__version__ = "0.1.0"
