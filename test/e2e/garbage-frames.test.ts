import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { crc32, deflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectPacket, publishPacket } from '../../bench/testbed/raw-mqtt.ts';
import { splitBody } from '../../shared/protocol/parts.ts';
import { encode } from '../../shared/runtime/cbor.ts';
import { RunningUp } from '../support/running-up.ts';

/** Invalid payloads on input topics of `tessera up`. After each of them the next frame is processed as usual. */

const corpus = (name: string) => new Uint8Array(readFileSync(new URL(`../corpus/picture/${name}`, import.meta.url)));
const text = (words: string) => new TextEncoder().encode(words);
const rgb = new Uint8Array(8 * 8 * 3).fill(7);
const v = 1;

/** A PNG of `width` x `height` black pixels, one bit each, in a few kilobytes. */
function vast(width: number, height: number): Uint8Array {
  const chunk = (type: string, data: Uint8Array) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 1;
  const rows = deflateSync(new Uint8Array((1 + Math.ceil(width / 8)) * height), { level: 9 });
  const start = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  return new Uint8Array(
    Buffer.concat([start, chunk('IHDR', header), chunk('IDAT', rows), chunk('IEND', new Uint8Array())]),
  );
}

let cluster: RunningUp;
let log: string | undefined;
beforeAll(async () => {
  cluster = await RunningUp.start();
});
afterAll(async () => {
  if (log === undefined) await cluster.stop();
});

describe('unreadable pictures end with an error and the reason', () => {
  const jpeg = corpus('seed-1-plain.jpg');
  test.each([
    ['a JPEG that is cut off', () => cluster.scene.subarray(0, 4000), 'TESSERA_INPUT_INVALID'],
    [
      'the beginning of a JPEG and noise',
      () => Uint8Array.from({ length: 3000 }, (_, k) => (k < 20 ? jpeg[k]! : k & 255)),
      'TESSERA_INPUT_INVALID',
    ],
    ['a PNG of 100 megapixels', () => vast(10_000, 10_000), 'TESSERA_INPUT_TOO_LARGE'],
    ['a strip of a pixel by 40 000', () => vast(1, 40_000), 'TESSERA_INPUT_TOO_LARGE'],
    ['an animated PNG', () => corpus('seed-a-animated.png'), 'TESSERA_INPUT_INVALID'],
    ['a GIF in an envelope', () => encode({ v, format: 'jpeg', d: text('GIF89a......') }), 'TESSERA_INPUT_INVALID'],
    [
      'an empty picture in an envelope',
      () => encode({ v, format: 'png', d: new Uint8Array() }),
      'TESSERA_INPUT_INVALID',
    ],
    ['pixels of no shape', () => encode({ v, format: 'rgb', d: rgb }), 'TESSERA_INPUT_INVALID'],
    ['pixels of another shape', () => encode({ v, format: 'rgb', shape: [8, 9, 3], d: rgb }), 'TESSERA_INPUT_INVALID'],
    [
      'pixels of floats',
      () => encode({ v, format: 'rgb', dtype: 'float32', shape: [4, 4, 3], d: rgb }),
      'TESSERA_INPUT_INVALID',
    ],
    [
      'pixels of an absurd shape',
      () => encode({ v, format: 'gray', shape: [2 ** 20, 2 ** 20], d: rgb }),
      'TESSERA_INPUT_TOO_LARGE',
    ],
    [
      'a tensor where pictures are taken',
      () => encode({ v, format: 'tensor', dtype: 'float32', shape: [1, 3, 4, 4], d: rgb }),
      'TESSERA_INPUT_INVALID',
    ],
  ])('%s', async (_what, payload, code) => {
    const result = await cluster.frame('bad', payload());
    expect(result).toMatchObject({ status: 'error', top: null, predictions: [], error: { code } });
    expect(result.error!.hint).toBeTruthy();
    await cluster.undisturbed();
  });

  test('unusual pictures are decoded correctly: CMYK, rotated by EXIF, interlaced, grey, with a palette', async () => {
    const sizes = new Map([
      ['seed-4-cmyk.jpg', [24, 16]],
      ['seed-3-turned.jpg', [16, 24]],
      ['seed-7-interlaced.png', [24, 16]],
      ['seed-5-gray.jpg', [24, 16]],
      ['seed-8-palette.png', [24, 16]],
    ]);
    for (const [name, [width, height]] of sizes)
      expect(await cluster.frame('unusual', corpus(name)), name).toMatchObject({ status: 'ok', width, height });
  });
});

