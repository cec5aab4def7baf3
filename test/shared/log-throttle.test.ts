import { describe, expect, it } from 'vitest';
import { Complaints, plain } from '../../shared/log-throttle.ts';
import { recordingLog } from '../support/recording-log.ts';

describe('Complaints', () => {
  it('writes one line per subject and minute, and says how many there were, or else a stranger fills the disk', () => {
    const log = recordingLog();
    let now = 0;
    const complaints = new Complaints(log, () => now);
    for (let k = 0; k < 500; k++) complaints.warn('front', 'not a picture');
    complaints.warn('back', 'not a picture');
    now = 60_000;
    complaints.warn('front', 'not a picture');
    expect(log.lines).toEqual(['warn not a picture {}', 'warn not a picture {}', 'warn not a picture {"before":499}']);
  });

  it('bounds all lines too, for a stranger has as many names as he likes', () => {
    const log = recordingLog();
    let now = 0;
    const complaints = new Complaints(log, () => now);
    for (let k = 0; k < 10_000; k++) complaints.warn(`camera-${k}`, 'not a picture');
    expect(log.lines).toHaveLength(100);
    now = 60_000;
    complaints.warn('camera-1', 'not a picture');
    expect(log.lines[100]).toMatch(/9900 more/);
    expect(log.lines).toHaveLength(102);
  });

  it('keeps a text from outside on one line', () => {
    expect(plain('a\nb\u001b[2Jc\u202ed\u2028')).toBe('a?b?[2Jc?d?');
    expect(plain('x'.repeat(10_000))).toHaveLength(300);
  });
});
