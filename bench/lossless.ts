import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { choosePlan } from '../central/planner/default-plan.ts';
import { BASELINES } from '../central/planner/strategies.ts';
import { flag, oneOf, positive, string, type Values, valueOr } from '../cli/options.ts';
import { withPrivateCluster } from '../cli/private-cluster.ts';
import { TesseraError } from '../shared/errors.ts';
import { parseCard } from '../shared/model/card.ts';
import { modelTotals } from '../shared/onnx/cost.ts';
import type { Model } from '../shared/onnx/model.ts';
import { resolveModel } from '../shared/onnx/resolve.ts';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import { silentLog } from '../shared/ports.ts';
import type { FrameEnvelope } from '../shared/protocol/messages/frame.ts';
import { createRandom } from '../shared/random.ts';
import { loadModelFile } from '../shared/runtime/package.ts';
import { difference } from '../shared/tensor/compare.ts';
import { elementCount } from '../shared/tensor/tensor.ts';
import { type Grid, parseGrid } from '../shared/tiling/grid.ts';
import { longestPrefix } from '../shared/tiling/prefix.ts';
import { checkNames, dataFolder, dataOption, defineBenchmark, list } from './harness/benchmark.ts';
import { beforeSoftmax, seedWeights } from './harness/weights.ts';
import { ZOO } from './zoo/networks.ts';

/** Largest difference allowed, as a share of each output's range. */
const LIMIT = 1e-4;
const GRIDS = ['1x1', '2x2', '1x4', '3x2', '4x4', 'uneven'] as const;
const NODES = 8;
/** No hedging: every tile has to come from the node that it was first sent to. */
const PATIENT = { hard_limit_ms: 300_000, hedge_floor_ms: 60_000, answer_floor_ms: 240_000 };
/** Small networks, of the shared ones and of the zoo. */
const FEW: ReadonlySet<string> = new Set([
  ...['cifar10_resnet20', 'mnist-8', 'ultraface_rfb_320'],
  ...['gated', 'resnet-18', 'tiny-yolo-v2'],
]);
/** Cells taken for dimensions that a file leaves open: batch, channels, height, width. */
const OPEN = [1, 3, 96, 128];

interface Row {
  readonly network: string;
  readonly grid: string;
  readonly nodes: number;
  /** Tiles of the grid, and how many of them node agents computed; central may compute tiles only for a lost node. */
  readonly tiles: number;
  readonly tiles_on_nodes: number;
  readonly macs_on_nodes: number;
  readonly conv_macs_on_nodes: number;
  /** Convolutions that Tessera's rules can tile: those before the first operators that no rule covers. */
  readonly conv_macs_within_reach: number;
  readonly largest: number;
}

/** A network to run, by name. */
interface Source {
  readonly name: string;
  readonly load: () => Promise<Model>;
}

/** The shared networks: real ones as they are, light ones (constant weights) with seeded weights, before the softmax. */
async function sharedNetworks(folder: string): Promise<Source[]> {
  const list = async (sub: string): Promise<string[]> => {
    const path = join(folder, sub);
    const names = existsSync(path) ? (await readdir(path)).sort() : [];
    return names.filter((name) => name.endsWith('.onnx')).map((name) => join(path, name));
  };
  const real = (await list('models')).map((path) => ({
    name: basename(path, '.onnx'),
    load: () => loadModelFile(path),
  }));
  const light = (await list('models/topologies')).map((path, index) => ({
    name: basename(path, '.onnx'),
    load: async () => beforeSoftmax(seedWeights(await loadModelFile(path), index + 1)),
  }));
  const all = [...real, ...light];
  if (all.length > 0) return all;
  throw new TesseraError('TESSERA_USAGE', `there are no networks in ${join(folder, 'models')}`, {
    hint: 'set TESSERA_DATA, or name a folder with --data that holds models/*.onnx, or take --zoo, which needs no files',
  });
}

function zooNetworks(width: number): Source[] {
  return [...ZOO].map(([name, { build }]) => ({ name, load: async () => build({ width }) }));
}