describe('payloads that are no frames are counted and logged once, and cost nothing', () => {
  const times = 20;
  const nested = Uint8Array.from([0xa1, 0x61, 0x61, ...new Uint8Array(40_000).fill(0x81), 0]);
  const lying = encode({ v, format: 'jpeg', d: rgb });
  lying[lying.length - rgb.length - 1] = 0xff;
  const part = encode(splitBody(new Uint8Array(900), 'm', 300)[0]);
  const none: [string, Uint8Array][] = [
    ['svg', text('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>')],
    ['gif', text('GIF89a\u0001\u0000\u0001\u0000')],
    ['words', text('hello')],
    ['nothing', new Uint8Array()],
    ['json', text('{"v":1,"format":"jpeg"}')],
    ['webp', text('RIFF\u0000\u0000\u0000\u0000WEBPVP8 ')],
    ['noise', Uint8Array.from({ length: 5000 }, (_, k) => (k * 7 + 3) & 255)],
    ['cbor-of-something-else', encode({ a: [1, 2, { b: null }] })],
    ['cbor-cut-off', encode({ v, format: 'jpeg', d: rgb }).subarray(0, 50)],
    ['cbor-lying-length', lying],
    ['cbor-nested', nested],
    ['cbor-of-unknown-format', encode({ v, format: 'bmp', d: rgb })],
    ['cbor-wrong-types', encode({ v, format: 'rgb', shape: [8, '8', 3], d: rgb })],
    ['cbor-text-for-bytes', encode({ v, format: 'jpeg', d: 'bytes' })],
    ['cbor-endless', Uint8Array.from([0xbf, 0x61, 0x76, 1, 0xff])],
    ['cbor-vast-count', Uint8Array.from([0xbb, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 1])],
    ['part-beyond-count', encode({ v, m: 'm', part: [3, 3], d: rgb })],
    ['part-of-millions', encode({ v, m: 'm', part: [0, 2 ** 40], d: rgb })],
    ['part-in-part', encode({ v, m: 'o', part: [0, 1], d: part })],
  ];

  test('by camera, whatever they are', async () => {
    const before = cluster.results.length;
    for (const [camera, payload] of none)
      for (let k = 0; k < times; k++) await cluster.bus.publish(`tessera/input/${camera}/x-${k}`, payload, { qos: 1 });
    await cluster.undisturbed();
    expect(cluster.results.length).toBe(before + 1);
    await cluster.skipped(Object.fromEntries(none.map(([camera]) => [camera, { invalid: times }])));
  });

  test('parts that contradict each other, or never become complete', async () => {
    const topic = 'tessera/input/parts/x';
    const d = new Uint8Array(1000);
    await cluster.bus.publish(topic, encode({ v, m: 'a', part: [0, 3], d }));
    await cluster.bus.publish(topic, encode({ v, m: 'a', part: [1, 4], d }));
    for (let k = 0; k < 500; k++) await cluster.bus.publish(topic, encode({ v, m: `never-${k}`, part: [0, 2], d }));
    // Out of order, and each twice, they still are a frame.
    const body = encode({ v, format: 'jpeg', d: cluster.scene });
    const parts = splitBody(body, 'whole', 10_000).toReversed();
    const whole = cluster.frame('parts', encode(parts[0]), 'y');
    for (const one of [...parts.slice(1), ...parts]) await cluster.bus.publish('tessera/input/parts/y', encode(one));
    expect(await whole).toMatchObject({ status: 'ok', frame: 'y' });
    await cluster.undisturbed();
    // All of its parts once more are the same frame again.
    await cluster.skipped({ parts: { invalid: 1, duplicate: 1 } });
  });
});

test('no id becomes a topic: paths, wildcards, control characters and long names reach nothing', async () => {
  const before = cluster.results.length;
  const names = [
    '..',
    '../x',
    'a/b/c',
    'ü',
    'a b',
    'x'.repeat(65),
    'x'.repeat(1000),
    '%2e%2e',
    '$SYS',
    '\u202e',
    "'; --",
    'a/ü',
  ];
  for (const name of names) await cluster.bus.publish(`tessera/input/${name}`, cluster.scene, { qos: 1 });
  // Topics that no library sends: with wildcards and NUL. The broker closes the connection, or central ignores them.
  for (const name of ['+', '#', 'front/+', 'a\u0000b', '\u0000', '']) {
    const socket = createConnection(cluster.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(connectPacket('odd'));
    await once(socket, 'data');
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.end(publishPacket(`tessera/input/${name}`, cluster.scene));
    await closed;
  }
  await cluster.undisturbed();
  expect(cluster.results.length).toBe(before + 1);
});

test("a packet over the limit closes its sender's connection and no other", async () => {
  const socket = createConnection(cluster.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(connectPacket('large'));
  await once(socket, 'data');
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(publishPacket('tessera/input/front', new Uint8Array(3_000_000)));
  await closed;
  await cluster.undisturbed();
});

test('a flood does not fill memory or log', async () => {
  const d = new Uint8Array(100_000);
  const shapes = [
    d,
    encode({ v, format: 'bmp', d }),
    encode({ v, m: 'x', part: [0, 900], d }),
    cluster.scene.subarray(0, 100),
  ];
  const flood = async (times: number): Promise<void> => {
    for (let k = 0; k < times; k++)
      await cluster.bus.publish(`tessera/input/flood-${k % 1500}/${k}`, shapes[k % 3]!, { qos: 1 });
  };
  await flood(1000);
  await cluster.undisturbed();
  const before = await cluster.residentBytes();
  await flood(2000);
  await cluster.undisturbed();
  // 200 MB have passed; unfinished parts may hold 192.
  expect((await cluster.residentBytes()) - before).toBeLessThan(300e6);
});

test('it stops as usual, and has logged the faults in a few lines', async () => {
  log = await cluster.stop();
  const lines = log.split('\n');
  for (const camera of ['svg', 'gif', 'words', 'nothing', 'cbor-nested', 'part-in-part'])
    expect(
      lines.filter((line) => line.includes(`a message from camera ${camera} is not a frame`)).length,
      camera,
    ).toBeLessThanOrEqual(1);
  expect(lines.filter((line) => / (warn|error) /.test(line)).length).toBeLessThan(250);
  expect(log).not.toMatch(/TESSERA_INTERNAL|handler failed|\n {4}at /);
});
