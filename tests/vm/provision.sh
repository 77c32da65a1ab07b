#!/usr/bin/env bash
# Copyright (c) 2026, blksync.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs inside the new Debian tree, once. Everything here refers to file systems by UUID: those travel with a copy
# of the partitions, identifiers of disks and partitions do not.
set -euo pipefail
. /root/identities

echo workstation > /etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 workstation\n' > /etc/hosts
mkdir -p /boot/efi
cat > /etc/fstab <<F
UUID=$ROOT_UUID / ext4 errors=remount-ro 0 1
UUID=${ESP_SERIAL:0:4}-${ESP_SERIAL:4} /boot/efi vfat umask=0077 0 2
F

install -d -m 700 /root/.ssh
install -m 600 /root/id_ed25519.pub /root/.ssh/authorized_keys
printf 'PermitRootLogin prohibit-password\nUseDNS no\n' > /etc/ssh/sshd_config.d/test.conf
passwd -l root > /dev/null
# an address without gateway and name server: the machine has no way out
cat > /etc/systemd/network/10-test.network <<'F'
[Match]
Name=en* eth*
[Network]
Address=10.0.2.15/24
F
systemctl enable systemd-networkd ssh
# what costs boot time or starts by itself in the middle of a test
systemctl mask systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
  e2scrub_all.timer e2scrub_reap.service fstrim.timer getty@tty1.service serial-getty@ttyS0.service

# One initramfs for a plain root, for LUKS with a key file and for LUKS with a passphrase: the kernel command line
# says which (cryptopts=). The key file rides along in the initramfs, which only a test may do.
install -d -m 700 /etc/keys
printf %s "$PASSPHRASE" > /etc/keys/root.key
chmod 400 /etc/keys/root.key
echo 'CRYPTSETUP=y' >> /etc/cryptsetup-initramfs/conf-hook
cat > /etc/initramfs-tools/hooks/root-key <<'F'
#!/bin/sh
[ "${1-}" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
mkdir -p "$DESTDIR/keys"
cp -p /etc/keys/root.key "$DESTDIR/keys/"
F
chmod +x /etc/initramfs-tools/hooks/root-key
# MODULES=list: a small initramfs loads seconds faster under software emulation
printf '%s\n' xhci_pci usb_storage uas sd_mod ext4 crc32c_generic dm_mod dm_crypt xts ecb cbc aes_generic \
  sha256_generic sha512_generic >> /etc/initramfs-tools/modules
printf 'MODULES=list\nCOMPRESS=zstd\nUMASK=0077\n' > /etc/initramfs-tools/conf.d/test
update-initramfs -c -k all || update-initramfs -u -k all

rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/* /root/identities /root/id_ed25519.pub
: > /etc/machine-id
mkdir -p /var/log/journal
