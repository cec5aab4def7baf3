import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Announced,
  announcementsIn,
  type DnsRecord,
  fitting,
  isAsked,
  recordsOf,
  SERVICE,
} from '../../shared/discovery.ts';

/** If it fails, nodes join the wrong cluster, or anybody in the network can end a process by one message. */

const KEY = `ed25519:${'k'.repeat(43)}`;
const ANNOUNCED: Announced = {
  instance: 'tessera-broker-desk-1883',
  base: 'tessera',
  keys: [KEY],
  scheme: 'mqtt',
  port: 1883,
  host: undefined,
};
const found = (announced: Partial<Announced>, own: string[] = ['192.168.1.10'], sender = '192.168.1.10') =>
  announcementsIn(recordsOf({ ...ANNOUNCED, ...announced }, own), sender);

describe('an announcement', () => {
  it('is found as it was made', () => {
    expect(found({})).toEqual([{ url: 'mqtt://192.168.1.10:1883', base: 'tessera', keys: [KEY], isOver: false }]);
    expect(found({ scheme: 'mqtts', port: 8883, base: 'home/attic', keys: [] })).toEqual([
      { url: 'mqtts://192.168.1.10:8883', base: 'home/attic', keys: [], isOver: false },
    ]);
  });

  it('leads to the address in the network that it came from', () => {
    expect(found({}, ['10.0.0.1', '192.168.1.10'])[0]!.url).toBe('mqtt://192.168.1.10:1883');
    expect(found({}, ['10.0.0.1', '10.0.0.2'])[0]!.url).toBe('mqtt://10.0.0.1:1883');
  });

  it('of central leads to the broker, not to central', () => {
    expect(found({ host: '192.168.1.5' })[0]!.url).toBe('mqtt://192.168.1.5:1883');
    expect(found({ host: 'mosquitto.lan' })[0]!.url).toBe('mqtt://mosquitto.lan:1883');
  });

  it('says that it is taken back', () => {
    expect(announcementsIn(recordsOf(ANNOUNCED, ['192.168.1.10'], 0), '192.168.1.10')).toEqual([
      { ...found({})[0], isOver: true },
    ]);
  });

  it('is nothing where it is of another program, or leads to the node itself', () => {
    const other = recordsOf(ANNOUNCED, ['192.168.1.10']).filter(({ type }) => type !== 'TXT');
    expect(announcementsIn(other, '192.168.1.10')).toEqual([]);
    expect(found({}, ['127.0.0.1'])).toEqual([]);
    expect(found({ host: 'localhost' })).toEqual([]);
    expect(found({ port: 70_000 })).toEqual([]);
    expect(found({ host: 'a b' })).toEqual([]);
    expect(found({ keys: ['ed25519:short'] })[0]!.keys).toEqual([]);
  });

  it('answers questions for the type of service and for its own names', () => {
    const records = recordsOf(ANNOUNCED, ['192.168.1.10']);
    expect(isAsked({ name: '_MQTT._tcp.local', type: 'PTR' }, records)).toBe(true);
    expect(isAsked({ name: `tessera-broker-desk-1883.${SERVICE}`, type: 'ANY' }, records)).toBe(true);
    expect(isAsked({ name: '_http._tcp.local', type: 'PTR' }, records)).toBe(false);
    expect(isAsked({ name: SERVICE, type: 'A' }, records)).toBe(false);
  });

  it('survives whatever the network says', () => {
    const record = fc.record({
      type: fc.constantFrom('PTR', 'SRV', 'TXT', 'A', 'OPT'),
      name: fc.constantFrom(SERVICE, `x.${SERVICE}`, 'x.local', undefined as unknown as string),
      ttl: fc.option(fc.integer(), { nil: undefined }),
      data: fc.anything(),
    });
    fc.assert(
      fc.property(fc.array(record as fc.Arbitrary<DnsRecord>), (records) => {
        for (const { url } of announcementsIn(records, '10.0.0.1')) expect(URL.canParse(url)).toBe(true);
        for (const one of records) isAsked(one, recordsOf(ANNOUNCED, []));
      }),
    );
  });
});

describe('the brokers that fit', () => {
  const at = (host: string, base = 'tessera', keys = [KEY], scheme = 'mqtt') => ({
    url: `${scheme}://${host}:1883`,
    base,
    keys,
    isOver: false,
  });
  const sought = { base: 'tessera', keys: [KEY], secure: false };

  it('are those of the base whose central the node trusts', () => {
    const all = [at('a'), at('b', 'other'), at('c', 'tessera', [`ed25519:${'x'.repeat(43)}`])];
    expect(fitting(all, sought)).toEqual([['mqtt://a:1883']]);
    expect(fitting(all, { ...sought, keys: [] })).toEqual([['mqtt://a:1883'], ['mqtt://c:1883']]);
  });

  it('are one where broker and central announce the same', () => {
    expect(fitting([at('a'), at('a')], sought)).toEqual([['mqtt://a:1883']]);
  });

  it('are one where its broker has several addresses, whatever the node trusts', () => {
    const both = [['mqtt://a:1883', 'mqtt://b:1883']];
    expect(fitting([at('a'), at('b')], sought)).toEqual(both);
    expect(fitting([at('a'), at('b')], { ...sought, keys: [] })).toEqual(both);
  });

  it('are never less protected than the last one was', () => {
    const all = [at('a'), at('a', 'tessera', [KEY], 'mqtts')];
    expect(fitting(all, { ...sought, secure: true })).toEqual([['mqtts://a:1883']]);
  });
});
