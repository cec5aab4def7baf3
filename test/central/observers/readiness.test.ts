import { beforeEach, expect, test } from 'vitest';
import type { Snapshot } from '../../../central/coordinator/snapshot.ts';
import { ReadinessReport } from '../../../central/observers/readiness.ts';

/** What people read about nodes that get ready. Without it a fleet that fetches for minutes looks like one that hangs. */

type State = 'preparing' | 'ready' | 'refused';
const PLAN = 'p-1';
const MODELS = new Map([[PLAN, ['vgg16']]]);

function fleet(states: Readonly<Record<string, State | { text: string }>>): Snapshot {
  const nodes = Object.entries(states).map(([node, state]) => {
    const isRefusal = typeof state !== 'string';
    const refusals = isRefusal ? { [PLAN]: { code: 'TESSERA_RUN_FAILED', text: state.text } } : {};
    return [node, { presence: 'online', plans: { [PLAN]: isRefusal ? 'refused' : state }, refusals }];
  });
  return { nodes: Object.fromEntries(nodes) } as unknown as Snapshot;
}

let report: ReadinessReport;
beforeEach(() => {
  report = new ReadinessReport();
});
const at = (seconds: number, states: Parameters<typeof fleet>[0], isAwaited = false): string[] =>
  report.lines(MODELS, fleet(states), seconds * 1000, isAwaited).map(({ level, text }) => `${level} ${text}`);

test('a fetch is said after two seconds, then every ten, with who is how far, and its end', () => {
  const slow = { a: 'ready', b: 'preparing' } as const;
  const hear = (bytes: number): void =>
    report.hear('b', [{ id: PLAN, model: 'vgg16', state: 'fetching', bytes, of: 59e6 }]);
  hear(0);
  expect(at(0, slow)).toEqual([]);
  hear(34.2e6);
  expect(at(2, slow)).toEqual(['info model vgg16: 1 of 2 nodes ready; b fetches 34 of 59 MB']);
  hear(40e6);
  expect(at(3, slow)).toEqual([]);
  expect(at(12, slow)).toEqual(['info model vgg16: 1 of 2 nodes ready; b fetches 40 of 59 MB']);
  expect(at(22, { a: 'ready', b: 'ready' })).toEqual(['info model vgg16: 2 of 2 nodes ready']);
  expect(at(60, { a: 'ready', b: 'ready' })).toEqual([]);
});

test('nodes that are ready at once make one line', () => {
  expect(at(0, { a: 'preparing', b: 'preparing' })).toEqual([]);
  expect(at(1, { a: 'ready', b: 'preparing' })).toEqual([]);
  expect(at(1.2, { a: 'ready', b: 'ready' })).toEqual(['info model vgg16: 2 of 2 nodes ready']);
});

test('a refusal is said at once when all have answered, each reason once, and not again', () => {
  const all = { a: { text: 'no room' }, b: { text: 'no room' }, c: { text: 'no room' } };
  expect(at(0.5, all)).toEqual(['warn model vgg16: 0 of 3 nodes ready; all 3 nodes refuse: no room']);
  expect(at(20, all)).toEqual([]);
  const some = { a: 'ready', b: { text: 'no room' }, c: { text: 'unknown key' } } as const;
  expect(at(40, some)).toEqual(['warn model vgg16: 1 of 3 nodes ready; b refuses: no room; c refuses: unknown key']);
});

test('a refusal comes before ten seconds are over, since somebody has to do something', () => {
  at(0, { a: 'ready' });
  expect(at(1, { a: 'ready', b: { text: 'no room' } })).toEqual([
    'warn model vgg16: 1 of 2 nodes ready; b refuses: no room',
  ]);
});

test('that all refuse is left to whoever waits for them, so that it is said once', () => {
  expect(at(1, { a: { text: 'no room' } }, true)).toEqual([]);
  expect(at(2, { a: { text: 'no room' }, b: 'ready' }, true)).toHaveLength(1);
});

test('nodes that come and go fill no log', () => {
  let lines = 0;
  for (let tenth = 0; tenth < 1000; tenth++)
    lines += at(tenth / 10, tenth % 2 === 0 ? { a: 'ready' } : { a: 'ready', b: 'ready' }).length;
  expect(lines).toBeLessThanOrEqual(11);
});
