import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { TesseraError } from '../shared/errors.ts';
import { readText } from '../shared/runtime/file.ts';
import { publicKeyText } from '../shared/runtime/release-signature.ts';
import { makeWhole } from '../shared/runtime/whole-file.ts';

/** A signature, and the public key that belongs to it as `updates.keys` has it. */
export interface Signed {
  readonly signature: Buffer;
  readonly publicKey: string;
}

/** The Ed25519 signature (RFC 8032) of a text by the PEM key of a file, which is made, mode 0600, if it does not exist. */
export async function signText(text: string, file: string): Promise<Signed> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  await makeWhole({ what: 'the key that signs bundles', path: file }, pem);
  const kept = await readText(file);
  const key = createPrivateKey(kept);
  if (key.asymmetricKeyType !== 'ed25519')
    throw new TesseraError(
      'TESSERA_CONFIG',
      `${file} holds no private Ed25519 key but one of ${key.asymmetricKeyType}`,
      {
        hint: 'name another file; it is made if it does not exist',
      },
    );
  return { signature: sign(null, Buffer.from(text), key), publicKey: publicKeyText(kept) };
}
