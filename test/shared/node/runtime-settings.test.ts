import { describe, expect, it } from 'vitest';
import { fastestSettings, type RuntimeSettings, usualSettings } from '../../../shared/node/runtime-settings.ts';

function searched(threads: number, time: (settings: RuntimeSettings) => number | undefined) {
  const tried: RuntimeSettings[] = [];
  const search = fastestSettings(threads, async (settings) => {
    tried.push(settings);
    return time(settings);
  });
  return { tried, search };
}

describe('the fastest settings', () => {
  it('are found one after another', async () => {
    const { search, tried } = searched(
      4,
      ({ threads, graph, pattern }) => 10 + Math.abs(threads - 2) + (graph === 'basic' ? 0 : 2) + (pattern ? 1 : 0),
    );
    expect(await search).toEqual({
      settings: { threads: 2, graph: 'basic', parallel: false, arena: true, pattern: false },
      ms: 10,
      usual_ms: 15,
    });
    expect(tried[0]).toEqual(usualSettings(4));
    expect(new Set(tried.map((settings) => JSON.stringify(settings))).size).toBe(tried.length);
  });

  it('are the usual ones where others gain no more than noise', async () => {
    const { search } = searched(2, ({ arena }) => (arena ? 10 : 9.8));
    expect(await search).toMatchObject({ settings: usualSettings(2), ms: 10 });
  });

  it('leave out settings with which the network does not run, and need the usual ones', async () => {
    const { search } = searched(2, ({ parallel, threads }) => (parallel ? undefined : threads));
    expect(await search).toMatchObject({ settings: { threads: 1, parallel: false } });
    expect(await searched(2, () => undefined).search).toBeUndefined();
  });

  it('run no branches in parallel on one thread', async () => {
    const { search, tried } = searched(1, () => 1);
    await search;
    expect(tried.some(({ parallel }) => parallel)).toBe(false);
  });
});
