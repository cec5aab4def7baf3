import { BOOT, type Card, OURS } from './card.ts';

/**
 * rpi-preseed.toml, version 1.1. Its reader is a shell script that knows few escapes, so that a network's name with
 * others than plain characters stands there in hex. `late` commands run after the network where there is one; a machine
 * without internet never gets the time, and is not to wait for it.
 */
export function preseed(card: Card): string {
  const { name, user, keys, wifi, country } = card;
  const list = (words: readonly string[]): string => `[${words.map((word) => JSON.stringify(word)).join(', ')}]`;
  const countryLine = country === undefined ? '' : `country = "${country}"\n`;
  const radio =
    wifi && `\n[wlan]\n${ssidLine(wifi.ssid)}\npassword = "${wifi.psk}"\nkey_mgmt = "wpa-psk"\n${countryLine}`;
  return `config_version = "1.1"

[system]
hostname = "${name}"

[user]
name = "${user}"
passwordless_sudo = true
groups = ["sudo", "video"]

[ssh]
enabled = true
password_authentication = false
authorized_keys = ${list(keys)}
${radio ?? ''}
[runcmd]
late = ${list([`sh ${BOOT}/${OURS.install}`])}
late_require_time_sync = false
`;
}

function ssidLine(ssid: string): string {
  if (/^[A-Za-z0-9 ._-]+$/.test(ssid)) return `ssid = "${ssid}"`;
  const hex = [...new TextEncoder().encode(ssid)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return `ssid_hex = "${hex}"`;
}
