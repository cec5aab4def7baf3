import { describe, expect, it } from 'vitest';
import { type BrokerFacts, judgeBroker } from '../../../cli/doctor/broker.ts';
import type { BrokerStats } from '../../../shared/protocol/messages/broker.ts';

const healthy: BrokerFacts = {
  url: 'mqtt://10.0.0.1',
  configured: true,
  local: false,
  role: 'node pi-1',
  anonymous: false,
  connection: { mqtt: 5 },
  linkMs: 0.2,
  roundTripsMs: [0.4, 0.3, 0.5],
  echo: true,
  retained: true,
  packet: { passed: 999_744, failed: undefined, needed: 262_144, wanted: 999_744 },
  subscriptions: [{ filter: 'tessera-wire/+/pi-1/#', refused: undefined }],
  stats: undefined,
};
const quiet: BrokerStats = {
  ...{ v: 1, uptime_s: 7200, connections: 3, published: 500, not_retained: 0 },
  refused: { connections: 0, publishes: 0, subscriptions: 0, packets: 0, frames: 0 },
  closed: { unauthenticated: 0, slow_readers: 0 },
  dropped: { slow_readers: 0, rate_limit: 0, central_session: 0, client_sessions: 0 },
};
const find = (name: string, facts: Partial<BrokerFacts>) =>
  judgeBroker({ ...healthy, ...facts }).find((check) => check.name === name)!;

describe('a broker', () => {
  it('without faults has nothing to fix', () => {
    expect(new Set(judgeBroker(healthy).map(({ status }) => status))).toEqual(new Set(['ok']));
  });

  it('that does not answer is a fault where the configuration names it, otherwise nothing is reported', () => {
    const connection = { code: 'TESSERA_BROKER', message: 'nothing listens', hint: 'start it' } as const;
    expect(judgeBroker({ ...healthy, connection })).toMatchObject([{ status: 'fail', fix: 'start it' }]);
    expect(judgeBroker({ ...healthy, connection, configured: false })).toMatchObject([{ status: 'skip' }]);
  });

  it('whose messages take 40 ms more than the link delays small packets; a slow link alone is another finding', () => {
    expect(find('round trip', { roundTripsMs: [44, 43, 45] }).fix).toContain('set_tcp_nodelay true');
    const slow = find('round trip', { roundTripsMs: [150, 151, 149], linkMs: 149 });
    expect(slow).toMatchObject({ status: 'warn', fix: expect.not.stringContaining('nodelay') });
    expect(find('round trip', { roundTripsMs: [60, 61, 62], linkMs: 59 }).status).toBe('ok');
    expect(find('round trip', { roundTripsMs: [] }).status).toBe('skip');
  });

  it('whose packet limit is too small for parts of tensors is a fault; too small for large pictures only, a warning', () => {
    const packet = { ...healthy.packet!, passed: 98_304, failed: 106_496 };
    expect(find('packet size', { packet })).toMatchObject({ status: 'fail', fix: expect.stringContaining('999744') });
    expect(find('packet size', { packet: { ...packet, passed: 500_000, failed: 540_000 } }).status).toBe('warn');
    expect(find('packet size', { packet: undefined }).status).toBe('skip');
  });

  it('that refuses what the role needs is a fault, and one that admits anonymous clients is a warning', () => {
    const subscriptions = [{ filter: 'tessera/#', refused: 'it is not granted' }];
    expect(find('rights', { subscriptions })).toMatchObject({
      status: 'fail',
      text: expect.stringContaining('tessera/#'),
    });
    expect(find('rights', { echo: false }).status).toBe('fail');
    expect(find('rights', { anonymous: true }).status).toBe('warn');
    expect(find('rights', { anonymous: true, local: true })).toMatchObject({
      status: 'ok',
      text: expect.stringContaining('without a password'),
    });
    expect(find('retained', { retained: false }).status).toBe('fail');
  });

  it('that refuses messages is fine, one that loses messages is a warning, with the counts that are not 0', () => {
    const stats = { ...quiet, refused: { ...quiet.refused, connections: 2 } };
    expect(find('traffic', { stats })).toMatchObject({
      status: 'ok',
      text: 'in 2.0 h: 500 messages, 3 connections now, 2 connections refused',
    });
    const dropped = { ...quiet.dropped, slow_readers: 7 };
    expect(find('traffic', { stats: { ...stats, dropped } })).toMatchObject({
      status: 'warn',
      text: expect.stringContaining('7 messages dropped for slow readers, 2 connections refused'),
    });
  });
});
