import { setTimeout as sleep } from 'node:timers/promises';
import { doubtOfLoad, watchLoad } from '../cluster/cpu-time.ts';
import { NETWORKS } from '../cluster/networks.ts';
import { cpuOfAll, openCluster } from '../cluster/opened.ts';
import { type Draft, evenSizes, fdsp, slices, whole } from '../cluster/plans.ts';
import { clusterFile } from '../testbed/cluster-file.ts';
import type { Experiment } from './experiment.ts';
import { linePlot } from './plot.ts';

/*
 * ADCNN's experiment with changing speeds: nodes 5 to 8 compute half as fast from frame 25 of 50 on. 28 tiles, so that
 * they can be shared out by speed: with eight, no distribution can do better than twice the time.
 */

const FRAMES = 50;
const CHANGE = 25;
const CORES = 0.2;
const IDLE_MS = 100;
/** A frame has adapted within this share of total work / total speed. */
const NEAR = 1.15;

interface Frame {
  readonly ms: number;
  /** Tiles of the first stage, by node. */
  readonly tiles: Readonly<Record<string, number>>;
}

interface Adapted {
  readonly doubts: readonly string[];
  readonly frames: readonly Frame[];
  /** Of the last ten frames before the change, ms. */
  readonly before_ms: number;
  /** What the speeds after the change allow: `before_ms` by the share of the speed that is left. */
  readonly possible_ms: number;
  /** Frames from the change to the first one near `possible_ms`; undefined: never. */
  readonly frames_until_near: number | undefined;
}

/** 14 strips in two halves through the fourth pooling, strips to the fifth, the first dense layer in slices. */
const CLIP = { name: 'clip', a: 0.2, b: 1, bits: 4 } as const;
const stages: readonly Draft[] = [
  fdsp(['input'], 'maxpool_24', evenSizes(14, 14), [7, 7], CLIP),
  fdsp(['maxpool_24'], 'maxpool_31', evenSizes(7, 7), [7], CLIP),
  slices('maxpool_31', 'relu_34', 4096, 8, CLIP),
  whole(['relu_34'], ['gemm_37']),
];

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** How latency follows the speeds, and how soon. Pure, for its test. */
export function adaptation(
  frames: readonly Frame[],
  change: number,
  speedLeft: number,
): Omit<Adapted, 'doubts' | 'frames'> {
  const before_ms = mean(frames.slice(change - 10, change).map(({ ms }) => ms));
  const possible_ms = before_ms / speedLeft;
  const near = frames.findIndex(({ ms }, i) => i >= change && ms <= NEAR * possible_ms);
  return { before_ms, possible_ms, frames_until_near: near < 0 ? undefined : near - change };
}

/** How tiles follow the speeds of nodes. */
export const dynamic: Experiment<Adapted> = {
  question: 'How soon do tiles follow when four of eight nodes compute half as fast?',
  notMeasured: 'links that change; the free share of quotas, which is larger at half the cores.',
  cells: [
    {
      key: 'vgg16, 28 tiles',
      async run({ cache, warmUp, note }) {
        const half = { do: 'slow', frame: CHANGE, nodes: [5, 6, 7, 8], factor: 0.5 };
        const opened = await openCluster({
          name: 'vgg16',
          network: NETWORKS.vgg16!,
          file: clusterFile.parse({ version: 1, device: { cores: CORES }, base: { cores: CORES }, events: [half] }),
          plan: stages,
          warmUp,
          cache,
          note,
        });
        const { cluster } = opened;
        await cluster.recorder.call('start', null);
        const load = watchLoad(() => cpuOfAll(opened));
        const times: number[] = [];
        for (let frame = 0; frame < FRAMES; frame++) {
          await sleep(IDLE_MS);
          await cluster.happen(frame);
          times.push((await opened.send()).ms);
        }
        const doubts = doubtOfLoad(load.stop());
        const recorded = await cluster.recorder.call('stop', null);
        const frames = recorded.map(({ end }, i) => {
          const tiles: Record<string, number> = {};
          for (const { stage, node, used } of end.trace) if (stage === 0 && used) tiles[node] = (tiles[node] ?? 0) + 1;
          return { ms: times[i]!, tiles };
        });
        return { doubts, frames, ...adaptation(frames, CHANGE, 0.75) };
      },
    },
  ],
  table: ([cell]) => {
    const { before_ms, possible_ms, frames_until_near, frames } = cell![1];
    const after = mean(frames.slice(-10).map(({ ms }) => ms));
    return [
      ['before, ms', 'possible after, ms', 'last ten frames, ms', 'frames until within 15 % of it'],
      [before_ms.toFixed(0), possible_ms.toFixed(0), after.toFixed(0), String(frames_until_near ?? 'never')],
    ];
  },
  plot: ([cell]) => {
    const { frames } = cell![1];
    const tiles = (numbers: readonly number[]) =>
      frames.map(({ tiles: dealt }, i) => [i, mean(numbers.map((n) => dealt[`node-${n}`] ?? 0))] as const);
    return linePlot({ title: 'Nodes 5 to 8 have half their speed from frame 25 on', x: 'frame', y: 'tiles, 100 ms' }, [
      { name: 'latency, 100 ms', points: frames.map(({ ms }, i) => [i, ms / 100] as const) },
      { name: 'tiles at each of 1 to 4', points: tiles([1, 2, 3, 4]) },
      { name: 'tiles at each of 5 to 8', points: tiles([5, 6, 7, 8]) },
    ]);
  },
};
