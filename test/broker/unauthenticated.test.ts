import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UnauthenticatedConnections } from '../../broker/unauthenticated.ts';

// Lost if these fail: a client that opens sockets and sends nothing blocks all others.

const LIMITS = { perAddress: 3, total: 5, ms: 1000 };

class FakeSocket extends EventEmitter {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress = '10.0.0.1';
  readonly localPort = 1883;
  destroyed = false;

  constructor(remoteAddress: string, remotePort: number) {
    super();
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }

  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }
}

const socket = (address: string, port: number) => new FakeSocket(address, port) as FakeSocket & Socket;

function waiting() {
  const closed: string[] = [];
  const made = new UnauthenticatedConnections((remote) => closed.push(remote), LIMITS);
  const add = (address: string, port: number) => {
    const one = socket(address, port);
    made.add(one);
    return one;
  };
  return { waiting: made, closed, add };
}

const gone = (sockets: readonly FakeSocket[]): boolean[] => sockets.map(({ destroyed }) => destroyed);

describe('a connection without a CONNECT yet', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('has a time limit for it, whatever it sends meanwhile', () => {
    const { waiting: all, closed, add } = waiting();
    const one = add('10.0.0.2', 1);
    vi.advanceTimersByTime(999);
    expect(one.destroyed).toBe(false);
    vi.advanceTimersByTime(1);
    expect(one.destroyed).toBe(true);
    expect(closed).toEqual(['10.0.0.2']);
    expect(all.size).toBe(0);
  });

  it('is closed for new ones of its own address, the one that waited longest first', () => {
    const { closed, add } = waiting();
    const other = add('10.0.0.9', 1);
    const flood = Array.from({ length: 5 }, (_, i) => add('10.0.0.2', i));
    expect(gone(flood)).toEqual([true, true, false, false, false]);
    expect(other.destroyed).toBe(false);
    expect(closed).toHaveLength(2);
  });

  it('is closed for any other where all together are too many', () => {
    const { add } = waiting();
    const all = Array.from({ length: 6 }, (_, i) => add(`10.0.0.${i}`, 1));
    expect(gone(all)).toEqual([true, false, false, false, false, false]);
  });

  it('counts by network where a client has many addresses (IPv6)', () => {
    const { add } = waiting();
    const flood = Array.from({ length: 4 }, (_, i) => add(`2001:db8:1:2:${i}::1`, 1));
    expect(gone(flood)).toEqual([true, false, false, false]);
    const mapped = Array.from({ length: 2 }, (_, i) => add(`::ffff:10.0.0.${i}`, 1));
    expect(gone(mapped)).toEqual([false, false]);
  });

  it('is not limited once it is authenticated, over any transport, and is not counted after its end', () => {
    const { waiting: all, closed, add } = waiting();
    add('10.0.0.2', 1);
    // The TLS connection made of it has the same addresses.
    all.delete(socket('10.0.0.2', 1));
    const ended = add('10.0.0.2', 2);
    ended.destroy();
    expect(all.size).toBe(0);
    vi.advanceTimersByTime(5000);
    expect(closed).toEqual([]);
  });
});
