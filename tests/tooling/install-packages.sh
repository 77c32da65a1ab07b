#!/usr/bin/env bash
# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Install the Debian packages named as arguments, or listed in the files named as arguments, that are missing.
# Where that cannot be done, say in one line what is missing and succeed: tests that need it are skipped with a reason.
set -u -o pipefail

wanted=()
for argument in "$@"; do
    if [[ -f $argument ]]; then
        mapfile -t -O "${#wanted[@]}" wanted < <(sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$argument")
    else
        wanted+=("$argument")
    fi
done

find_missing() {
    missing=()
    local package
    for package in "${wanted[@]}"; do
        if ! dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed; then
            missing+=("$package")
        fi
    done
}

give_up() {
    echo "setup: $1; going on without: ${missing[*]}" >&2
    exit 0
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    missing=("${wanted[@]}")
    give_up "no apt here, please see that these Debian packages' equivalents are installed"
fi
find_missing
((${#missing[@]})) || exit 0

as_root=()
if ((EUID)); then
    if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
        give_up "neither root nor sudo"
    fi
    as_root=(sudo)
fi

echo "setup: installing ${missing[*]}"
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1; }
install() { apt install --no-install-recommends "${missing[@]}"; }

# A fresh machine has no package lists, or stale ones: try first, update only then.
if ! install && ! { apt update && install; }; then
    # One package that this release lacks must not cost all the others.
    for package in "${missing[@]}"; do
        apt install --no-install-recommends "$package" || tail -n 1 "$log" >&2
    done
    find_missing
    ((${#missing[@]} == 0)) || give_up "apt-get could not install everything"
fi
