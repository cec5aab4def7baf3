import { describe, expect, it } from 'vitest';
import type { Announcement } from '../../../shared/discovery.ts';
import { silentLog } from '../../../shared/ports.ts';
import { BrokerSearch } from '../../../shared/runtime/broker-search.ts';

/** If it fails, a node stays away for ever when its broker has another address, or leaves a broker that is well. */

const KEY = `ed25519:${'k'.repeat(43)}`;
const KNOWN = 'mqtt://192.168.1.10:1883';
const OTHER = 'mqtt://192.168.1.77:1883';

function world() {
  const kept: string[] = [];
  const open = new Set<(found: Announcement) => void>();
  const sought = { base: 'tessera', keys: [KEY], secure: false };
  const search = new BrokerSearch(
    KNOWN,
    sought,
    (url) => kept.push(url),
    silentLog,
    (onFound) => {
      open.add(onFound);
      return () => void open.delete(onFound);
    },
  );
  const hear = (url: string, keys = [KEY]) => {
    for (const onFound of open) onFound({ url, base: 'tessera', keys });
  };
  return { search, kept, hear, isSearching: () => open.size > 0 };
}

describe('the search for a broker', () => {
  it('does not begin while the known address is good', () => {
    const { search, kept, isSearching } = world();
    expect(search.next()).toBe(KNOWN);
    search.connected();
    expect(search.next()).toBe(KNOWN);
    expect([isSearching(), kept]).toEqual([false, []]);
  });

  it('tries what the network says and the known address in turn, and keeps what was good (1)', () => {
    const { search, kept, hear, isSearching } = world();
    expect([search.next(), search.next()]).toEqual([KNOWN, KNOWN]);
    hear(OTHER);
    expect([search.next(), search.next(), search.next()]).toEqual([OTHER, KNOWN, OTHER]);
    search.connected();
    expect([search.next(), search.url, kept, isSearching()]).toEqual([OTHER, OTHER, [OTHER], false]);
    search.next();
    hear(KNOWN);
    expect(search.next()).toBe(KNOWN);
  });

  it('chooses none of several (2), and nothing of another cluster', () => {
    const { search, hear } = world();
    search.next();
    search.next();
    hear('mqtt://192.168.1.99:1883', [`ed25519:${'x'.repeat(43)}`]);
    expect([search.next(), search.next()]).toEqual([KNOWN, KNOWN]);
    hear(OTHER);
    hear('mqtt://192.168.1.78:1883');
    expect([search.next(), search.next()]).toEqual([KNOWN, KNOWN]);
  });

  it('does not grow with what somebody shouts', () => {
    const { search, hear } = world();
    search.next();
    search.next();
    for (let port = 1; port < 1000; port++) hear(`mqtt://192.168.1.77:${port}`);
    expect(search.next()).toBe(KNOWN);
  });
});
