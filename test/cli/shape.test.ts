import { describe, expect, test } from 'vitest';
import { parseShape } from '../../cli/shape.ts';

describe('--tensor', () => {
  test('reads a shape', () => expect(parseShape('1x3x224x224', '--tensor')).toEqual([1, 3, 224, 224]));
  test.each(['', '1x', '1x0x3', 'axb', '1 x 3'])('refuses "%s"', (text) => {
    expect(() => parseShape(text, '--tensor')).toThrow(/--tensor/);
  });
});
