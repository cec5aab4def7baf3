import { describe, expect, it } from 'vitest';
import { Echoes } from '../../../shared/node/echoes.ts';
import { type EchoMessage, echoMessage } from '../../../shared/protocol/messages/echo.ts';

/** Two nodes with a link that takes 5 ms and 1 ms for every 1000 bytes, there and back, and loses what `loses` names. */
function pair(loses: (message: EchoMessage) => boolean = () => false) {
  let now = 0;
  let cpu = 0;
  const late: (() => void)[] = [];
  const sent: EchoMessage[] = [];
  const nodes: Record<string, Echoes> = {};
  const node = (self: string) =>
    new Echoes({
      send: async (to, message) => {
        sent.push(message);
        cpu += 0.5;
        if (loses(message)) {
          const [call] = late.splice(0).slice(-1);
          call?.();
          return;
        }
        now += 5 + (message.type === 'ping' ? message.d.byteLength / 1000 : 0);
        nodes[to]?.receive(self, echoMessage.parse(message));
      },
      now: () => now,
      cpuMs: () => cpu,
      after: (_, call) => void late.push(call),
    });
  nodes.a = node('a');
  nodes.b = node('b');
  return { a: nodes.a, b: nodes.b, sent };
}

describe('echoes', () => {
  it('measure the time by size and the CPU time of a message', async () => {
    const { echoes, message_ms } = await pair().a.measure('b', 3);
    expect(echoes.map(({ bytes, ms }) => [bytes, ms.length, ms[0]])).toEqual([
      [0, 30, 10],
      [32_768, 3, expect.closeTo(10 + 32.768)],
      [131_072, 3, expect.closeTo(10 + 131.072)],
      [524_288, 3, expect.closeTo(10 + 524.288)],
    ]);
    // Half of a ping and a pong, both of which this test charges to one clock.
    expect(message_ms).toBeCloseTo(0.5);
  });

  it('stop at the first size that takes long, so that a slow link is not filled for minutes', async () => {
    const { sent, a } = pair();
    await a.measure('b', 1);
    const largest = Math.max(...sent.map((message) => (message.type === 'ping' ? message.d.byteLength : 0)));
    expect(largest).toBe(524_288);
  });

  it('are no larger than they are asked to be', async () => {
    const { a } = pair();
    expect((await a.measure('b', 1, 131_072)).echoes.map(({ bytes }) => bytes)).toEqual([0, 32_768, 131_072]);
  });

  it('are repeated when one is lost', async () => {
    let lost = 0;
    const { a } = pair((message) => message.type === 'ping' && message.n % 20 === 7 && lost++ < 3);
    const { echoes } = await a.measure('b', 2);
    expect(lost).toBeGreaterThan(0);
    expect(echoes[0]!.ms).toHaveLength(30);
  });

  it('fail when the other node is silent', async () => {
    const { a } = pair((message) => message.type === 'ping');
    await expect(a.measure('b', 2)).rejects.toMatchObject({ code: 'TESSERA_NO_NODES' });
  });

  it('count no pong of another node, nor one that was not awaited', async () => {
    const { a } = pair();
    expect(a.receive('c', { v: 1, type: 'pong', n: 0 })).toBe(false);
    const measured = a.measure('b', 1);
    expect(a.receive('c', { v: 1, type: 'pong', n: 0 })).toBe(false);
    await measured;
  });

  it('of one sender are answered at a limited rate, or else a node could keep another one busy', () => {
    const { b, sent } = pair(() => true);
    for (let n = 0; n < 1500; n++) b.receive('a', { v: 1, type: 'ping', n, d: new Uint8Array() });
    expect(sent.length).toBe(1000);
    const before = sent.length;
    expect(b.receive('c', { v: 1, type: 'ping', n: 0, d: new Uint8Array() })).toBe(true);
    expect(sent.length).toBe(before + 1);
  });
});
