import type { Bus } from '../../shared/ports.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { packageVersion } from '../../shared/runtime/version.ts';
import { readFleet } from '../read-fleet.ts';
import type { NodesFacts } from './nodes.ts';

/** Reads what centrals and nodes announce, in at most 3 s. */
export async function lookAtNodes(bus: Bus, base: string, signal: AbortSignal): Promise<NodesFacts> {
  const { models, hidden, central, centrals, plans, nodes, leftOut } = await readFleet(bus, topics(base), {
    heartbeats: true,
    signal,
  });
  const refused = Object.entries(models).filter(([, { state }]) => state === 'refused');
  return {
    hidden: [...hidden.keys()],
    central,
    centrals,
    plans: [...plans].map(([model, { since }]) => ({ model, since })),
    nodes,
    leftOut,
    refused: refused.map(([model, { error = { message: 'central gave no reason' } }]) => ({ model, error })),
    version: packageVersion(),
    now: Date.now() / 1000,
  };
}
