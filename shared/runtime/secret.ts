import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/**
 * Secrets made by Tessera: 192 random bits, so one salted SHA-256 suffices for storing them; a slow hash protects only
 * secrets that can be guessed.
 */

/** A stored secret: hex of the salt, and of SHA-256 over salt and secret. */
export interface HashedSecret {
  readonly salt: string;
  readonly hash: string;
}

/** A new secret: 32 characters of base64url. */
export function newSecret(): string {
  return randomBytes(24).toString('base64url');
}

/** Hashes a secret for storing, with a new salt. */
export function hashSecret(secret: string): HashedSecret {
  const salt = randomBytes(16).toString('hex');
  return { salt, hash: hashOf(salt, secret).toString('hex') };
}

/** Whether a secret matches; takes the same time for every wrong secret, and where none is stored. */
export function isSecret(secret: string, kept: HashedSecret | undefined): boolean {
  const { salt, hash } = kept ?? { salt: '00', hash: '00'.repeat(32) };
  return timingSafeEqual(hashOf(salt, secret), Buffer.from(hash, 'hex')) && kept !== undefined;
}

function hashOf(salt: string, secret: string): Buffer {
  return createHash('sha256').update(Buffer.from(salt, 'hex')).update(secret).digest();
}