/** Sizes that differ as much as they can: 1 cell, then the rest halved. */
function unevenGrid(height: number, width: number): Grid {
  const sizes = (total: number): number[] => {
    if (total < 3) return [total];
    const rest = total - 1;
    return [1, Math.floor(rest / 3), rest - Math.floor(rest / 3)].filter((size) => size > 0);
  };
  const [rowSizes, colSizes] = [sizes(height), sizes(width)];
  return { rows: rowSizes.length, cols: colSizes.length, rowSizes, colSizes };
}

const options = {
  networks: valueOr('--networks <list>', 'only these; otherwise all', list(string), []),
  grids: valueOr('--grids <list>', GRIDS.join(', '), list(oneOf(...GRIDS)), GRIDS),
  few: flag('--few', 'only three networks, unless --networks names others'),
  full: flag('--full', 'every grid with every number of nodes, not only each at least once'),
  zoo: flag('--zoo', 'the networks of bench/zoo with seeded weights instead of the shared ones'),
  width: valueOr('--width <factor>', 'factor of the channels of the networks of --zoo', positive, 1 / 8),
  data: dataOption,
};

export const { description, usage, run } = defineBenchmark({
  question: 'is a network that is spread over nodes equal to the whole, for every network, grid and node count?',
  method:
    `${NODES} node agents, each its own process, around the embedded broker; the reference is the whole network in one ` +
    `process. Passed: every output differs by at most ${LIMIT} of its range, and node agents computed every tile.`,
  needs: 'the shared networks; with --zoo nothing but this machine.',
  notMeasured: 'time: nodes on one machine share its cores.',
  options,
  quick: { few: true, grids: ['2x2', '3x2', 'uneven'] },
  run: compareAll,
});

