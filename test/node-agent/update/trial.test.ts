import { describe, expect, it } from 'vitest';
import { faultOf, finalFaultOf, isPassing } from '../../../node-agent/update/trial.ts';

const well = { connected: true, made: 3, failed: 1 };

describe('a release on trial', () => {
  it('is given up early when it fails at all that it is given', () => {
    expect(faultOf({ ...well, made: 0, failed: 2 })).toBeUndefined();
    expect(faultOf({ ...well, made: 0, failed: 3 })).toMatch(/all of the 3 parts/);
    expect(faultOf({ ...well, made: 1, failed: 30 })).toBeUndefined();
  });

  it('is kept when it is connected, its thread answers, and it did work where there was some', () => {
    expect(finalFaultOf(well, true)).toBeUndefined();
    expect(finalFaultOf({ ...well, made: 0, failed: 0 }, true)).toBeUndefined();
    expect(finalFaultOf({ ...well, connected: false }, true)).toMatch(/no connection/);
    expect(finalFaultOf(well, false)).toMatch(/does not answer/);
    expect(finalFaultOf({ ...well, made: 0, failed: 1 }, true)).toMatch(/could not do the work/);
  });

  it('is tried again where it was not connected, and not where it ended', () => {
    expect(isPassing(finalFaultOf({ ...well, connected: false }, true)!)).toBe(true);
    expect(isPassing('it was not online within 45 s')).toBe(true);
    expect(isPassing('it ended by itself, with exit code 3')).toBe(false);
  });
});
