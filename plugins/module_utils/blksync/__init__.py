# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The core of blksync.backup: it observes the machine, plans, refuses, copies and verifies.

It uses only the standard library and no Ansible. The Ansible modules and the ``blksync`` command run this code.
It is private to this collection: names and results may change at any time. Use the modules or the command.

Its packages are layers; each imports only from those below it:

========================  ============================================================================
``cli``                   the ``blksync`` command, one file a subcommand
``report``                how each backup disk stands: the data of status and metrics
``scheduling``            the files that make jobs run by themselves: timers, settings, udev rules
``jobs``                  job files, their runs, timers and notifications
``deltas``                creates and applies deltas of an image
``sync``                  the story of a sync: plan, refuse, lock, quiesce, copy, verify, report
``engines``               compare and copy blocks: ``native`` and ``blocksync_fast``
``live``                  tracks the writes to a source while it is copied
``quiesce``               freezes or unmounts a source, and restores it in every case
``records``               keeps a record of each backup disk, and the history of all runs
``digests``               checksums kept from run to run
``superblocks``           reads superblocks: errors, sector sizes, parts on other devices
``used_blocks``           which blocks a file system uses
``formats``               the file formats of blocksync-fast
``install``               installs and removes the ``blksync`` command on a host
``options``               declares every option with its kind, default and limits, and the requests
``discovery``             reads the disks of the machine and their users into plain data
``partition_table``       reads the partition table on the medium
``system``                devices, locks, processes and system calls
========================  ============================================================================

Below them all: ``errors``, ``paths``, ``ranges``, ``text``.
"""

from __future__ import annotations

__version__ = "0.1.0"
