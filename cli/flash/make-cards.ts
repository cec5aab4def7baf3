import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { TesseraError } from '../../shared/errors.ts';
import type { Card, Wifi } from './card.ts';

/** What is asked of all cards of one command. */
export interface Wanted {
  readonly user: string;
  /** Content of a file of public keys. */
  readonly keys: string;
  readonly wifi?: { readonly ssid: string; readonly passphrase: string } | undefined;
  readonly country?: string | undefined;
}

/** Makes a card for each name. Throws TESSERA_USAGE for what no card could have. */
export function makeCards(names: readonly string[], { user, keys, wifi, country }: Wanted): Card[] {
  if (!/^[a-z_][a-z0-9_-]{0,30}$/.test(user) || user === 'root')
    throw usage(`--user ${user} cannot be a user's name`, 'expected small letters, digits, - and _, and not root');
  if (country !== undefined && !/^[A-Z]{2}$/.test(country))
    throw usage(`--country is ${country}`, 'expected two capital letters, such as DE');
  if (wifi !== undefined && country === undefined)
    throw usage('--wifi needs --country', 'the radio stays off until it knows whose rules it follows');
  const common = { user, keys: publicKeys(keys), country, wifi: wifi && wifiOf(wifi) };
  return names.map((name) => {
    if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name))
      throw usage(
        `"${name}" cannot be a host name`,
        'expected at most 63 small letters, digits and dashes, none at the ends',
      );
    return { ...common, name, instance: `tessera-${name}-${randomBytes(4).toString('hex')}` };
  });
}

/** The lines of a file of public keys, comments left out that are not plain. Throws TESSERA_USAGE, never with its content. */
export function publicKeys(text: string): string[] {
  if (/PRIVATE KEY/.test(text))
    throw usage('--ssh-key names a private key', 'name the file beside it that ends in .pub; anybody can read a card');
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const keys = lines.map((line) => {
    const [type = '', data = '', ...rest] = line.split(/\s+/);
    if (!/^(ssh-(ed25519|rsa)|ecdsa-sha2-nistp\d+|sk-[a-z0-9@.-]+)$/.test(type) || !/^[A-Za-z0-9+/]{40,}=*$/.test(data))
      throw usage('--ssh-key names a file that has no public keys', 'name one such as ~/.ssh/id_ed25519.pub');
    const comment = rest.join(' ');
    return /^[\w@.+ -]+$/.test(comment) ? `${type} ${data} ${comment}` : `${type} ${data}`;
  });
  if (keys.length === 0) throw usage('--ssh-key names an empty file', 'nobody could log in to the card without a key');
  return keys;
}

/** The key of a network: 64 hex digits as they are, else made of its name and passphrase (IEEE 802.11, annex J.4). */
export function wifiOf({ ssid, passphrase }: NonNullable<Wanted['wifi']>): Wifi {
  const bytes = Buffer.byteLength(ssid);
  if (bytes < 1 || bytes > 32) throw usage(`--wifi has ${bytes} bytes`, 'expected 1 to 32');
  if (/^[0-9a-fA-F]{64}$/.test(passphrase)) return { ssid, psk: passphrase.toLowerCase() };
  if (!/^[ -~]{8,63}$/.test(passphrase))
    throw usage(
      '--wifi-password-file has no passphrase of a Wi-Fi network',
      'expected 8 to 63 characters of ASCII on one line',
    );
  return { ssid, psk: pbkdf2Sync(passphrase, ssid, 4096, 32, 'sha1').toString('hex') };
}

const usage = (message: string, hint: string): TesseraError => new TesseraError('TESSERA_USAGE', message, { hint });
