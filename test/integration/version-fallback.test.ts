import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { silentLog } from '../../shared/ports.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';

/** A minimal broker: answers the nth CONNECT with `answers[n]`, and closes the connection where that is empty. */
async function listen(answers: readonly number[][]): Promise<{ url: string; levels: number[] }> {
  const levels: number[] = [];
  const server = createServer((socket: Socket) => {
    socket.on('error', () => {});
    socket.once('data', (packet) => {
      // Behind the fixed header of two bytes and the name "MQTT" with its length; 4 is MQTT 3.1.1.
      levels.push(packet[8]!);
      const answer = answers[levels.length - 1]!;
      if (answer.length === 0) socket.destroy();
      else socket.write(Uint8Array.from(answer));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  close = () => server.close();
  return { url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`, levels };
}

let close = (): unknown => undefined;
afterEach(() => void close());

const CONNACK_5 = [0x20, 3, 0, 0, 0];
const CONNACK_4 = [0x20, 2, 0, 0];

test.each([
  {
    why: 'a connection lost by chance gives up neither MQTT 5 nor what is kept',
    answers: [[], CONNACK_5],
    spoken: [5, 5],
  },
  { why: 'a broker that hangs up on MQTT 5 is spoken to in 3.1.1', answers: [[], [], CONNACK_4], spoken: [5, 5, 4] },
])('$why', async ({ answers, spoken }) => {
  const { url, levels } = await listen(answers);
  const bus = await connectBus({ url, clientId: 'c', sessionSec: 60, log: silentLog });
  expect(levels).toEqual(spoken);
  await bus.stop();
});
