import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/**
 * Secrets that this program makes: 192 random bits, so that one salted SHA-256 is enough to keep them. There is nothing
 * to guess that a slow hash would protect.
 */

/** A secret as it is kept: hex of the salt, and of SHA-256 over salt and secret. */
export interface HashedSecret {
  readonly salt: string;
  readonly hash: string;
}

/** A new secret: 32 characters of base64url. */
export function newSecret(): string {
  return randomBytes(24).toString('base64url');
}

/** The form in which a secret is kept, with a salt of its own. */
export function hashSecret(secret: string): HashedSecret {
  const salt = randomBytes(16).toString('hex');
  return { salt, hash: hashOf(salt, secret).toString('hex') };
}

/** Whether it is that secret; takes the same time for every wrong one, and for one that is not kept at all. */
export function isSecret(secret: string, kept: HashedSecret | undefined): boolean {
  const { salt, hash } = kept ?? { salt: '00', hash: '00'.repeat(32) };
  return timingSafeEqual(hashOf(salt, secret), Buffer.from(hash, 'hex')) && kept !== undefined;
}

function hashOf(salt: string, secret: string): Buffer {
  return createHash('sha256').update(Buffer.from(salt, 'hex')).update(secret).digest();
}
