import type { ModelManifest } from '../protocol/messages/control.ts';

const known = new WeakMap<ModelManifest, ReadonlyMap<string, number>>();

/** The pieces of a model (skeleton, blobs, slices of weights): bytes by SHA-256. */
export function piecesOf(manifest: ModelManifest): ReadonlyMap<string, number> {
  const pieces =
    known.get(manifest) ??
    new Map([manifest.skeleton, ...manifest.blobs, ...(manifest.slices ?? [])].map(({ sha, size }) => [sha, size]));
  known.set(manifest, pieces);
  return pieces;
}
