import type { PLAN_CAUSES } from '../../shared/protocol/messages/central.ts';

/** What was measured lately of a machine that can run parts. */
export interface Reading {
  /** The time of a network's layers there, over what is expected of the machine. */
  readonly slowness: number;
  /** The way of a network's input to the machine, ms; 0 at central. */
  readonly hop_ms: number;
  /** The share (0..1) of the memory that the machine announced which is believed to be there. */
  readonly memory: number;
  /** Whether the machine says that it runs slower, lest it get too hot or too little power. */
  readonly throttled: boolean;
}

/** The machines that can get work, by id. */
export type Fleet = ReadonlyMap<string, Reading>;

/** What changed at a machine. */
export interface Change {
  readonly what: (typeof PLAN_CAUSES)[number];
  readonly node: string;
}

/** Ways this short, ms, and differences of this size, are noise of the machines. */
const LEAST_HOP_MS = 5;

/**
 * What left its band (D3, ICDCS 2021, section IV). `band`: the share by which a quantity may rise, or the earlier one be
 * above it.
 */
export function changesOf(before: Fleet, now: Fleet, band: number): Change[] {
  const isOut = (old: number, value: number): boolean => value > old * (1 + band) || old > value * (1 + band);
  const changes: Change[] = [];
  for (const [node, reading] of now) {
    const old = before.get(node);
    if (old === undefined) {
      changes.push({ what: 'node joined', node });
      continue;
    }
    if (isOut(LEAST_HOP_MS + old.hop_ms, LEAST_HOP_MS + reading.hop_ms)) changes.push({ what: 'network', node });
    if (isOut(old.slowness, reading.slowness))
      changes.push({ what: old.throttled || reading.throttled ? 'thermal' : 'cpu', node });
    if (isOut(old.memory, reading.memory)) changes.push({ what: 'memory', node });
  }
  for (const node of before.keys()) if (!now.has(node)) changes.push({ what: 'node left', node });
  return changes;
}
