import { expect, test } from 'vitest';
import { type BornFrame, NodeFrames } from '../../node-agent/node-frames.ts';

/** Lost if these fail: a frame is gone before central has used it, or fills the memory of the node for ever. */

const frame = (id: string, bytes = 10): BornFrame => ({
  about: {
    type: 'announced',
    v: 1,
    camera: 'front',
    frame: id,
    time: 0,
    format: 'jpeg',
    bytes,
    width: 8,
    height: 8,
  },
  d: new Uint8Array(bytes),
});

const isHere = (frames: NodeFrames, id: string, iId = '1-9'): boolean =>
  frames.accepted('front', id, iId, 0) !== undefined;

test('a frame is here until it is done and all of its i_ids are freed, in any order', () => {
  const frames = new NodeFrames({ frames: 8, bytes: 100 });
  for (const id of ['a', 'b', 'c']) frames.add(frame(id), 0);
  frames.accepted('front', 'a', '1-0', 0);
  frames.accepted('front', 'a', '1-1', 0);
  frames.done('front', 'a');
  frames.free('1-0');
  expect(isHere(frames, 'a', '1-1')).toBe(true);
  frames.free('1-1');
  expect(isHere(frames, 'a')).toBe(false);
  frames.done('front', 'b');
  expect(isHere(frames, 'b')).toBe(false);
  frames.free('1-5');
  expect(isHere(frames, 'c')).toBe(true);
});

test('what a central of an earlier epoch accepted has ended once a later one is followed', () => {
  const frames = new NodeFrames({ frames: 8, bytes: 100 });
  frames.add(frame('a'), 0);
  frames.accepted('front', 'a', '1-0', 0);
  frames.done('front', 'a');
  frames.follow(1, 0);
  expect(isHere(frames, 'a', '1-0')).toBe(true);
  frames.follow(2, 0);
  expect(isHere(frames, 'a')).toBe(false);
});

test('a frame is not here for ever where the order to free it was lost', () => {
  const frames = new NodeFrames({ frames: 8, bytes: 100 });
  frames.add(frame('a'), 0);
  frames.accepted('front', 'a', '1-0', 1_000);
  frames.done('front', 'a');
  frames.follow(1, 120_999);
  expect(isHere(frames, 'a', '1-0')).toBe(true);
  frames.follow(1, 1_000 + 120_000);
  expect(isHere(frames, 'a')).toBe(false);
});

test('only frames that central does not have are dropped for newer ones, the oldest first', () => {
  const frames = new NodeFrames({ frames: 8, bytes: 30 });
  for (const id of ['a', 'b', 'c']) frames.add(frame(id), 0);
  frames.kept('front', 'a', 0);
  expect(frames.add(frame('d'), 1)).toBe(true);
  expect([isHere(frames, 'a'), isHere(frames, 'b'), frames.dropped]).toEqual([true, false, 1]);
  for (const id of ['c', 'd']) frames.kept('front', id, 0);
  expect(frames.add(frame('e'), 2)).toBe(false);
  expect(frames.add(frame('huge', 31), 2)).toBe(false);
  expect(frames.dropped).toBe(3);
});

test('a frame that central has opened, but not said to have kept, is not dropped for a newer one', () => {
  const frames = new NodeFrames({ frames: 1, bytes: 100 });
  frames.add(frame('a'), 0);
  frames.accepted('front', 'a', '1-0', 0);
  expect(frames.add(frame('b'), 1)).toBe(false);
  expect(isHere(frames, 'a')).toBe(true);
});

test('after a lost connection all frames are announced, but no more at a time than central reads', () => {
  const frames = new NodeFrames({ frames: 99, bytes: 1000 });
  for (let i = 0; i < 60; i++) frames.add(frame(`f${i}`), 0);
  frames.kept('front', 'f0', 0);
  frames.done('front', 'f1');
  frames.connected(1_000);
  const due = [frames.due(1_000), frames.due(1_000), frames.due(1_000)];
  expect(due.map((batch) => batch.length)).toEqual([50, 9, 0]);
  expect(new Set(due.flat().map((about) => about.frame)).size).toBe(59);
});

test('a frame is announced again until central has it, seldom until it is done, and then no more', () => {
  const frames = new NodeFrames({ frames: 8, bytes: 100 });
  frames.add(frame('a'), 0);
  expect(frames.due(4_999)).toEqual([]);
  expect(frames.due(5_000)).toEqual([{ ...frame('a').about, repeated: true }]);
  expect(frames.due(9_000)).toEqual([]);
  frames.kept('front', 'a', 9_000);
  expect(frames.due(38_999)).toEqual([]);
  expect(frames.due(39_000)).toHaveLength(1);
  frames.done('front', 'a');
  expect(frames.due(1e6)).toEqual([]);
});
