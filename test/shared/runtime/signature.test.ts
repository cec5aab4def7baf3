import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ModelManifest } from '../../../shared/protocol/messages/control.ts';
import { isPublicKey, openSigningKey, requireSignature, signedBytes } from '../../../shared/runtime/signature.ts';

// Lost if these fail: a client with access to the broker can make every node run a model of its own.

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-signature-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const sha = (digit: string) => digit.repeat(64);
const manifest: ModelManifest = {
  format: 'tessera-model/1',
  name: 'person',
  picture: { tensor: 'image', width: 224, height: 160, color: 'rgb', resize: 'crop', crop: 0.875 },
  skeleton: { sha: sha('a'), size: 10 },
  blobs: [
    { sha: sha('c'), size: 30 },
    { sha: sha('b'), size: 20 },
  ],
  slices: [
    { tensor: 'w', box: [[0, 4]], sha: sha('e'), size: 16 },
    { tensor: 'w', box: [[4, 6]], sha: sha('f'), size: 8 },
  ],
};

describe('requireSignature', () => {
  it('accepts a manifest that the trusted key signed, with blobs and slices in any order', async () => {
    const key = await openSigningKey(folder);
    const signature = key.sign(manifest);
    expect(signature).toHaveLength(64);
    requireSignature({ ...manifest, signature }, [key.publicKey]);
    requireSignature({ ...manifest, signature, blobs: manifest.blobs.toReversed() }, ['ed25519:x', key.publicKey]);
    requireSignature({ ...manifest, signature, slices: manifest.slices!.toReversed() }, [key.publicKey]);
  });

  it('refuses any other name, blob, slice or size, with a code and a hint', async () => {
    const key = await openSigningKey(folder);
    const signature = key.sign(manifest);
    const others: Partial<ModelManifest>[] = [
      { name: 'person ' },
      { picture: undefined },
      ...Object.entries({ tensor: 'i', width: 160, height: 224, color: 'bgr', resize: 'stretch', crop: 1 }).map(
        ([key, value]) => ({ picture: { ...manifest.picture!, [key]: value } }),
      ),
      { skeleton: { sha: sha('d'), size: 10 } },
      { skeleton: { sha: sha('a'), size: 11 } },
      { blobs: manifest.blobs.slice(1) },
      { blobs: [...manifest.blobs, manifest.blobs[0]!] },
      { slices: undefined },
      { slices: manifest.slices!.slice(1) },
      ...[{ tensor: 'v' }, { box: [[0, 5]] as [number, number][] }, { sha: sha('f') }, { size: 17 }].map((other) => ({
        slices: [{ ...manifest.slices![0]!, ...other }, manifest.slices![1]!],
      })),
      { signature: signature.map((byte, k) => (k === 40 ? byte ^ 1 : byte)) },
      { signature: signature.slice(1) },
      { signature: new Uint8Array() },
      { signature: undefined },
    ];
    for (const other of others) {
      expect(() => requireSignature({ ...manifest, signature, ...other }, [key.publicKey])).toThrow(
        expect.objectContaining({ code: 'TESSERA_SIGNATURE', hint: expect.any(String) }),
      );
    }
  });

  it('refuses manifests that another key signed, and all where no key can be read', async () => {
    const [ours, theirs] = [await openSigningKey(folder), await openSigningKey(await mkdtemp(join(folder, 'x')))];
    const signed = { ...manifest, signature: theirs.sign(manifest) };
    for (const keys of [[ours.publicKey], ['ed25519:'], []]) {
      expect(() => requireSignature(signed, keys)).toThrow(/not signed by the key that this node trusts/);
    }
  });

  it('signs a canonical form: different manifests have different forms, and equal ones the same', () => {
    const piece = fc.record({
      sha: fc.constantFrom(sha('a'), sha('b'), sha('c')),
      size: fc.nat(3),
    });
    const any = fc.record({
      format: fc.constant('tessera-model/1' as const),
      name: fc.string({ unit: fc.constantFrom('a', '\n', '"'), maxLength: 2 }),
      picture: fc.constantFrom(undefined, manifest.picture, { ...manifest.picture!, tensor: 'x' }),
      skeleton: piece,
      blobs: fc.array(piece, { maxLength: 2 }),
      slices: fc.array(
        fc.record({
          tensor: fc.string({ unit: fc.constantFrom('a', '\n', '"', ' '), maxLength: 2 }),
          box: fc.array(fc.tuple(fc.nat(2), fc.nat(2)), { maxLength: 2 }),
          sha: fc.constantFrom(sha('a'), sha('b')),
          size: fc.nat(3),
        }),
        { maxLength: 2 },
      ),
    });
    const regions = (slices: ModelManifest['slices'] = []) =>
      slices.map(({ tensor, box, sha, size }) => JSON.stringify([tensor, box, sha, size])).sort();
    const pieces = (blobs: ModelManifest['blobs']) => blobs.map(({ sha, size }) => `${sha} ${size}`).sort();
    const content = ({ name, picture, skeleton, blobs, slices }: ModelManifest) =>
      JSON.stringify([name, picture, skeleton, pieces(blobs), regions(slices)]);
    fc.assert(
      fc.property(any, any, (one, other) => {
        expect(signedBytes(one).equals(signedBytes(other))).toBe(content(one) === content(other));
      }),
    );
  });
});

describe('openSigningKey', () => {
  it('makes a key once, readable by its owner only, and finds it again', async () => {
    const made = await openSigningKey(folder);
    expect(isPublicKey(made.publicKey)).toBe(true);
    const [file, ...more] = await readdir(folder);
    expect(more).toEqual([]);
    expect((await stat(join(folder, file!))).mode & 0o777).toBe(0o600);
    await chmod(join(folder, file!), 0o644);
    expect((await openSigningKey(folder)).publicKey).toBe(made.publicKey);
    expect((await stat(join(folder, file!))).mode & 0o777).toBe(0o600);
  });

  it('makes one key, also when two processes start at once', async () => {
    const keys = await Promise.all(Array.from({ length: 8 }, () => openSigningKey(folder)));
    expect(new Set(keys.map(({ publicKey }) => publicKey)).size).toBe(1);
  });

  it('uses a given key, and refuses a file without a key, without printing its content', async () => {
    const given = join(folder, 'given.pem');
    const { privateKey } = generateKeyPairSync('ed25519');
    await writeFile(given, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const key = await openSigningKey(folder, given);
    requireSignature({ ...manifest, signature: key.sign(manifest) }, [key.publicKey]);
    expect(await readdir(folder)).toEqual(['given.pem']);

    const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    for (const wrong of [rsa.toString(), 'hunter2', '']) {
      await writeFile(given, wrong);
      const error = await openSigningKey(folder, given).catch((caught: Error) => caught);
      expect(error).toMatchObject({ code: 'TESSERA_CONFIG', hint: expect.stringContaining('openssl genpkey') });
      expect(String(error)).not.toContain('hunter2');
    }
    await expect(openSigningKey(folder, join(folder, 'none'))).rejects.toMatchObject({ code: 'TESSERA_CONFIG' });
    expect(await readFile(given, 'utf8')).toBe('');
  });
});