async function compareAll({ networks: only, few, grids, full, zoo, width, data }: Values<typeof options>) {
  const all = zoo ? zooNetworks(width) : await sharedNetworks(dataFolder(data));
  checkNames(
    '--networks',
    only,
    all.map(({ name }) => name),
  );
  const found = all.filter(({ name }) => (only.length > 0 ? only.includes(name) : !few || FEW.has(name)));
  const rows: Row[] = [];
  const worst = new Map<string, number>();
  const cluster = { nodes: NODES, base: 'tessera', maximumPacketSize: 1_000_000, coordinator: PATIENT, log: silentLog };
  await withPrivateCluster(cluster, async ({ central, agents, camera, serve }) => {
    for (const [index, { name, load }] of found.entries()) {
      const model = await load();
      const first = model.graph.inputs[0]!;
      const shape = first.shape?.map((size, axis) => (typeof size === 'number' && size > 0 ? size : OPEN[axis]!));
      const resolved = resolveModel(model, shape === undefined ? {} : { inputShapes: { [first.name]: shape } });
      const input = resolved.specs.get(first.name)!;
      const card = parseCard({ name: 'bench', task: 'raw' }, name);
      const request = { name: 'bench', card, labels: [], model, picture: false, inputShape: input.shape };
      const served = await central.load(request);
      const reachable = longestPrefix(served.resolved, [served.input.name], { rows: 1, cols: 1 });
      const withinReach = reachable.convMacs / modelTotals(served.resolved).convMacs;
      const random = createRandom(index + 1, 1);
      const d = new Uint8Array(
        Float32Array.from({ length: elementCount(input.shape) }, () => random.between(-1, 1)).buffer,
      );
      const send = async () => {
        const envelope: FrameEnvelope = {
          v: 1,
          format: 'tensor',
          dtype: input.dtype,
          shape: [...input.shape],
          d,
          tensors: true,
        };
        const { result, tensors } = await camera.send(randomBytes(8).toString('hex'), envelope, 600_000);
        if (result.error !== undefined) throw new TesseraError('TESSERA_VERIFY', `${name}: ${result.error.message}`);
        const outputs = tensors!.outputs.map(({ tensor, dtype, shape, d }) => ({ tensor, dtype, shape, data: d }));
        return { outputs, result };
      };
      const whole = choosePlan(served, { nodeCount: 1, ...BASELINES.central });
      await serve('bench', whole, 300_000);
      const { outputs: reference } = await send();

      for (const [gridIndex, gridName] of GRIDS.entries()) {
        if (!grids.includes(gridName)) continue;
        const counts = full ? Array.from({ length: NODES }, (_, i) => i + 1) : [((index + gridIndex * 3) % NODES) + 1];
        for (const count of counts) {
          const nodes = agents.slice(0, count).map(({ id }) => id);
          const grid = gridName === 'uneven' ? parseGrid('3x3') : parseGrid(gridName);
          let compiled: CompiledPlan;
          try {
            compiled = choosePlan(served, { nodeCount: count, nodes, grid });
          } catch (error) {
            if (!(error instanceof TesseraError) || error.code !== 'TESSERA_PLAN_INVALID') throw error;
            console.error(`${name.padEnd(28)} ${gridName.padEnd(7)} ${error.message}`);
            continue;
          }
          const split = compiled.plan.stages[0]!.split;
          if (gridName === 'uneven' && split.kind === 'tiles') {
            const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);
            compiled = choosePlan(served, {
              nodeCount: count,
              nodes,
              grid: unevenGrid(sum(split.rows), sum(split.cols)),
            });
          }
          await serve('bench', compiled, 300_000);
          const { outputs, result } = await send();
          const differences = reference.map((tensor, i) => difference(tensor, outputs[i]!).largest);
          const row: Row = {
            network: name,
            grid: gridName,
            nodes: count,
            tiles: compiled.stages[0]!.parts.length,
            tiles_on_nodes: nodes.reduce((sum, node) => sum + (result.tiles_per_node[node] ?? 0), 0),
            macs_on_nodes: compiled.cost.macsOnNodes,
            conv_macs_on_nodes: compiled.cost.convMacsOnNodes,
            conv_macs_within_reach: withinReach,
            largest: Math.max(...differences),
          };
          rows.push(row);
          worst.set(name, Math.max(worst.get(name) ?? 0, row.largest));
          const share = `${(row.conv_macs_on_nodes * 100).toFixed(1)} % of conv MACs on nodes`;
          console.error(
            `${name.padEnd(28)} ${gridName.padEnd(7)} ${count} nodes  ${row.tiles_on_nodes}/${row.tiles} tiles  ${share.padEnd(32)} ${row.largest.toExponential(2)}`,
          );
        }
      }
    }
  });
  printTable(rows);
  const largest = Math.max(...worst.values());
  const spread = rows.every((row) => row.tiles_on_nodes === row.tiles);
  return {
    pass: rows.length > 0 && largest <= LIMIT && spread,
    limit: LIMIT,
    largest,
    worst: Object.fromEntries(worst),
    rows,
  };
}

/** One line a network, as Markdown: the table of docs/benchmarks.md. */
function printTable(rows: readonly Row[]): void {
  console.log(
    '| network | within reach of tiles | convolutions on nodes, 2x2 | 4x4 | all multiply-adds, 2x2 | largest difference |',
  );
  console.log('|---|---|---|---|---|---|');
  for (const network of new Set(rows.map((row) => row.network))) {
    const own = rows.filter((row) => row.network === network);
    const share = (grid: string, key: 'conv_macs_on_nodes' | 'macs_on_nodes'): string => {
      const row = own.find((candidate) => candidate.grid === grid);
      return row === undefined ? '' : `${(row[key] * 100).toFixed(1)} %`;
    };
    const worst = Math.max(...own.map((row) => row.largest));
    const cells = [
      `${(own[0]!.conv_macs_within_reach * 100).toFixed(1)} %`,
      share('2x2', 'conv_macs_on_nodes'),
      share('4x4', 'conv_macs_on_nodes'),
      share('2x2', 'macs_on_nodes'),
      worst === 0 ? '0' : worst.toExponential(1),
    ];
    console.log(`| ${network} | ${cells.join(' | ')} |`);
  }
}
