import { expect, test } from 'vitest';
import { Election } from '../../../central/leadership/election.ts';
import { MAX_EPOCH } from '../../../shared/protocol/epoch.ts';

/** If one of these fails, a made-up claim leaves a central no epoch in which any node follows it. */

const CLOCK_MS = 1.7e12;

/** A central that hears of one epoch, alone otherwise; the epoch that it claims in the end. */
function claimedAfter(heard: number, floor = 1): number {
  const election = new Election({ id: 'hall', boot: 'b', floor, clockOffsetMs: CLOCK_MS, standby: true });
  let at = 0;
  const effects = [...election.handle({ type: 'connected', at, since: at })];
  effects.push(
    ...election.handle({
      type: 'heard',
      at,
      retained: false,
      from: { v: 1, id: 'evil', boot_id: 'e', state: 'active', epoch: heard, seq: 1 },
    }),
  );
  for (let k = 0; k < 400 && election.phase !== 'active'; k++) {
    at += 100;
    // Its own claim is delivered back to it.
    for (const effect of effects.splice(0))
      if (effect.type === 'announce' && !effect.retained)
        effects.push(...election.handle({ type: 'heard', at, retained: false, from: effect.status }));
    effects.push(...election.handle({ type: 'tick', at }));
  }
  expect(election.phase).toBe('active');
  return election.epoch;
}

test('it claims a higher epoch than it heard, as long as a higher one exists', () => {
  expect(claimedAfter(5e9)).toBe(5e9 + 1);
  expect(claimedAfter(MAX_EPOCH - 1)).toBe(MAX_EPOCH);
});

test('where no higher epoch exists it derives one from the clock, and nodes follow the central that they hear', () => {
  const epoch = claimedAfter(MAX_EPOCH);
  expect(epoch).toBeGreaterThanOrEqual(CLOCK_MS / 1000);
  expect(epoch).toBeLessThan(CLOCK_MS / 1000 + 100);
});

test('the epoch that an earlier run wrote to the disk cannot exceed the highest one either', () => {
  expect(claimedAfter(1, MAX_EPOCH + 1)).toBeLessThan(CLOCK_MS / 1000 + 100);
});
