import { expect, test } from 'vitest';
import { run } from '../../bench/chaos.ts';
import { NO_MOSQUITTO } from '../../bench/testbed/mosquitto.ts';

/**
 * The chaos benchmark for twenty seconds: third-party cameras, and nodes, central and broker that are killed, stopped
 * and frozen, alone and together. If it fails, an acknowledged frame gets no result, or two.
 */

/** Central and broker are killed together twice. Not with Mosquitto, which loses frames then (docs/operations.md). */
const SEEDS = [
  ['embedded', '4'],
  ['mosquitto', '6'],
] as const;

test.for(SEEDS)('every frame that was acknowledged ends once (%s)', async ([broker, seed], { skip }) => {
  const told = await run(['--broker', broker, '--client', 'plain', '--seconds', '20', '--seed', seed]).catch(
    (error: Error) => (error.message === NO_MOSQUITTO ? skip(NO_MOSQUITTO) : Promise.reject(error)),
  );
  expect(told).toMatchObject({ pass: true, acts: 3 });
});
