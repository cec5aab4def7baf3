import { expect, test } from 'vitest';
import { LeftOutNodes } from '../../../central/observers/left-out.ts';
import { type LeftOut, leftOut } from '../../../shared/protocol/messages/node.ts';
import { topics } from '../../../shared/protocol/topics.ts';
import { recordingLog } from '../../support/recording-log.ts';

/** Lost if this fails: nobody learns that a node gets no work, and since when, and which results it may have spoiled. */

const where = { plan: 'p', stage: 0, t_id: 3 };

test('nodes that are left out are published from the start until they are let in again', () => {
  const published: LeftOut[] = [];
  const log = recordingLog();
  const nodes = new LeftOutNodes({
    publisher: {
      retain: (topic, text) => {
        expect(topic).toBe('tessera/central/central/left-out');
        published.push(leftOut.parse(JSON.parse(text)));
      },
    },
    topics: topics(),
    log,
    time: () => 1000,
  });
  nodes.start();
  nodes.nodeChanged({ type: 'leave-out', node: 'pi-1', frames: ['1-1', '1-2'], ...where });
  nodes.nodeChanged({ type: 'node-event', node: 'pi-2', event: 'offline', text: 'is offline' });
  nodes.nodeChanged({ type: 'let-in', node: 'pi-1' });
  expect(published.map((message) => message.nodes)).toEqual([
    {},
    { 'pi-1': { since: 1000, reason: expect.stringContaining('part'), results: ['1-1', '1-2'] } },
    {},
  ]);
  expect(log.lines.map((line) => line.split(' ')[0])).toEqual(['error', 'warn']);
});

test('an audit without a verdict is logged, and leaves out no node', () => {
  const log = recordingLog();
  const nodes = new LeftOutNodes({
    publisher: { retain: () => expect.unreachable() },
    topics: topics(),
    log,
    time: () => 0,
  });
  nodes.nodeChanged({ type: 'audit-undecided', nodes: ['pi-1', 'pi-2'], ...where });
  expect(log.lines).toEqual([expect.stringContaining('pi-1 and pi-2')]);
});
