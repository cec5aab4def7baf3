import { piecesOf } from '../../shared/node/pieces.ts';
import type { ModelManifest } from '../../shared/protocol/messages/control.ts';
import type { NodeChange } from '../coordinator/effects.ts';
import type { Observer } from './observer.ts';

/**
 * Knows which nodes have pieces of models: those that are ready for a plan of the model. A node may lack the pieces of
 * stages that it does not compute.
 */
export class BlobHolders implements Observer {
  readonly #manifestOf: (model: string) => ModelManifest | undefined;
  /** Models by plan. */
  readonly #models = new Map<string, Set<string>>();
  /** Nodes that are ready, by plan. */
  readonly #ready = new Map<string, Set<string>>();
  #turn = 0;

  constructor(manifestOf: (model: string) => ModelManifest | undefined) {
    this.#manifestOf = manifestOf;
  }

  planOffered(model: string, plan: string): void {
    this.#models.set(plan, new Set([...(this.#models.get(plan) ?? []), model]));
  }

  planRetired(plan: string): void {
    this.#models.delete(plan);
    this.#ready.delete(plan);
  }

  nodeChanged(change: NodeChange): void {
    if (change.type === 'leave-out') this.#forget(change.node);
    if (change.type !== 'node-event') return;
    const { node, event, plan } = change;
    if (event === 'offline') this.#forget(node);
    if (event === 'ready' && plan !== undefined)
      this.#ready.set(plan, new Set([...(this.#ready.get(plan) ?? []), node]));
  }

  /** Nodes that have a piece, another one first at each call. */
  of(sha: string): string[] {
    const nodes = new Set<string>();
    for (const [plan, models] of this.#models)
      if ([...models].some((model) => hasPiece(this.#manifestOf(model), sha)))
        for (const node of this.#ready.get(plan) ?? []) nodes.add(node);
    const list = [...nodes];
    const first = list.length === 0 ? 0 : this.#turn++ % list.length;
    return [...list.slice(first), ...list.slice(0, first)];
  }

  #forget(node: string): void {
    for (const nodes of this.#ready.values()) nodes.delete(node);
  }
}

function hasPiece(manifest: ModelManifest | undefined, sha: string): boolean {
  return manifest !== undefined && piecesOf(manifest).has(sha);
}
