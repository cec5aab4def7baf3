import { describe, expect, it } from 'vitest';
import { nearest } from '../../shared/nearest.ts';

describe('the nearest word', () => {
  const words = ['server', 'user', 'password', 'base_topic'];

  it('is found in spite of typing errors, in upper or lower case', () => {
    expect(nearest('sever', words)).toBe('server');
    expect(nearest('serevr', words)).toBe('server');
    expect(nearest('Pasword', words)).toBe('password');
    expect(nearest('basetopic', words)).toBe('base_topic');
  });

  it('is not suggested when it would be a guess', () => {
    expect(nearest('colour', words)).toBeUndefined();
    expect(nearest('x', words)).toBeUndefined();
    expect(nearest('anything', [])).toBeUndefined();
  });

  it('is the closest one, the first of equally close ones', () => {
    expect(nearest('cat', ['cart', 'cut', 'cat'])).toBe('cat');
    expect(nearest('bat', ['cat', 'rat'])).toBe('cat');
  });
});
