import { describe, expect, it } from 'vitest';
import { isLoopback } from '../../shared/loopback.ts';

describe('isLoopback', () => {
  it('means addresses of this machine and none that only look alike', () => {
    expect(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', 'localhost'].every(isLoopback)).toBe(true);
    expect(['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '127.0.0.1.evil.example', '', undefined].some(isLoopback)).toBe(
      false,
    );
  });
});
