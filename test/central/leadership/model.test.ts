import { describe, expect, test } from 'vitest';
import { type Candidate, ElectionWorld } from '../../../bench/sim/election-world.ts';
import { Random } from '../../../bench/sim/random.ts';

/** If one of these fails, two centrals serve the same cameras, or none does. */

const RUNS = Number(process.env.TESSERA_ELECTION_RUNS ?? 200);

/** A check that two centrals are not active at once; without `expect`, since it is called for every millisecond. */
const atMostOne = (world: ElectionWorld) => (): void => {
  const { holders, now, seed } = world;
  if (holders.length > 1)
    throw new Error(`seed ${seed}, ${now} ms: ${holders.map(({ boot }) => boot).join(' and ')} are both active`);
};

/** Three centrals with every kind of fault for a minute, then none for half a minute. */
function chaos(seed: number): ElectionWorld {
  const random = new Random(seed ^ 0x5eed);
  const world = new ElectionWorld(seed, ['a', 'b', 'c']);
  const check = atMostOne(world);
  for (const candidate of world.candidates) if (random.chance(0.7)) world.start(candidate);
  while (world.now < 60_000) {
    world.run(random.between(1, 3_000), check);
    const candidate = random.pick(world.candidates);
    const what = random.below(9);
    if (candidate.state === 'dead' || what === 0) world.start(candidate);
    else if (candidate.state === 'frozen') world.thaw(candidate);
    else if (what === 1) world.kill(candidate);
    else if (what <= 3) world.freeze(candidate);
    else if (what <= 5) world.cut(candidate);
    else if (what === 6) world.stall(candidate, random.between(0, 8_000));
    else if (what === 7) world.restartBroker(random.between(0, 4_000), random.chance(0.5), random.between(0, 10_000));
    else world.resign(candidate);
    if (candidate.state === 'up' && candidate.election.phase === 'ended') world.kill(candidate);
  }
  for (const candidate of world.candidates) {
    world.thaw(candidate);
    if (candidate.state === 'up' && candidate.election.phase === 'ended') world.kill(candidate);
    world.start(candidate);
  }
  const revive = (): void => {
    check();
    for (const candidate of world.candidates)
      if (candidate.state === 'up' && candidate.election.phase === 'ended') {
        world.kill(candidate);
        world.start(candidate);
      }
  };
  world.run(30_000, revive);
  return world;
}

describe('centrals on one base', () => {
  test(`never are two active, and in the end one is (${RUNS} runs)`, () => {
    for (let seed = 1; seed <= RUNS; seed++) {
      const world = chaos(seed);
      expect(world.holders.length, `seed ${seed}: no central is active after half a quiet minute`).toBe(1);
      const epochs = world.led.map(({ epoch }) => epoch);
      expect(epochs, `seed ${seed}`).toEqual([...epochs].sort((x, y) => x - y));
    }
  });

  /** `a` active and `b` waiting. */
  function pair(seed = 1): { world: ElectionWorld; a: Candidate; b: Candidate } {
    const world = new ElectionWorld(seed, ['a', 'b']);
    const [a, b] = world.candidates as [Candidate, Candidate];
    world.start(a);
    world.run(1_000, atMostOne(world));
    world.start(b);
    world.run(5_000, atMostOne(world));
    expect(world.holders).toEqual([a]);
    return { world, a, b };
  }

  /** Milliseconds until `candidate` is active. */
  function until(world: ElectionWorld, candidate: Candidate): number {
    const since = world.now;
    while (!world.holders.includes(candidate) && world.now - since < 30_000) world.run(1, atMostOne(world));
    return world.now - since;
  }

  test('the first central does not wait where it started the broker itself, and otherwise no longer than a lease', () => {
    const own = new ElectionWorld(3, ['a'], { isFirst: true });
    own.start(own.candidates[0]!);
    expect(until(own, own.candidates[0]!)).toBeLessThan(300);
    const world = new ElectionWorld(3, ['a']);
    world.start(world.candidates[0]!);
    expect(until(world, world.candidates[0]!)).toBeLessThan(3_000);
  });

  test('a broker that forgets everything, whose end one active central cannot see: the new one waits for its lease', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const world = new ElectionWorld(seed, ['a', 'b']);
      const [a, b] = world.candidates as [Candidate, Candidate];
      world.start(a);
      until(world, a);
      world.restartBroker(0, true, 10_000);
      world.start(b);
      world.run(20_000, atMostOne(world));
      expect(world.holders, `seed ${seed}`).toHaveLength(1);
    }
  });

  test('a central that was stopped in order is succeeded at once', () => {
    const { world, a, b } = pair();
    world.resign(a);
    expect(until(world, b)).toBeLessThan(300);
  });

  test.each([1, 2, 3, 4, 5])('a central that was killed is succeeded within 7.5 s (seed %d)', (seed) => {
    const { world, a, b } = pair(seed);
    world.restartBroker(0, false);
    world.run(6_000, atMostOne(world));
    world.kill(a);
    // Where the broker lost power too, it publishes no last will, and missed claims have to be noticed.
    expect(until(world, b)).toBeLessThan(7_500);
    world.start(a);
    world.run(10_000, atMostOne(world));
    expect(world.holders).toEqual([b]);
  });

  test('a paused central is succeeded within 7.5 s, and steps down the moment it continues', () => {
    const { world, a, b } = pair();
    world.freeze(a);
    expect(until(world, b)).toBeLessThan(7_500);
    world.run(20_000, atMostOne(world));
    world.thaw(a);
    world.run(1_000, atMostOne(world));
    expect(a.election.phase).toBe('ended');
    expect(world.holders).toEqual([b]);
  });

  test("a waiting central that was paused does not mistake its own pause for the leader's silence", () => {
    const { world, a, b } = pair();
    world.freeze(b);
    world.run(60_000, atMostOne(world));
    world.thaw(b);
    world.run(10_000, atMostOne(world));
    expect(world.holders).toEqual([a]);
    expect(world.led).toHaveLength(1);
  });

  test('a short loss of the connection changes no leader', () => {
    const { world, a } = pair();
    world.restartBroker(500, true);
    world.run(10_000, atMostOne(world));
    expect(world.holders).toEqual([a]);
    expect(world.led).toHaveLength(1);
  });

  test('a central that was not told to wait ends with the message that another one is active', () => {
    const world = new ElectionWorld(1, ['a', 'b'], { standby: false });
    world.start(world.candidates[0]!);
    world.run(1_000, atMostOne(world));
    world.start(world.candidates[1]!);
    world.run(2_000, atMostOne(world));
    expect(world.refused).toEqual(['b']);
    expect(world.holders).toEqual([world.candidates[0]]);
  });

  test("a central that was not told to wait takes over from a leader that only the broker's retained message names", () => {
    const world = new ElectionWorld(1, ['a', 'b'], { standby: false });
    const [a, b] = world.candidates as [Candidate, Candidate];
    world.start(a);
    world.run(1_000, atMostOne(world));
    world.restartBroker(0, false);
    world.kill(a);
    world.start(b);
    expect(until(world, b)).toBeLessThan(10_000);
    expect(world.refused).toEqual([]);
  });
});
