import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlobTurns, CHUNK_BYTES, type Chunk } from '../../../shared/node/blob-turns.ts';

// Lost if these fail: eight nodes cost central's link eight copies of a model, or one slow node holds up all others.

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const WINDOW = 4 * CHUNK_BYTES;
const range = (sha: string, chunks: number, from = 0) => ({
  sha,
  offset: from * CHUNK_BYTES,
  length: (chunks - from) * CHUNK_BYTES,
});

/** Turns whose nodes confirm every chunk at once, except the `silent` ones. */
function turns(silent: readonly string[] = []) {
  const core = new BlobTurns();
  const got = new Map<string, number>();
  const requests = new Map<string, number>();
  let request = 0;
  return {
    core,
    ask(node: string, ranges: Parameters<BlobTurns['ask']>[2], now = 0) {
      requests.set(node, ++request);
      got.set(node, 0);
      return core.ask(node, request, ranges, now);
    },
    /** All chunks that can go at a time. */
    drain(now = 0): Chunk[] {
      const chunks: Chunk[] = [];
      for (let next = core.next(now); typeof next === 'object'; next = core.next(now)) {
        chunks.push(next);
        for (const node of next.to) {
          got.set(node, got.get(node)! + next.length);
          if (!silent.includes(node)) core.got(node, requests.get(node)!, got.get(node)!, now);
        }
      }
      return chunks;
    },
  };
}
const told = (chunks: readonly Chunk[]) =>
  chunks.map(({ sha, offset, to }) => `${sha[0]}${offset / CHUNK_BYTES} ${to.join('+')}`);

