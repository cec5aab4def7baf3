import { expect, it } from 'vitest';
import { counted } from '../../shared/counted.ts';

it('writes counts with singular and plural', () => {
  expect([0, 1, 2].map((count) => counted(count, 'frame'))).toEqual(['0 frames', '1 frame', '2 frames']);
  expect([1, 2].map((count) => counted(count, 'class', 'classes'))).toEqual(['1 class', '2 classes']);
});
