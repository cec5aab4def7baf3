import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Fleet, Reading } from '../../../central/replanner/fleet.ts';
import { Replanner, type ReplannerEffect, type ReplannerOptions } from '../../../central/replanner/replanner.ts';

/** Lost if this fails: plans replace one another without need, or a cluster keeps a plan that has become bad. */

const options: ReplannerOptions = { band: 0.5, least_gain: 0.15, hold_ms: 60_000, settle_ms: 2000 };
const usual: Reading = { slowness: 1, hop_ms: 20, memory: 1, throttled: false };
const STEP_MS = 1000;

type Offer = Extract<ReplannerEffect, { type: 'offer' }>;

/** The latency of each plan, ms; infinite where it cannot run. */
type Plans = Readonly<Record<string, number>>;

/**
 * A cluster on a virtual clock: a measurement every second, a search that takes `searchMs`, and a plan that takes over
 * `readyMs` after it was offered.
 */
class World {
  at = 0;
  active = 'tiles';
  readonly switches: { readonly at: number; readonly plan: string; readonly effect: Offer }[] = [];
  searches = 0;
  readonly #replanner: Replanner;
  readonly #plansOf: (fleet: Fleet) => Plans;
  readonly #searchMs: number;
  readonly #readyMs: number;
  readonly #adjusts: boolean;
  #fleet: Fleet = new Map();
  #answer: { readonly at: number; readonly plans: Plans; readonly isLocal: boolean } | undefined;
  #ready: { readonly at: number; readonly effect: Offer } | undefined;

  /** `adjusts`: whether an adjustment finds the best plan; else it finds none. */
  constructor(plansOf: (fleet: Fleet) => Plans, { searchMs = 1500, readyMs = 3000, adjusts = false, ...said } = {}) {
    this.#replanner = new Replanner({ ...options, ...said });
    this.#plansOf = plansOf;
    this.#searchMs = searchMs;
    this.#readyMs = readyMs;
    this.#adjusts = adjusts;
    this.#replanner.handle({ type: 'active', at: 0, plan: this.active });
  }

  /** A second in which this is measured. */
  step(fleet: Fleet): void {
    this.at += STEP_MS;
    this.#fleet = fleet;
    if (this.#answer !== undefined && this.at >= this.#answer.at) this.#plan(this.#answer);
    if (this.#ready !== undefined && this.at >= this.#ready.at) this.#switch(this.#ready.effect);
    const gone = this.#plansOf(fleet)[this.active] === Number.POSITIVE_INFINITY ? ['a'] : [];
    const effect = this.#replanner.handle({ type: 'measured', at: this.at, fleet, gone });
    if (effect === undefined) return;
    expect(this.#answer).toBeUndefined();
    this.searches++;
    this.#search(effect);
  }

  #search(effect: ReplannerEffect): void {
    if (effect.type !== 'plan') throw new Error(`not asked for: ${effect.type}`);
    this.#answer = { at: this.at + this.#searchMs, plans: this.#plansOf(this.#fleet), isLocal: effect.isLocal };
  }

  #plan({ plans, isLocal }: { plans: Plans; isLocal: boolean }): void {
    this.#answer = undefined;
    const isFound = !isLocal || this.#adjusts;
    const [plan, ms] = Object.entries(plans).reduce((best, one) => (one[1] < best[1] ? one : best));
    const active = plans[this.active]!;
    const effect = this.#replanner.handle({
      type: 'planned',
      at: this.at,
      active_ms: Number.isFinite(active) ? active : null,
      better: isFound && Number.isFinite(ms) ? { plan, ms } : null,
    });
    if (effect?.type === 'plan') this.#search(effect);
    if (effect?.type === 'offer') this.#ready = { at: this.at + this.#readyMs, effect };
  }

  #switch(effect: Offer): void {
    this.#ready = undefined;
    this.active = effect.plan;
    this.switches.push({ at: this.at, plan: effect.plan, effect });
    this.#replanner.handle({ type: 'active', at: this.at, plan: effect.plan });
  }
}

