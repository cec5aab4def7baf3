import { describe, expect, it } from 'vitest';
import type { PlanningGraph } from '../../../../central/planner/graph.ts';
import { type MeasuredBlocks, predictBlocks } from '../../../../central/planner/profile/regression.ts';

const OPS = ['Conv', 'MaxPool', 'Conv', 'Relu', 'Gemm', 'Conv', 'Relu', 'MaxPool', 'Conv', 'Gemm'];

/** A chain of a layer a block. */
const graph: PlanningGraph = {
  layers: OPS.map((op, index) => {
    const macs = op === 'Conv' ? (1 + index) * 1e6 : op === 'Gemm' ? (3 + index) * 1e5 : 0;
    return { name: `${index}`, op, macs, inputs: [`t${index}`], outputs: [`t${index + 1}`] };
  }),
  tensors: Array.from({ length: OPS.length + 1 }, (_, index) => ({
    name: `t${index}`,
    bytes: (7 + index ** 2) * 1000,
  })),
  inputs: ['t0'],
  outputs: [`t${OPS.length}`],
  blocks: OPS.map((_, index) => ({
    name: `t${index + 1}`,
    first: index,
    last: index,
    cut: [`t${index + 1}`],
    bytes: 1,
  })),
};

/** A machine on which a layer takes what its type costs; `speed` 2 takes twice as long. */
function machine(speed: number, more: Partial<MeasuredBlocks> = {}): MeasuredBlocks {
  const block_ms = graph.layers.map(({ op, macs }, index) => {
    const bytes = graph.tensors[index]!.bytes + graph.tensors[index + 1]!.bytes;
    return speed * (op === 'Conv' ? macs * 1e-6 : op === 'Gemm' ? macs * 4e-6 : bytes * 1e-5);
  });
  return { block_ms, ...more };
}
const NOTHING = OPS.map(() => undefined);

const largestError = (found: readonly number[], expected: MeasuredBlocks) =>
  Math.max(...found.map((ms, block) => Math.abs(ms / expected.block_ms[block]! - 1)));

describe('a node that was never measured', () => {
  it('has the times of a node of equal hardware, whatever others take', () => {
    const others = [
      machine(1, { hardware: 'pi' }),
      machine(7, { hardware: 'watch' }),
      machine(9, { hardware: 'watch' }),
    ];
    const found = predictBlocks(graph, { block_ms: NOTHING, hardware: 'pi' }, others)!;
    expect(largestError(found.block_ms, machine(1))).toBeLessThan(0.01);
  });

  it('of equal hardware with more threads is as much faster', () => {
    const others = [machine(4, { hardware: 'pi', threads: 1 })];
    const found = predictBlocks(graph, { block_ms: NOTHING, hardware: 'pi', threads: 4 }, others)!;
    expect(largestError(found.block_ms, machine(1))).toBeLessThan(0.01);
  });

  it('of other hardware gets the median speed, and the error says how unlike each other the others are', () => {
    const alike = [machine(1), machine(1.01), machine(0.99)];
    expect(predictBlocks(graph, { block_ms: NOTHING }, alike)!.error).toBeLessThan(0.02);
    const unlike = [machine(1), machine(10), machine(100)];
    expect(predictBlocks(graph, { block_ms: NOTHING }, unlike)!.error).toBeGreaterThan(0.5);
  });

  it('is not predicted from nothing', () => {
    expect(predictBlocks(graph, { block_ms: NOTHING }, [{ block_ms: NOTHING }])).toBeUndefined();
  });
});

describe('a node that measured some blocks', () => {
  it('keeps those, and the others follow from its own speed', () => {
    const own = machine(3);
    const some = own.block_ms.map((ms, block) => (block < 6 ? ms : undefined));
    const found = predictBlocks(graph, { block_ms: some }, [machine(1), machine(2)])!;
    expect(found.block_ms.slice(0, 6)).toEqual(own.block_ms.slice(0, 6));
    expect(largestError(found.block_ms, own)).toBeLessThan(0.01);
    expect(found.error).toBeLessThan(0.01);
  });

  it('alone says how wrong each block would be without itself', () => {
    const own = machine(1);
    const odd = own.block_ms.map((ms, block) => (block === 5 ? 30 * ms! : ms));
    const found = predictBlocks(graph, { block_ms: [...odd.slice(0, 9), undefined] }, [])!;
    expect(found.error).toBeGreaterThan(0.5);
    expect(found.block_ms[9]).toBeGreaterThan(0);
  });
});
