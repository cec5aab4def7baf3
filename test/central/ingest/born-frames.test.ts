import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BornFrames, type BornOffer } from '../../../central/ingest/born-frames.ts';
import type { FrameAnnounced } from '../../../shared/protocol/messages/born-frame.ts';
import type { Arrival, BornArrival } from '../../../shared/runtime/frame-parser.ts';

/** Lost if these fail: a node frees a frame that central needs, or keeps it for ever, or sends one that nobody asked for. */

const announced: FrameAnnounced = {
  type: 'announced',
  v: 1,
  camera: 'front',
  frame: 'f1',
  time: 5,
  format: 'jpeg',
  bytes: 3,
  width: 640,
  height: 480,
};

let sent: string[];
let offered: { arrival: Arrival; isRepeated: boolean }[];
/** What the acceptor says. */
let accepts: BornOffer;
let frames: BornFrames;
beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  offered = [];
  accepts = 'kept';
  frames = new BornFrames({
    send: async (node, order) => void sent.push(`${node} ${order.type}`),
    offer: async (arrival, isRepeated) => {
      offered.push({ arrival, isRepeated });
      return accepts;
    },
    reported: () => {},
    throttledLog: { warn: () => {} },
  });
});
afterEach(() => void vi.useRealTimers());

async function announce(of: Partial<FrameAnnounced> = {}): Promise<void> {
  frames.receive('pi-1', { ...announced, ...of });
  await vi.advanceTimersByTimeAsync(0);
}

const arrival = (): BornArrival => offered[0]!.arrival as BornArrival;

test('an announced frame is offered once, without pixels, and kept; a repetition is answered and not offered', async () => {
  await announce();
  expect(offered).toMatchObject([
    { isRepeated: false, arrival: { camera: 'front', frame: 'f1', named: true, time: 5 } },
  ]);
  expect(arrival().born).toEqual({ node: 'pi-1', width: 640, height: 480 });
  expect(arrival().envelope.d.byteLength).toBe(0);
  await announce({ repeated: true });
  expect([offered.length, sent]).toEqual([1, ['pi-1 kept', 'pi-1 kept']]);
  frames.done(arrival());
  await announce({ repeated: true });
  expect(offered[1]!.isRepeated).toBe(true);
});

test('a frame that central may not accept now is not kept, so that the node announces it again', async () => {
  accepts = 'later';
  await announce();
  expect(sent).toEqual([]);
  accepts = 'kept';
  await announce({ repeated: true });
  expect([offered.length, sent]).toEqual([2, ['pi-1 kept']]);
});

test('a frame that central never accepts is done at once', async () => {
  accepts = 'refused';
  await announce();
  expect(sent).toEqual(['pi-1 done']);
});

test('the picture is asked for until it comes, and only the birthplace can send it', async () => {
  await announce();
  const taken = frames.take('1-0', arrival());
  await vi.advanceTimersByTimeAsync(5000);
  expect(sent.slice(1)).toEqual(['pi-1 take', 'pi-1 take']);
  const file = { type: 'file', v: 1, i_id: '1-0', format: 'jpeg', d: Uint8Array.of(1, 2, 3) } as const;
  expect([frames.isAwaited('pi-2', file as never), frames.receive('pi-2', file)]).toEqual([false, false]);
  expect([frames.isAwaited('pi-1', file as never), frames.receive('pi-1', file)]).toEqual([true, true]);
  expect(await taken).toEqual({ v: 1, format: 'jpeg', d: file.d });
  expect(frames.receive('pi-1', file)).toBe(false);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sent).toHaveLength(3);
});

test('what the node cannot do is a coded error; the end of the frame ends the wait', async () => {
  await announce();
  const opened = frames.open('1-0', 'p-1', arrival());
  frames.receive('pi-1', { type: 'failed', v: 1, i_id: '1-0', code: 'TESSERA_INTERNAL', text: 'it is not here' });
  await expect(opened).rejects.toMatchObject({
    code: 'TESSERA_SOURCE_LOST',
    message: expect.stringMatching(/pi-1.*it is not here/),
  });
  const waiting = frames.take('1-1', arrival());
  frames.free('1-1', 'pi-1');
  await expect(waiting).rejects.toMatchObject({ message: 'node pi-1: the frame has ended' });
  expect(sent).toEqual(['pi-1 kept', 'pi-1 open', 'pi-1 take', 'pi-1 free']);
});

test('a node that floods is not read', async () => {
  for (let i = 0; i < 300; i++) frames.receive('pi-1', { ...announced, frame: `f${i}` });
  expect(offered).toHaveLength(200);
  expect(frames.isAwaited('pi-1', { type: 'announced' })).toBe(false);
  expect(frames.isAwaited('pi-2', { type: 'announced' })).toBe(true);
});