/** Tiles are faster where the link is good and the node is fast; otherwise central alone is. */
const twoPlans = (fleet: Fleet): Plans => {
  const { hop_ms = Number.POSITIVE_INFINITY, slowness = 1 } = fleet.get('a') ?? {};
  return { tiles: 60 * slowness + 2 * hop_ms, central: 200 };
};
const one = (reading: Partial<Reading> = {}): Fleet => new Map([['a', { ...usual, ...reading }]]);

describe('a plan is replaced', () => {
  test('when a change has lasted and another plan is clearly faster, and back when it is over', () => {
    const world = new World(twoPlans);
    for (let s = 0; s < 70; s++) world.step(one());
    for (let s = 0; s < 70; s++) world.step(one({ hop_ms: 200 }));
    expect(world.active).toBe('central');
    for (let s = 0; s < 70; s++) world.step(one());
    expect(world.switches.map(({ plan, effect }) => [plan, effect.changes])).toEqual([
      ['central', [{ what: 'network', node: 'a' }]],
      ['tiles', [{ what: 'network', node: 'a' }]],
    ]);
  });

  test('not before it has served for the hold time; at once where its frames fail', () => {
    const slow = new World(twoPlans);
    for (let s = 0; s < 50; s++) slow.step(one({ hop_ms: s < 10 ? 20 : 200 }));
    expect(slow.switches).toEqual([]);
    const broken = new World(twoPlans);
    for (let s = 0; s < 20; s++) broken.step(s < 10 ? one() : new Map());
    expect(broken.switches.map(({ plan, effect }) => [plan, effect.changes])).toEqual([
      ['central', [{ what: 'node left', node: 'a' }]],
    ]);
  });

  test('not for a change that gains less than the least gain', () => {
    const world = new World((fleet) => ({ tiles: 100, central: 90 / fleet.get('a')!.slowness }));
    for (let s = 0; s < 300; s++) world.step(one({ slowness: s < 70 ? 1 : 0.5 }));
    expect(world.switches.map(({ plan }) => plan)).toEqual([]);
    const gains = new World((fleet) => ({ tiles: 100, central: 40 * fleet.get('a')!.slowness }));
    for (let s = 0; s < 300; s++) gains.step(one({ slowness: s < 70 ? 4 : 2 }));
    expect(gains.switches.map(({ plan }) => plan)).toEqual(['central']);
  });

  test('searches that find nothing better rest in between, also where the fleet never comes to rest', () => {
    const world = new World(() => ({ tiles: 100, central: 200 }));
    for (let s = 0; s < 600; s++) world.step(one({ slowness: 1 + (Math.floor(s / 3) % 2) * 5 }));
    expect(world.searches).toBeLessThanOrEqual(600 / 10);
    expect(world.switches).toEqual([]);
  });

  test('for all that has changed since it was chosen, whichever search saw it', () => {
    // A slow node is seen first, and is not enough alone; later its link is worse too.
    const world = new World((fleet) => {
      const { slowness, hop_ms } = fleet.get('a')!;
      return { tiles: 30 * slowness + 2 * hop_ms, central: 200 };
    });
    for (let s = 0; s < 70; s++) world.step(one());
    for (let s = 0; s < 70; s++) world.step(one({ slowness: 4 }));
    expect(world.switches).toEqual([]);
    for (let s = 0; s < 70; s++) world.step(one({ slowness: 4, hop_ms: 80 }));
    const causes = world.switches.map(({ effect }) => effect.changes.map(({ what }) => what).sort());
    expect(causes).toEqual([['cpu', 'network']]);
  });

  test('not before machines that came together are measured, for ten seconds at most', () => {
    const seconds = (isComing: (s: number) => boolean, gone: readonly string[] = []): number => {
      const replanner = new Replanner(options);
      replanner.handle({ type: 'active', at: -options.hold_ms, plan: 'tiles' });
      for (let s = 0; ; s++) {
        const measured = { type: 'measured', at: s * STEP_MS, fleet: one(), isComing: isComing(s), gone } as const;
        if (replanner.handle(measured) !== undefined) return s;
      }
    };
    expect(seconds(() => false)).toBe(2);
    expect(seconds((s) => s < 5)).toBe(5);
    expect(seconds(() => true)).toBe(10);
    expect(seconds(() => true, ['b'])).toBe(0);
  });

  test('a broken plan is searched for again until one is found', () => {
    let isFound = false;
    const world = new World(() => ({
      tiles: Number.POSITIVE_INFINITY,
      other: isFound ? 100 : Number.POSITIVE_INFINITY,
    }));
    for (let s = 0; s < 30; s++) world.step(one());
    expect(world.searches).toBeGreaterThan(1);
    isFound = true;
    for (let s = 0; s < 30; s++) world.step(one());
    expect(world.active).toBe('other');
  });
});

