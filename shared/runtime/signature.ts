import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { TesseraError } from '../errors.ts';
import type { ModelManifest } from '../protocol/messages/control.ts';
import { readText } from './file.ts';
import { elsewhereOf } from './state-directory.ts';
import { makeWhole } from './whole-file.ts';

/**
 * Signatures of models: Ed25519 (RFC 8032) over the manifest in one form that has no two spellings:
 *
 *     "tessera-manifest/1" LF  JSON string of the name LF  picture LF  skeleton LF  each blob, sorted by hash, and LF
 *     each slice, sorted, and LF
 *     picture = JSON array of tensor, width, height, color, resize and crop; null where frames are tensors
 *     skeleton, blob = sha256 in hex " " size in bytes
 *     slice = blob " " JSON array of tensor and box
 *
 * Skeleton, blobs and slices are named by their hashes, so the signature covers every byte of the model. A public key is
 * written `ed25519:` and 43 characters of base64url.
 */

/** The key that central signs models with. */
export interface SigningKey {
  readonly publicKey: string;
  sign(manifest: ModelManifest): Uint8Array;
}

const PREFIX = 'ed25519:';
const FILE = 'signing-key.pem';

/** The bytes that are signed. */
export function signedBytes({ name, picture, skeleton, blobs, slices = [] }: ModelManifest): Buffer {
  const { tensor, width, height, color, resize, crop } = picture ?? {};
  const settings = picture === undefined ? null : [tensor, width, height, color, resize, crop];
  const pieces = [...blobs].sort((a, b) => (a.sha < b.sha ? -1 : a.sha > b.sha ? 1 : a.size - b.size));
  const lines = [skeleton, ...pieces].map(({ sha, size }) => `${sha} ${size}`);
  const regions = slices.map(({ tensor, box, sha, size }) => `${sha} ${size} ${JSON.stringify([tensor, box])}`).sort();
  const head = ['tessera-manifest/1', JSON.stringify(name), JSON.stringify(settings)];
  return Buffer.from(`${[...head, ...lines, ...regions].join('\n')}\n`);
}

/** Whether a text is a public key as it is written here. */
export function isPublicKey(text: string): boolean {
  return /^ed25519:[A-Za-z0-9_-]{43}$/.test(text) && publicKeyOf(text) !== undefined;
}

/** Throws TESSERA_SIGNATURE unless one of `keys` signed the manifest. */
export function requireSignature(manifest: ModelManifest, keys: readonly string[]): void {
  const { signature, name } = manifest;
  const refused = (what: string, hint: string): TesseraError =>
    new TesseraError('TESSERA_SIGNATURE', `model ${JSON.stringify(name)} is ${what}`, { hint });
  if (signature === undefined)
    throw refused('not signed, and this node runs signed models only', 'Run a central that signs its models.');
  const bytes = signedBytes(manifest);
  const isSigned = keys.some((text) => {
    const key = publicKeyOf(text);
    return key !== undefined && verify(null, bytes, key, signature);
  });
  if (!isSigned)
    throw refused('not signed by the key that this node trusts', 'If central has a new key, invite the node again.');
}

/** The key of a text that is a public key as it is written here; undefined for any other. */
export function publicKeyOf(text: string): KeyObject | undefined {
  try {
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: text.slice(PREFIX.length) }, format: 'jwk' });
  } catch {
    return undefined;
  }
}

/**
 * Central's key: that of `file` where one is named, else the one in `stateDir`, created at the first start (mode 0600).
 * Throws TESSERA_CONFIG for a file without an Ed25519 key, TESSERA_STORAGE where none can be created.
 */
export async function openSigningKey(stateDir: string, file?: string): Promise<SigningKey> {
  if (file !== undefined) return readKey(file, (await textOf(file)) ?? '');
  const own = join(stateDir, FILE);
  const kept = await textOf(own);
  if (kept !== undefined) {
    // A copy may have wider permissions.
    await chmod(own, 0o600);
    return readKey(own, kept);
  }
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const elsewhere = `name a key with models.signing_key, or ${elsewhereOf(own)}`;
  const isOurs = await makeWhole({ what: 'the signing key', path: own, elsewhere }, pem);
  return isOurs ? signingKey(privateKey) : readKey(own, (await textOf(own)) ?? '');
}

/** The text of a key file; undefined where there is none. */
async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readText(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unusable(file, error);
  }
}

const unusable = (file: string, cause: unknown): TesseraError =>
  new TesseraError('TESSERA_CONFIG', `the signing key ${file} cannot be used: ${(cause as Error).message}`, {
    hint: 'check the path of models.signing_key, and who may read and write it',
    cause,
  });

function readKey(file: string, pem: string): SigningKey {
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey(pem);
  } catch {
    // OpenSSL's message about a file without a key helps no user.
  }
  if (key?.asymmetricKeyType === 'ed25519') return signingKey(key);
  throw new TesseraError('TESSERA_CONFIG', `${file} holds no private Ed25519 key in PEM form`, {
    hint: 'make one with: openssl genpkey -algorithm ed25519 -out key.pem',
  });
}

function signingKey(key: KeyObject): SigningKey {
  const { x } = createPublicKey(key).export({ format: 'jwk' });
  return { publicKey: `${PREFIX}${x}`, sign: (manifest) => new Uint8Array(sign(null, signedBytes(manifest), key)) };
}
