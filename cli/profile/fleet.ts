import type { FleetNode } from '../../central/planner/profile/assemble.ts';
import { codecNames } from '../../shared/codec/codecs.ts';
import { TesseraError } from '../../shared/errors.ts';
import { CENTRAL, type Tier } from '../../shared/plan/plan.ts';
import type { Bus } from '../../shared/ports.ts';
import type { NodeRecord } from '../../shared/protocol/node-registry.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { type FleetView, readFleet } from '../read-fleet.ts';

/** What a node must announce so that it can be measured. */
const FEATURE = 'measure';

/** A fleet at a broker; `tier` is central's. */
export interface Fleet {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly tier: Tier;
  readonly isPrivate: boolean;
}

/** Throws TESSERA_NO_NODES where no central is online that serves frames. */
function requireCentral({ central }: FleetView): void {
  if (central) return;
  throw new TesseraError('TESSERA_NO_NODES', 'no central is online, which has nodes measure', {
    hint: 'start one with `tessera central`, or leave --broker away for a private cluster',
  });
}

/**
 * The nodes to profile: node agents that are online and get work, and central's own executor. Says which are not among
 * them. Throws TESSERA_NO_NODES where no central is online; that of a private cluster serves no frames, so its status is
 * not asked.
 */
export async function fleetToProfile(
  { bus, topics, tier, isPrivate }: Fleet,
  note: (text: string) => void,
  signal: AbortSignal,
): Promise<FleetNode[]> {
  const fleet = await readFleet(bus, topics, { heartbeats: false, signal });
  if (fleet.hidden.has('nodes')) throw fleet.hidden.get('nodes');
  if (!isPrivate) requireCentral(fleet);
  const agents = fleet.nodes.flatMap((node) => {
    const why = whyNot(node, fleet);
    if (why === undefined) return [fleetNode(node.info!)];
    note(`node ${node.id} is not profiled: ${why}`);
    return [];
  });
  const central = { id: CENTRAL, tier, codecs: codecNames(), splits: ['whole', 'tiles', 'channels'] };
  return [...agents, central];
}

function whyNot({ id, online, info }: NodeRecord, { leftOut }: FleetView): string | undefined {
  if (!online) return 'it is offline';
  if (info === undefined) return 'it announces nothing';
  if (!info.features.includes(FEATURE)) return `its version ${info.version} cannot measure`;
  return leftOut.has(id) ? `it is left out: ${leftOut.get(id)}` : undefined;
}

function fleetNode(info: NonNullable<NodeRecord['info']>): FleetNode {
  const { id, tier, codecs, splits, memory_mb, hardware, arch, cores, runtime, threads } = info;
  return { id, tier, codecs, splits, memory_mb, hardware: `${hardware}, ${arch}, ${cores} cores`, runtime, threads };
}
