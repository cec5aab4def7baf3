import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compilePlan } from '../../../shared/plan/compile.ts';
import type { CompiledPlan } from '../../../shared/plan/compiled-plan.ts';
import { linksOf } from '../../../shared/plan/links.ts';
import { CENTRAL, type Plan, type Stage } from '../../../shared/plan/plan.ts';
import { planId } from '../../../shared/plan/plan-id.ts';
import type { Box } from '../../../shared/tensor/tensor.ts';
import type { StageForm } from '../../../shared/tiling/form.ts';
import { Network, stageOf } from '../tiling/network.ts';

interface Layer {
  readonly kernel: number;
  readonly stride: number;
  readonly rows: readonly number[];
  readonly cols: readonly number[];
  /** Whether it also adds the map before the one that it reads, where that has the size of its own. */
  readonly skip: boolean;
}

const CHANNELS = 2;

/** `total` as sizes with the given weights. */
function sizes(weights: readonly number[], total: number): number[] {
  const used = weights.slice(0, total);
  const made = used.map(() => 1);
  const sum = used.reduce((all, weight) => all + weight, 0);
  let left = total - made.length;
  used.forEach((weight, k) => {
    const more = k === used.length - 1 ? left : Math.min(left, Math.floor((weight * (total - made.length)) / sum));
    made[k]! += more;
    left -= more;
  });
  return made;
}

function compiled(stages: readonly Stage[], resolved: ReturnType<Network['resolve']>): CompiledPlan {
  const body = { model: '0'.repeat(64), source: CENTRAL, stages };
  const plan: Plan = {
    format: 'tessera-plan/1',
    id: planId(body),
    ...body,
    strategy: 'test',
    reason: 'test',
    predicted: null,
  };
  return compilePlan(plan, resolved);
}

/** A chain of convolutions, each a stage of tiles with its own grid. */
function chain(layers: readonly Layer[], height: number, width: number) {
  const net = new Network();
  const maps = [{ tensor: net.input([1, CHANNELS, height, width]), height, width }];
  const stages: Stage[] = [];
  for (const { kernel, stride, rows, cols, skip } of layers) {
    const before = maps.at(-1)!;
    const pad = Math.floor(kernel / 2);
    const [h, w] = [before.height, before.width].map((side) => Math.floor((side + 2 * pad - kernel) / stride) + 1);
    const made = net.conv(before.tensor, CHANNELS, CHANNELS, [kernel, kernel], {
      pads: [pad, pad, pad, pad],
      strides: [stride, stride],
    });
    const older = maps.at(-2);
    const adds = skip && older !== undefined && older.height === h && older.width === w;
    const tensor = adds ? net.op('Add', [made, older.tensor]) : made;
    const inputs = adds ? [before.tensor, older.tensor] : [before.tensor];
    const split = { kind: 'tiles', padding: 'halo', rows: sizes(rows, h!), cols: sizes(cols, w!) } as const;
    const stage = stageOf(inputs, [tensor], split);
    stages.push({ ...stage, id: stages.length });
    maps.push({ tensor, height: h!, width: w! });
  }
  return { compiled: compiled(stages, net.resolve(maps.at(-1)!.tensor)), stages, maps };
}

/** Cells of a box, as `row col`. */
function cells(box: Box): string[] {
  const [rows, cols] = box.slice(-2);
  const all: string[] = [];
  for (let row = rows![0]; row < rows![1]; row++)
    for (let col = cols![0]; col < cols![1]; col++) all.push(`${row} ${col}`);
  return all;
}

/** Start of each tile's range, and the end of the last one. */
function bounds(list: readonly number[]): number[] {
  const made = [0];
  for (const size of list) made.push(made.at(-1)! + size);
  return made;
}

const weights = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 });
const layer = fc.record({
  kernel: fc.constantFrom(1, 2, 3, 5),
  stride: fc.constantFrom(1, 1, 2),
  rows: weights,
  cols: weights,
  skip: fc.boolean(),
});

