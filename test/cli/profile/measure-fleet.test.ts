import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { PlanningGraph } from '../../../central/planner/graph.ts';
import type { FleetNode } from '../../../central/planner/profile/assemble.ts';
import { keptIn } from '../../../cli/profile/kept-measurements.ts';
import { type MeasureFleetOptions, measureFleet } from '../../../cli/profile/measure-fleet.ts';
import type { Step } from '../../../cli/progress.ts';
import { TesseraError } from '../../../shared/errors.ts';

const SHA = 'a'.repeat(64);
const tensors = ['x', 'a', 'b', 'c', 'd'];
/** Four layers, each a block. */
const graph: PlanningGraph = {
  layers: [0, 1, 2, 3].map((index) => {
    return { name: `${index}`, op: 'Conv', macs: 1, inputs: [tensors[index]!], outputs: [tensors[index + 1]!] };
  }),
  tensors: tensors.map((name) => ({ name, bytes: 4 })),
  inputs: ['x'],
  outputs: ['d'],
  blocks: [0, 1, 2, 3].map((index) => {
    const name = tensors[index + 1]!;
    return { name, first: index, last: index, cut: [name], bytes: 4 };
  }),
};
/** Every block, both sides of each cut, and the whole. */
const RUNS = 9;

const fleet: readonly FleetNode[] = ['pi-1', 'pi-2', 'central'].map((id) => {
  const hardware = id === 'central' ? {} : { hardware: 'Pi' };
  return { id, tier: 'edge', codecs: ['raw'], splits: ['whole'], ...hardware };
});

type Body = {
  readonly node?: string;
  readonly from?: string;
  readonly to?: string;
  readonly plan?: { reason: string };
};

/** Measures with a central that answers at once, unless `fails` has an error for a request. */
async function measured(
  options: Partial<MeasureFleetOptions> & { fails?: (body: Body) => Error | undefined; path?: string } = {},
) {
  const { fails = () => undefined, path = 'unused.part', ...more } = options;
  const kept = more.kept ?? (await keptIn(path, SHA, 5));
  const asked: string[] = [];
  const notes: string[] = [];
  const progress: Step[] = [];
  const of = { nodes: fleet, graph, model: SHA, repeats: 5, shareEqual: false, tune: false, predict: [], kept };
  const sharing = measureFleet({
    ...of,
    progress: (one) => progress.push(one),
    note: (text) => notes.push(text),
    ...more,
    ask: async (command, body, answer) => {
      const { node, from, to, plan } = body as Body;
      const fault = fails(body as Body);
      if (fault !== undefined) throw fault;
      if (command === 'tune') {
        asked.push(`tune ${node}`);
        const settings = { threads: 1, graph: 'all', parallel: false, arena: true, pattern: true };
        return answer.parse({ settings, ms: 5, usual_ms: 6 });
      }
      if (command === 'measure-codecs') {
        asked.push(`${node}: codecs`);
        return answer.parse({ part_ms: 0.2, codecs: [{ name: 'raw', encode_ms: 1, decode_ms: 1 }] });
      }
      asked.push(node === undefined ? `${from} > ${to}` : `${node}: ${plan!.reason}`);
      const link = { echoes: [{ bytes: 0, ms: [1] }], message_ms: 0.1 };
      return answer.parse(node === undefined ? link : { ms: [1, 2, 3], others: 0 });
    },
  });
  return { kept, asked, notes, progress, shared: await sharing };
}

const gone = (node: string) => new TesseraError('TESSERA_NO_NODES', `node ${node} went offline`);

