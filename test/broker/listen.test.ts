import { describe, expect, it } from 'vitest';
import { parseListen } from '../../broker/listen.ts';

// Lost if these fail: the broker listens on more addresses than configured, or takes a remote client for a local one.

describe('parseListen', () => {
  it.each([
    ['mqtt://127.0.0.1:1883', { scheme: 'mqtt', host: '127.0.0.1', port: 1883 }],
    ['mqtt://127.0.0.1:0', { scheme: 'mqtt', host: '127.0.0.1', port: 0 }],
    ['mqtts://broker.local', { scheme: 'mqtts', host: 'broker.local', port: 8883 }],
    ['ws://[::1]:9001/', { scheme: 'ws', host: '::1', port: 9001 }],
    ['wss://0.0.0.0:443', { scheme: 'wss', host: '0.0.0.0', port: 443 }],
  ])('%s', (text, address) => expect(parseListen(text)).toEqual(address));

  it.each([
    '',
    '1883',
    'http://127.0.0.1',
    'mqtt://',
    'mqtt://a:b@c:1',
    'mqtt://h:99999',
    'mqtt://h:1/path',
    'mqtt://::1:1',
  ])('refuses %j with a hint', (text) => {
    expect(() => parseListen(text)).toThrow(
      expect.objectContaining({ code: 'TESSERA_CONFIG', hint: expect.any(String) }),
    );
  });
});
