import { describe, expect, it } from 'vitest';
import type { Announcement } from '../../../shared/discovery.ts';
import { silentLog } from '../../../shared/ports.ts';
import { BrokerSearch } from '../../../shared/runtime/broker-search.ts';

/** If it fails, a node stays away for ever when its broker has another address, or leaves a broker that is well. */

const KEY = `ed25519:${'k'.repeat(43)}`;
const KNOWN = 'mqtt://192.168.1.10:1883';
const FOREIGN = `ed25519:${'x'.repeat(43)}`;
const OTHER = 'mqtt://192.168.1.77:1883';
const THIRD = 'mqtt://192.168.1.78:1883';

function world({ given = KNOWN, keys = [KEY] } = {}) {
  const kept: string[] = [];
  const open = new Set<(found: Announcement) => void>();
  const sought = { base: 'tessera', keys, secure: false };
  const search = new BrokerSearch(
    { given, known: KNOWN },
    sought,
    (url) => kept.push(url),
    silentLog,
    (onFound) => {
      open.add(onFound);
      return () => void open.delete(onFound);
    },
  );
  const hear = (url: string, keys = [KEY], isOver = false) => {
    for (const onFound of open) onFound({ url, base: 'tessera', keys, isOver });
  };
  /** The addresses of the next attempts. */
  const attempts = (count: number) => Array.from({ length: count }, () => search.next());
  return { search, kept, hear, attempts, isSearching: () => open.size > 0 };
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
    expect([search.next(), search.next()]).toEqual([KNOWN, OTHER]);
  });

  it('tries each address of its cluster (1), and nothing of another one', () => {
    const { hear, attempts } = world();
    attempts(2);
    hear('mqtt://192.168.1.99:1883', [FOREIGN]);
    expect(attempts(2)).toEqual([KNOWN, KNOWN]);
    hear(OTHER);
    hear(THIRD);
    expect(attempts(5)).toEqual([OTHER, KNOWN, THIRD, KNOWN, OTHER]);
  });

  it('chooses none of several clusters (2), but one whose broker has several addresses, while it trusts nobody', () => {
    const { hear, attempts } = world({ keys: [] });
    attempts(2);
    hear(OTHER);
    hear(THIRD);
    expect(attempts(4)).toEqual([OTHER, KNOWN, THIRD, KNOWN]);
    hear('mqtt://192.168.1.99:1883', [FOREIGN]);
    expect(attempts(2)).toEqual([KNOWN, KNOWN]);
    hear('mqtt://192.168.1.99:1883', [FOREIGN], true);
    expect(attempts(2)).toContain(OTHER);
  });

  it('comes back to the address that was given after it found another one (1)', () => {
    const { attempts } = world({ given: OTHER });
    expect(attempts(3)).toEqual([KNOWN, OTHER, KNOWN]);
  });

  it('takes a refusal for the last word at the known address alone, after all others (3)', () => {
    const { search, hear, attempts } = world();
    attempts(4);
    expect(search.isFinal()).toBe(false);
    attempts(1);
    expect(search.isFinal()).toBe(true);
    hear(OTHER);
    hear(THIRD);
    expect(attempts(2)).toEqual([OTHER, KNOWN]);
    expect(search.isFinal()).toBe(false);
    expect(attempts(2)).toEqual([THIRD, KNOWN]);
    expect(search.isFinal()).toBe(true);
    search.connected();
    attempts(1);
    expect(search.isFinal()).toBe(false);
  });

  it('does not grow with what somebody shouts, and always comes back to the known address', () => {
    const { hear, attempts } = world();
    attempts(2);
    for (let port = 1; port < 1000; port++) hear(`mqtt://192.168.1.77:${port}`);
    const tried = attempts(2000);
    expect(new Set(tried).size).toBe(65);
    expect(tried.filter((url) => url === KNOWN)).toHaveLength(1000);
  });
});
