import { failureOf } from '../../shared/errors.ts';
import type { Plan } from '../../shared/plan/plan.ts';
import type { Callee } from '../testbed/calls.ts';
import type { ClusterFile } from '../testbed/cluster-file.ts';
import type { ControlGroup } from '../testbed/control-groups.ts';
import { startCallee } from '../testbed/device.ts';
import type { Driven, SentFrame } from '../testbed/driver-process.ts';
import { EmulatedCluster } from '../testbed/emulated-cluster.ts';
import type { reference } from '../testbed/reference-process.ts';
import { type Calibrated, calibrate } from './calibration.ts';
import { frameOf } from './frame.ts';
import type { ClusterNetwork } from './networks.ts';
import { type Draft, planOf } from './plans.ts';
import { type PreparedNetwork, prepareNetwork, skeletonOf } from './prepared.ts';

/** Frames after a change of limits or plan. */
const SETTLING = { fast: 8, slow: 4 } as const;
/** Frames at either end of the warm-up of which the CPU time is told. */
const ENDS = 10;

/** How warm code was when measuring began: CPU time of broker and central for a frame, ms. */
export interface WarmUp {
  readonly frames: number;
  readonly first_cpu_ms: number;
  readonly last_cpu_ms: number;
}

/** What is to be started. */
export interface Opening {
  readonly name: string;
  readonly network: ClusterNetwork;
  readonly file: ClusterFile;
  /** Stages, or a plan whose `model` is set. */
  readonly plan: readonly Draft[] | Plan;
  /** Cores of the single device; absent: those of a node. */
  readonly singleCores?: number | undefined;
  /** Frames before limits are set: code that runs for the first time takes twice the CPU time. */
  readonly warmUp: number;
  /** Folder of what stays between runs. */
  readonly cache: string;
  readonly note: (text: string) => void;
}

/** A cluster that serves a network, and a single device beside it, both warm and with their limits. */
export interface Opened {
  readonly cluster: EmulatedCluster;
  readonly plan: Plan;
  readonly frame: SentFrame;
  readonly device: Callee<typeof reference>;
  readonly single: ControlGroup;
  readonly calibrated: readonly Calibrated[];
  readonly start_ms: number;
  readonly first_frame_ms: number;
  readonly warm_up: WarmUp;
  /** Largest difference from the whole network's first output, as a share of its range. */
  readonly difference: number;
  /** Sends a frame; throws where its prediction is not `ok`. */
  send(): Promise<Driven>;
  /** Replaces the plan, warms it up without limits, and sets the limits again. */
  replace(stages: readonly Draft[]): Promise<void>;
}

/** Starts a cluster and a single device; `untilSignal` ends them. */
export async function openCluster(opening: Opening): Promise<Opened> {
  const { name, network, file, plan: given, cache, note, warmUp: frames, singleCores = file.device.cores } = opening;
  const began = performance.now();
  const prepared = await prepareNetwork(name, network, cache);
  note(`network ${name} is at ${prepared.folder}`);
  const frame = await frameOf(network.input);
  const cluster = await EmulatedCluster.start({ file, model: prepared.folder, state: prepared.state, note });
  const plan = await serve(cluster, prepared, (model) =>
    'stages' in given ? { ...given, model } : planOf(given, model),
  );
  note(`all nodes are ready for plan ${plan.id}`);
  const { group: single, under } = cluster.single();
  const device = startCallee<typeof reference>('./reference-process.ts', under);
  await device.ready;
  await device.call('load', { path: prepared.path, input: network.input });
  await device.call('measureUnit', null);
  const start_ms = performance.now() - began;

  const send = async (tensors = false): Promise<Driven> => {
    const driven = await cluster.driver.call('frame', { ...frame, tensors });
    if (driven.result.status !== 'ok') throw new Error(`a frame ended with ${JSON.stringify(driven.result)}`);
    return driven;
  };
  const warmUp = async (frames: number): Promise<void> => {
    for (let i = 0; i < frames; i++) await send();
  };
  const first = await send();
  const used = [cluster.cpu().base];
  for (let i = 0; i < frames; i++) {
    await send();
    used.push(cluster.cpu().base);
  }
  const ends = Math.min(ENDS, frames);
  const warm_up = {
    frames,
    first_cpu_ms: (used[ends]! - used[0]!) / ends,
    last_cpu_ms: (used.at(-1)! - used.at(-1 - ends)!) / ends,
  };
  note('code is warm');
  const difference = differenceOf((await send(true)).output!, await device.call('output', frame));
  for (let i = 0; i < 3; i++) await device.call('frame', frame);
  cluster.limit(true);
  single.limitCpu(singleCores);
  const calibrated = await calibrate(device, singleCores);
  note('the single device is calibrated');
  await warmUp(SETTLING.slow);
  await device.call('frame', frame);
  return {
    cluster,
    plan,
    frame,
    device,
    single,
    calibrated,
    start_ms,
    first_frame_ms: first.ms,
    warm_up,
    difference,
    send: () => send(),
    async replace(stages) {
      cluster.limit(false);
      await cluster.deploy(planOf(stages, plan.model));
      await warmUp(SETTLING.fast);
      cluster.limit(true);
      await warmUp(SETTLING.slow);
    },
  };
}

/** CPU time of all emulated devices so far, ms. */
export function cpuOfAll({ cluster, single }: Pick<Opened, 'cluster' | 'single'>): number {
  const { base, nodes } = cluster.cpu();
  return nodes.reduce((sum, ms) => sum + ms, base + single.cpuMs());
}

/** Has a network served by a plan; the SHA-256 that was kept may be that of an earlier version. */
async function serve(
  cluster: EmulatedCluster,
  prepared: PreparedNetwork,
  planFor: (model: string) => Plan,
): Promise<Plan> {
  const deploy = async (again: boolean): Promise<Plan> => {
    const plan = planFor(await skeletonOf(prepared, again));
    const deployed = cluster.deploy(plan);
    // Nodes that come later are not offered the plan before it.
    cluster.startNodes();
    await deployed;
    return plan;
  };
  return deploy(false).catch((error: unknown) => {
    if (failureOf(error).code !== 'TESSERA_MODEL_UNKNOWN') throw error;
    return deploy(true);
  });
}

/** Largest difference of two tensors of float32, as a share of the range of the second. */
function differenceOf(ours: string, theirs: string): number {
  const [a, b] = [floats(ours), floats(theirs)];
  let [largest, least, most] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const [i, value] of b.entries()) {
    largest = Math.max(largest, Math.abs(value - a[i]!));
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return largest / (most - least);
}

function floats(base64: string): Float32Array {
  const bytes = new Uint8Array(Buffer.from(base64, 'base64'));
  return new Float32Array(bytes.buffer, 0, bytes.length / 4);
}
