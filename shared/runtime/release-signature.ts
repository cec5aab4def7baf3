import { createPublicKey, verify } from 'node:crypto';
import { TesseraError } from '../errors.ts';
import { type Release, readRelease } from '../update/release.ts';
import { publicKeyOf } from './signature.ts';

/** A public key as it is written here, `ed25519:` and 43 characters, from a private or public key in PEM form. */
export function publicKeyText(pem: string): string {
  return `ed25519:${createPublicKey(pem).export({ format: 'jwk' }).x}`;
}

/**
 * The release that a text describes, where one of `keys` signed it (Ed25519, RFC 8032; `signature` in base64url). Throws
 * TESSERA_SIGNATURE.
 */
export function signedRelease(text: string, signature: string, keys: readonly string[]): Release {
  const refused = (why: string, hint: string): TesseraError =>
    new TesseraError('TESSERA_SIGNATURE', `the release is refused: ${why}`, { hint });
  if (keys.length === 0)
    throw refused('no key is known that it could be signed by', 'set updates.keys, or invite the node again');
  const isSigned = keys.some((known) => {
    const key = publicKeyOf(known);
    return key !== undefined && verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64url'));
  });
  if (!isSigned)
    throw refused(
      'it is not signed by a key that is trusted here',
      'updates.keys names the keys of those who make bundles',
    );
  const release = readRelease(text);
  if (typeof release === 'string') throw refused(release, 'make the bundle again');
  return release;
}
