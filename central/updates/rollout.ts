import type { UpdateManifest, UpdateReport } from '../../shared/protocol/messages/update.ts';

/** A node as a rollout sees it. */
export interface UpdatingNode {
  readonly id: string;
  readonly online: boolean;
  /** Whether it has loaded the networks that it is to run. */
  readonly isBack: boolean;
  /** Its last report; undefined for an agent that cannot be updated. */
  readonly report: UpdateReport | undefined;
}

/** What nodes may do next; `halt` says why nobody may any more. */
export interface RolloutStep {
  readonly prepare: readonly string[];
  readonly turn: readonly string[];
  readonly halt?: string;
}

/** Nodes that download at a time, so that the cameras' network has room. */
export const MOST_LOADING = 4;

/**
 * Decides which nodes may download a release and which one may start it.
 *
 * 1. At most one node is away at a time: the next one has its turn when the last one is back, and has loaded its networks.
 * 2. Nodes after the first `canary` begin when those have kept the release.
 * 3. It halts as soon as one node gave the release up.
 */
export function rolloutStep(manifest: UpdateManifest, nodes: readonly UpdatingNode[]): RolloutStep {
  const nobody = { prepare: [], turn: [] };
  const scope = scopeOf(manifest, nodes);
  const failed = scope.find((node) => isOf(node, manifest) && node.report?.state === 'failed');
  if (failed !== undefined)
    return { ...nobody, halt: `${failed.id} gave it up: ${failed.report?.text ?? 'it says not why'}` };
  if (manifest.paused) return nobody;
  const canaries = scope.slice(0, manifest.canary);
  const allowed = canaries.every((node) => isOver(node, manifest)) ? scope : canaries;
  const open = allowed.filter((node) => node.online && !isOver(node, manifest) && node.report?.state !== 'trial');
  const isReady = ({ report }: UpdatingNode): boolean => report?.state === 'ready' || report?.state === 'switching';
  const prepare = [...open.filter(isReady), ...open.filter((node) => !isReady(node)).slice(0, MOST_LOADING)];
  const isAway = scope.some(({ online, isBack, report }) =>
    report?.state === 'switching' ? true : report?.state === 'trial' && !(online && isBack),
  );
  const ready = open.filter(({ report }) => report?.state === 'ready');
  const next = ready.find(({ id }) => manifest.turn.includes(id)) ?? ready[0];
  return { prepare: prepare.map(({ id }) => id), turn: isAway || next === undefined ? [] : [next.id] };
}

/** The nodes that a release is for, in the order in which they get it. */
export function scopeOf(
  { nodes: named, rollout }: Pick<UpdateManifest, 'nodes' | 'rollout'>,
  nodes: readonly UpdatingNode[],
): UpdatingNode[] {
  const meant = nodes.filter(({ id, report }) => report !== undefined && (named === undefined || named.includes(id)));
  const ordered = meant
    .map((node) => ({ node, place: placeOf(node.id) }))
    .sort((a, b) => a.place - b.place || (a.node.id < b.node.id ? -1 : 1));
  return ordered.slice(0, Math.ceil((ordered.length * rollout) / 100)).map(({ node }) => node);
}

/** Whether a node has kept what is wanted, or refuses it. */
function isOver(node: UpdatingNode, manifest: UpdateManifest): boolean {
  const { version = '', state = 'idle' } = node.report ?? {};
  if (state === 'refused') return isOf(node, manifest);
  return state !== 'trial' && (version === manifest.version) === (manifest.action === 'install');
}

/** Whether a report is about this announcement. */
function isOf({ report }: UpdatingNode, { since }: UpdateManifest): boolean {
  return report?.since === since;
}

/** A place in the order that has nothing to do with the name's meaning (FNV-1a). */
function placeOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
