import { measureCluster } from '../cluster/measure.ts';
import { type ClusterNetwork, NETWORKS } from '../cluster/networks.ts';
import { whole } from '../cluster/plans.ts';
import { clusterFile } from '../testbed/cluster-file.ts';
import type { Cell, Experiment } from './experiment.ts';
import { barPlot, linePlot } from './plot.ts';

/** Experiments whose cells compare a cluster with a single device. */

type Compared = Awaited<ReturnType<typeof measureCluster>>;

interface CellForm {
  readonly model: string;
  readonly nodes?: number;
  readonly baseCores?: number;
  readonly mbps?: number;
  readonly padding?: 'zero' | 'halo';
  /** The network whole on one node of so many cores: a machine of a cloud. */
  readonly cloudCores?: number;
}

function cellOf(form: CellForm): Cell<Compared> {
  const { model, nodes = 8, baseCores = 0.15, mbps = 100, padding = 'zero', cloudCores } = form;
  const network: ClusterNetwork = NETWORKS[model]!;
  const what = cloudCores === undefined ? `${nodes} ${padding}` : `cloud ${cloudCores}`;
  return {
    key: `${model} ${what} base ${baseCores} mbps ${mbps}`,
    run: ({ cache, pairs, warmUp, note }) =>
      measureCluster({
        name: model,
        network,
        file: clusterFile.parse({
          version: 1,
          nodes: cloudCores === undefined ? nodes : 1,
          device: { cores: cloudCores ?? 0.15, mbps },
          base: { cores: baseCores, memory_mb: 4000, mbps: 100 },
        }),
        plan: cloudCores === undefined ? network[padding === 'zero' ? 'plan' : 'lossless'](nodes) : wholeOn(network),
        singleCores: 0.15,
        oneNode: false,
        cache,
        pairs,
        warmUp,
        note,
      }),
  };
}

function wholeOn(network: ClusterNetwork) {
  const outputs = network.plan(1).at(-1)!.outputs;
  return [whole(['input'], outputs, 'node-1')];
}

const HEAD = [
  'cell',
  'single ms',
  'cluster ms',
  'speed-up',
  'bound',
  'of bound',
  'free',
  'noise',
  'CPU ms of broker and central',
  'warm-up, frames',
  'plan',
  'accuracy of the plan',
];

function rowOf(key: string, result: Compared): string[] {
  const { single_ms, cluster_ms, speedup, bound, of_bound, free_share, noise } = result;
  const { broker_central_cpu_ms, warm_up, plan, accuracy } = result;
  const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;
  return [
    key,
    single_ms.toFixed(0),
    cluster_ms.toFixed(0),
    speedup < 1 ? `${speedup.toFixed(2)}: do not split` : speedup.toFixed(2),
    bound.toFixed(2),
    percent(of_bound),
    percent(free_share),
    percent(noise),
    broker_central_cpu_ms.toFixed(1),
    String(warm_up.frames),
    plan.stages.join('; then '),
    accuracy,
  ];
}

const table = (results: readonly (readonly [string, Compared])[]) => [
  HEAD,
  ...results.map(([key, result]) => rowOf(key, result)),
];

/** Lines of speed-ups over nodes: one for all results whose key has the same group. */
function overNodes(title: string, results: readonly (readonly [string, Compared])[], groupOf: (key: string) => string) {
  const names = [...new Set(results.map(([key]) => groupOf(key)))];
  return linePlot(
    { title, x: 'nodes', y: 'speed-up' },
    names.map((name) => ({
      name,
      points: results
        .filter(([key]) => groupOf(key) === name)
        .map(([, { nodes, speedup }]) => [nodes, speedup] as const),
    })),
  );
}

const SEEDS = 'accuracy (weights are seeded), and real devices, whose caches and memory are slower.';

/** ADCNN's main figure. */
export const latency: Experiment<Compared> = {
  question: 'How much lower is the latency of a frame on one to eight nodes?',
  notMeasured: `the delay of the link to the cloud, which is only slow (10 Mbit/s); ${SEEDS}`,
  cells: Object.keys(NETWORKS).flatMap((model) => [
    ...[8, 4, 2, 1].map((nodes) => cellOf({ model, nodes })),
    cellOf({ model, baseCores: 0.3 }),
    cellOf({ model, cloudCores: 1.2, mbps: 10 }),
  ]),
  table,
  plot: (results) =>
    overNodes(
      'Speed-up over one device of 0.15 core; broker and central on another one',
      results.filter(([key]) => !key.includes('cloud') && key.includes('base 0.15')),
      (key) => key.split(' ')[0]!,
    ),
};

/** Speed-up and efficiency by nodes, forms of tiles and links. */
export const scaling: Experiment<Compared> = {
  question: 'How does the speed-up of VGG-16 grow with nodes and links, with and without loss?',
  notMeasured: SEEDS,
  cells: [100, 1000].flatMap((mbps) =>
    (['zero', 'halo'] as const).flatMap((padding) =>
      [8, 6, 4, 2, 1].map((nodes) => cellOf({ model: 'vgg16', nodes, mbps, padding })),
    ),
  ),
  table,
  plot: (results) =>
    overNodes('VGG-16: speed-up over one device of 0.15 core', results, (key) =>
      key.replace(/^vgg16 \d+ (zero|halo) base 0.15 mbps (\d+)$/, '$1, $2 Mbit/s'),
    ),
};

const PHASES = ['decode', 'pack', 'wire', 'queue', 'compute', 'paste', 'tail', 'finish', 'client'] as const;

/** Where a frame's time goes, and the CPU of the devices. */
export const overhead: Experiment<Compared> = {
  question: 'Where does the time of a frame go?',
  notMeasured: `stages one by one: the phases are those of all stages together, so that the whole of the later stages is within "wire"; ${SEEDS}`,
  cells: Object.keys(NETWORKS).flatMap((model) => [0.15, 0.3].map((baseCores) => cellOf({ model, baseCores }))),
  table: (results) => [
    [
      'cell',
      ...PHASES.map((phase) => `${phase} ms`),
      'CPU ms: broker and central',
      'busiest node',
      'idle node, a second',
    ],
    ...results.map(([key, { phases_ms, broker_central_cpu_ms, node_cpu_ms, idle_cpu_ms }]) => [
      key,
      ...PHASES.map((phase) => phases_ms[phase].toFixed(1)),
      broker_central_cpu_ms.toFixed(1),
      Math.max(...node_cpu_ms).toFixed(1),
      idle_cpu_ms.node.toFixed(1),
    ]),
  ],
  plot: (results) =>
    barPlot(
      { title: 'Where the time of a frame goes', x: 'network, cores of broker and central', y: 'ms' },
      results.map(([key]) => key.replace(/^(\S+) 8 zero base (\S+) .*$/, '$1 $2')),
      PHASES.map((name) => ({ name, values: results.map(([, { phases_ms }]) => phases_ms[name]) })),
    ),
};
