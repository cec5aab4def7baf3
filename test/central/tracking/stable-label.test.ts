import { describe, expect, test } from 'vitest';
import { NO_LABEL, StableLabel } from '../../../central/tracking/stable-label.ts';

describe('stable label', () => {
  test('changes only when so many results in a row agree, and is published once', () => {
    const stable = new StableLabel(3);
    const said = ['cat', 'cat', 'dog', 'cat', 'cat', 'cat', 'cat', null, null, null].map((top) => stable.update(top));
    expect(said.map((label) => label ?? '-').join(' ')).toBe(`- - - - - cat - - - ${NO_LABEL}`);
  });

  test('is never empty and never longer than 255 characters', () => {
    expect(new StableLabel(1).update(null)).toBe('none');
    expect(new StableLabel(1).update('x'.repeat(300))).toHaveLength(255);
  });
});