describe('a fleet', () => {
  it('is measured node by node, then its codecs, and then every link both ways, with progress', async () => {
    const { asked, kept, progress } = await measured();
    expect(asked.slice(0, RUNS)).toEqual([
      'pi-1: block 0',
      'pi-1: block 1',
      'pi-1: block 2',
      'pi-1: block 3',
      'pi-1: blocks 1 to 3',
      'pi-1: blocks 0 to 1',
      'pi-1: blocks 2 to 3',
      'pi-1: blocks 0 to 2',
      'pi-1: blocks 0 to 3',
    ]);
    expect(asked.slice(-9)).toEqual([
      'pi-1: codecs',
      'pi-2: codecs',
      'central: codecs',
      'pi-1 > pi-2',
      'pi-1 > central',
      'pi-2 > pi-1',
      'pi-2 > central',
      'central > pi-1',
      'central > pi-2',
    ]);
    expect([kept.times.length, kept.codecs.length, kept.links.length]).toEqual([3 * RUNS, 3, 6]);
    expect(kept.times[0]).toEqual({
      node: 'pi-1',
      blocks: [0, 0],
      ms: 2,
      p10_ms: 1.2,
      p90_ms: 2.8,
      repeats: 3,
      others: 0,
    });
    const step = { work: 'profile', of: 36, unit: 'measurements' };
    expect(progress[0]).toEqual({ ...step, done: 0, what: 'pi-1, block 0' });
    expect(progress[10]).toMatchObject({ ...step, done: 10 });
  });

  it('goes on where it was interrupted, and measures a node again that is not what it was', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tessera-kept-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const path = join(folder, 'p.part');
    const kept = await keptIn(path, SHA, 5);
    let left = 12;
    const stop = new Error('interrupted');
    await expect(measured({ kept, fails: () => (left-- === 0 ? stop : undefined) })).rejects.toBe(stop);
    await kept.save();
    const { asked } = await measured({ path });
    expect(asked[0]).toBe('pi-2: block 3');
    expect(asked).toHaveLength(36 - 12);
    await kept.save();
    const changed = fleet.map((node) => (node.id === 'pi-1' ? { ...node, threads: 1 } : node));
    expect((await measured({ path, nodes: changed })).asked[0]).toBe('pi-1: block 0');
    await expect(keptIn(path, 'b'.repeat(64), 5)).rejects.toMatchObject({ code: 'TESSERA_USAGE' });
    await expect(keptIn(path, SHA, 6)).rejects.toMatchObject({ code: 'TESSERA_USAGE' });
    await writeFile(path, '{');
    await expect(keptIn(path, SHA, 5)).rejects.toMatchObject({ code: 'TESSERA_USAGE' });
  });

  it('names a node that goes offline, and measures the rest', async () => {
    let left = 3;
    const fails = ({ node, from, to }: Body) =>
      [node, from, to].includes('pi-1') && left-- <= 0 ? gone('pi-1') : undefined;
    const { asked, kept, notes } = await measured({ fails });
    expect(notes).toEqual(['node pi-1 is not measured any further: node pi-1 went offline']);
    expect(kept.times.filter(({ node }) => node === 'pi-1')).toHaveLength(3);
    expect(asked.slice(-2)).toEqual(['pi-2 > central', 'central > pi-2']);
  });

  it('leaves out a run that a node cannot do, and a node that can do nothing', async () => {
    const fault = new TesseraError('TESSERA_RUN_FAILED', 'no memory');
    const some = await measured({ fails: ({ plan }) => (plan?.reason === 'blocks 0 to 3' ? fault : undefined) });
    expect(some.kept.times).toHaveLength(3 * (RUNS - 1));
    expect(some.notes).toContain('pi-1, blocks 0 to 3 is not measured: no memory');
    const none = await measured({ fails: ({ node }) => (node === 'pi-2' ? fault : undefined) });
    expect(none.notes.at(-1)).toBe('node pi-2 is not measured any further: no memory');
    expect(none.notes).toHaveLength(3);
  });

  it('ends with an error that concerns no single node', async () => {
    const fault = new TesseraError('TESSERA_MODEL_UNKNOWN', 'central serves no such model');
    await expect(measured({ fails: () => fault })).rejects.toBe(fault);
  });
});

it('nodes are tuned before they are measured, once; central is not', async () => {
  const { asked, notes, kept } = await measured({ tune: true });
  expect(asked.filter((what) => what.startsWith('tune'))).toEqual(['tune pi-1', 'tune pi-2']);
  expect(asked.slice(0, 2)).toEqual(['tune pi-1', 'pi-1: block 0']);
  expect(notes[0]).toBe(
    'node pi-1 takes 5.00 ms instead of 6.00 with threads 1, graph all, parallel false, arena true, pattern true',
  );
  expect((await measured({ tune: true, kept })).asked).toEqual([]);
  const untuned = await measured();
  const again = await measured({ tune: true, kept: untuned.kept });
  expect(again.asked).toContain('pi-1: block 0');
  expect(again.asked).not.toContain('central: block 0');
});

describe('nodes of equal hardware', () => {
  it('are measured once on request, whichever of them can', async () => {
    const one = await measured({ shareEqual: true });
    expect(one.kept.times.map(({ node }) => node)).not.toContain('pi-2');
    expect(one.shared).toEqual(new Map([['pi-2', 'pi-1']]));
    const other = await measured({
      shareEqual: true,
      fails: ({ node }) => (node === 'pi-1' ? gone('pi-1') : undefined),
    });
    expect(other.kept.times.filter(({ node }) => node === 'pi-2')).toHaveLength(RUNS);
    expect(other.shared).toEqual(new Map([['pi-1', 'pi-2']]));
  });

  it('are tuned each, also where one is measured for all', async () => {
    const { asked } = await measured({ shareEqual: true, tune: true });
    expect(asked.slice(0, RUNS + 2)).toEqual([
      'tune pi-1',
      ...Array(RUNS).fill(expect.stringMatching('^pi-1')),
      'tune pi-2',
    ]);
  });

  it('are measured each without the request, and one that is to be predicted is not', async () => {
    expect((await measured()).shared.size).toBe(0);
    const { kept } = await measured({ predict: ['pi-2'] });
    expect(new Set(kept.times.map(({ node }) => node))).toEqual(new Set(['pi-1', 'central']));
    expect(kept.links).toHaveLength(6);
  });
});
