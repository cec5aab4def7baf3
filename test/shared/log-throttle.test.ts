import { describe, expect, it } from 'vitest';
import { LogThrottle, plain } from '../../shared/log-throttle.ts';
import { recordingLog } from '../support/recording-log.ts';

describe('LogThrottle', () => {
  it('writes one line per subject and minute, with the number left out, or else a client could fill the disk', () => {
    const log = recordingLog();
    let now = 0;
    const throttledLog = new LogThrottle(log, () => now);
    for (let k = 0; k < 500; k++) throttledLog.warn('front', 'not a picture');
    throttledLog.warn('back', 'not a picture');
    now = 60_000;
    throttledLog.warn('front', 'not a picture');
    expect(log.lines).toEqual(['warn not a picture {}', 'warn not a picture {}', 'warn not a picture {"before":499}']);
  });

  it('limits all lines together too, as a client can make up names', () => {
    const log = recordingLog();
    let now = 0;
    const throttledLog = new LogThrottle(log, () => now);
    for (let k = 0; k < 10_000; k++) throttledLog.warn(`camera-${k}`, 'not a picture');
    expect(log.lines).toHaveLength(100);
    now = 60_000;
    throttledLog.warn('camera-1', 'not a picture');
    expect(log.lines[100]).toMatch(/: 9900 warnings$/);
    expect(log.lines).toHaveLength(102);
  });

  it('keeps a text from outside on one line', () => {
    expect(plain('a\nb\u001b[2Jc\u202ed\u2028')).toBe('a?b?[2Jc?d?');
    expect(plain('x'.repeat(10_000))).toHaveLength(300);
  });
});
