import { BOOT, type Card, OURS, shellWord } from './card.ts';

/**
 * firstrun.sh, which systemd runs alone before anything else starts (systemd.run=). Whatever fails in it, the machine
 * has to come up: it never ends early, and always takes itself out of cmdline.txt.
 */
export function firstrunScript(card: Card): string {
  const { name, user, keys, wifi } = card;
  return `#!/bin/sh
# Written by \`tessera flash\`.
boot=\${TESSERA_BOOT:-${BOOT}}
name=${shellWord(name)}
user=${shellWord(user)}

echo "$name" >/etc/hostname

# The first user of the image gets the name; no password opens it.
first=$(getent passwd 1000 | cut -d: -f1)
if [ -x /usr/lib/userconf-pi/userconf ]; then
  /usr/lib/userconf-pi/userconf "$user" '*'
elif [ -z "$first" ]; then
  useradd -m -u 1000 -s /bin/bash "$user"
elif [ "$first" != "$user" ]; then
  usermod -l "$user" -d "/home/$user" -m "$first"
  groupmod -n "$user" "$first"
fi
home=$(getent passwd "$user" | cut -d: -f6)
mkdir -p "$home/.ssh"
cat >"$home/.ssh/authorized_keys" <<'KEYS'
${keys.join('\n')}
KEYS
chmod 700 "$home/.ssh"
chmod 600 "$home/.ssh/authorized_keys"
chown -R "$user:" "$home/.ssh"
echo "$user ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/010_tessera
chmod 440 /etc/sudoers.d/010_tessera
${wifi === undefined ? '' : wifiLines(wifi)}
sh "$boot/${OURS.install}" --later

# The shell has read all of these lines before the file, which holds the key of the Wi-Fi, is overwritten.
{
  sed -i 's| systemd\\.[^ ]*||g' "$boot/cmdline.txt"
  shred -n 1 -z -u "$boot/firstrun.sh" || rm -f "$boot/firstrun.sh"
  exit 0
}
`;
}

/** A connection of NetworkManager. The network's name stands there as bytes, as it may have any. */
function wifiLines({ ssid, psk }: NonNullable<Card['wifi']>): string {
  return `
mkdir -p /etc/NetworkManager/system-connections
cat >/etc/NetworkManager/system-connections/tessera.nmconnection <<'WIFI'
[connection]
id=tessera
type=wifi

[wifi]
mode=infrastructure
ssid=${[...new TextEncoder().encode(ssid)].map((byte) => `${byte};`).join('')}

[wifi-security]
key-mgmt=wpa-psk
psk=${psk}

[ipv4]
method=auto

[ipv6]
method=auto
WIFI
chmod 600 /etc/NetworkManager/system-connections/tessera.nmconnection
`;
}
