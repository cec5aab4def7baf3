import type { DiscardReason } from './effects.ts';
import type { State } from './state.ts';

/** Counters since central started, and the state of the nodes; for observers and tests. */
export interface Snapshot {
  readonly open_frames: number;
  readonly open_bytes: number;
  readonly payload_bytes: number;
  /** Part results and errors that were not used, by reason. */
  readonly discarded: Readonly<Record<DiscardReason, number>>;
  readonly extra: Readonly<State['extra']>;
  /** Waiting frames by camera. */
  readonly waiting: Readonly<Record<string, number>>;
  readonly nodes: Readonly<
    Record<
      string,
      {
        /** Central's own executor. */
        readonly local: boolean;
        readonly presence: 'online' | 'suspect' | 'offline';
        /** How far the node has prepared each plan, by plan id. */
        readonly plans: Readonly<Record<string, 'preparing' | 'ready' | 'refused'>>;
        /** Why the node refuses a plan, by plan id; codes of shared/errors.ts. */
        readonly refusals: Readonly<Record<string, { readonly code: string; readonly text: string }>>;
        /** Requests that wait for credit. */
        readonly queued: number;
        readonly unanswered: number;
        /** Of these, how many have results for central. */
        readonly owing: number;
        readonly unanswered_bytes: number;
        /** Bytes of results that the node owes, before any codec. */
        readonly owed_bytes: number;
        /** Bytes of regions that other nodes are to send to the node with the work that they have. */
        readonly coming_bytes: number;
        /** The node answered wrongly and gets no work. */
        readonly left_out: boolean;
        readonly tiles: number;
        readonly audited: number;
        readonly unasked: number;
        readonly errors: number;
        readonly given_up: number;
        readonly hedges_won: number;
        readonly bytes_up: number;
        readonly bytes_down: number;
      }
    >
  >;
}

/** Copies counters and states of nodes. */
export function snapshotOf(s: State): Snapshot {
  const waiting = [...s.cameras.values()].map(({ id, waiting }) => [
    id,
    [...waiting.values()].reduce((sum, queue) => sum + queue.length, 0),
  ]);
  const nodes = [...s.nodes.values()].map((node) => [
    node.id,
    {
      local: node.isLocal,
      presence: node.presence,
      plans: Object.fromEntries([...node.readiness].map(([plan, { state }]) => [plan, state])),
      refusals: Object.fromEntries(
        [...node.readiness].flatMap(([plan, { state, code, text }]) =>
          state === 'refused' ? [[plan, { code, text }]] : [],
        ),
      ),
      queued: node.queue.length,
      unanswered: node.open.size,
      owing: [...node.open].filter(({ bytes_home }) => bytes_home > 0).length,
      unanswered_bytes: node.open_bytes,
      owed_bytes: node.owed_bytes,
      coming_bytes: node.coming_bytes,
      left_out: node.audit.out,
      ...node.counts,
    },
  ]);
  return {
    open_frames: s.frames.size,
    open_bytes: s.open_bytes,
    payload_bytes: s.payload_bytes,
    discarded: { ...s.discarded },
    extra: { ...s.extra },
    waiting: Object.fromEntries(waiting),
    nodes: Object.fromEntries(nodes),
  };
}
