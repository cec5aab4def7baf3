import { describe, expect, test } from 'vitest';
import { HeldLabel, NO_LABEL } from '../../../central/publish/label.ts';

describe('held label', () => {
  test('changes only when so many results in a row agree, and is said once', () => {
    const held = new HeldLabel(3);
    const said = ['cat', 'cat', 'dog', 'cat', 'cat', 'cat', 'cat', null, null, null].map((top) => held.update(top));
    expect(said.map((label) => label ?? '-').join(' ')).toBe(`- - - - - cat - - - ${NO_LABEL}`);
  });

  test('is never empty and never longer than 255 characters', () => {
    expect(new HeldLabel(1).update(null)).toBe('none');
    expect(new HeldLabel(1).update('x'.repeat(300))).toHaveLength(255);
  });
});
