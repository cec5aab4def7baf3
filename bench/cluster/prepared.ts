import { existsSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadServedModel } from '../../central/served-model.ts';
import { loadRequestFor } from '../../cli/models.ts';
import { resolveConfig } from '../../shared/config/layers.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { readText } from '../../shared/runtime/file.ts';
import { makePath } from '../../shared/runtime/make-path.ts';
import { openSigningKey } from '../../shared/runtime/signature.ts';
import type { ClusterNetwork } from './networks.ts';

/** Networks as model folders, kept between runs. */

/** A network on the disk. */
export interface PreparedNetwork {
  /** The model folder. */
  readonly folder: string;
  /** The file of the network. */
  readonly path: string;
  /** The state directories of clusters that serve it. */
  readonly state: string;
}

/** Writes a network of the zoo as a model folder, unless it is there. */
export async function prepareNetwork(name: string, network: ClusterNetwork, cache: string): Promise<PreparedNetwork> {
  const folder = join(cache, name, 'model');
  const path = join(folder, 'model.onnx');
  const state = join(cache, name, 'state');
  makePath(folder);
  makePath(state);
  // JSON is YAML.
  const card = { version: 1, name, model: 'model.onnx', task: 'raw', input: { shape: network.input } };
  await writeFile(join(folder, 'model.yaml'), JSON.stringify(card));
  if (!existsSync(path)) {
    await writeFile(`${path}.part`, writeModel(network.build()));
    await rename(`${path}.part`, path);
  }
  return { folder, path, state };
}

/** The SHA-256 by which plans name the network as central serves it; kept beside the model folder, unless `again`. */
export async function skeletonOf({ folder, state }: PreparedNetwork, again: boolean): Promise<string> {
  const kept = join(state, 'skeleton.txt');
  if (!again && existsSync(kept)) return readText(kept);
  const scratch = join(state, 'scratch');
  try {
    const { request } = await loadRequestFor(folder, resolveConfig([]).config);
    const store = await openBlobStore(join(scratch, 'blobs'));
    const { manifest } = await loadServedModel(request, store, await openSigningKey(scratch));
    await writeFile(kept, manifest.skeleton.sha);
    return manifest.skeleton.sha;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
