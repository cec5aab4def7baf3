import { expect, it } from 'vitest';
import { traceparentOf } from '../../../shared/protocol/traceparent.ts';

it('a trace context is taken in the form of W3C, of any version but ff; anything else is ignored', () => {
  const [trace, parent] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
  for (const fine of [`00-${trace}-${parent}-01`, `cc-${trace}-${parent}-00`]) expect(traceparentOf(fine)).toBe(fine);
  for (const wrong of [
    `ff-${trace}-${parent}-01`,
    `00-${'0'.repeat(32)}-${parent}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.toUpperCase()}-${parent}-01`,
    `00-${trace}-${parent}`,
    `00-${trace}-${parent}-01-x`,
    '',
    [`00-${trace}-${parent}-01`, `00-${trace}-${parent}-01`],
    undefined,
  ])
    expect(traceparentOf(wrong)).toBeUndefined();
});
