import { describe, expect, test } from 'vitest';
import { decodeClipCodes, encodeClipCodes } from '../../../shared/codec/clip.ts';
import { TensorStore } from '../../../shared/node/tensor-store.ts';
import type { PlanGeometry } from '../../../shared/plan/compiled-plan.ts';
import type { WireRegion } from '../../../shared/protocol/messages/region.ts';

const box = (rows: [number, number]): [number, number][] => [[0, 1], rows, [0, 2]];

/** One stage of two tiles: rows 0 and 1 of `out` are made from rows of `in`. */
const geometry: PlanGeometry = {
  quantised: new Map(),
  rounding: 'smooth',
  specs: new Map([
    ['in', { dtype: 'uint8', shape: [1, 2, 2] }],
    ['out', { dtype: 'uint8', shape: [1, 2, 2] }],
  ]),
  stages: [
    {
      parts: [0, 1].map((t_id) => ({
        t_id,
        in: [{ tensor: 'in', box: box([t_id, t_id + 1]) }],
        out: [{ tensor: 'out', box: box([t_id, t_id + 1]), codec: { name: 'raw' as const } }],
      })),
    },
  ],
};

function opened(): TensorStore {
  const store = new TensorStore();
  const data = Uint8Array.of(1, 2, 3, 4);
  store.open('1-1', new Map([['in', { dtype: 'uint8' as const, shape: [1, 2, 2], data }]]));
  return store;
}

const result = (row: number, d: Uint8Array, change: Partial<WireRegion> = {}): WireRegion[] => [
  { tensor: 'out', box: box([row, row + 1]), dtype: 'uint8', shape: [1, 1, 2], codec: { name: 'raw' }, d, ...change },
];

describe('frame store', () => {
  test('tiles are cut with their rows and pasted in their place', () => {
    const store = opened();
    const tiles = store.pack('1-1', geometry, 0, [1]);
    expect(tiles?.[0]?.in[0]?.d).toEqual(Uint8Array.of(3, 4));
    store.paste('1-1', geometry, 0, 1, result(1, Uint8Array.of(7, 8)));
    expect(store.tensor('1-1', 'out', geometry)?.data).toEqual(Uint8Array.of(0, 0, 7, 8));
  });

  test('what several parts read of codes is encoded once, until it changes, and each gets bytes of its own', () => {
    const clip = { name: 'clip', a: 0, b: 15, bits: 4 } as const;
    const whole = box([0, 2]);
    const coded: PlanGeometry = {
      ...geometry,
      quantised: new Map([['out', clip]]),
      specs: new Map(geometry.specs).set('out', { dtype: 'float32', shape: [1, 2, 2] }),
      stages: [
        { parts: [{ t_id: 0, in: [], out: [{ tensor: 'out', box: whole, codec: clip }] }] },
        { parts: [0, 1].map((t_id) => ({ t_id, in: [{ tensor: 'out', box: whole }], out: [] })) },
      ],
    };
    const store = opened();
    const read = (parts: number[]): number[][] =>
      store.pack('1-1', coded, 1, parts)!.map((part) => {
        const { d } = part.in[0]!;
        const codes = [...decodeClipCodes(d, 4, clip)];
        d.fill(0);
        return codes;
      });
    const made = (...codes: number[]): WireRegion[] => {
      const d = encodeClipCodes(Uint8Array.from(codes), clip);
      return [{ tensor: 'out', box: whole, dtype: 'float32', shape: [1, 2, 2], codec: clip, d }];
    };
    store.paste('1-1', coded, 0, 0, made(1, 2, 3, 4));
    expect(read([0, 1])).toEqual([
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ]);
    store.paste('1-1', coded, 0, 0, made(5, 0, 7, 15));
    expect(read([1])).toEqual([[5, 0, 7, 15]]);
    store.clear('1-1', coded, 0, [0]);
    expect(read([0])).toEqual([[0, 0, 0, 0]]);
  });

  test('of a part whose regions go other ways only what central has to send is cut', () => {
    const store = opened();
    const rows = (start: number, end: number) => ({ tensor: 'in', box: box([start, end]) });
    const way = { t_id: 0, in: [rows(0, 1)], out: [{ tensor: 'out', box: box([0, 1]), to: ['n1', 'n2'] }] };
    const whole = store.packWay('1-1', geometry, 0, way)!;
    expect(whole.in).toMatchObject([{ box: box([0, 1]), d: Uint8Array.of(1, 2) }]);
    expect(whole.out).toEqual([{ ...way.out[0], codec: { name: 'raw' } }]);
    const sources = [{ ...rows(0, 1), held: true as const }, { ...rows(1, 2), from: 'n2' }, rows(1, 2)];
    const mixed = store.packWay('1-1', geometry, 0, { ...way, in: sources })!;
    expect(mixed.in.slice(0, 2)).toEqual(sources.slice(0, 2));
    expect(mixed.in[2]).toMatchObject({ box: box([1, 2]), d: Uint8Array.of(3, 4) });
    expect(store.packWay('9-9', geometry, 0, way)).toBeUndefined();
  });

  test('of several outputs those are pasted that were to come', () => {
    const two: PlanGeometry = {
      ...geometry,
      specs: new Map([...geometry.specs, ['skip', { dtype: 'uint8', shape: [1, 2, 2] }]]),
      stages: geometry.stages.map(({ parts }) => ({
        parts: parts.map((part) => ({ ...part, out: [...part.out, { ...part.out[0]!, tensor: 'skip' }] })),
      })),
    };
    const store = opened();
    expect(() => store.paste('1-1', two, 0, 0, result(0, Uint8Array.of(7, 8)))).toThrow(/1 outputs, not 2/);
    store.paste('1-1', two, 0, 0, result(0, Uint8Array.of(7, 8)), ['out']);
    expect(store.tensor('1-1', 'out', two)?.data).toEqual(Uint8Array.of(7, 8, 0, 0));
  });

  test('a tile that did not arrive is zeros', () => {
    expect(opened().tensor('1-1', 'out', geometry)?.data).toEqual(new Uint8Array(4));
  });

  test.each([
    ['another place', { box: box([0, 1]) }],
    ['another tensor', { tensor: 'in' }],
    ['another dtype', { dtype: 'int8' as const }],
    ['another shape than its place has', { shape: [1, 2, 1] }],
    ['another rank', { shape: [2] }],
    ['a codec that loses more than the plan allows', { codec: { name: 'other' } as never }],
    ['too many bytes', { d: new Uint8Array(3) }],
    ['too few bytes', { d: new Uint8Array(1) }],
  ])('a result with %s is refused and changes nothing', (_, change) => {
    const store = opened();
    expect(() => store.paste('1-1', geometry, 0, 1, result(1, Uint8Array.of(7, 8), change))).toThrow();
    expect(store.tensor('1-1', 'out', geometry)?.data).toEqual(new Uint8Array(4));
  });

  test('no tensor outlives its frame, and late results of an ended frame are dropped', () => {
    const store = opened();
    store.paste('1-1', geometry, 0, 0, result(0, Uint8Array.of(7, 8)));
    expect(store.tensor('1-1', 'out', geometry)).toBeDefined();
    store.release('1-1');
    store.paste('1-1', geometry, 0, 0, result(0, Uint8Array.of(7, 8)));
    expect(store.pack('1-1', geometry, 0, [0])).toBeUndefined();
    for (const name of ['in', 'out']) expect(store.tensor('1-1', name, geometry)).toBeUndefined();
  });
});
