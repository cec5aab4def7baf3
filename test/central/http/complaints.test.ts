import { expect, it } from 'vitest';
import { COMPLAINTS_KEPT, Complaints } from '../../../central/http/complaints.ts';
import { recordingLog } from '../../support/recording-log.ts';

it('keeps the newest warnings and errors of a log, on one line each, and passes everything on', () => {
  const complaints = new Complaints(() => 5);
  const log = recordingLog();
  const told: string[] = [];
  complaints.onLine = ({ text }) => told.push(text);
  const kept = complaints.of(log);
  kept.debug('a');
  kept.info('b');
  kept.warn('c\n23:59 error forged', { key: 1 });
  kept.error('d');
  expect(log.lines).toEqual(['debug a', 'info b', 'warn c\n23:59 error forged {"key":1}', 'error d']);
  expect(complaints.lines).toEqual([
    { time: 5, level: 'warn', text: 'c?23:59 error forged' },
    { time: 5, level: 'error', text: 'd' },
  ]);
  expect(told).toEqual(complaints.lines.map(({ text }) => text));
  for (let k = 0; k < COMPLAINTS_KEPT; k++) kept.warn(`line ${k}`);
  expect(complaints.lines).toHaveLength(COMPLAINTS_KEPT);
  expect(complaints.lines.at(-1)?.text).toBe(`line ${COMPLAINTS_KEPT - 1}`);
});
