import { planningGraph } from '../../central/planner/graph.ts';
import { assembleProfile, type FleetNode } from '../../central/planner/profile/assemble.ts';
import { parseProfile } from '../../central/planner/profile/parse.ts';
import type { Profile } from '../../central/planner/profile/schema.ts';
import type { ServedModel } from '../../central/served-model.ts';
import { TesseraError } from '../../shared/errors.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import { frameMeasured } from '../../shared/protocol/messages/requests.ts';
import { askRequest } from '../../shared/runtime/requests.ts';
import { type Fleet, fleetToProfile } from './fleet.ts';
import type { KeptMeasurements } from './kept-measurements.ts';
import { type MeasureFleetOptions, measureFleet } from './measure-fleet.ts';

/** What profiling a fleet needs. */
export interface ProfileFleetOptions
  extends Pick<MeasureFleetOptions, 'repeats' | 'shareEqual' | 'tune' | 'predict' | 'progress' | 'note'> {
  readonly model: ServedModel;
  readonly kept: KeptMeasurements;
  readonly fleet: Fleet;
  /** How many node agents to wait for: those of a private cluster are starting. */
  readonly agents: number;
  readonly signal: AbortSignal;
}

/** Central answers a measurement within 10 minutes (central/nodes/node-measurements.ts); the rest is for the way. */
const ANSWER_MS = 610_000;
/** How long the nodes of a private cluster are waited for. */
const START_MS = 30_000;

/**
 * Measures the model on the fleet at a broker. Throws TESSERA_NO_NODES where no node could be measured or central goes
 * offline, TESSERA_MODEL_UNKNOWN where central does not serve this very model, and the signal's reason.
 */
export async function profileFleet(options: ProfileFleetOptions): Promise<Profile> {
  const { model, kept, predict, signal } = options;
  const { bus, topics } = options.fleet;
  const nodes = await nodesOf(options);
  const unknown = predict.find((id) => !nodes.some((node) => node.id === id));
  if (unknown !== undefined)
    throw new TesseraError('TESSERA_USAGE', `--predict names ${unknown}, which is not among the nodes`, {
      hint: `they are ${nodes.map(({ id }) => id).join(', ')}`,
    });
  const end = new AbortController();
  const ended = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true, signal: end.signal });
    void bus.subscribe(topics.status, 1, ({ payload }) => {
      if (new TextDecoder().decode(payload) === 'offline')
        reject(new TesseraError('TESSERA_NO_NODES', 'central went offline', { hint: 'start it, then profile again' }));
    });
  });
  ended.catch(() => {});
  const graph = planningGraph(model.resolved);
  const { sha } = model.manifest.skeleton;
  try {
    const sharedFrom = await measureFleet({
      ...options,
      nodes,
      graph,
      model: sha,
      ask: (command, body, answer) => {
        const asked = askRequest(bus, topics, command, body, answer, ANSWER_MS);
        return Promise.race([asked, ended]);
      },
    });
    if (kept.times.length === 0)
      throw new TesseraError('TESSERA_NO_NODES', 'no node could be measured', { hint: 'the reasons are above' });
    const { frames, ...frame } = await askRequest(bus, topics, 'measure-frame', { model: model.name }, frameMeasured);
    if (frames === 0)
      options.note('central has had no frame of the model: its own work for a frame is not in the profile');
    const { times, links, codecs } = kept;
    const measured = { name: model.name, model: sha, graph, center: CENTRAL, nodes, times, links, codecs, sharedFrom };
    return parseProfile(assembleProfile({ ...measured, frame: frames === 0 ? undefined : frame }));
  } finally {
    end.abort();
  }
}

/** The nodes, once enough of them are online. */
async function nodesOf({ fleet, agents, note, signal }: ProfileFleetOptions): Promise<readonly FleetNode[]> {
  const end = performance.now() + START_MS;
  for (;;) {
    const isLast = !fleet.isPrivate || performance.now() > end;
    const nodes = await fleetToProfile(fleet, isLast ? note : () => {}, signal);
    if (isLast || nodes.length > agents) return nodes;
  }
}
