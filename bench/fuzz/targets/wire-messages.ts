import { generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TesseraError } from '../../../shared/errors.ts';
import { peekCbor } from '../../../shared/protocol/cbor-peek.ts';
import { blobGetMessage, blobPartMessage } from '../../../shared/protocol/messages/blob.ts';
import { controlMessage, type ModelManifest, modelManifest } from '../../../shared/protocol/messages/control.ts';
import { echoMessage } from '../../../shared/protocol/messages/echo.ts';
import { frameEnvelope } from '../../../shared/protocol/messages/frame.ts';
import { partMessage } from '../../../shared/protocol/messages/part.ts';
import { usualResult, usualWork } from '../../../shared/protocol/messages/received-work.ts';
import { outputsMessage } from '../../../shared/protocol/messages/result.ts';
import { resultMessage, tensorMessage, workAddress, workMessage } from '../../../shared/protocol/messages/work.ts';
import { decode, encode } from '../../../shared/runtime/cbor.ts';
import { requireSignature, signedBytes } from '../../../shared/runtime/signature.ts';
import { packageFolder } from '../../../shared/runtime/version.ts';
import { z } from '../../../shared/schema.ts';
import { cborOf, readCbor } from '../cbor-bytes.ts';
import { thenEdited } from '../edits.ts';
import { type FuzzTarget, must, same } from '../target.ts';
import { editedTree } from '../trees.ts';

const SCHEMAS: readonly z.ZodType[] = [
  workMessage,
  resultMessage,
  tensorMessage,
  controlMessage,
  blobGetMessage,
  blobPartMessage,
  echoMessage,
  partMessage,
  frameEnvelope,
  outputsMessage,
  modelManifest,
];

/** The frozen samples of released messages: CBOR as it went out. */
export function frozenMessages(): Uint8Array[] {
  const folder = join(packageFolder(), 'test', 'contract', 'samples', 'wire-1');
  if (!existsSync(folder)) return [encode({ v: 1, request: 1, got: 1 })];
  return readdirSync(folder)
    .filter((file) => file.endsWith('.hex'))
    .sort()
    .map((file) => new Uint8Array(Buffer.from(readFileSync(join(folder, file), 'utf8').trim(), 'hex')));
}

/** Checks that every number is finite and that every object has a plain prototype. */
function checkPlain(value: unknown): void {
  if (typeof value === 'number') must(Number.isFinite(value), () => `the number ${value} was accepted`);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  must(
    Object.getPrototypeOf(value) === Object.prototype || Array.isArray(value),
    'a decoded object has a foreign prototype',
  );
  for (const inner of Object.values(value)) checkPlain(inner);
}

/** Bytes that decode as CBOR, or undefined. */
function decoded<T>(input: Uint8Array, schema: z.ZodType<T>): T | undefined {
  try {
    return decode(input, schema, 'input');
  } catch (error) {
    if (error instanceof TesseraError && error.code === 'TESSERA_MESSAGE_INVALID') return undefined;
    throw error;
  }
}

/** The value as a second reader, written from the RFC, has it; the decoder renames the one key that is dangerous. */
function reference(input: Uint8Array): unknown {
  const renamed = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(renamed);
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key === '__proto__' ? '__proto_' : key, renamed(inner)]),
    );
  };
  return renamed(readCbor(input));
}

/** CBOR with every schema of the wire. */
export const cbor: FuzzTarget = {
  name: 'cbor',
  about: 'CBOR messages of every kind: what is read is what was written, as a second reader has it',
  seeds: frozenMessages,
  inputs: (seeds) => thenEdited(editedTree(seeds.map(treeOf)).map(cborOf), seeds),
  open: () => ({
    judge(input) {
      // Read before the bytes are validated.
      const head = peekCbor(input);
      const plain = decoded(input, z.unknown());
      if (plain === undefined) return 'refused';
      const isKnown = (key: string): boolean => key === '__proto__' || Object.hasOwn(plain as object, key);
      must(Object.keys(head).every(isKnown), 'first values are seen that the message does not have');
      must(same(plain, reference(input)), 'two readers disagree about what the bytes say');
      let verdict: 'accepted' | 'refused' = 'refused';
      for (const schema of SCHEMAS) {
        const value = schema.safeParse(plain);
        if (!value.success) continue;
        verdict = 'accepted';
        // The plan in `prepare` may be anything until parsePlan has read it.
        checkPlain({ ...(value.data as object), plan: null });
        must(same(decoded(encode(value.data), schema), value.data), 'a message changes when it is sent on');
      }
      for (const [usual, schema] of [
        [usualWork(plain), workMessage],
        [usualResult(plain), resultMessage],
      ] as const)
        if (usual !== undefined) must(same(schema.safeParse(plain).data, usual), 'a message passes against its schema');
      // Only the fields of an address are checked before a node answers it; the others come through as they are.
      const address = workAddress.safeParse(plain);
      if (!address.success) return verdict;
      const { v, plan, i_id, stage, attempt, tiles } = address.data;
      checkPlain([v, plan, i_id, stage, attempt, ...tiles.map(({ t_id }) => t_id)]);
      return 'accepted';
    },
  }),
};

/** Models that claim to be signed. */
export const signature: FuzzTarget = {
  name: 'signature',
  about: 'manifests that were changed after they were signed: what passes is what was signed, byte for byte',
  seeds: () => MANIFESTS.map((one) => encode({ ...one, signature: signer.sign(one) })),
  inputs: (seeds) => thenEdited(editedTree(seeds.map(treeOf)).map(cborOf), seeds),
  open: () => ({
    judge(input) {
      const manifest = decoded(input, modelManifest);
      if (manifest === undefined) return 'refused';
      try {
        requireSignature(manifest, [signer.publicKey]);
      } catch (error) {
        if (error instanceof TesseraError && error.code === 'TESSERA_SIGNATURE') return 'refused';
        throw error;
      }
      const signed = MANIFESTS.map((one) => signedBytes(one).toString());
      must(signed.includes(signedBytes(manifest).toString()), 'a manifest without a valid signature passes');
      return 'accepted';
    },
  }),
};

const blob = (digit: string, size: number) => ({ sha: digit.repeat(64), size });
const MANIFESTS: readonly ModelManifest[] = [
  {
    format: 'tessera-model/1',
    name: 'scenes',
    skeleton: blob('a', 41_236),
    blobs: [blob('b', 921_600), blob('c', 1024)],
  },
  { format: 'tessera-model/1', name: 'a "name"\n', skeleton: blob('d', 1), blobs: [] },
  {
    format: 'tessera-model/1',
    name: 'slices',
    skeleton: blob('e', 2),
    blobs: [blob('f', 64)],
    slices: [
      { tensor: 'w', box: [[0, 4]], ...blob('0', 16) },
      { tensor: 'w\n', box: [[4, 6]], ...blob('1', 8) },
    ],
  },
];
/** A key of this process alone. */
const keys = generateKeyPairSync('ed25519');
const signer = {
  publicKey: `ed25519:${keys.publicKey.export({ format: 'jwk' }).x}`,
  sign: (manifest: ModelManifest) => new Uint8Array(sign(null, signedBytes(manifest), keys.privateKey)),
};

/** A seed as a tree; what is no CBOR (a found input) is a tree of bytes. */
export function treeOf(seed: Uint8Array): unknown {
  return decoded(seed, z.unknown()) ?? seed;
}
