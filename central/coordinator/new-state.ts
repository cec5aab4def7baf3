import { CENTRAL, type Tier } from '../../shared/plan/plan.ts';
import { newMemory } from '../scheduler/memory.ts';
import { newStatistics } from '../scheduler/statistics.ts';
import type { CoordinatorOptions } from './options.ts';
import type { Node, State } from './state.ts';
import { Timers } from './timers.ts';

/** A node agent of which nothing is known yet. */
export function newNode(id: string, tier: Tier | null, now: number): Node {
  return {
    id,
    isLocal: false,
    boot_id: '',
    tier,
    presence: 'offline',
    isDrained: false,
    departures: 0,
    heard_at: now,
    holdsFrames: false,
    memory: newMemory(),
    readiness: new Map(),
    queue: [],
    open: new Set(),
    open_bytes: 0,
    owed_bytes: 0,
    coming_bytes: 0,
    assigned_bytes: 0,
    busy_ms: 0,
    worked_at: now,
    answered_at: now,
    statistics: newStatistics(),
    audit: { agreed: 0, out: false, left_out_times: 0, recent: [] },
    counts: { tiles: 0, audited: 0, unasked: 0, errors: 0, given_up: 0, hedges_won: 0, bytes_up: 0, bytes_down: 0 },
    pace: { dispatches: 0, late: 0, halved_at: now, said_at: Number.NEGATIVE_INFINITY },
  };
}

/** A state in which nothing has happened. */
export function newState(options: CoordinatorOptions): State {
  const central: Node = { ...newNode(CENTRAL, options.tier, 0), isLocal: true, presence: 'online' };
  return {
    options,
    now: 0,
    phase: 'running',
    effects: [],
    nodes: new Map([[CENTRAL, central]]),
    drained: new Set(),
    central,
    models: new Map(),
    plans: new Map(),
    cameras: new Map(),
    payloads: new Map(),
    payload_bytes: 0,
    frames: new Map(),
    sectioned: new Set(),
    open_bytes: 0,
    ended: new Map(),
    timers: new Timers(),
    counter: 0,
    turn: 0,
    dispatches: 0,
    prepares: 0,
    sends: 0,
    freed: new Map(),
    discarded: { duplicate: 0, stray: 0, late: 0, 'stale-epoch': 0 },
    unused: 0,
    extra: { hedged: 0, resent: 0, filled: 0, audited: 0 },
    audits: new Map(),
    audit_count: 0,
    audit_seed: options.audit_seed,
    plans_unsettled: false,
  };
}
