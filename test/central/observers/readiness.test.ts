import { beforeEach, expect, test } from 'vitest';
import type { Snapshot } from '../../../central/coordinator/snapshot.ts';
import { ReadinessReport } from '../../../central/observers/readiness.ts';

/** What people read about nodes that prepare a plan. Without it a cluster that fetches for minutes looks hung. */

type State = 'preparing' | 'ready' | 'refused';
const PLAN = 'p-1';
const MODELS = new Map([[PLAN, ['vgg16']]]);

function nodesWith(states: Readonly<Record<string, State | { text: string }>>): Snapshot {
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
const at = (seconds: number, states: Parameters<typeof nodesWith>[0], isAwaited = false): string[] =>
  report.lines(MODELS, nodesWith(states), seconds * 1000, isAwaited).map(({ level, text }) => `${level} ${text}`);

test("a fetch is logged after two seconds, then every ten, with each node's progress, and when it ends", () => {
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

test('refusals are logged as soon as all nodes have answered, each reason once, and not again', () => {
  const all = { a: { text: 'no room' }, b: { text: 'no room' }, c: { text: 'no room' } };
  expect(at(0.5, all)).toEqual(['warn model vgg16: 0 of 3 nodes ready; all 3 nodes refuse: no room']);
  expect(at(20, all)).toEqual([]);
  const some = { a: 'ready', b: { text: 'no room' }, c: { text: 'unknown key' } } as const;
  expect(at(40, some)).toEqual(['warn model vgg16: 1 of 3 nodes ready; b refuses: no room; c refuses: unknown key']);
});

test('a refusal is logged within ten seconds, as an operator has to act', () => {
  at(0, { a: 'ready' });
  expect(at(1, { a: 'ready', b: { text: 'no room' } })).toEqual([
    'warn model vgg16: 1 of 2 nodes ready; b refuses: no room',
  ]);
});

test('that all nodes refuse is left to the caller that waits for them, so that it is reported once', () => {
  expect(at(1, { a: { text: 'no room' } }, true)).toEqual([]);
  expect(at(2, { a: { text: 'no room' }, b: 'ready' }, true)).toHaveLength(1);
});

test('nodes that connect and disconnect often do not fill the log', () => {
  let lines = 0;
  for (let tenth = 0; tenth < 1000; tenth++)
    lines += at(tenth / 10, tenth % 2 === 0 ? { a: 'ready' } : { a: 'ready', b: 'ready' }).length;
  expect(lines).toBeLessThanOrEqual(11);
});