test('links cover what a part reads of earlier stages, each cell once, and their bytes are those of the geometry', () => {
  fc.assert(
    fc.property(
      fc.array(layer, { minLength: 2, maxLength: 4 }),
      fc.integer({ min: 6, max: 17 }),
      fc.integer({ min: 6, max: 17 }),
      (layers, height, width) => {
        const { compiled: plan, stages, maps } = chain(layers, height, width);
        const made = new Set(stages.flatMap(({ outputs }) => outputs));
        plan.stages.forEach(({ parts }, stage) => {
          for (const part of parts) {
            const read = part.in.filter(({ tensor }) => made.has(tensor));
            for (const { tensor, box } of read) {
              const maker = stages.findIndex(({ outputs }) => outputs.includes(tensor));
              const links = part.links.filter((link) => link.tensor === tensor);
              // By force: which part of the maker's stage makes each cell.
              const owner = new Map<string, number>();
              for (const { t_id, out } of plan.stages[maker]!.parts)
                for (const cell of cells(out[0]!.box)) owner.set(cell, t_id);
              const expected = new Map<number, string[]>();
              for (const cell of cells(box)) {
                const t_id = owner.get(cell)!;
                expected.set(t_id, [...(expected.get(t_id) ?? []), cell]);
              }
              expect(new Map(links.map((link) => [link.t_id, cells(link.box)]))).toEqual(expected);
              for (const link of links) {
                expect(link.stage).toBe(maker);
                expect(link.bytes).toBe(4 * CHANNELS * expected.get(link.t_id)!.length);
              }
            }
            expect(part.links.length).toBe(
              part.links.filter(({ tensor }) => read.some((region) => region.tensor === tensor)).length,
            );
            // What a convolution reads of the map before, by arithmetic.
            const { kernel, stride } = layers[stage]!;
            const before = maps[stage]!;
            const pad = Math.floor(kernel / 2);
            const range = (start: number, end: number, side: number): [number, number] => [
              Math.max(0, start * stride - pad),
              Math.min(side, (end - 1) * stride - pad + kernel),
            ];
            const { split } = stages[stage]!;
            if (split.kind !== 'tiles') throw new Error('it has tiles');
            const row = Math.floor(part.t_id / split.cols.length);
            const col = part.t_id % split.cols.length;
            const [tops, lefts] = [bounds(split.rows), bounds(split.cols)];
            const [top, bottom] = range(tops[row]!, tops[row + 1]!, before.height);
            const [left, right] = range(lefts[col]!, lefts[col + 1]!, before.width);
            const bytes = part.links
              .filter(({ tensor }) => tensor === before.tensor)
              .reduce((sum, link) => sum + link.bytes, 0);
            if (stage > 0) expect(bytes).toBe(4 * CHANNELS * (bottom - top) * (right - left));
          }
        });
      },
    ),
    { numRuns: Number(process.env.TESSERA_FUZZ_RUNS ?? 150) },
  );
});

test('a stage that follows with the same grid takes only a border from its neighbours', () => {
  const layers = [0, 1].map(() => ({ kernel: 3, stride: 1, rows: [1, 1, 1], cols: [1, 1, 1], skip: false }));
  const { compiled: plan } = chain(layers, 9, 9);
  const middle = plan.stages[1]!.parts[4]!.links;
  expect(middle.map(({ t_id, box }) => [t_id, ...box.slice(-2).map(([start, end]) => end - start)])).toEqual([
    [0, 1, 1],
    [1, 1, 3],
    [2, 1, 1],
    [3, 3, 1],
    [4, 3, 3],
    [5, 3, 1],
    [6, 1, 1],
    [7, 1, 3],
    [8, 1, 1],
  ]);
});

/** A stage whose parts make, or read, these boxes of a tensor; `onAsked` is called when what a part makes is asked for. */
function formOf(tensor: string, boxes: readonly Box[], onAsked = (): void => {}) {
  return {
    parts: boxes.map((box, t_id) => ({
      t_id,
      in: [{ tensor, box }],
      get out() {
        onAsked();
        return [{ tensor, box }];
      },
    })),
  } as unknown as StageForm;
}

const whole = { kind: 'whole' } as const;
const two = [stageOf(['x'], ['a'], whole), { ...stageOf(['a'], ['b'], whole), id: 1 }];

/** What parts that read these boxes take of parts that make those, as t_id and box. */
function taken(read: readonly Box[], made: readonly Box[]) {
  const forms = [formOf('a', made), formOf('a', read)];
  const links = linksOf(two, forms, () => 1);
  return forms[1]!.parts.map((part) => links(part).map(({ t_id, box }) => [t_id, box]));
}

test('boxes that only touch have nothing in common', () => {
  expect(taken([[[0, 2]]], [[[2, 4]]])).toEqual([[]]);
  const read: Box = [
    [0, 3],
    [1, 4],
  ];
  const made: Box = [
    [1, 9],
    [0, 2],
  ];
  const both: Box = [
    [1, 3],
    [1, 2],
  ];
  expect(taken([read], [made])).toEqual([[[0, both]]]);
});

test('parts that make the same cells are all named, in the order of their numbers', () => {
  const made: Box[] = [[[2, 4]], [[0, 3]], [[2, 4]]];
  expect(taken([[[1, 4]]], made)).toEqual([
    [
      [0, [[2, 4]]],
      [1, [[1, 3]]],
      [2, [[2, 4]]],
    ],
  ]);
});

test('a tensor without axes has one cell', () => {
  expect(taken([[]], [[], []])).toEqual([
    [
      [0, []],
      [1, []],
    ],
  ]);
});

test('what a part makes is looked at once, however many parts read it', () => {
  const boxes = Array.from({ length: 100 }, (_, k): Box => [[k, k + 1]]);
  let asked = 0;
  const readers = formOf('a', boxes).parts;
  const makers = formOf('a', boxes, () => asked++);
  const links = linksOf(two, [makers, formOf('b', [])], () => 1);
  expect(readers.map((part) => links(part).map(({ t_id }) => t_id))).toEqual(boxes.map((_, k) => [k]));
  expect(asked).toBe(100);
});
