import { expect, it } from 'vitest';
import { SessionCache } from '../../../shared/node/session-cache.ts';

function sessions(limit: number) {
  const released: string[] = [];
  const loaded: string[] = [];
  const cache = new SessionCache<{ name: string; release(): Promise<void> }>(limit);
  const get = (name: string, bytes: number) =>
    cache.get(name, bytes, async () => {
      loaded.push(name);
      return { name, release: async () => void released.push(name) };
    });
  return { cache, get, released, loaded };
}

it('loads a session once while it fits, or else every tile pays for loading', async () => {
  const { get, loaded } = sessions(100);
  expect(await get('a', 40)).toBe(await get('a', 40));
  expect(loaded).toEqual(['a']);
});

it('releases the least recently used session before it loads another, so that memory never exceeds the limit', async () => {
  const { get, released, loaded } = sessions(100);
  await get('a', 40);
  await get('b', 40);
  await get('a', 40);
  await get('c', 50);
  expect(released).toEqual(['b']);
  await get('a', 40);
  await get('c', 50);
  await get('e', 10);
  expect(released).toEqual(['b']);
  expect(loaded).toEqual(['a', 'b', 'c', 'e']);
  await get('d', 100);
  expect(released).toEqual(['b', 'a', 'c', 'e']);
});

it('refuses a session that alone exceeds the limit, with a hint, and keeps the others', async () => {
  const { get, released, loaded } = sessions(100);
  await get('a', 40);
  await expect(get('b', 101)).rejects.toMatchObject({ code: 'TESSERA_RUN_FAILED', hint: expect.any(String) });
  await get('a', 40);
  await get('c', 60);
  expect([released, loaded]).toEqual([[], ['a', 'c']]);
});

it('keeps nothing of a failed load', async () => {
  const { cache, get, released, loaded } = sessions(100);
  await expect(cache.get('a', 40, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  await get('b', 60);
  await get('a', 40);
  expect([released, loaded]).toEqual([[], ['b', 'a']]);
});

it('releases every session at the end, once', async () => {
  const { cache, get, released } = sessions(100);
  await get('a', 40);
  await get('b', 40);
  await cache.clear();
  await cache.clear();
  expect(released).toEqual(['a', 'b']);
});
