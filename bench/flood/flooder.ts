import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog } from '../../shared/ports.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { encode } from '../../shared/runtime/cbor.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import type { FloodKind } from './kinds.ts';

/**
 * A node, in a process of its own, that sends `perSecond` unrequested messages a second until its standard input ends.
 * At its end it prints how many it sent.
 */
export interface FloodTask {
  readonly url: string;
  readonly kind: FloodKind;
  readonly perSecond: number;
  /** Of a result's outputs, or of a part. */
  readonly bytes: number;
}

const TICK_MS = 10;
const SELF = 'flooder';
const names = topics('tessera');

/** The n-th message of a kind. */
function messageOf(kind: FloodKind, bytes: number, n: number): readonly [topic: string, payload: Uint8Array | string] {
  const wire = (of: 'result' | 'control' | 'blob-get'): string => names.wire('central', of, SELF);
  const d = new Uint8Array(bytes);
  switch (kind) {
    case 'result': {
      const region = { tensor: 'x', box: [[0, bytes]], dtype: 'uint8', shape: [bytes], codec: { name: 'raw' }, d };
      const tiles = [{ t_id: 0, out: [region], compute_ms: 1 }];
      const about = { plan: 'p-000000', i_id: `1-${n}`, stage: 0, attempt: 0, n_id: SELF, queue_ms: 0 };
      return [wire('result'), encode({ v: 1, ...about, tiles })];
    }
    case 'part':
      return [wire('result'), encode({ v: 1, m: `m-${n}`, part: [0, 2], d })];
    case 'garbage':
      return [wire('result'), d.fill(0xff)];
    case 'ready':
      return [wire('control'), encode({ v: 1, type: 'ready', plan: 'p-000000', boot_id: 'b' })];
    case 'blob-get':
      return [
        wire('blob-get'),
        encode({ v: 1, request: n, ranges: [{ sha: '0'.repeat(64), offset: 0, length: 1 << 20 }] }),
      ];
    case 'heartbeat':
      return [names.heartbeat(SELF), JSON.stringify({ v: 1, pad: 'x'.repeat(bytes) })];
    case 'info':
      return [names.nodeInfo(SELF), JSON.stringify({ v: 1, id: SELF, pad: 'x'.repeat(bytes) })];
    case 'status':
      return [names.nodeStatus(SELF), n % 2 === 0 ? 'online' : 'offline'];
  }
}

const task = JSON.parse(process.argv[2]!) as FloodTask;
const bus = await connectBus({ url: task.url, clientId: `bench-flood-${process.pid}`, log: silentLog });
let isOver = false;
process.stdin.on('end', () => {
  isOver = true;
});
process.stdin.resume();
console.log('ready');
const began = performance.now();
let sent = 0;
while (!isOver) {
  const due = ((performance.now() - began) * task.perSecond) / 1000;
  // Messages that the socket does not accept now are dropped: the flooder's memory is not part of the test.
  while (sent < due && bus.backlogBytes < 8e6) {
    const [topic, payload] = messageOf(task.kind, task.bytes, sent++);
    void bus.publish(topic, payload);
  }
  await sleep(TICK_MS);
}
console.log(JSON.stringify({ sent, seconds: (performance.now() - began) / 1000 }));
await bus.stop(100);
