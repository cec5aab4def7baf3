import { expect, test } from 'vitest';
import type { Heartbeat, NodeInfo } from '../../../shared/protocol/messages/node.ts';
import { NodeRegistry } from '../../../shared/protocol/node-registry.ts';
import { topics as topicsOf } from '../../../shared/protocol/topics.ts';
import { examplesOf } from '../../support/examples.ts';

/** Lost if this fails: central, `tessera nodes` and `tessera doctor` see different nodes. */

const topics = topicsOf();
const example = <T>(schema: string) => examplesOf('docs/protocol.md').find((one) => one.schema === schema)!.value as T;
const info = example<NodeInfo>('info');
const beat = example<Heartbeat>('heartbeat');

function opened() {
  const registry = new NodeRegistry('tessera');
  const accept = (topic: string, value: unknown, { at = 0, retained = false } = {}) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return registry.accept({ topic, payload: new TextEncoder().encode(text), retained }, at);
  };
  return { registry, accept };
}

test('the last heartbeat of a node is kept after the node has gone offline, with the time at which it came', () => {
  const { registry, accept } = opened();
  accept(topics.nodeStatus('pi-1'), 'online', { retained: true });
  accept(topics.nodeInfo('pi-1'), info, { retained: true });
  accept(topics.heartbeat('pi-1'), { ...beat, queue: 1 }, { at: 1000 });
  expect(accept(topics.heartbeat('pi-1'), { ...beat, queue: 2 }, { at: 2000 })?.kind).toBe('heartbeat');
  expect(accept(topics.nodeStatus('pi-1'), 'offline')?.kind).toBe('offline');
  expect(registry.nodes.get('pi-1')).toEqual({
    id: 'pi-1',
    online: false,
    info,
    heartbeat: { ...beat, queue: 2 },
    heardAt: 2000,
  });
});

test('a node is offline once: only a change is news', () => {
  const { accept } = opened();
  const status = (text: string) => accept(topics.nodeStatus('pi-1'), text)?.kind;
  expect(['offline', 'online', 'online', 'offline', ''].map(status)).toEqual([
    undefined,
    'online',
    'online',
    'offline',
    undefined,
  ]);
});

test('a message that does not follow the protocol changes nothing, and the reason is returned', () => {
  const { registry, accept } = opened();
  accept(topics.nodeInfo('pi-1'), info);
  for (const wrong of ['tessera', { v: 1 }, { ...info, memory_mb: 'much' }])
    expect(accept(topics.nodeInfo('pi-1'), wrong)).toMatchObject({ kind: 'refused', subject: 'info pi-1' });
  expect(accept(topics.heartbeat('pi-1'), { ...beat, queue: -1 })).toMatchObject({ kind: 'refused' });
  for (const topic of ['tessera/node/pi-1/other', 'tessera/node/a/b/c', 'other/node/pi-1/info'])
    expect(accept(topic, info)).toBeUndefined();
  expect(accept(topics.heartbeat('pi-1'), beat, { retained: true })).toBeUndefined();
  expect(registry.nodes.get('pi-1')).toMatchObject({ info, heartbeat: undefined });
});

test('a cleared topic of an unknown node makes no node', () => {
  const { registry, accept } = opened();
  accept(topics.nodeStatus('pi-1'), '');
  accept(topics.nodeInfo('pi-1'), '');
  expect(registry.nodes.size).toBe(0);
});
