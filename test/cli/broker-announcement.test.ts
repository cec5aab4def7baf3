import { describe, expect, it } from 'vitest';
import { announcementOf } from '../../cli/broker-announcement.ts';

/** If it fails, a network is told of a broker that it cannot reach, or that nobody meant it to know of. */

const ABOUT = { role: 'broker', base: 'tessera', keys: [] } as const;

describe('what a network is told of a broker', () => {
  it.each([[['mqtt://127.0.0.1:1883']], [['mqtt://localhost:1883', 'ws://[::1]:9001']], [['ws://0.0.0.0:9001']], [[]]])(
    'is nothing where only %j listen',
    (urls) => {
      expect(announcementOf(urls, ABOUT)).toBeUndefined();
    },
  );

  it('is its protected listener where it has one', () => {
    const urls = ['mqtt://127.0.0.1:1883', 'mqtt://0.0.0.0:1884', 'mqtts://0.0.0.0:8883'];
    expect(announcementOf(urls, ABOUT, 'Desk.local')).toEqual({
      instance: 'tessera-broker-desk-8883',
      base: 'tessera',
      keys: [],
      scheme: 'mqtts',
      port: 8883,
      host: undefined,
    });
  });

  it('is the address of another machine, where central says it', () => {
    expect(announcementOf(['mqtt://mosquitto.lan'], { ...ABOUT, role: 'central' }, 'desk')).toMatchObject({
      instance: 'tessera-central-desk-1883',
      host: 'mosquitto.lan',
      port: 1883,
    });
  });
});