describe('BlobTurns', () => {
  it('sends what several nodes want once to all of them', () => {
    const { ask, drain } = turns();
    for (const node of ['n1', 'n2', 'n3']) ask(node, [range(A, 2), range(B, 1)]);
    expect(told(drain())).toEqual(['a0 n1+n2+n3', 'a1 n1+n2+n3', 'b0 n1+n2+n3']);
  });

  it('lets a late node join a blob that has not begun, and sends it alone what it missed', () => {
    const { core, ask, drain } = turns();
    ask('n1', [range(A, 3), range(B, 2)]);
    expect(core.next(0)).toMatchObject({ sha: A, offset: 0, to: ['n1'] });
    ask('n2', [range(A, 3), range(B, 2)]);
    const after = told(drain());
    expect(after.toSorted()).toEqual(['a0 n2', 'a1 n1+n2', 'a2 n1+n2', 'b0 n1+n2', 'b1 n1+n2']);
  });

  it('sends a blob of which a node missed much to it from the start, or else the node has no room for the rest', () => {
    const { core, ask, drain } = turns();
    ask('n1', [range(A, 40)]);
    for (let k = 0; k < 17; k++) {
      core.next(0);
      core.got('n1', 1, (k + 1) * CHUNK_BYTES, 0);
    }
    ask('n2', [range(A, 40)]);
    const alone = drain().filter(({ to }) => to.includes('n2'));
    expect(alone.map(({ offset }) => offset / CHUNK_BYTES)).toEqual(Array.from({ length: 40 }, (_, k) => k));
  });

  it('waits for further nodes before it begins a blob, where it is told to', () => {
    const core = new BlobTurns(100);
    core.ask('n1', 1, [range(A, 1)], 0);
    expect(core.next(99)).toBe(100);
    core.ask('n2', 2, [range(A, 1)], 99);
    expect(core.next(100)).toMatchObject({ to: ['n1', 'n2'] });
  });

  it('joins a node that has the beginning of a blob already', () => {
    const { core, ask, drain } = turns();
    ask('n1', [range(A, 4)]);
    core.next(0);
    ask('n2', [range(A, 4, 2)]);
    expect(told(drain())).toEqual(['a1 n1', 'a2 n1+n2', 'a3 n1+n2']);
  });

  it('ends chunks at multiples of their size, whatever was asked for', () => {
    const { ask, drain } = turns();
    ask('n1', [{ sha: A, offset: 100, length: CHUNK_BYTES + 1 }]);
    expect(drain().map(({ offset, length }) => [offset, length])).toEqual([
      [100, CHUNK_BYTES - 100],
      [CHUNK_BYTES, 101],
    ]);
  });

  it('waits half a second for a node that confirms nothing, and then no more until it has caught up', () => {
    const { core, ask, drain } = turns(['slow']);
    for (const node of ['fast', 'slow']) ask(node, [range(A, 20)]);
    expect(drain(0)).toHaveLength(4);
    expect(core.next(0)).toBe(500);
    expect(drain(499)).toHaveLength(0);
    expect(drain(500)).toHaveLength(16);
  });

  it('has no more on the way to a lone node than its window', () => {
    const { core, ask, drain } = turns(['n1']);
    ask('n1', [range(A, 20)]);
    expect(drain(0)).toHaveLength(WINDOW / CHUNK_BYTES);
    expect(drain(10_000)).toHaveLength(0);
    core.got('n1', 7, WINDOW, 10_000);
    expect(drain(10_000)).toHaveLength(0);
    core.got('n1', 1, CHUNK_BYTES, 10_000);
    expect(drain(10_000)).toHaveLength(1);
  });

  it('takes turns between nodes that want different blobs', () => {
    const { ask, drain } = turns();
    ask('n1', [range(A, 3)]);
    ask('n2', [range(B, 3)]);
    expect(told(drain())).toEqual(['a0 n1', 'b0 n2', 'a1 n1', 'b1 n2', 'a2 n1', 'b2 n2']);
  });

  it('forgets what a node asked for when it asks again, asks for nothing, or is silent for a minute', () => {
    const { core, ask, drain } = turns();
    ask('n1', [range(A, 3)]);
    ask('n1', [range(B, 1)]);
    expect(told(drain())).toEqual(['b0 n1']);
    ask('n1', [range(A, 3)]);
    ask('n1', []);
    expect(core.next(0)).toBe(undefined);
    ask('n1', [range(A, 3)]);
    expect(core.isWanted(A, 'n2')).toBe(true);
    expect(core.isWanted(A, 'n1')).toBe(false);
    expect(core.next(60_001)).toBe(undefined);
    expect(core.isWanted(A, 'n2')).toBe(false);
  });

  it('serves a bounded number of nodes', () => {
    const { ask } = turns();
    for (let k = 0; k < 1024; k++) expect(ask(`n${k}`, [range(A, 1)])).toBe(true);
    expect(ask('one-more', [range(A, 1)])).toBe(false);
  });

  it('sends every node all that it asked for, whatever happens meanwhile', () => {
    const nodes = ['n1', 'n2', 'n3'];
    const event = fc.oneof(
      fc.record({ kind: fc.constant('step' as const), ms: fc.constantFrom(0, 100, 600) }),
      fc.record({ kind: fc.constant('confirm' as const), node: fc.constantFrom(...nodes) }),
      fc.record({
        kind: fc.constant('ask' as const),
        node: fc.constantFrom(...nodes),
        ranges: fc.uniqueArray(
          fc.record({
            sha: fc.constantFrom(A, B),
            offset: fc.nat(4 * CHUNK_BYTES),
            length: fc.integer({ min: 1, max: WINDOW }),
          }),
          { selector: ({ sha }) => sha, maxLength: 2 },
        ),
      }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const core = new BlobTurns();
        let now = 0;
        let request = 0;
        const asked = new Map<string, { request: number; sent: number; left: Map<string, [number, number][]> }>();
        const step = (): boolean => {
          const chunk = core.next(now);
          if (typeof chunk !== 'object') return false;
          expect(chunk.length).toBeGreaterThan(0);
          expect(Math.floor(chunk.offset / CHUNK_BYTES)).toBe(
            Math.floor((chunk.offset + chunk.length - 1) / CHUNK_BYTES),
          );
          expect(chunk.to.length).toBeGreaterThan(0);
          for (const node of chunk.to) {
            const about = asked.get(node)!;
            about.sent += chunk.length;
            const end = chunk.offset + chunk.length;
            const left = about.left.get(chunk.sha)!;
            const rest = left.flatMap(([from, to]): [number, number][] => [
              [from, Math.min(to, chunk.offset)],
              [Math.max(from, end), to],
            ]);
            about.left.set(
              chunk.sha,
              rest.filter(([from, to]) => from < to),
            );
          }
          return true;
        };
        const confirm = (node: string): void => {
          const about = asked.get(node);
          if (about !== undefined) core.got(node, about.request, about.sent, now);
        };
        for (const one of events) {
          if (one.kind === 'step') {
            now += one.ms;
            step();
          } else if (one.kind === 'confirm') confirm(one.node);
          else {
            const left = new Map(
              one.ranges.map(({ sha, offset, length }) => [sha, [[offset, offset + length]] as [number, number][]]),
            );
            asked.set(one.node, { request: ++request, sent: 0, left });
            expect(core.ask(one.node, request, one.ranges, now)).toBe(true);
          }
        }
        do for (const node of nodes) confirm(node);
        while (step());
        for (const { left } of asked.values()) expect([...left.values()].flat()).toEqual([]);
      }),
    );
  });
});