describe('where machines change and none comes or leaves', () => {
  /** One search has seen the fleet; then its link is worse. */
  function changed() {
    const replanner = new Replanner(options);
    let at = 0;
    const measure = (now: Fleet, seconds: number): ReplannerEffect[] =>
      Array.from({ length: seconds }, () => {
        at += STEP_MS;
        return replanner.handle({ type: 'measured', at, fleet: now, gone: [] });
      }).flatMap((effect) => effect ?? []);
    const answer = (better: string | null) =>
      replanner.handle({
        type: 'planned',
        at,
        active_ms: 100,
        better: better === null ? null : { plan: better, ms: 50 },
      });
    replanner.handle({ type: 'active', at, plan: 'tiles' });
    expect(measure(one(), 70)).toEqual([{ type: 'plan', isLocal: false }]);
    expect(answer(null)).toBeUndefined();
    expect(measure(one({ hop_ms: 200 }), 70)).toEqual([{ type: 'plan', isLocal: true }]);
    return { measure, answer, active: (plan: string) => replanner.handle({ type: 'active', at, plan }) };
  }

  test('the plan is adjusted first; where that gains too little all plans are compared', () => {
    const { measure, answer } = changed();
    expect(measure(one({ hop_ms: 200 }), 20)).toEqual([]);
    expect(answer(null)).toEqual({ type: 'plan', isLocal: false });
    expect(answer('other')).toMatchObject({ type: 'offer', plan: 'other' });
  });

  test('an adjusted plan is compared with all others once it has served for the hold time', () => {
    const { measure, answer, active } = changed();
    expect(answer('adjusted')).toMatchObject({ type: 'offer', changes: [{ what: 'network', node: 'a' }] });
    active('adjusted');
    expect(measure(one({ hop_ms: 200 }), 59)).toEqual([]);
    expect(measure(one({ hop_ms: 200 }), 1)).toEqual([{ type: 'plan', isLocal: false }]);
    expect(answer(null)).toBeUndefined();
    expect(measure(one({ hop_ms: 200 }), 100)).toEqual([]);
  });
});

