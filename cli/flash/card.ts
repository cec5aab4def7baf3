/** Wi-Fi of a card: the key that a passphrase and the network's name make, never the passphrase. */
export interface Wifi {
  readonly ssid: string;
  /** WPA pre-shared key, 64 hex digits. */
  readonly psk: string;
}

/** What makes a card the one of a node. */
export interface Card {
  /** Host name, which `NAME.local` finds where the network has mDNS. */
  readonly name: string;
  /** The user who logs in by a key and may use sudo; no password opens it. */
  readonly user: string;
  /** Public keys, each as one line of authorized_keys; at least one, or nobody could log in. */
  readonly keys: readonly string[];
  readonly wifi?: Wifi | undefined;
  /** ISO 3166 country of the radio's rules, two capital letters. */
  readonly country?: string | undefined;
  /** New for each flash: cloud-init does its work once for each. */
  readonly instance: string;
}

/** Where the boot partition of Raspberry Pi OS 12 and newer is mounted. */
export const BOOT = '/boot/firmware';
/** The files of ours on a boot partition. */
export const OURS = {
  package: 'tessera.deb',
  token: 'tessera.join',
  install: 'tessera-install.sh',
  log: 'tessera-first-boot.log',
} as const;

/** A text as one word of a POSIX shell. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
