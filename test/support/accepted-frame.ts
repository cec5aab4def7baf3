import type { AcceptedFrame } from '../../central/journal/format.ts';

/** A frame that central accepted, as its journal has it. */
export const acceptedFrame = (frame: string): AcceptedFrame => ({
  camera: 'front',
  frame,
  model: 'm',
  sha: '0'.repeat(64),
  task: 'classify',
  acceptedAt: 1763650000.5,
  time: 1763650000.25,
});
