import { expect, test } from 'vitest';
import type { Observer } from '../../../central/observers/observer.ts';
import { Observers } from '../../../central/observers/observers.ts';
import { recordingLog } from '../../support/recording-log.ts';

/** Lost if this fails: a fault in one feature, such as statistics, stops the others or the frames. */

test('an observer that throws is logged once a minute, and the others still see every event', () => {
  const log = recordingLog();
  const heard: string[] = [];
  class Faulty implements Observer {
    frameArrived(): void {
      throw new Error('disk full');
    }
  }
  const other = { frameArrived: (camera: string) => heard.push(camera) };
  const observers = new Observers([new Faulty(), {}, other], log);
  observers.tell('frameArrived', 'front');
  observers.tell('frameArrived', 'back');
  observers.tell('stop');
  expect(heard).toEqual(['front', 'back']);
  expect(log.lines).toEqual([expect.stringContaining('observer Faulty failed on frameArrived: Error: disk full')]);
});
