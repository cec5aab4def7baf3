import { expect, it } from 'vitest';
import { regionsText } from '../../../shared/node/region-text.ts';

it('regions are named by tensor, box and sender', () => {
  const box = [[0, 1] as [number, number], [4, 8] as [number, number]];
  expect(
    regionsText([
      { tensor: 'p', box, from: 'pi-2' },
      { tensor: 'q', box: [] },
    ]),
  ).toBe('p [0:1,4:8] of pi-2, q []');
});
