import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Journal } from '../../../central/journal/journal.ts';
import { recoverFrames } from '../../../central/journal/recovery.ts';
import { type Bus, silentLog } from '../../../shared/ports.ts';
import { resultObject } from '../../../shared/protocol/messages/result.ts';
import { topics } from '../../../shared/protocol/topics.ts';
import { acceptedFrame as accepted } from '../../support/accepted-frame.ts';
import { MemoryBroker } from '../../support/memory-bus.ts';

/** Lost if these fail: a frame that was accepted before a crash has no end, or two that contradict each other. */

let folder: string;
let files = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tessera-recovery-'));
});
afterAll(() => rmSync(folder, { recursive: true }));
const newFile = (): string => join(folder, String(files++));

const names = topics('tessera');
const TOPIC = names.result('front', 'm');
const okOf = (i_id: string, frame: string): string => JSON.stringify({ id: i_id, frame, status: 'ok' });

/** A run that opens a journal and ends the frames in it; the journal is left as after kill -9. */
async function run(file: string, bus: Bus): Promise<Journal> {
  const journal = new Journal(file, silentLog);
  await recoverFrames({ bus, topics: names, journal, log: silentLog });
  return journal;
}

/** The published results, by frame. */
function ends(broker: MemoryBroker): Record<string, string[]> {
  const all: Record<string, string[]> = {};
  for (const { topic, payload } of broker.published) {
    if (topic !== TOPIC) continue;
    const text = Buffer.from(payload).toString();
    const { frame } = JSON.parse(text);
    all[frame] = [...(all[frame] ?? []), text];
  }
  return all;
}

