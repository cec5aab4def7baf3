import type { TakenFrame } from '../../central/journal/format.ts';

/** A frame that central took in, as its journal has it. */
export const takenFrame = (frame: string): TakenFrame => ({
  camera: 'front',
  frame,
  model: 'm',
  sha: '0'.repeat(64),
  task: 'classify',
  taken: 1763650000.5,
  time: 1763650000.25,
});
