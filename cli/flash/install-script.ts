import { BOOT, type Card, OURS, shellWord } from './card.ts';

/** Files of the boot partition that hold secrets. */
const SECRET = [OURS.token, 'network-config', 'user-data', 'rpi-preseed.toml'] as const;

/**
 * The script of the first boot that every form runs: it installs the package, makes the agent a service that joins by
 * the token, and overwrites what is secret on the boot partition, which anybody with the card can read. It needs no
 * network, and its log stays on the boot partition for somebody who has nothing but the card.
 */
export function installScript(card: Pick<Card, 'name'>): string {
  return `#!/bin/sh
# Written by \`tessera flash\`. Its words are passed on to \`tessera service install\`.
boot=\${TESSERA_BOOT:-${BOOT}}
name=${shellWord(card.name)}
exec >>"$boot/${OURS.log}" 2>&1

fail() {
  echo "failed: $*"
  exit 1
}

echo "first boot of $name, $(uname -m)"
# Without its name in this file, sudo waits for a name server.
sed '/^127\\.0\\.1\\.1[[:space:]]/d' /etc/hosts >/etc/hosts.tessera
printf '127.0.1.1\\t%s\\n' "$name" >>/etc/hosts.tessera
cat /etc/hosts.tessera >/etc/hosts
rm -f /etc/hosts.tessera
# With --later another boot follows, which starts what is enabled.
case " $* " in
  *' --later '*) systemctl enable ssh.service ;;
  *) systemctl enable --now --no-block ssh.service ;;
esac || echo 'ssh could not be enabled'
# Images block the radio until they know its country, which a flash has said.
for switch in /var/lib/systemd/rfkill/*:wlan; do
  if [ -f "$switch" ]; then echo 0 >"$switch"; fi
done
if command -v rfkill >/dev/null; then rfkill unblock wifi; fi

dpkg -i "$boot/${OURS.package}" || fail 'the package is not for this system: Tessera needs a 64-bit one, Debian 12 or newer'
tessera service install agent --join-file "$boot/${OURS.token}" "$@" || fail 'the service was not installed'

# The service has a copy of the token that root alone reads; once the node has joined it is of no use.
for file in ${SECRET.join(' ')}; do
  if [ -f "$boot/$file" ]; then shred -n 1 -z -u "$boot/$file" || rm -f "$boot/$file"; fi
done
# cloud-init takes a card without this file for a new machine.
if [ -f "$boot/meta-data" ]; then echo '#cloud-config' >"$boot/user-data"; fi
rm -f "$boot/${OURS.package}" "$boot/${OURS.install}"
echo 'installed; the node joins as soon as it reaches its broker'
`;
}