describe("an earlier run's open frames", () => {
  test('frames without a result end with an error that says so; a second run finds nothing to do', async () => {
    const broker = new MemoryBroker();
    const file = newFile();
    const journal = new Journal(file, silentLog);
    journal.accept(accepted('open'), '1-0');
    journal.accept(accepted('waiting'));
    await run(file, broker.bus());
    const said = broker.published.map(({ payload }) => resultObject.parse(JSON.parse(Buffer.from(payload).toString())));
    expect(said.map(({ frame, id, error }) => [frame, id, error?.code])).toEqual([
      ['open', '1-0', 'TESSERA_CENTRAL_RESTARTED'],
      ['waiting', '0-1763650000500-1', 'TESSERA_CENTRAL_RESTARTED'],
    ]);
    await run(file, broker.bus());
    expect(broker.published).toHaveLength(2);
  });

  test('a result that the broker retains, and all published before it, are not published again', async () => {
    const broker = new MemoryBroker();
    const file = newFile();
    const journal = new Journal(file, silentLog);
    for (const [k, frame] of ['a', 'b', 'c'].entries())
      journal.publishing(journal.accept(accepted(frame), `1-${k}`), okOf(`1-${k}`, frame));
    await broker.publish(TOPIC, okOf('1-1', 'b'), { qos: 1, retain: true });
    const before = broker.published.length;
    await run(file, broker.bus());
    const said = broker.published.slice(before);
    expect(said.map(({ payload }) => Buffer.from(payload).toString())).toEqual([okOf('1-2', 'c')]);
  });

  test('where another central has answered since, the same result is published again, byte for byte, and the retained one stays', async () => {
    const broker = new MemoryBroker();
    const file = newFile();
    const journal = new Journal(file, silentLog);
    journal.publishing(journal.accept(accepted('a'), '1-0'), okOf('1-0', 'a'));
    await broker.publish(TOPIC, okOf('1-0', 'a'), { qos: 1, retain: true });
    // Killed here; the other central takes over.
    await broker.publish(TOPIC, okOf('2-0', 'next'), { qos: 1, retain: true });
    await run(file, broker.bus());
    expect(new Set(ends(broker).a)).toEqual(new Set([okOf('1-0', 'a')]));
    expect(broker.published.at(-1)).toMatchObject({ retain: false });
  });

  test('if the broker refuses a result, its frame stays open for the next connection and the next run', async () => {
    const broker = new MemoryBroker();
    const file = newFile();
    new Journal(file, silentLog).accept(accepted('a'), '1-0');
    let refusals = 1;
    let connect: () => void = () => {};
    const bus = broker.bus();
    const unsure: Bus = {
      ...bus,
      connected: true,
      onConnect: (listener) => {
        connect = listener;
        queueMicrotask(listener);
      },
      publish: (...args) => (refusals-- > 0 ? Promise.reject(new Error('lost')) : bus.publish(...args)),
    };
    const journal = await run(file, unsure);
    expect(journal.open).toBe(1);
    connect();
    await expect.poll(() => journal.open).toBe(0);
    expect(ends(broker).a).toHaveLength(1);
  });

  test('a slow broker does not delay central: all results are sent at once', async () => {
    const broker = new MemoryBroker();
    const file = newFile();
    const journal = new Journal(file, silentLog);
    for (let i = 0; i < 500; i++) journal.accept(accepted(`f${i}`), `1-${i}`);
    const handed: string[] = [];
    let acknowledge: () => void = () => {};
    const acknowledged = new Promise<void>((resolve) => {
      acknowledge = resolve;
    });
    const slow: Bus = {
      ...broker.bus(),
      publish: (_topic, payload) => {
        handed.push(JSON.parse(String(payload)).frame);
        return acknowledged;
      },
    };
    const next = await run(file, slow);
    expect(handed).toEqual(Array.from({ length: 500 }, (_, i) => `f${i}`));
    expect(next.open).toBe(500);
    acknowledge();
    await expect.poll(() => next.open).toBe(0);
  });

  test('however often and wherever centrals crash: every frame ends, and never with two different results', async () => {
    // One run of a central: it accepts frames, answers some, and is killed between any two steps.
    const step = fc.constantFrom('take', 'leave', 'arrive', 'note', 'successor', 'kill', 'kill in recovery');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const broker = new MemoryBroker();
        const file = newFile();
        const frames: string[] = [];
        let journal = new Journal(file, silentLog);
        let epoch = 1;
        let open: { n: number; text: string }[] = [];
        let left: { n: number; text: string }[] = [];
        let arrived: number[] = [];
        const kill = (): void => {
          [open, left, arrived] = [[], [], []];
          epoch++;
        };
        for (const what of steps) {
          if (what === 'take') {
            const frame = `f${frames.length}`;
            frames.push(frame);
            const i_id = `${epoch}-${frames.length}`;
            open.push({ n: journal.accept(accepted(frame), i_id), text: okOf(i_id, frame) });
          } else if (what === 'leave' && open.length > 0) {
            const one = open.shift()!;
            journal.publishing(one.n, one.text);
            left.push(one);
          } else if (what === 'arrive' && left.length > 0) {
            const { n, text } = left.shift()!;
            await broker.publish(TOPIC, text, { qos: 1, retain: true });
            arrived.push(n);
          } else if (what === 'note' && arrived.length > 0) journal.ended(arrived.shift()!);
          else if (what === 'successor') await broker.publish(TOPIC, okOf(`${++epoch}-0`, 's'), { retain: true });
          else if (what === 'kill') {
            kill();
            journal = await run(file, broker.bus());
          } else if (what === 'kill in recovery') {
            kill();
            // The first result is delivered; the process does not live to know.
            const bus = broker.bus();
            const dying: Bus = {
              ...bus,
              publish: async (...args) => {
                await bus.publish(...args);
                throw new Error('killed');
              },
            };
            await run(file, dying);
            journal = await run(file, broker.bus());
          }
        }
        kill();
        await run(file, broker.bus());
        const said = ends(broker);
        for (const frame of frames) expect(new Set(said[frame]), frame).toHaveProperty('size', 1);
      }),
      { numRuns: 40 },
    );
  });
});
