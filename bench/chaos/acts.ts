import { createRandom } from '../../shared/random.ts';

/** A fault that is caused in parts of a deployment. */
export interface Act {
  /** Seconds after the first frame. */
  readonly at: number;
  /** `broker`, `central`, or the id of a node. */
  readonly targets: readonly string[];
  /** `kill`: SIGKILL, `stop`: SIGTERM, both started again; `freeze`: SIGSTOP, then SIGCONT. */
  readonly how: 'kill' | 'stop' | 'freeze';
  /** How long they are away, ms. */
  readonly forMs: number;
}

/** Between two acts. */
const EVERY_S = 5;
const LONGEST_MS = 3000;

/** One fault every five seconds, chosen by a seed; none at the very end, so that everything runs again by then. */
export function actsOf(seed: number, seconds: number, nodes: readonly string[]): Act[] {
  const random = createRandom(seed);
  const acts: Act[] = [];
  for (let at = EVERY_S; at <= seconds - EVERY_S / 2; at += EVERY_S) {
    const node = random.pick(nodes);
    const targets = random.pick([
      [node],
      [node],
      ['central'],
      ['central'],
      ['broker'],
      ['broker'],
      ['central', 'broker'],
      ['central', 'broker'],
      ['broker', node],
    ]);
    const how = random.pick(['kill', 'kill', 'kill', 'stop', 'freeze'] as const);
    acts.push({ at, targets, how, forMs: random.whole(100, LONGEST_MS) });
  }
  return acts;
}
