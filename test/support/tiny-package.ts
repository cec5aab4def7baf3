import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PartOutcome } from '../../shared/node/executor-types.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import type { BlobStore } from '../../shared/ports.ts';
import type { WireRegion } from '../../shared/protocol/messages/region.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { loadSession } from '../../shared/runtime/ort.ts';
import { packModel } from '../../shared/runtime/package.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import { tinyInput, tinyNetwork } from './tiny-network.ts';

/** The tiny network as nodes find it, and what it makes of `tinyInput`. */
export interface TinyPackage {
  readonly store: BlobStore;
  /** SHA-256 of its skeleton. */
  readonly skeleton: string;
  /** `y` as ONNX Runtime computes it from the whole network. */
  readonly whole: Tensor;
  remove(): Promise<void>;
}

/** Packs the tiny network into a store of its own. */
export async function packTiny(): Promise<TinyPackage> {
  const folder = await mkdtemp(join(tmpdir(), 'tessera-tiny-'));
  const store = await openBlobStore(folder);
  const { skeleton } = await packModel({ name: 'tiny', model: tinyNetwork(), store });
  const session = await loadSession(writeModel(tinyNetwork()), { threads: 1 });
  const whole = (await session.run(new Map([['x', tinyInput()]]))).get('y')!;
  return { store, skeleton: skeleton.sha, whole, remove: () => rm(folder, { recursive: true }) };
}

/** What a part made. Throws where it failed. */
export function outputsOf(outcome: PartOutcome): readonly WireRegion[] {
  if ('error' in outcome) throw new Error(`${outcome.error.code}: ${outcome.error.text}`);
  return outcome.out;
}
