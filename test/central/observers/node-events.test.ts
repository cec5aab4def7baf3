import { beforeEach, expect, test } from 'vitest';
import { NodeEvents } from '../../../central/observers/node-events.ts';
import { type NodeEvent, nodeEvent } from '../../../shared/protocol/messages/node.ts';
import { topics } from '../../../shared/protocol/topics.ts';
import { type RecordingLog, recordingLog } from '../../support/recording-log.ts';

let now: number;
let published: NodeEvent[];
let log: RecordingLog;
let events: NodeEvents;
beforeEach(() => {
  now = 0;
  published = [];
  log = recordingLog();
  events = new NodeEvents({
    publisher: { event: (_, text) => published.push(nodeEvent.parse(JSON.parse(text))) },
    topics: topics(),
    log,
    now: () => now,
    time: () => 1000 + now,
  });
});
const say = (node: string, event: NodeEvent['event'], text = 'did') =>
  events.nodeChanged({ type: 'node-event', node, event: event as 'online', text });

test('each change of a node is an event for programs and a log line for people', () => {
  now = 5000;
  say('pi-3', 'silent', 'has not been heard for 3.6 s and gets no work');
  expect(published).toEqual([
    { v: 1, time: 6000, node: 'pi-3', event: 'silent', text: 'has not been heard for 3.6 s and gets no work' },
  ]);
  expect(log.lines).toEqual(['warn node pi-3 has not been heard for 3.6 s and gets no work']);
});

test('a node that reconnects all day is logged once a minute, and its published events are bounded', () => {
  for (now = 5000; now < 5000 + 60_000; now += 100) say('pi-3', now % 200 === 0 ? 'offline' : 'back');
  expect(log.lines).toHaveLength(2);
  expect(published).toHaveLength(30);
  now += 5000;
  say('pi-3', 'offline');
  expect(log.lines).toHaveLength(3);
  expect(published).toHaveLength(31);
  say('pi-4', 'offline');
  expect(log.lines).toHaveLength(4);
});

test('nodes that central finds at its start make no event, and events of a plan are logged with the plan', () => {
  say('pi-1', 'online');
  say('pi-1', 'ready');
  say('pi-1', 'refused');
  expect(log.lines).toEqual([]);
  expect(published).toHaveLength(3);
  now = 10_000;
  say('pi-2', 'online', 'is online');
  expect(log.lines).toEqual(['info node pi-2 is online']);
});

test('text from a node cannot break out of its log line', () => {
  now = 5000;
  say('pi-1', 'slow', 'is slow\n12:00 error everything is lost');
  expect(log.lines[0]).not.toContain('\n');
});
