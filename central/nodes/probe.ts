import { failureOf } from '../../shared/errors.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Log } from '../../shared/ports.ts';
import type { ModelManifest } from '../../shared/protocol/messages/control.ts';
import type { PlanningGraph } from '../planner/graph.ts';
import { echoedLink } from '../planner/profile/link-times.ts';
import { type BlockRange, planOfRun } from '../planner/profile/runs.ts';
import { quantile } from '../planner/profile/samples.ts';
import type { Probe } from '../replanner/live-fleet.ts';
import type { NodeMeasurements } from './node-measurements.ts';

/** What a probe needs. */
export interface ProbeOptions {
  readonly measurements: Pick<NodeMeasurements, 'order'>;
  readonly manifest: ModelManifest;
  readonly graph: PlanningGraph;
  /** The blocks that are run. */
  readonly test: BlockRange;
  /** The machine: a node agent, or central. */
  readonly node: string;
  readonly log: Log;
}

/** The largest echo of a probe, bytes: a link that carries frames is not filled with more. */
const ECHO_BYTES = 131_072;
/** Runs of a probe's layers at a machine. */
const RUNS = { warmup: 1, repeats: 3, budget_ms: 1000 } as const;

/** What a machine without work measures; what cannot be measured now is left out. */
export async function probe({ measurements, manifest, graph, test, node, log }: ProbeOptions): Promise<Probe> {
  const plan = planOfRun(graph, manifest.skeleton.sha, test, node);
  let found: Probe = {};
  try {
    if (node !== CENTRAL) {
      const answer = await measurements.order(node, { type: 'probe', to: CENTRAL, repeats: 1, bytes: ECHO_BYTES });
      if (answer.type === 'probed') {
        const { empty_ms, mbps } = echoedLink(answer.echoes);
        found = { link: { messageMs: empty_ms, msPerByte: 1 / (125 * mbps) } };
      }
    }
    if (plan !== undefined) {
      const answer = await measurements.order(node, { type: 'measure', plan, manifest, stage: 0, ...RUNS });
      const ms = answer.type === 'measured' ? [...answer.ms].sort((a, b) => a - b) : [];
      if (ms.length > 0) found = { ...found, ms: quantile(ms, 0.5) };
    }
  } catch (error) {
    log.debug(`node ${node} could not be measured: ${failureOf(error).message}`);
  }
  return found;
}
