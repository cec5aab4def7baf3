import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { NodeTopics } from '../../../central/nodes/node-topics.ts';
import { GoneNodes } from '../../../central/observers/gone-nodes.ts';
import { PacedStates } from '../../../central/publish/paced-states.ts';
import { Publisher } from '../../../central/publish/publisher.ts';
import { silentLog } from '../../../shared/ports.ts';
import { topics as topicsOf } from '../../../shared/protocol/topics.ts';
import { examplesOf } from '../../support/examples.ts';
import { MemoryBroker } from '../../support/memory-bus.ts';

/** Lost if these fail: nodes that were sold years ago stand in every list, or one that was switched off for a weekend is forgotten. */

const topics = topicsOf();
const INFO = examplesOf('docs/protocol.md').find(({ schema }) => schema === 'info')!.value as object;
const DAY_MS = 86_400_000;
let broker: MemoryBroker;
let gone: GoneNodes;
let states: PacedStates;

beforeEach(async () => {
  vi.useFakeTimers();
  broker = new MemoryBroker();
  await retain(topics.nodeHealth('removed-before'), '{}');
  const bus = broker.bus();
  const nodes = new NodeTopics({ bus, topics, log: silentLog });
  await nodes.start();
  const now = () => performance.now();
  const publisher = new Publisher(bus, topics, { warn() {} });
  states = new PacedStates({ publisher, now });
  const throttledLog = { info() {}, warn() {} };
  gone = new GoneNodes({ nodes: () => nodes.registry.nodes, bus, publisher, states, topics, throttledLog, now });
  gone.start();
  for (const node of ['stays', 'leaves', 'removed']) {
    await retain(topics.nodeInfo(node), JSON.stringify({ ...INFO, id: node }));
    await retain(topics.nodeStatus(node), 'online');
    await retain(topics.nodeUpdate(node), '{}');
    states.set(topics.nodeHealth(node), `{"of":"${node}"}`, undefined, 0);
  }
});
afterEach(() => {
  gone.stop();
  vi.useRealTimers();
});

const retain = (topic: string, text: string) => broker.publish(topic, text, { qos: 1, retain: true });
/** What the broker has of a node. */
const left = (node: string): string[] => {
  const kept = new Map(broker.published.map(({ topic, payload }) => [topic, payload.byteLength > 0]));
  return [...kept].flatMap(([topic, is]) => (is && topic.split('/')[2] === node ? [topic.split('/')[3]!] : [])).sort();
};

test('what is retained about a node is cleared after a week without it, and not before', async () => {
  await retain(topics.nodeStatus('leaves'), 'offline');
  await vi.advanceTimersByTimeAsync(6.9 * DAY_MS);
  expect(left('leaves')).toEqual(['health', 'info', 'status', 'update']);
  await vi.advanceTimersByTimeAsync(0.2 * DAY_MS);
  expect([left('leaves'), left('stays')]).toEqual([[], ['health', 'info', 'status', 'update']]);
});

test('a node that comes back within the week begins a new one', async () => {
  for (let day = 0; day < 12; day++) {
    await retain(topics.nodeStatus('leaves'), day % 4 === 3 ? 'online' : 'offline');
    await vi.advanceTimersByTimeAsync(DAY_MS);
  }
  expect(left('leaves')).toEqual(['health', 'info', 'status', 'update']);
});

test('the health of a node that was removed is cleared, also of one that nobody knows; it is there again when the node is', async () => {
  await retain(topics.nodeStatus('removed'), '');
  await retain(topics.nodeInfo('removed'), '');
  await vi.advanceTimersByTimeAsync(120_000);
  expect([left('removed'), left('removed-before'), left('stays').length]).toEqual([[], [], 4]);
  states.set(topics.nodeHealth('removed'), '{"of":"removed"}', undefined, 0);
  expect(left('removed')).toEqual(['health']);
});
