import { hostname } from 'node:os';
import { describe, expect, test } from 'vitest';
import { usesOtherBroker } from '../../cli/up-broker.ts';

describe('the broker of `tessera up`', () => {
  const none = { broker: undefined, listen: undefined };

  test.each([
    ['nothing is said', none, undefined, undefined, false],
    ['--broker', { ...none, broker: 'a:1' }, ['mqtt://127.0.0.1:2'], 'mqtt://a:1', true],
    ['mqtt.server', none, undefined, 'mqtt://a:1', true],
    ['mqtt.server, and --listen wins', { ...none, listen: '127.0.0.1' }, undefined, 'mqtt://a:1', false],
    ['broker.listen', none, ['mqtt://127.0.0.1:1883'], undefined, false],
    ['both, and they fit', none, ['ws://127.0.0.1:9001', 'mqtt://0.0.0.0:1883'], `mqtt://${hostname()}`, false],
    ['both, with any free port', none, ['mqtt://127.0.0.1:0'], 'mqtt://127.0.0.1:1883', false],
  ] as const)('%s', (_, options, listen, server, expected) => {
    expect(usesOtherBroker(options, listen, server)).toBe(expected);
  });

  test.each([
    ['another port', 'mqtt://me:secret@127.0.0.1:1884'],
    ['another machine', 'mqtt://me:secret@far.example'],
  ])('one broker to use and another to start is refused: %s', (_, server) => {
    const refused = () => usesOtherBroker(none, ['mqtt://127.0.0.1:1883'], server);
    expect(refused).toThrow(/mqtt\.server is .*broker\.listen/);
    // Its password is not printed.
    expect(refused).not.toThrow(/secret/);
  });

  test('--broker and --listen exclude each other', () => {
    expect(() => usesOtherBroker({ broker: 'a', listen: 'b' }, undefined, undefined)).toThrow(/exclude/);
  });
});