describe('a plan that proves slower than the one before it', () => {
  /** Predicted to be twice as fast, it serves; then its frames are measured. */
  function served() {
    const replanner = new Replanner(options);
    let at = 0;
    const measure = (now: Fleet, seconds: number, gone: readonly string[] = []): ReplannerEffect[] =>
      Array.from({ length: seconds }, () => {
        at += STEP_MS;
        return replanner.handle({ type: 'measured', at, fleet: now, gone });
      }).flatMap((effect) => effect ?? []);
    const answer = (plan: string) =>
      replanner.handle({ type: 'planned', at, active_ms: 100, better: { plan, ms: 50 } });
    const active = (plan: string) => replanner.handle({ type: 'active', at, plan });
    const proved = (ms: number) => replanner.handle({ type: 'proved', at, ms, before_ms: 100 });
    active('tiles');
    expect(measure(one({ hop_ms: 200 }), 70).map(({ type }) => type)).toEqual(['plan']);
    expect(answer('new')).toMatchObject({ type: 'offer', plan: 'new' });
    active('new');
    return { measure, answer, active, proved };
  }

  test('goes back, once, and is tried again once something has left its band', () => {
    const { measure, answer, active, proved } = served();
    expect(proved(120)).toEqual({ type: 'offer', plan: 'tiles', changes: [{ what: 'slower', node: 'central' }] });
    expect(proved(120)).toBeUndefined();
    active('tiles');
    expect(proved(500)).toBeUndefined();
    expect(measure(one({ hop_ms: 200 }), 200)).toEqual([]);
    expect(measure(one({ hop_ms: 500 }), 3).map(({ type }) => type)).toEqual(['plan']);
    expect(answer('new')).toMatchObject({ type: 'offer', plan: 'new' });
  });

  test('is not tried again while the fleet is as it was', () => {
    const { measure, answer, active, proved } = served();
    proved(120);
    active('tiles');
    expect(measure(one({ hop_ms: 200 }), 11, ['b']).map(({ type }) => type)).toEqual(['plan']);
    expect(answer('new')).toBeUndefined();
    expect(measure(one({ hop_ms: 200 }), 20, ['b']).map(({ type }) => type)).toEqual(['plan']);
    expect(answer('other')).toMatchObject({ type: 'offer', plan: 'other' });
  });

  test('stays where it is hardly slower, and where the fleet has changed since', () => {
    expect(served().proved(114)).toBeUndefined();
    const { measure, proved } = served();
    measure(one({ hop_ms: 20 }), 1);
    expect(proved(500)).toBeUndefined();
  });
});

describe('for any course of the measurements', () => {
  const inBand = fc.double({ min: 0.82, max: 1.22, noNaN: true });

  test('noise within the band makes no search', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(inBand, inBand), { minLength: 200, maxLength: 200 }), (noise) => {
        const world = new World(twoPlans);
        for (let s = 0; s < 70; s++) world.step(one());
        const { searches } = world;
        for (const [slowness, hop] of noise) world.step(one({ slowness, hop_ms: usual.hop_ms * hop }));
        expect(world.searches).toBe(searches);
      }),
      { numRuns: 50 },
    );
  });

  test('a square wave faster than the hold time switches at most once in it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 59 }),
        fc.integer({ min: 1, max: 59 }),
        fc.integer({ min: 100, max: 5000 }),
        fc.boolean(),
        (good, bad, searchMs, adjusts) => {
          const world = new World(twoPlans, { searchMs, adjusts });
          for (let s = 0; s < 900; s++) world.step(one({ hop_ms: s % (good + bad) < good ? 20 : 200 }));
          const times = world.switches.map(({ at }) => at);
          times.forEach((at, index) => {
            if (index > 0) expect(at - times[index - 1]!).toBeGreaterThanOrEqual(options.hold_ms);
          });
        },
      ),
    );
  });

  test('whatever was before, a change that stays ends with the better plan, and nothing follows', () => {
    const reading = fc.record({
      slowness: fc.double({ min: 0.2, max: 20, noNaN: true }),
      hop_ms: fc.double({ min: 1, max: 500, noNaN: true }),
    });
    const course = fc.array(fc.tuple(fc.option(reading, { nil: undefined }), fc.integer({ min: 1, max: 40 })), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(course, fc.boolean(), fc.boolean(), (before, endsGood, adjusts) => {
        const world = new World(twoPlans, { adjusts });
        for (const [said, seconds] of before)
          for (let s = 0; s < seconds; s++) world.step(said === undefined ? new Map() : one(said));
        for (let s = 0; s < 200; s++) world.step(one({ hop_ms: endsGood ? 10 : 300 }));
        expect(world.active).toBe(endsGood ? 'tiles' : 'central');
        const count = world.switches.length;
        for (let s = 0; s < 300; s++) world.step(one({ hop_ms: endsGood ? 10 : 300 }));
        expect(world.switches.length).toBe(count);
      }),
    );
  });
});
