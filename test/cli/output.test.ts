import { expect, it } from 'vitest';
import { table } from '../../cli/output.ts';

it('shows names that nodes chose on one line and without control characters, which could overwrite the terminal', () => {
  const lines = table([{ title: 'hardware', cell: (text: string) => text }], ['\u001b[2J\nnone', 'x'.repeat(5000)]);
  expect(lines).toHaveLength(3);
  for (const line of lines) {
    expect(line).not.toMatch(/\p{Cc}/u);
    expect(line.length).toBeLessThanOrEqual(300);
  }
});
