import type { NodeRecord } from '../../shared/protocol/node-registry.ts';
import type { MeasuredNode } from '../coordinator/measured.ts';
import type { Snapshot } from '../coordinator/snapshot.ts';
import type { ApiState } from './api.ts';

/** What is known of a node. */
export interface NodeFacts {
  readonly record: NodeRecord;
  /** As the coordinator sees it; undefined while central is not active. */
  readonly seen: Snapshot['nodes'][string] | undefined;
  readonly measured: MeasuredNode | undefined;
}

/** A node of the state; `now` on the clock of `heardAt`, ms. */
export function nodeState({ record, seen, measured }: NodeFacts, now: number): ApiState['nodes'][string] {
  const { online, info, heartbeat, heardAt } = record;
  return {
    presence: seen?.presence ?? (online ? 'online' : 'offline'),
    info: info ?? null,
    heartbeat: heartbeat ?? null,
    heard_s: heardAt === undefined ? null : Math.max(0, Math.round((now - heardAt) / 100) / 10),
    tiles: seen?.tiles ?? 0,
    open_tiles: (seen?.queued ?? 0) + (seen?.unanswered ?? 0),
    link: measured?.message ?? null,
  };
}
