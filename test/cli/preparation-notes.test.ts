import { expect, test } from 'vitest';
import { preparationText, showPreparations } from '../../cli/preparation-notes.ts';
import type { Bus } from '../../shared/ports.ts';
import { topics } from '../../shared/protocol/topics.ts';

test('a note says how many nodes are ready, and of the others how much they have, at which rate, and what is left', () => {
  const fetching = { state: 'fetching', bytes: 34e6, of: 59e6, bytes_per_s: 2.4e6, left_s: 11 } as const;
  const nodes = { a: { state: 'ready' }, b: fetching, c: { state: 'loading' } } as const;
  expect(preparationText('vgg16', { v: 1, plan: 'p', nodes })).toBe(
    'model vgg16: 1 of 3 nodes ready; b fetches 34 of 59 MB at 2.4 MB/s, 11 s left; c loads it',
  );
  const many = Object.fromEntries(Array.from({ length: 6 }, (_, k) => [`n${k}`, { state: 'waiting' as const }]));
  expect(preparationText('m', { v: 1, plan: 'p', nodes: many })).toMatch(/n3 waits its turn; 2 more prepare it$/);
  expect(preparationText('m', { v: 1, plan: 'p', nodes: { a: { state: 'ready' } } })).toBe(undefined);
});

test('programs get every step and the last one, and nothing of plans for which all nodes were ready before', async () => {
  let hear: (message: { topic: string; payload: Uint8Array }) => void = () => {};
  const bus = {
    subscribe: async (_: string, __: number, handler: typeof hear) => {
      hear = handler;
    },
  };
  const events: object[] = [];
  const out = { progress: () => {}, event: (event: object) => void events.push(event) };
  await showPreparations(bus as unknown as Bus, topics(), { json: true, out });
  const say = (...states: readonly string[]): void => {
    const nodes = Object.fromEntries(states.map((state, k) => [`n${k}`, { state }]));
    const topic = topics().planProgressAll.replace('+', 'm');
    hear({ topic, payload: new TextEncoder().encode(JSON.stringify({ v: 1, plan: 'p', nodes })) });
  };
  say('ready', 'ready');
  expect(events).toEqual([]);
  say('ready', 'loading');
  say('ready', 'ready');
  say('ready', 'ready');
  expect(events).toMatchObject([{ nodes: { n1: { state: 'loading' } } }, { nodes: { n1: { state: 'ready' } } }]);
});
